/** A scheduler that a Service asks for and this kernel does not have: that Service gets the proxier's own, and nobody else notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectRecord, ServiceTuning } from '../../../lib/records.ts';
import { newKernel, service, slice, World } from './world.ts';

const webSlice = slice('ns1/web-1', 'ns1/web', ['10.244.1.5']);

function tuned(key: string, clusterIP: string, tuning: ServiceTuning): ObjectRecord {
  const record = service(key, clusterIP);
  return record.kind === 'service' && record.body !== null ? { ...record, body: { ...record.body, tuning } } : record;
}

function schedulers(world: World): Record<string, string> {
  return Object.fromEntries(
    [...world.kernel.outside.services].map(([key, { service }]) => [key.replace(/^tcp |:80$/g, ''), service.scheduler]),
  );
}

test('of a Service alone: it is served, the warning names it once, and the one that comes with it does not wait', async () => {
  const world = new World(newKernel(), { syncPeriodMs: 600_000 });
  world.kernel.outside.schedulers.delete('maglev');
  await world.start();
  const web = tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev', schedulerFlags: 8 });
  const other = tuned('ns1/other', '10.96.0.11', { scheduler: 'wlc' });
  const report = await world.say(web, webSlice, other);
  assert.deepEqual(report.failures, []);
  assert.deepEqual(schedulers(world), { '10.96.0.10': 'rr', '10.96.0.11': 'wlc' });
  assert.match(world.kernel.dump(), /-a -t 10\.96\.0\.10:80 -r 10\.244\.1\.5:8080[\s\S]*kube-ipvs0 10\.96\.0\.10/);
  assert.equal(world.kernel.outside.services.get('tcp 10.96.0.10:80')?.service.flags, 0);
  const [warning, ...more] = world.events;
  assert.deepEqual(more, []);
  assert.ok(warning?.kind === 'warning' && warning.object === 'service ns1/web', JSON.stringify(warning));
  assert.match(warning.message, /"maglev".*rr.*modprobe ip_vs_maglev/);
  world.kernel.log.length = 0;
  await world.pass(60_000);
  await world.say(slice('ns1/web-1', 'ns1/web', ['10.244.1.5', '10.244.1.6']));
  assert.deepEqual(
    world.kernel.log.filter((line) => line.includes('maglev')),
    [],
    'it is not tried again and again',
  );
});

test('a full pass asks again, and changes the scheduler in place once the kernel has it; without it nothing is written', async () => {
  const world = new World();
  await world.start();
  await world.say(service('ns1/web', '10.96.0.10'), webSlice);
  world.kernel.log.length = 0;
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev' }));
  assert.deepEqual(world.kernel.log, ['ipvsadm -E -t 10.96.0.10:80 -s maglev # ENOENT']);
  assert.equal(world.events.length, 1);
  const report = await world.resync();
  assert.deepEqual([report.operations, report.failures], [0, []]);
  world.kernel.outside.schedulers.add('maglev');
  world.kernel.log.length = 0;
  await world.pass(30_000);
  assert.deepEqual(
    world.kernel.log.filter((line) => line.includes('10.96.0.10')),
    ['ipvsadm -E -t 10.96.0.10:80 -s maglev'],
  );
  assert.equal(world.events.length, 1);
});

test('a Service that is said again with it asks at once, for all that wait for it', async () => {
  const world = new World();
  await world.start();
  const other = tuned('ns1/other', '10.96.0.11', { scheduler: 'maglev' });
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev' }), webSlice, other);
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev', schedulerFlags: 8 }));
  assert.deepEqual(schedulers(world), { '10.96.0.10': 'rr', '10.96.0.11': 'rr' });
  world.kernel.outside.schedulers.add('maglev');
  const report = await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev' }));
  assert.deepEqual(schedulers(world), { '10.96.0.10': 'maglev', '10.96.0.11': 'maglev' });
  assert.deepEqual(report.failures, []);
});

test('a Service that asks for another one instead gets that, and the warning comes back with the cause', async () => {
  const world = new World();
  await world.start();
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev' }), webSlice);
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'wlc' }));
  assert.deepEqual(schedulers(world), { '10.96.0.10': 'wlc' });
  await world.say(tuned('ns1/web', '10.96.0.10', { scheduler: 'maglev' }));
  assert.deepEqual(schedulers(world), { '10.96.0.10': 'rr' });
  assert.deepEqual(
    world.events.map(({ kind }) => kind),
    ['warning', 'warning'],
  );
});
