/** Sets: every verb, and every refusal that can be had of a kernel that has them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import type { SetSpec, SetState } from '../../../lib/types.ts';
import { allApplied, type Bed, check, entriesOf, sorted, stateOf } from './bed.ts';

const port = { name: 'CF-PORT', type: 'hash:ip,port', family: 'IPv4' } as const;
const hours = 200_000;

function header(set: SetState | undefined): Partial<SetState> {
  assert.ok(set !== undefined);
  const { revision: _revision, memoryBytes: _bytes, ...rest } = set;
  return rest;
}

export function ipsetCases(bed: () => Bed): void {
  const listed = (name: string): Partial<SetState> =>
    header(readAll(bed().session.sets()).find((set) => set.name === name));

  test('sets of every type and family, with what they hold, in canonical form', () => {
    const { session } = bed();
    const all: [SetSpec, string[]][] = [
      [{ name: 'CF-IP', type: 'hash:ip', family: 'IPv4' }, ['10.0.0.1', '255.255.255.255']],
      [{ name: 'CF-IP6', type: 'hash:ip', family: 'IPv6' }, ['fd00::1']],
      [
        { name: 'CF-NET', type: 'hash:net', family: 'IPv4' },
        ['0.0.0.0/1', '10.0.0.0/8', '10.1.0.0/16 nomatch', '10.2.3.4'],
      ],
      [{ name: 'CF-NET6', type: 'hash:net', family: 'IPv6' }, ['fd00::/8', 'fd00::1']],
      [port, ['10.0.0.1,sctp:9', '10.0.0.1,tcp:80', '10.0.0.1,udp:80', '10.0.0.1,tcp:0']],
      [{ ...port, name: 'CF-PORT6', family: 'IPv6' }, ['fd00::1,tcp:80']],
      [{ name: 'CF-LOOP', type: 'hash:ip,port,ip', family: 'IPv4' }, ['10.0.0.1,tcp:80,10.0.0.1']],
      [
        { name: 'CF-SRC', type: 'hash:ip,port,net', family: 'IPv4' },
        ['10.0.0.1,tcp:80,10.0.0.0/8', '10.0.0.1,tcp:80,10.0.0.1'],
      ],
      [{ name: 'CF-IFACE', type: 'hash:net,iface', family: 'IPv4' }, ['0.0.0.0/0,eth0', '10.0.0.0/8,physdev:eth1']],
      [{ name: 'CF-BITS', type: 'bitmap:port', family: 'IPv4' }, ['0', '30080', '65535']],
    ];
    const batch = new Batch();
    for (const [set, entries] of all) {
      batch.createSet(set);
      for (const entry of entries) batch.addEntry(set, entry).addEntry(set, entry);
    }
    allApplied(session, batch);
    for (const [set, entries] of all) assert.deepEqual(entriesOf(session, set.name), [...entries].sort(), set.name);
    const bits = { name: 'CF-BITS', type: 'bitmap:port', family: 'IPv4', hashSize: 0, maxElements: 0 } as const;
    const rest = { comment: false, otherProperties: false, references: 0 } as const;
    assert.deepEqual(listed('CF-BITS'), { ...bits, ...rest, entries: 3 });
    assert.deepEqual(listed('CF-PORT'), { ...port, ...rest, hashSize: 1024, maxElements: 65536, entries: 4 });
    assert.throws(() => session.entries('CF-NONE'), { code: 'ERR_NETLINK', errnoName: 'ENOENT' });
  });

  test('create insists on a new set; ensure makes it what was asked for, with its entries', () => {
    const { session } = bed();
    const small: SetSpec = { ...port, hashSize: 100, maxElements: 10, timeoutSeconds: 3 * hours, comment: true };
    const batch = new Batch()
      .createSet(small)
      .createSet(small)
      .createSet({ ...port, type: 'hash:ip' })
      .addEntry(port, '10.0.0.1,tcp:80 comment "web"')
      .addEntry(port, `10.0.0.1,tcp:81 timeout ${hours}`)
      .ensureSet(small);
    check(session, batch, ['applied', 'EEXIST', 'EEXIST', 'applied', 'applied', 'applied']);
    const rest = { otherProperties: false, references: 0, entries: 2 };
    assert.deepEqual(listed('CF-PORT'), { ...small, hashSize: 128, ...rest });
    allApplied(session, new Batch().ensureSet({ ...small, maxElements: 20 }));
    assert.deepEqual(entriesOf(session, 'CF-PORT'), [
      `10.0.0.1,tcp:80 timeout ${3 * hours} comment "web"`,
      `10.0.0.1,tcp:81 timeout ${hours}`,
    ]);
    allApplied(session, new Batch().ensureSet(port));
    assert.deepEqual(entriesOf(session, 'CF-PORT'), ['10.0.0.1,tcp:80', '10.0.0.1,tcp:81']);
    allApplied(session, new Batch().ensureSet({ ...port, maxElements: 1 }));
    assert.equal(listed('CF-PORT').maxElements, 65536, 'what it holds would not fit');
    allApplied(session, new Batch().ensureSet({ ...port, family: 'IPv6' }));
    assert.deepEqual(listed('CF-PORT'), {
      ...{ ...port, family: 'IPv6', hashSize: 1024, maxElements: 65536, comment: false },
      ...{ ...rest, entries: 0 },
    });
  });

  test('ensure-set after its batch has changed the set', () => {
    const { session } = bed();
    const other = { ...port, name: 'CF-OTHER' };
    allApplied(
      session,
      new Batch()
        .createSet({ ...port, maxElements: 5 })
        .addEntry(port, '10.0.0.1,tcp:80')
        .ensureSet({ ...port, maxElements: 6 })
        .renameSet(port.name, other.name)
        .ensureSet(port)
        .ensureSet({ ...other, comment: true })
        .swapSets(port.name, other.name),
    );
    assert.deepEqual(
      sorted(stateOf(session).sets.map(({ name, maxElements, comment, list }) => [name, maxElements, comment, list])),
      [
        ['CF-OTHER', 65536, false, []],
        ['CF-PORT', 65536, true, ['10.0.0.1,tcp:80']],
      ],
    );
  });

  test('sets that are not there: ENOENT where they are needed, success where they are not wanted', () => {
    const { session } = bed();
    const batch = new Batch()
      .removeSet('CF-NONE')
      .flushSet('CF-NONE')
      .swapSets('CF-NONE', 'CF-NONE2')
      .renameSet('CF-NONE', 'CF-NONE2')
      .addEntry({ ...port, name: 'CF-NONE' }, '10.0.0.1,tcp:80')
      .removeEntry({ ...port, name: 'CF-NONE' }, '10.0.0.1,tcp:80')
      .createSet(port)
      .swapSets(port.name, 'CF-NONE')
      .removeEntry(port, '10.0.0.1,tcp:80')
      .flushSet(port.name)
      .removeSet(port.name)
      .removeSet(port.name);
    check(session, batch, [
      ...['applied', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT', 'applied'],
      ...['applied', 'IPSET_ERR_EXIST_SETNAME2', 'applied', 'applied', 'applied', 'applied'],
    ]);
    assert.throws(() => session.testEntry(port, '10.0.0.1,tcp:80'), { errnoName: 'ENOENT' });
  });

  test('swap wants two of a kind, rename a free name', () => {
    const { session } = bed();
    const batch = new Batch()
      .createSet(port)
      .createSet({ ...port, name: 'CF-B', comment: true, maxElements: 7 })
      .createSet({ ...port, name: 'CF-B6', family: 'IPv6' })
      .createSet({ name: 'CF-IP', type: 'hash:ip', family: 'IPv4' })
      .addEntry(port, '10.0.0.1,tcp:80')
      .swapSets(port.name, 'CF-IP')
      .swapSets(port.name, 'CF-B6')
      .swapSets(port.name, 'CF-B')
      .swapSets(port.name, port.name)
      .renameSet(port.name, 'CF-B')
      .renameSet('CF-IP', 'CF-IP')
      .renameSet('CF-IP', 'CF-IP2')
      .flushSet('CF-IP');
    const mismatch = 'IPSET_ERR_TYPE_MISMATCH';
    const taken = 'IPSET_ERR_EXIST_SETNAME2';
    check(session, batch, [
      ...['applied', 'applied', 'applied', 'applied', 'applied'],
      ...[mismatch, mismatch, 'applied', 'applied', taken, taken, 'applied', 'ENOENT'],
    ]);
    assert.deepEqual(sorted(stateOf(session).sets.map(({ name, maxElements, list }) => [name, maxElements, list])), [
      ['CF-B', 65536, ['10.0.0.1,tcp:80']],
      ['CF-B6', 65536, []],
      ['CF-IP2', 65536, []],
      ['CF-PORT', 7, []],
    ]);
  });

  test('a set that a rule names is neither removed nor renamed; its contents are another matter', async () => {
    const { session, refer } = bed();
    const ips: SetSpec = { name: 'CF-REF', type: 'hash:ip', family: 'IPv4' };
    allApplied(
      session,
      new Batch()
        .createSet(ips)
        .addEntry(ips, '10.0.0.1')
        .createSet({ ...ips, name: 'CF-B' }),
    );
    const release = await refer('CF-REF');
    try {
      const batch = new Batch()
        .removeSet('CF-REF')
        .renameSet('CF-REF', 'CF-C')
        .renameSet('CF-REF', 'CF-B')
        .swapSets('CF-REF', 'CF-B')
        .ensureSet({ ...ips, maxElements: 100 })
        .addEntry(ips, '10.0.0.2')
        .ensureSet({ ...ips, type: 'hash:net' })
        .removeSet('CF-B');
      const expected = [
        'IPSET_ERR_BUSY',
        'IPSET_ERR_REFERENCED',
        'IPSET_ERR_REFERENCED',
        'applied',
        'applied',
        'applied',
        'EEXIST',
        'applied',
      ];
      const { failures } = check(session, batch, expected);
      assert.match(failures.at(-1)?.error.reason ?? '', /refers to it/);
      assert.equal(listed('CF-REF').references, 1);
      assert.deepEqual(entriesOf(session, 'CF-REF'), ['10.0.0.2']);
      // An addition that finds the set full is made up for, although the batch wanted the set gone after it: that was refused.
      allApplied(session, new Batch().ensureSet({ ...ips, maxElements: 1 }));
      const full = new Batch().addEntry(ips, '10.0.0.3').removeSet('CF-REF');
      check(session, full, ['applied', 'IPSET_ERR_BUSY']);
      assert.deepEqual(entriesOf(session, 'CF-REF').toSorted(), ['10.0.0.2', '10.0.0.3']);
    } finally {
      await release();
    }
    assert.equal(listed('CF-REF').references, 0);
    allApplied(session, new Batch().removeSet('CF-REF'));
  });

  test('a full set grows, keeping what it holds; without growth the additions are refused', () => {
    const { session } = bed();
    const tiny: SetSpec = { ...port, maxElements: 2, comment: true };
    const batch = new Batch().createSet(tiny);
    for (let number = 1; number <= 5; number++) batch.addEntry(port, `10.0.0.${number},tcp:80`);
    batch.addEntry(port, '10.0.0.1,tcp:80 comment "again"').removeEntry(port, '10.0.0.5,tcp:80');
    const full = 'IPSET_ERR_HASH_FULL';
    check(session, batch, ['applied', 'applied', 'applied', full, full, full, 'applied', 'applied'], {
      growSets: false,
    });
    assert.deepEqual(entriesOf(session, port.name), ['10.0.0.1,tcp:80 comment "again"', '10.0.0.2,tcp:80']);
    const more = new Batch();
    for (let number = 3; number <= 9; number++) more.addEntry(port, `10.0.0.${number},tcp:80`);
    const { grownSets } = allApplied(session, more);
    assert.deepEqual(grownSets, [{ name: port.name, from: 2, to: 16 }]);
    assert.equal(entriesOf(session, port.name).length, 9);
    assert.equal(listed(port.name).maxElements, 16);
  });

  test('what an entry brings that its set has no room for', () => {
    const { session } = bed();
    const ips = { name: 'CF-IP', type: 'hash:ip', family: 'IPv4' } as const;
    const bits = { name: 'CF-BITS', type: 'bitmap:port', family: 'IPv4' } as const;
    const batch = new Batch()
      .createSet(ips)
      .createSet(port)
      .createSet(bits)
      .addEntry(ips, '10.0.0.1 timeout 5')
      .addEntry(ips, '10.0.0.1 comment "x"')
      .addEntry(bits, '80 timeout 5')
      .addEntry(ips, '0.0.0.0')
      .removeEntry(ips, '0.0.0.0')
      // Written for a set of another kind.
      .addEntry({ ...ips, family: 'IPv6' }, 'fd00::1')
      .addEntry({ ...ips, name: port.name }, '10.0.0.1')
      .addEntry({ ...bits, name: port.name }, '80')
      .addEntry({ ...ips, name: bits.name }, '10.0.0.1')
      .addEntry({ ...port, name: ips.name }, '10.0.0.1,tcp:80')
      .addEntry({ ...port, name: bits.name }, '10.0.0.1,tcp:80')
      .addEntry({ ...ips, type: 'hash:net' }, '10.0.0.1 nomatch')
      // Every address of a network.
      .addEntry({ ...ips, type: 'hash:net' }, '10.0.0.0/29')
      .removeEntry({ ...ips, type: 'hash:net' }, '10.0.0.0/30');
    const misfit = 'IPSET_ERR_PROTOCOL';
    check(session, batch, [
      ...['applied', 'applied', 'applied', 'IPSET_ERR_TIMEOUT', 'IPSET_ERR_COMMENT', 'IPSET_ERR_TIMEOUT'],
      ...['IPSET_ERR_HASH_ELEM', 'IPSET_ERR_HASH_ELEM'],
      ...[misfit, misfit, misfit, misfit, misfit, misfit, misfit, 'applied', 'applied'],
    ]);
    assert.deepEqual(
      entriesOf(session, ips.name),
      [4, 5, 6, 7].map((host) => `10.0.0.${host}`),
    );
  });

  test('time-outs and comments are written anew with the entry; 0 is for ever', () => {
    const { session } = bed();
    const set: SetSpec = { name: 'CF-NET', type: 'hash:net', family: 'IPv4', timeoutSeconds: 3 * hours, comment: true };
    allApplied(
      session,
      new Batch()
        .createSet(set)
        .addEntry(set, `10.0.0.0/8 comment "ten" timeout ${hours}`)
        .addEntry(set, '10.1.0.0/16 timeout 0 nomatch comment "größe 1"')
        .addEntry(set, '10.2.0.0/16'),
    );
    assert.deepEqual(entriesOf(session, set.name), [
      `10.0.0.0/8 timeout ${hours} comment "ten"`,
      '10.1.0.0/16 timeout 0 nomatch comment "größe 1"',
      `10.2.0.0/16 timeout ${3 * hours}`,
    ]);
    allApplied(
      session,
      new Batch().addEntry(set, '10.0.0.0/8').addEntry(set, '10.1.0.0/16').removeEntry(set, '10.2.0.0/16 nomatch'),
    );
    assert.deepEqual(entriesOf(session, set.name), [
      `10.0.0.0/8 timeout ${3 * hours}`,
      `10.1.0.0/16 timeout ${3 * hours}`,
    ]);
  });

  test('test: an address within a net is held, the narrowest net decides, nomatch is the opposite', () => {
    const { session } = bed();
    const net: SetSpec = { name: 'CF-NET', type: 'hash:net', family: 'IPv4' };
    const src: SetSpec = { name: 'CF-SRC', type: 'hash:ip,port,net', family: 'IPv6' };
    const iface: SetSpec = { name: 'CF-IFACE', type: 'hash:net,iface', family: 'IPv4' };
    const bits: SetSpec = { name: 'CF-BITS', type: 'bitmap:port', family: 'IPv4' };
    const batch = new Batch()
      .createSet(net)
      .addEntry(net, '10.0.0.0/8')
      .addEntry(net, '10.1.0.0/16 nomatch')
      .addEntry(net, '10.1.1.0/24');
    batch.createSet(src).addEntry(src, 'fd00::1,tcp:80,fd00::/16').createSet(iface).addEntry(iface, '10.0.0.0/8,eth0');
    allApplied(session, batch.createSet(bits).addEntry(bits, '80').createSet(port).addEntry(port, '10.0.0.1,tcp:80'));
    const held: [SetSpec, string, boolean][] = [
      [net, '10.2.3.4', true],
      [net, '10.1.2.3', false],
      [net, '10.1.2.3 nomatch', true],
      [net, '10.2.3.4 nomatch', false],
      [net, '10.1.1.1', true],
      [net, '11.0.0.1', false],
      [net, '10.0.0.0/8', true],
      [net, '10.1.0.0/16', false],
      [net, '10.1.0.0/16 nomatch', true],
      [net, '10.1.1.0/25', false],
      [net, '10.0.0.0/9', false],
      [src, 'fd00::1,tcp:80,fd00::5', true],
      [src, 'fd00::1,udp:80,fd00::5', false],
      [src, 'fd00::1,tcp:80,fd01::5', false],
      [iface, '10.2.3.4,eth0', true],
      [iface, '10.2.3.4,eth1', false],
      [bits, '80', true],
      [bits, '81', false],
      [port, '10.0.0.1,tcp:80', true],
      [port, '10.0.0.1,udp:80', false],
    ];
    assert.deepEqual(
      held.map(([set, entry]) => [set.name, entry, session.testEntry(set, entry)]),
      held.map(([set, entry, is]) => [set.name, entry, is]),
    );
  });

  test('replace: the new contents at once, under the old name', () => {
    const { session } = bed();
    allApplied(
      session,
      new Batch().createSet(port).addEntry(port, '10.0.0.1,tcp:80').addEntry(port, '10.0.0.2,tcp:80'),
    );
    allApplied(session, new Batch().replaceSet(port, ['10.0.0.2,tcp:80', '10.0.0.3,tcp:80']));
    assert.deepEqual(entriesOf(session, port.name), ['10.0.0.2,tcp:80', '10.0.0.3,tcp:80']);
    assert.deepEqual(
      readAll(session.sets()).filter(({ name }) => name.startsWith('~tmp')),
      [],
    );
  });
}
