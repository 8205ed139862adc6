/** The audit: everything looked at within its period, little by little, and what others did put right; under a virtual clock, by counts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReconcileInit, SyncReport } from '../../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { SessionCalls } from './counted-session.ts';
import { bindOutside, ip, newKernel, service, slice, World } from './world.ts';

const periodMs = 30_000;
const address = (block: number, index: number): string => `10.${block}.${index >> 8}.${index & 255}`;
const pods = (index: number): string[] => [address(240, index), address(241, index)];
const podsOf = (index: number, addresses = pods(index)): ObjectRecord =>
  slice(`ns1/s${index}-1`, `ns1/s${index}`, addresses);
const keyOf = (index: number): string => `tcp ${address(96, index)}:80`;

function cluster(count: number): ObjectRecord[] {
  return Array.from({ length: count }, (_, index) => [
    service(`ns1/s${index}`, address(96, index)),
    podsOf(index),
  ]).flat();
}

async function served(
  count: number,
  init: Partial<ReconcileInit> = {},
): Promise<{ readonly world: World; readonly calls: SessionCalls }> {
  const calls = new SessionCalls();
  const kernel = newKernel();
  const world = new World(kernel, init, () => calls.wrap(kernel.session()));
  await world.start();
  await world.say(...cluster(count));
  calls.reset();
  kernel.log.length = 0;
  return { world, calls };
}

interface Ticked {
  readonly reports: readonly SyncReport[];
  /** Of virtual services whose destinations were read, tick by tick. */
  readonly looks: readonly number[];
}

/** All ticks until a round is over; `between` two of them something may happen. */
async function round(world: World, calls: SessionCalls, between?: (tick: number) => Promise<void>): Promise<Ticked> {
  const reports: SyncReport[] = [];
  const looks: number[] = [];
  for (let tick = 0; tick < 5000; tick += 1) {
    assert.ok(world.wakeAtMs !== undefined);
    world.nowMs = Math.max(world.nowMs, world.wakeAtMs);
    const before = calls.count('destinations');
    const { report } = await world.send({ kind: 'tick', nowMs: world.nowMs });
    looks.push(calls.count('destinations') - before);
    if (report !== undefined) reports.push(report);
    if (report?.kind === 'full') return { reports, looks };
    await between?.(tick);
  }
  throw new Error(`a round that does not end: ${world.nowMs} ${looks.slice(-5)} ${JSON.stringify(reports.at(-1))}`);
}

function drifted(reports: readonly SyncReport[]): { missing: number; extra: number; changed: number } {
  const sum = { missing: 0, extra: 0, changed: 0 };
  for (const { drift } of reports) {
    for (const kind of ['missing', 'extra', 'changed'] as const) sum[kind] += drift?.[kind] ?? 0;
  }
  return sum;
}

const nothing = { missing: 0, extra: 0, changed: 0 };

