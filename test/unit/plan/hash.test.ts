import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addHash, hashText, nameHash, subtractHash } from '../../../lib/plan/hash.ts';

const hashes = fc.string().map(hashText);

test('a hash is a whole number of 52 bits and never 0', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const hash = hashText(text);
      assert.ok(Number.isInteger(hash) && hash > 0 && hash < 2 ** 52);
    }),
  );
});

test('sums do not depend on order, and what is added can be taken away', () => {
  fc.assert(
    fc.property(fc.array(hashes), hashes, (list, one) => {
      const sum = list.reduce(addHash, 0);
      assert.equal(list.toReversed().reduce(addHash, 0), sum);
      assert.equal(subtractHash(addHash(sum, one), one), sum);
      assert.ok(sum >= 0 && sum < 2 ** 52);
    }),
  );
});

test('100,000 entries like real ones have hashes of their own, in both halves', () => {
  const texts = Array.from(
    { length: 100_000 },
    (_, index) => `entry KUBE-CLUSTER-IP 10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255},tcp:80`,
  );
  const all = texts.map(hashText);
  assert.equal(new Set(all).size, texts.length);
  // 2^32 values for 10^5 texts: about one collision is expected in the low half, none in the whole.
  assert.ok(new Set(all.map((hash) => hash % 2 ** 32)).size > texts.length - 20);
  const mean = all.reduce((sum, hash) => sum + hash / 2 ** 52, 0) / all.length;
  assert.ok(Math.abs(mean - 0.5) < 0.01, `mean ${mean}`);
});

test('the same children under other names are another parent, and an empty parent is not nothing', () => {
  assert.notEqual(nameHash('a', 5), nameHash('b', 5));
  assert.notEqual(nameHash('a', 5), nameHash('a', 6));
  assert.notEqual(nameHash('a', 0), 0);
});
