import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import type { SyncEvent } from '../../../lib/proxier/events.ts';
import { gate } from './scripted-host.ts';
import { FakeNode, service, slice, webSource } from './setup.ts';

test('waitFor tells when a revision was tried and what fails; the sync event counts the changes', async () => {
  const node = new FakeNode();
  const source = webSource();
  const proxier = node.proxier(source, { minSyncPeriodMs: 10_000 });
  const events: SyncEvent[] = [];
  proxier.on('sync', (event) => events.push(event));
  await using handle = await proxier.run();
  const listed = handle.revision;
  assert.deepEqual(await handle.waitFor(listed, { timeoutMs: 0 }), { revision: listed, failures: [] });
  assert.equal(handle.statistics().latency.fromHandIn.count, 0);
  assert.equal(events.at(-1)?.oldestChangeMs, 0);

  const held = gate();
  node.before = async ({ kind }) => {
    if (kind === 'records') await held.promise;
  };
  node.kernel.failNext(({ verb }) => verb === 'create-service' || verb === 'ensure-service', 'EPERM');
  source.apply(service('late', '10.96.0.99'));
  source.apply(slice('late', ['10.244.1.9']));
  assert.equal(handle.revision, listed + 2);
  const waited = handle.waitFor(handle.revision, { timeoutMs: 2000 });
  const late = assert.rejects(handle.waitFor(handle.revision, { timeoutMs: 500 }), {
    code: 'ERR_TIMEOUT',
    message: `revision ${listed + 2} was not tried within 500 ms; everything up to ${listed} has been`,
  });
  const called = new AbortController();
  const off = assert.rejects(handle.waitFor(handle.revision, { signal: called.signal }), { code: 'ERR_CLOSED' });
  called.abort();
  await off;
  await node.clock.advance(600);
  await late;
  const oldest = { object: 'Service default/late', source: 'objects', revision: listed + 1, ageMs: 600 };
  const { oldestChange, waiting } = handle.health();
  assert.deepEqual(
    [oldestChange?.object, oldestChange?.revision, oldestChange?.ageMs],
    [oldest.object, oldest.revision, 600],
  );
  assert.match(waiting.map(({ what }) => what).join(), /changes to be written, first Service default\/late/);
  const { triedRevision, waiting: open, oldestWaiting } = handle.statistics();
  assert.deepEqual([triedRevision, open, oldestWaiting], [listed, 2, oldestChange]);
  events.length = 0;
  held.open();
  const { revision, failures } = await waited;
  assert.equal(revision, listed + 2);
  assert.deepEqual(
    failures.map(({ object }) => object),
    ['service tcp 10.96.0.99:80'],
  );
  assert.deepEqual(
    events.map(({ changes, oldestChangeMs, revision: taken }) => [changes, oldestChangeMs, taken]),
    [[2, 600, listed + 2]],
  );
  const { latency } = handle.statistics();
  assert.deepEqual([latency.fromHandIn.count, latency.fromHandIn.maxMs, latency.fromTrigger.count], [2, 600, 0]);
  assert.equal(handle.health().oldestChange, undefined);
});

test('waitFor refuses what cannot be, and ends with the proxier', async () => {
  const node = new FakeNode();
  const source = webSource();
  const handle = await node.proxier(source).run();
  for (const revision of [-1, 1.5, Number.NaN, handle.revision + 1]) {
    await assert.rejects(handle.waitFor(revision), InvalidArgumentError);
  }
  await assert.rejects(handle.waitFor(0, { timeoutMs: -1 }), InvalidArgumentError);
  const held = gate();
  node.before = () => held.promise;
  source.apply(service('late', '10.96.0.99'));
  const waited = assert.rejects(handle.waitFor(handle.revision), { code: 'ERR_CLOSED' });
  const stopped = handle.stop();
  await waited;
  held.open();
  await stopped;
  await assert.rejects(handle.waitFor(0), { code: 'ERR_CLOSED' });
});

test('a kernel that cannot be read: settled, waitFor and resync do not wait for its next try; health does', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source, { syncPeriodMs: 1000 }).run();
  node.kernel.failNext(({ verb }) => verb === 'create-service', 'dropped');
  node.kernel.failRead('services', 'EPERM', 1_000_000);
  source.apply(service('late', '10.96.0.99'));
  await handle.settled();
  const { failures } = await handle.waitFor(handle.revision, { timeoutMs: 0 });
  assert.deepEqual(
    failures.map(({ object }) => object),
    ['kernel'],
  );
  assert.notDeepEqual((await handle.resync()).failures, []);
  await node.clock.advance(3000);
  assert.match(handle.health().reasons.join(), /the kernel could not be read/);
  node.kernel.heal();
  await node.clock.advance(60_000);
  assert.deepEqual([handle.health().reasons, (await handle.resync()).failures], [[], []]);
  assert.match(node.kernel.dump(), /10\.96\.0\.99/);
});

test('churn in every message, of cluster DNS too, does not keep a large change from being tried', async () => {
  const node = new FakeNode();
  const source = webSource();
  const count = 2500;
  const address = (block: number, index: number): string => `10.${block}.${index >> 8}.${index & 255}`;
  const dns = (host: number): object => {
    const made = slice('kubernetes', [address(250, host)]);
    source.apply(made);
    return made;
  };
  source.apply(service('kubernetes', '10.96.0.1'));
  dns(0);
  for (let index = 0; index < count; index += 1) {
    source.apply(service(`s${index}`, address(97, index)));
    source.apply(slice(`s${index}`, [address(128, index)]));
  }
  await using handle = await node.proxier(source).run();
  let messages = 0;
  node.before = async ({ kind }) => {
    if (kind !== 'records') return;
    messages += 1;
    assert.ok(messages < 60, 'it starves');
    dns(messages);
    source.apply(slice('web', [address(251, messages)]));
  };
  for (let index = 0; index < count; index += 1) source.apply(slice(`s${index}`, [address(160, index)]));
  const { revision } = handle;
  const done = handle.waitFor(revision);
  await node.clock.advance(0);
  assert.ok((await done).revision >= revision);
  node.before = async () => {};
});