describe('a round', () => {
  test('looks at everything once in its period, a little at each tick, and writes nothing when nothing drifted', async () => {
    const { world, calls } = await served(600);
    const { reports, looks } = await round(world, calls);
    assert.equal(calls.count('destinations'), 600);
    assert.ok(
      looks.every((count) => count <= 60),
      `no more than about a millisecond's worth: ${Math.max(...looks)}`,
    );
    assert.deepEqual(
      [calls.count('services'), calls.count('servicesWithDestinations'), calls.count('sets')],
      [1, 0, 1],
    );
    assert.equal(calls.count('testEntry'), 0);
    assert.deepEqual(world.kernel.log, []);
    assert.deepEqual(drifted(reports), nothing);
    const beganMs = 1_000_000 + periodMs;
    assert.ok(world.nowMs > beganMs + periodMs / 2 && world.nowMs <= beganMs + periodMs, 'spread over the period');
    calls.reset();
    await world.pass(periodMs);
    assert.ok(calls.count('destinations') >= 600 && calls.count('destinations') < 1200, 'and on it goes');
  });

  test('a change handed in meanwhile is written at once, before the round is over, and is no drift', async () => {
    const { world, calls } = await served(600);
    let writtenBefore = 0;
    const { reports } = await round(world, calls, async (tick) => {
      if (tick % 3 !== 0) return;
      const { operations } = await world.say(podsOf((tick * 7) % 600, [address(240, (tick * 7) % 600), '10.245.0.1']));
      writtenBefore += operations;
    });
    assert.ok(writtenBefore > 5);
    assert.deepEqual(drifted(reports), nothing);
    assert.equal(reports.flatMap(({ failures }) => failures).length, 0);
  });

  test('a full pass that is asked for lets changes through', async () => {
    const { world } = await served(600);
    const order: string[] = [];
    const full = world.resync().then((report) => {
      order.push('full');
      return report;
    });
    await world.say(podsOf(3, [...pods(3), '10.245.0.1']));
    order.push('change');
    assert.match(world.kernel.dump(), /-r 10\.245\.0\.1:8080/);
    assert.deepEqual([(await full).operations, order], [0, ['change', 'full']]);
  });

  for (const vipBinding of ['address', 'local-route'] as const) {
    test(`reads no more than a millisecond's worth at a time, whatever there is: ${vipBinding}`, async () => {
      const { world, calls } = await served(1500, { vipBinding });
      await world.say(podsOf(7, [...pods(7), ...Array.from({ length: 2500 }, (_, index) => address(242, index))]));
      let before = calls.records;
      let most = 0;
      world.kernel.log.length = 0;
      const { reports } = await round(world, calls, async () => {
        most = Math.max(most, calls.records - before);
        before = calls.records;
      });
      assert.ok(most < 1200, `${most} records`);
      assert.deepEqual([drifted(reports), world.kernel.log], [nothing, []]);
    });

    test(`VIPs that come and go while it reads them are no drift, those that others take are: ${vipBinding}`, async () => {
      const { world, calls } = await served(1500, { vipBinding });
      const { outside } = world.kernel;
      await world.pass(periodMs - 1);
      outside.addresses.delete(`kube-ipvs0 ${address(96, 700)}`);
      for (const [key, route] of outside.localRoutes) {
        if (route.address === address(96, 700)) outside.localRoutes.delete(key);
      }
      const { reports } = await round(world, calls, async (tick) => {
        if (tick > 40) return;
        await world.say(service(`ns1/new${tick}`, address(97, tick)), service(`ns1/s${tick}`, null));
      });
      assert.deepEqual(drifted(reports), { ...nothing, missing: 1 });
      assert.deepEqual(
        (await round(world, calls)).reports.flatMap(({ drift }) => drift ?? []),
        [],
      );
    });
  }

  test('a list of addresses that changes while it is read is begun again, and read in one go in the end', async () => {
    const { world, calls } = await served(1500);
    world.kernel.failRead('addresses', 'EINTR', 3);
    const { reports } = await round(world, calls);
    assert.deepEqual([calls.count('addresses'), reports.flatMap(({ failures }) => failures)], [4, []]);
  });

  test('cut off half-way it believes nothing of it, and begins again', async () => {
    const { world, calls } = await served(600);
    await world.pass(periodMs - 1);
    world.kernel.outside.services.delete(keyOf(1));
    world.kernel.failRead('destinations', 'EINTR', 1);
    const first = (await round(world, calls)).reports;
    const failed = first.at(-1);
    assert.deepEqual(
      failed?.failures.map(({ object, operation }) => [object, operation]),
      [['kernel', 'read']],
    );
    const { reports } = await round(world, calls);
    assert.deepEqual(drifted([...first, ...reports]), { ...nothing, missing: 1 });
    assert.ok(world.kernel.outside.services.has(keyOf(1)));
  });
});

