/** Very much to write goes in turns: who comes first, what comes between, and that nothing goes before everything is in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sumReports } from '../../../lib/proxier/reports.ts';
import type { ReconcileReply } from '../../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { service, slice, World } from './world.ts';

const address = (block: number, index: number): string => `10.${block}.${(index >> 8) & 255}.${index & 255}`;

/** More than one turn takes. */
function cluster(services: number): ObjectRecord[] {
  return Array.from({ length: services }, (_, index) => [
    service(`ns1/s${index}`, address(96, index)),
    slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(128, index)]),
  ]).flat();
}

const served = (world: World): readonly string[] =>
  [...world.kernel.outside.services].filter(([, { destinations }]) => destinations.size > 0).map(([id]) => id);

function say(world: World, ...records: ObjectRecord[]): Promise<ReconcileReply> {
  return world.send({ kind: 'records', nowMs: world.nowMs, message: { records, allSynced: true } });
}

async function tick(world: World): Promise<ReconcileReply> {
  return world.send({ kind: 'tick', nowMs: world.nowMs });
}

test('the first sync: critical Services alone, newer changes before the rest, and nothing goes before all is there', async () => {
  const world = new World();
  await world.start();
  await world.say(service('ns1/old', '10.95.0.1'), slice('ns1/old-1', 'ns1/old', ['10.200.0.1']));
  world.die();
  await world.start();
  const critical = [
    ...[service('default/kubernetes', '10.95.0.2', { port: 443 }), slice('k', 'default/kubernetes', ['10.200.0.2'])],
    ...[service('kube-system/dns', '10.95.0.3', { port: 53 }), slice('d', 'kube-system/dns', ['10.200.0.3'])],
  ];
  const old = 'tcp 10.95.0.1:80';
  const first = await say(world, ...cluster(1200), ...critical);
  assert.deepEqual(served(world), [old, 'tcp 10.95.0.2:443', 'tcp 10.95.0.3:53']);
  assert.deepEqual([first.report?.complete, first.wakeInMs, first.report?.operations], [false, 0, 10]);
  assert.ok((first.unwritten ?? 0) >= 1200);

  const second = await say(world, service('ns1/new', '10.95.0.4'), slice('n', 'ns1/new', ['10.200.0.4']));
  assert.ok(served(world).includes('tcp 10.95.0.4:80'), 'it did not wait for the others');
  assert.equal(second.report?.complete, false);

  assert.ok(first.report !== undefined && second.report !== undefined);
  let report = sumReports(first.report, second.report);
  for (let reply = second; reply.unwritten !== undefined; ) {
    assert.ok(served(world).includes(old), 'nothing goes before everything is there');
    reply = await tick(world);
    assert.ok((reply.report?.operations ?? 0) <= 2100, 'a turn is bounded');
    if (reply.report !== undefined) report = sumReports(report, reply.report);
  }
  assert.deepEqual([report.kind, report.complete, report.failures], ['full', true, []]);
  assert.equal(report.operations, 1203 * 5 + 4, 'each is written once, and what was there is removed');
  assert.equal(served(world).length, 1203);
  assert.equal((await world.resync()).operations, 0);
  await world.close();
});

test('very many changes at once: turns, in which newer ones overtake; a change of cluster DNS comes before its round', async () => {
  const world = new World();
  await world.start();
  const dns = service('kube-system/dns', '10.95.0.3', { port: 53 });
  await world.say(...cluster(1500), dns);
  // All Services move to another endpoint, and some go.
  const moved = Array.from({ length: 1500 }, (_, index) =>
    index < 1200 ? slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(160, index)]) : service(`ns1/s${index}`, null),
  );
  const first = await say(world, ...moved, slice('d', 'kube-system/dns', ['10.200.0.3']));
  assert.ok(served(world).includes('tcp 10.95.0.3:53'));
  assert.ok((first.report?.operations ?? 0) < 10, 'alone');
  const second = await say(world, service('ns1/new', '10.95.0.4'), slice('n', 'ns1/new', ['10.200.0.4']));
  assert.ok(served(world).includes('tcp 10.95.0.4:80'));
  let turns = 2;
  for (let reply = second; reply.unwritten !== undefined; turns += 1) reply = await tick(world);
  assert.ok(turns >= 4);
  assert.equal(served(world).length, 1202);
  assert.equal((await world.resync()).operations, 0);
  await world.close();

  const small = new World();
  await small.start();
  await small.say(dns, service('ns1/a', '10.95.0.5'));
  const both = [slice('a', 'ns1/a', ['10.200.0.5']), slice('d', 'kube-system/dns', ['10.200.0.3'])];
  const reply = await say(small, ...both);
  assert.deepEqual(served(small), ['tcp 10.95.0.3:53']);
  assert.equal(reply.wakeInMs, 0);
  await tick(small);
  assert.equal(served(small).length, 2);
  await small.close();
});

test('sets that come to hold more than they were made for (65,536) grow while the first sync fills them', async () => {
  const world = new World();
  await world.start();
  const services = Array.from({ length: 70 }, (_, index) => [
    service(`ns1/s${index}`, address(96, index)),
    slice(
      `ns1/s${index}-1`,
      `ns1/s${index}`,
      Array.from({ length: 1000 }, (_, pod) => address(128 + index, pod)),
      { local: true },
    ),
  ]);
  const report = await world.say(...services.flat());
  assert.deepEqual(report.failures, []);
  assert.equal(report.operations, 70 * 4 + 2 * 70_000);
  assert.equal(world.kernel.outside.sets.get('KUBE-LOOP-BACK')?.entries.size, 70_000);
  await world.close();
});
