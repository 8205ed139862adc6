/** Sets against a real kernel, judged by the ipset tool in both directions. `test/integration/ipset.test.ts` runs it on the host's kernel too. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import { splitOptions } from '../../lib/kernel/set-options.ts';
import type { SetSpec, SetState } from '../../lib/types.ts';
import { anyEntry, setTypes } from '../harness/arbitrary-entries.ts';
import { runTool } from '../harness/run-tool.ts';
import { referTo, type SetReference } from '../harness/set-reference.ts';

/** Entries of one kind of set; there are 28 kinds. */
const CASES_PER_SET = Number(process.env['IPSET_CASES'] ?? 40);
const SEED = Number(process.env['IPSET_SEED'] ?? Date.now() % 1_000_000);
const ipv4 = { name: 'IS-A', type: 'hash:ip', family: 'IPv4' } as const;

/** Every type, family and choice of options. */
function kindsOfSets(prefix: string): SetSpec[] {
  return setTypes.flatMap((type, number) =>
    (['IPv4', 'IPv6'] as const).flatMap((family): SetSpec[] => {
      const name = `${prefix}-${number}-${family}`;
      const sized = type === 'bitmap:port' ? {} : { hashSize: 64, maxElements: 5000 };
      return [
        { name, type, family, ...sized },
        { name: `${name}-O`, type, family, ...sized, timeoutSeconds: 86_400, comment: true },
      ];
    }),
  );
}

function samples(set: SetSpec): string[] {
  const hasOptions = set.comment === true;
  const entries = fc.sample(anyEntry(set.type, set.family, hasOptions), { numRuns: CASES_PER_SET, seed: SEED });
  return [...new Map(entries.map((entry) => [splitOptions(entry).body, entry])).values()];
}

/** Time goes by: a time-out is what it was, or a little less. */
function sameEntries(read: readonly string[], wanted: readonly string[], defaultTimeout: number | undefined): void {
  const found = new Map(read.map((entry) => [splitOptions(entry).body, splitOptions(entry)]));
  assert.equal(found.size, wanted.length);
  for (const entry of wanted) {
    const want = splitOptions(entry);
    const have = found.get(want.body);
    const { timeoutSeconds: left, ...rest } = have ?? { timeoutSeconds: undefined };
    const { timeoutSeconds: given = defaultTimeout, ...wantedRest } = want;
    assert.deepEqual(rest, wantedRest, entry);
    if (given === undefined || given === 0) assert.equal(left, given, entry);
    else assert.ok(left !== undefined && left <= given && left > given - 3600, `${entry}: ${left} left`);
  }
}

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

