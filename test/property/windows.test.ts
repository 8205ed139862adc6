/**
 * The promise 'no window' (design.md) of the reconciler itself: after every single operation it sends, which is where it may be interrupted,
 * a model of the packet path says that no VIP is reachable without its SNAT, its source ranges or its back ends, is refused though it
 * should work, or lets a daemon of the host answer.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import type { Fault } from '../../lib/testing/fake-kernel.ts';
import { histories, oneService } from '../harness/arbitrary-records.ts';
import { e2, ip, nodeAddresses, service, servicePort, slice } from '../harness/records.ts';
import { steadyRuns } from '../harness/runs.ts';
import { WatchedWorld } from '../harness/watched-world.ts';

/** What is there, and one or two changes of any number of objects: whole histories, or one Service from one state into another. */
const changes: fc.Arbitrary<readonly (readonly ObjectRecord[])[]> = fc.oneof(
  fc.array(histories, { minLength: 2, maxLength: 3 }),
  fc.array(oneService, { minLength: 2, maxLength: 3 }),
);
const bindings = fc.constantFrom<ReconcileInit['vipBinding']>('address', 'local-route');

test('after every operation of every pass, whatever changes: nothing is open that must not be, nothing refused that works before and after', async () => {
  let writes = 0;
  const runs = steadyRuns(150, 6000);
  await fc.assert(
    fc.asyncProperty(changes, bindings, async (steps, vipBinding) => {
      const world = new WatchedWorld({ vipBinding });
      await world.start();
      world.writes = 0;
      for (const records of steps) {
        const { failures } = await world.change(records);
        assert.deepEqual(failures, []);
      }
      await world.pass(2000);
      world.checkDone();
      writes += world.writes;
    }),
    runs,
  );
  assert.ok(writes > 10 * runs.numRuns, `the passes write something: ${writes}`);
});

const faults = fc.constantFrom<Fault>('EPERM', 'ENOMEM', 'lost', 'dropped');

test('an operation that the kernel refuses, at any place of any pass: still nothing is open, the rest works, and the retries open nothing either', async () => {
  await fc.assert(
    fc.asyncProperty(
      changes,
      bindings,
      fc.nat(40),
      faults,
      fc.integer({ min: 1, max: 4 }),
      async (steps, vipBinding, n, fault, times) => {
        const world = new WatchedWorld({ vipBinding });
        await world.start();
        const [first = [], ...others] = steps;
        await world.change(first);
        world.failNth(n, fault, times);
        for (const records of others) await world.change(records);
        await world.heal();
        world.checkDone();
      },
    ),
    steadyRuns(150, 6000),
  );
});

test('found by chance: a cluster IP that the node had as an address of its own is bound when the node loses it', async () => {
  const world = new WatchedWorld();
  await world.start();
  await world.change([service({ clusterIPs: [ip('192.168.1.10')] }), slice([e2])]);
  await world.change([nodeAddresses('172.17.0.1')]);
  world.checkDone();
});

for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
  test(`found by chance: a ${protocol} node port that becomes a VIP keeps its SNAT for as long as the rule or the firewall entry of the VIP is not there`, async () => {
    const nodePort = service({ ports: [servicePort('p80', 80, protocol, 30001)] });
    const ports = [{ name: 'p80', protocol, port: 8080 }];
    const vip = { ports: [servicePort('', 30001, protocol)], loadBalancerIPs: [ip('192.168.1.10')] };
    for (const sourceRanges of [[], ['10.0.0.0/8']]) {
      const world = new WatchedWorld();
      await world.start();
      await world.change([nodePort, slice([e2], { ports })]);
      world.kernel.failNext(
        (operation) => operation.verb === 'add-entry' && operation.set.name.endsWith('-FW'),
        'ENOMEM',
      );
      await world.change([service({ ...vip, sourceRanges, hasSourceRanges: true })]);
      await world.heal();
      world.checkDone();
    }
  });
}

test('found by chance: what a killed process left in the sets of both policies goes without a moment in which it is exempt from SNAT', async () => {
  for (const isRefused of [false, true]) {
    const world = new WatchedWorld();
    await world.start();
    const ports = [servicePort('p80', 80), servicePort('q', 81)];
    const externalIPs = [ip('203.0.113.5')];
    await world.change([service({ ports, externalIPs, externalPolicyLocal: true })]);
    // The second tuple, the destinations: killed before the first tuple goes.
    await world.changeAndKill([service({ ports, externalIPs }), slice([e2])], 4);
    world.changeWhileDown([service({ ports: [servicePort('q', 81)], externalIPs })]);
    if (isRefused) {
      world.kernel.failNext(
        (operation) => operation.verb === 'remove-entry' && operation.set.name === 'KUBE-EXTERNAL-IP-LOCAL',
        'EPERM',
      );
    }
    await world.restart();
    await world.heal();
    world.checkDone();
  }
});

test('found by chance: a VIP is not bound again before a tuple is gone that could not be removed with it', async () => {
  const world = new WatchedWorld();
  await world.start();
  await world.change([service({ ports: [servicePort('a', 80), servicePort('b', 80, 'udp')] })]);
  world.kernel.failNext(
    (operation) => operation.verb === 'remove-entry' && operation.entry.endsWith(',udp:80'),
    'EPERM',
  );
  await world.change([service(null)]);
  await world.change([service({}, 'ns1/other'), slice([e2], { service: 'ns1/other' })]);
  assert.deepEqual([...world.state.addresses], []);
  await world.pass(2000);
  world.checkDone();
});

test('found by chance: a virtual service that stays because its tuple could not be removed stays restricted, too, and goes with it', async () => {
  const world = new WatchedWorld();
  await world.start();
  const restricted = { loadBalancerIPs: [ip('198.18.0.1')], sourceRanges: ['10.0.0.0/8'], hasSourceRanges: true };
  const ports = [servicePort('p80', 80), servicePort('q', 81)];
  await world.change([service({ ...restricted, ports }), slice([e2])]);
  world.kernel.failNext(
    (operation) => operation.verb === 'remove-entry' && operation.entry === '198.18.0.1,tcp:80',
    'EPERM',
  );
  await world.change([service({ ...restricted, ports: ports.slice(1) })]);
  await world.heal();
  world.checkDone();
});

test('found by chance: a VIP whose former owner left a source range that could not be removed is not open to it', async () => {
  const world = new WatchedWorld();
  await world.start();
  const restricted = { loadBalancerIPs: [ip('198.18.0.1')], hasSourceRanges: true };
  await world.change([service({ ...restricted, sourceRanges: ['10.0.0.0/8'] })]);
  world.kernel.failNext(
    (operation) => operation.verb === 'remove-entry' && operation.set.name.endsWith('-SOURCE-CIDR'),
    'EPERM',
  );
  await world.change([service(null)]);
  await world.change([service({ ...restricted, sourceRanges: ['172.16.0.0/12'] }, 'ns1/other')]);
  await world.heal();
  world.checkDone();
});
