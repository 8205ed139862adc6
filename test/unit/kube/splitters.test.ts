import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter } from '../../../lib/kube/line-splitter.ts';
import { ListSplitter } from '../../../lib/kube/list-splitter.ts';
import { runs } from '../../harness/runs.ts';

/** Cuts bytes at the given places, each modulo what is left. */
function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let start = 0;
  for (let index = 0; start < bytes.length; index++) {
    const size = sizes.length === 0 ? bytes.length : (sizes[index % sizes.length] ?? 1);
    chunks.push(bytes.subarray(start, start + size));
    start += size;
  }
  return chunks;
}

function splitList(chunks: readonly Buffer[]): { items: unknown[]; envelope: unknown } {
  const items: unknown[] = [];
  const splitter = new ListSplitter((item) => items.push(item));
  for (const chunk of chunks) splitter.push(chunk);
  return { items, envelope: splitter.end() };
}

const NASTY = {
  kind: 'items',
  items: [
    { items: ['[', ']', '{', '\\', '"', '\\"'] },
    [],
    {},
    'a,b]',
    'ü€😀\u2028',
    null,
    1.5,
    [[{ items: [1] }]],
    { 'a"b': ',' },
  ],
  metadata: { items: [1, 2], resourceVersion: '7', 'x\\': '],[' },
};

test('the list splitter agrees with JSON.parse, cut anywhere', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 20 });
  const json = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(
      fc.array(json),
      fc.dictionary(fc.string(), json),
      sizes,
      fc.constantFrom(0, 1, '\t'),
      (items, rest, at, indent) => {
        for (const object of [
          { ...rest, items },
          { items, ...rest },
        ]) {
          const text = JSON.stringify(object, null, indent);
          const expected: unknown = JSON.parse(text);
          const { items: found, envelope } = splitList(cut(Buffer.from(text), at));
          assert.ok(typeof envelope === 'object' && envelope !== null);
          assert.deepEqual({ ...envelope, items: found }, expected);
        }
      },
    ),
  );
  const text = Buffer.from(JSON.stringify(NASTY));
  for (let at = 1; at < text.length; at++) {
    const { items, envelope } = splitList([text.subarray(0, at), text.subarray(at)]);
    assert.deepEqual(items, NASTY.items);
    assert.deepEqual(envelope, { ...NASTY, items: [] });
  }
});

test('the list splitter takes what JSON.parse takes and refuses what it refuses', () => {
  const alphabet = fc.constantFrom('{', '}', '[', ']', ',', ':', '"items"', '"a"', '1', ' ', 'null', '"', '\\');
  const text = fc.oneof(
    fc.array(alphabet, { maxLength: 12 }).map((tokens) => tokens.join('')),
    fc.array(alphabet, { maxLength: 8 }).map((tokens) => `{"items":[${tokens.join('')}]}`),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      let expected: unknown;
      try {
        expected = JSON.parse(candidate);
      } catch {
        assert.throws(() => splitList([Buffer.from(candidate)]), SyntaxError, candidate);
        return;
      }
      if (typeof expected !== 'object' || expected === null || Array.isArray(expected)) return;
      if (candidate.split('"items"').length > 2) return;
      const wanted: unknown = 'items' in expected ? expected.items : [];
      assert.deepEqual(splitList([Buffer.from(candidate)]).items, Array.isArray(wanted) ? wanted : []);
    }),
    { numRuns: runs(3000) },
  );
  for (const rest of ['{"items":null}', '{"items":[ \n]}', '{"\\u0069tems":[1]}']) {
    const parsed: { items: unknown } = JSON.parse(rest);
    assert.deepEqual(splitList([Buffer.from(rest)]).items, parsed.items ?? []);
  }
});

test('the line splitter gives each line whole, whatever the chunks, and has a limit', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'binary' }).map((line) => line.replaceAll('\n', 'ü'))),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      fc.string({ maxLength: 3 }).map((line) => line.replaceAll('\n', '')),
      (lines, sizes, tail) => {
        const whole = lines.map((line) => Buffer.from(line).toString());
        const found: string[] = [];
        const splitter = new LineSplitter((line) => found.push(line), 1000);
        for (const chunk of cut(Buffer.from(`${whole.map((line) => `${line}\n`).join('')}${tail}`), sizes))
          splitter.push(chunk);
        assert.deepEqual(
          found,
          whole.filter((line) => line !== ''),
        );
        assert.equal(splitter.pendingBytes, Buffer.byteLength(tail));
      },
    ),
  );
  const splitter = new LineSplitter(() => undefined, 10);
  splitter.push(Buffer.from('0123456789\n01234'));
  assert.throws(() => splitter.push(Buffer.from('567890')), /longer than 10 bytes/);
});