describe(`sets, seed ${SEED}`, () => {
  let session: KernelSession;
  const ok = (batch: Batch) => {
    const result = session.run(batch);
    assert.deepEqual(result.failures, []);
    return result;
  };
  const state = (name: string): SetState | undefined => readAll(session.sets()).find((one) => one.name === name);
  const entriesOf = (name: string): string[] => readAll(session.entries(name)).toSorted();
  const clean = () => {
    const batch = new Batch();
    for (const { name } of readAll(session.sets())) if (/^(IS-|~tmp)/.test(name)) batch.removeSet(name);
    ok(batch);
  };
  let reference: SetReference | undefined;
  const refer = async (name: string): Promise<SetReference> => {
    reference = await referTo(name);
    return reference;
  };
  const unrefer = async () => {
    await reference?.release();
    reference = undefined;
  };

  before(() => {
    session = openSession();
    clean();
  });
  after(async () => {
    await unrefer();
    clean();
    session.close();
  });

  test('we write, ipset reads: every type, family and option', async () => {
    const sets = kindsOfSets('IS-W');
    const batch = new Batch();
    for (const set of sets) {
      batch.createSet(set);
      for (const entry of samples(set)) batch.addEntry(set, entry);
    }
    ok(batch);
    const saved = lines(await runTool('ipset', ['save']));
    for (const set of sets) {
      const head = saved.find((line) => line.startsWith(`create ${set.name} `)) ?? '';
      const size =
        set.type === 'bitmap:port' ? ' range 0-65535' : ` family ${set.family === 'IPv4' ? 'inet' : 'inet6'}`;
      assert.ok(head.startsWith(`create ${set.name} ${set.type}${size}`), head);
      if (set.type !== 'bitmap:port') assert.match(head, / maxelem 5000/);
      assert.equal(/ timeout 86400\b.* comment\b/.test(head), set.comment === true, head);
      const prefix = `add ${set.name} `;
      const theirs = saved.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length));
      sameEntries(theirs, samples(set), set.timeoutSeconds);
      sameEntries(readAll(session.entries(set.name)), samples(set), set.timeoutSeconds);
    }
    // Taken out by the very text they are read as, options and all.
    const out = new Batch();
    for (const set of sets) for (const entry of readAll(session.entries(set.name))) out.removeEntry(set, entry);
    ok(out);
    assert.deepEqual(
      lines(await runTool('ipset', ['save'])).filter((line) => line.startsWith('add IS-W')),
      [],
    );
  });

  test('ipset writes, we read: every type, family and option, headers and entries', async () => {
    const sets = kindsOfSets('IS-R');
    const script = sets.flatMap((set) => {
      const size =
        set.type === 'bitmap:port'
          ? 'range 0-65535'
          : `family ${set.family === 'IPv4' ? 'inet' : 'inet6'} hashsize 64 maxelem 5000`;
      const options = set.comment === true ? ' timeout 86400 comment' : '';
      return [
        `create ${set.name} ${set.type} ${size}${options}`,
        ...samples(set).map((entry) => `add ${set.name} ${entry}`),
      ];
    });
    await runTool('ipset', ['restore'], { input: `${script.join('\n')}\n` });
    const states = new Map(readAll(session.sets()).map((one) => [one.name, one]));
    for (const set of sets) {
      sameEntries(readAll(session.entries(set.name)), samples(set), set.timeoutSeconds);
      const read = states.get(set.name);
      assert.equal(read?.entries, samples(set).length);
      assert.equal(read.type, set.type);
      if (set.type !== 'bitmap:port') assert.equal(read.family, set.family);
      assert.equal(read.maxElements, set.maxElements ?? 0);
      assert.equal(read.timeoutSeconds, set.timeoutSeconds);
      assert.equal(read.comment, set.comment === true);
      assert.equal(read.otherProperties, false);
      for (const entry of samples(set).slice(0, 5)) assert.equal(session.testEntry(set, entry), true, entry);
    }
    await runTool('ipset', ['create', 'IS-COUNT', 'hash:ip', 'counters', 'netmask', '24']);
    assert.equal(state('IS-COUNT')?.otherProperties, true);
  });

  test('a question is answered by the kernel’s own rules', async () => {
    const net = { name: 'IS-N', type: 'hash:net', family: 'IPv4' } as const;
    ok(new Batch().createSet(net).addEntry(net, '10.0.0.0/8').addEntry(net, '10.1.0.0/16 nomatch'));
    for (const [entry, held] of [
      ['10.2.3.4', true],
      ['10.1.2.3', false],
      ['11.0.0.1', false],
    ] as const) {
      assert.equal(session.testEntry(net, entry), held, entry);
      const said = await runTool('ipset', ['-q', 'test', net.name, entry]).then(
        () => true,
        () => false,
      );
      assert.equal(said, held, entry);
    }
    assert.throws(() => session.testEntry({ ...net, name: 'IS-NONE' }, '10.0.0.1'), { errnoName: 'ENOENT' });
    assert.throws(() => session.testEntry(net, '10.0.0.1/8'), { code: 'ERR_INVALID_ARGUMENT', field: 'entry' });
  });

  test('ensure gives a set other properties: entries and the rules that refer to it stay', async () => {
    ok(new Batch().createSet(ipv4).addEntry(ipv4, '10.0.0.1').addEntry(ipv4, '10.0.0.2'));
    await refer('IS-A');
    ok(
      new Batch()
        .ensureSet({ ...ipv4, maxElements: 1000, timeoutSeconds: 0, comment: true })
        .addEntry(ipv4, '10.0.0.3 timeout 50000 comment "new"'),
    );
    const changed = state('IS-A');
    assert.equal(changed?.maxElements, 1000);
    assert.equal(changed.timeoutSeconds, 0);
    assert.equal(changed.comment, true);
    assert.equal(changed.references, 1);
    assert.deepEqual(
      entriesOf('IS-A').map((entry) => splitOptions(entry).body),
      ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
    );
    // Back again: what the entries have no room for any more is gone, the entries are not.
    ok(new Batch().ensureSet(ipv4).ensureSet(ipv4));
    assert.deepEqual(entriesOf('IS-A'), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    // Never below what it holds.
    ok(new Batch().ensureSet({ ...ipv4, maxElements: 2 }));
    assert.equal(state('IS-A')?.maxElements, 65536);
    assert.deepEqual(entriesOf('IS-A'), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);

    const { failures } = session.run(
      new Batch()
        .ensureSet({ ...ipv4, type: 'hash:net' })
        .ensureSet({ ...ipv4, family: 'IPv6' })
        .renameSet('IS-A', 'IS-B')
        .removeSet('IS-A'),
    );
    assert.deepEqual(
      failures.map(({ index, error }) => [index, error.errnoName]),
      [
        [0, 'EEXIST'],
        [1, 'EEXIST'],
        [2, 'IPSET_ERR_REFERENCED'],
        [3, 'IPSET_ERR_BUSY'],
      ],
    );
    for (const { error } of failures.slice(0, 2)) assert.match(error.reason, /hash:ip of IPv4.*remove those first/);
    assert.deepEqual(entriesOf('IS-A'), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
    await unrefer();
    ok(
      new Batch()
        .ensureSet({ ...ipv4, family: 'IPv6' })
        .addEntry({ ...ipv4, family: 'IPv6' }, 'fd00::1')
        .ensureSet({ ...ipv4, type: 'hash:net' })
        .addEntry({ ...ipv4, type: 'hash:net' }, '10.0.0.0/8'),
    );
    assert.deepEqual(entriesOf('IS-A'), ['10.0.0.0/8']);
    assert.equal(state('IS-A')?.type, 'hash:net');
    assert.equal(readAll(session.sets()).filter(({ name }) => name.startsWith('~tmp')).length, 0);
  });

  test('T75: a set grows past its maximum by itself, and past 65536', async () => {
    const many = { name: 'IS-G', type: 'hash:ip,port', family: 'IPv4' } as const;
    const batch = new Batch(70_000).createSet(many);
    for (let i = 0; i < 70_000; i++) batch.addEntry(many, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255},tcp:80`);
    const result = ok(batch);
    assert.deepEqual(result.grownSets, [{ name: 'IS-G', from: 65536, to: 131_072 }]);
    assert.equal(state('IS-G')?.entries, 70_000);
    assert.equal(session.testEntry(many, '10.1.17.111,tcp:80'), true);
    ok(new Batch().ensureSet(many));
    assert.equal(state('IS-G')?.maxElements, 131_072, 'not below what it holds');
    ok(new Batch().removeSet('IS-G'));

    const small = { ...ipv4, name: 'IS-S', hashSize: 64, maxElements: 4, timeoutSeconds: 40_000, comment: true };
    const additions = (set: SetSpec) => {
      const adds = new Batch().createSet(set);
      for (let i = 1; i <= 300; i++) adds.addEntry(set, `10.3.${i >> 8}.${i & 255} comment "number ${i}"`);
      return adds;
    };
    const refused = session.run(additions(small), { growSets: false });
    assert.ok(refused.failures.length > 0);
    assert.ok(refused.failures.every(({ error }) => error.errnoName === 'IPSET_ERR_HASH_FULL'));
    ok(new Batch().removeSet('IS-S'));
    ok(additions(small));
    const read = entriesOf('IS-S').map(splitOptions);
    assert.equal(read.length, 300);
    assert.ok(
      read.every(({ comment, timeoutSeconds = 0 }) => /^number \d+$/.test(comment ?? '') && timeoutSeconds > 0),
    );
    // Emptied or removed later in the same batch: there is nothing left to repeat.
    ok(additions({ ...small, name: 'IS-S2' }).flushSet('IS-S2'));
    assert.deepEqual(entriesOf('IS-S2'), []);
    ok(additions({ ...small, name: 'IS-S3' }).removeSet('IS-S3'));
    // What would be lost is not copied.
    await runTool('ipset', ['create', 'IS-SC', 'hash:ip', 'hashsize', '64', 'maxelem', '4', 'counters']);
    const counted = { ...ipv4, name: 'IS-SC' };
    const adds = new Batch();
    for (let i = 1; i <= 300; i++) adds.addEntry(counted, `10.3.${i >> 8}.${i & 255}`);
    const { failures } = session.run(adds);
    assert.match(failures[0]?.error.reason ?? '', /is full, and cannot be made larger: .*counters/);
  });

  test('replaced at one moment, under a rule; what a crash left is cleared away', async () => {
    await using kernel = await openKernel({ thread: 'inline' });
    const set = { ...ipv4, name: 'IS-REP' };
    await kernel.run(kernel.batch().createSet({ ...set, name: '~tmp.zzzzz.1.1.1' }));
    await kernel.ipset.replace(set, ['10.0.0.1']);
    assert.deepEqual(await kernel.ipset.entries('IS-REP'), ['10.0.0.1']);
    assert.equal(await kernel.ipset.get('~tmp.zzzzz.1.1.1'), undefined);
    const held = await refer('IS-REP');
    const many = Array.from({ length: 3000 }, (_, i) => `10.5.${i >> 8}.${i & 255}`);
    await kernel.ipset.replace(set, many);
    assert.deepEqual((await kernel.ipset.entries('IS-REP')).toSorted(), many.toSorted());
    assert.equal((await kernel.ipset.get('IS-REP'))?.references, 1);
    assert.equal(await held.shownName(), 'IS-REP');
    // The kernel takes no 0.0.0.0: nothing is replaced then.
    await assert.rejects(kernel.ipset.replace(set, ['10.0.0.9', '0.0.0.0']), { name: 'BatchError' });
    assert.equal((await kernel.ipset.entries('IS-REP')).length, 3000);
    await assert.rejects(kernel.ipset.replace({ ...set, family: 'IPv6' }, ['fd00::1']), /remove those first/);
    // As a part of a batch.
    await kernel.run(kernel.batch().replaceSet(set, ['10.0.0.7']).addEntry(set, '10.0.0.8'));
    let streamed = 0;
    for await (const slice of kernel.ipset.stream('IS-REP')) streamed += slice.length;
    assert.equal(streamed, 2);
    for await (const slice of kernel.ipset.stream('IS-REP')) if (slice.length > 0) break;
    await kernel.ipset.flush('IS-REP');
    assert.deepEqual(await kernel.ipset.entries('IS-REP'), []);
    await assert.rejects(kernel.ipset.remove('IS-REP'), { errnoName: 'IPSET_ERR_BUSY' });
    await unrefer();
    await kernel.ipset.rename('IS-REP', 'IS-REN');
    await assert.rejects(kernel.ipset.rename('IS-REP', 'IS-REN'), { errnoName: 'ENOENT' });
    await kernel.ipset.replace(set, ['10.0.0.5']);
    await assert.rejects(kernel.ipset.rename('IS-REP', 'IS-REN'), /of the new name exists already/);
    await kernel.ipset.swap('IS-REP', 'IS-REN');
    assert.equal(await kernel.ipset.test({ ...set, name: 'IS-REN' }, '10.0.0.5'), true);
    assert.equal(await kernel.ipset.test(set, '10.0.0.5'), false);
    await kernel.ipset.remove('IS-REN');
    await kernel.ipset.remove('IS-REN');
    assert.equal((await kernel.ipset.list()).filter(({ name }) => name.startsWith('~tmp')).length, 0);
  });
});