describe('drift', () => {
  type Meddle = readonly [name: string, meddle: (kernel: FakeKernel) => void, drift: Partial<typeof nothing>];
  const destinationsOf = (kernel: FakeKernel, index: number) => {
    const node = kernel.outside.services.get(keyOf(index));
    assert.ok(node);
    return node;
  };
  const meddlings: readonly Meddle[] = [
    ['a virtual service gone', ({ outside }) => outside.services.delete(keyOf(1)), { missing: 1 }],
    [
      'another scheduler and flags',
      (kernel) => {
        const { destinations, service: made } = destinationsOf(kernel, 2);
        kernel.outside.services.set(keyOf(2), { destinations, service: { ...made, scheduler: 'sh', flags: 8 } });
      },
      { changed: 1 },
    ],
    [
      'another weight',
      (kernel) => {
        const { destinations } = destinationsOf(kernel, 3);
        for (const [id, state] of destinations) destinations.set(id, { ...state, weight: 7 });
      },
      { changed: 2 },
    ],
    ['destinations gone', (kernel) => destinationsOf(kernel, 4).destinations.clear(), { missing: 2 }],
    [
      'a destination more',
      ({ outside }) =>
        outside.apply({
          verb: 'create-destination',
          key: { protocol: 'tcp', address: ip(address(96, 5)), port: 80 },
          destination: { address: ip('10.9.9.9'), port: 1, weight: 1, forward: 'masquerade' },
        }),
      { extra: 1 },
    ],
    [
      'an entry gone',
      ({ outside }) => outside.sets.get('KUBE-CLUSTER-IP')?.entries.delete(`${address(96, 6)},tcp:80`),
      { missing: 1 },
    ],
    [
      'an entry more',
      ({ outside }) => outside.sets.get('KUBE-CLUSTER-IP')?.entries.add('10.97.9.9,tcp:80'),
      { extra: 1 },
    ],
    ['a port more', ({ outside }) => outside.sets.get('KUBE-NODE-PORT-TCP')?.entries.add('30099'), { extra: 1 }],
    ['a set emptied', ({ outside }) => outside.sets.get('KUBE-CLUSTER-IP')?.entries.clear(), { missing: 1200 }],
    ['a set destroyed', ({ outside }) => outside.sets.delete('KUBE-IPVS-IPS'), { missing: 1 }],
    ['the table flushed', ({ outside }) => outside.services.clear(), { missing: 1200 }],
    ['a VIP unbound', ({ outside }) => outside.addresses.delete(`kube-ipvs0 ${address(96, 7)}`), { missing: 1 }],
    ['a VIP more', (kernel) => bindOutside(kernel, 'kube-ipvs0', '10.97.9.9', 32), { extra: 1 }],
    ['the VIP device removed', ({ outside }) => outside.removeLink('kube-ipvs0'), { missing: 1 }],
  ];

  test('of every kind is counted, told and put right within one round, and the next one finds nothing', async () => {
    const { world, calls } = await served(1200);
    const before = world.kernel.dump();
    for (const [name, meddle, drift] of meddlings) {
      world.events.length = 0;
      meddle(world.kernel);
      const { reports } = await round(world, calls);
      // An unwanted destination drains first.
      await world.pass(2000);
      assert.equal(world.kernel.dump(), before, name);
      assert.deepEqual(drifted(reports), { ...nothing, ...drift }, name);
      const told = world.events.filter(({ kind }) => kind === 'drift').length;
      assert.equal(
        told,
        Math.min(
          100,
          Object.values(drift).reduce((sum, count) => sum + count, 0),
        ),
        name,
      );
      const next = await round(world, calls);
      assert.deepEqual(drifted(next.reports), nothing, name);
      assert.equal(
        next.reports.reduce((sum, { operations }) => sum + operations, 0),
        0,
        name,
      );
    }
  });

  test('a route of ours that somebody removed', async () => {
    const { world, calls } = await served(300, { vipBinding: 'local-route' });
    const before = world.kernel.dump();
    const [first] = world.kernel.outside.localRoutes.keys();
    world.kernel.outside.localRoutes.delete(first ?? '');
    const { reports } = await round(world, calls);
    assert.deepEqual(drifted(reports), { ...nothing, missing: 1 });
    assert.equal(world.kernel.dump(), before);
  });

  test('is explained: what was found, and what should be', async () => {
    const { world, calls } = await served(3);
    const node = destinationsOf(world.kernel, 1);
    const id = `${address(240, 1)}:8080`;
    const state = node.destinations.get(id);
    assert.ok(state);
    node.destinations.set(id, { ...state, weight: 7 });
    await round(world, calls);
    assert.deepEqual(world.events, [
      {
        kind: 'drift',
        object: `destination ${keyOf(1)} ${id}`,
        message: `destination ${keyOf(1)} ${id}: weight is 7 and should be 1`,
      },
    ]);
  });
});

test('a restart on an unchanged cluster reads the table in one list, and writes nothing', async () => {
  const { world, calls } = await served(600);
  world.die();
  await world.start();
  const { operations } = await world.say(...cluster(600));
  assert.equal(operations, 0);
  assert.deepEqual(world.kernel.log, []);
  assert.deepEqual(
    [
      calls.count('servicesWithDestinations'),
      calls.count('services'),
      calls.count('service'),
      calls.count('destinations'),
    ],
    [1, 0, 0, 0],
  );
});
