/** `handle.drain`: what the one who asked is told, and when. What happens in the kernel: test/unit/reconcile/drains.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DrainedEndpoint, ProxierHandle } from '../../../lib/index.ts';
import { quiet } from './manual-clock.ts';
import { FakeNode, slice, webSource } from './setup.ts';

const key = 'tcp 10.96.0.10:80';
const pod = '10.244.1.5:8080';
const address = '10.244.1.5';
const takesMore = /10\.244\.1\.5:8080 -m -w 1/;

function counts({ destinations, idle, overdue, atOnce }: DrainedEndpoint): number[] {
  return [destinations, idle, overdue, atOnce];
}

/** How often a promise has resolved. */
function watched(promise: Promise<unknown>): { readonly isDone: boolean } {
  const state = { isDone: false };
  promise.then(
    () => {
      state.isDone = true;
    },
    () => {},
  );
  return state;
}

test('resolves when the last connection has ended, and the endpoint stays out until it is undone', async () => {
  const node = new FakeNode();
  await using handle = await node.proxier(webSource()).run();
  const before = node.kernel.dump();
  node.kernel.setConnections(key, pod, 1, 0);
  const draining = handle.drain({ address });
  const done = watched(draining);
  await node.clock.advance(60_000);
  assert.equal(done.isDone, false);
  assert.doesNotMatch(node.kernel.dump(), takesMore);
  assert.deepEqual(
    handle.health().waiting.map(({ what, sinceMs }) => [what, sinceMs]),
    [[`the drain of ${address}`, 60_000]],
  );
  node.kernel.setConnections(key, pod, 0, 0);
  await node.clock.advance(1000);
  const drained = await draining;
  assert.deepEqual(counts(drained), [1, 1, 0, 0]);
  assert.deepEqual(handle.health().waiting, []);
  await node.clock.advance(60_000);
  assert.doesNotMatch(node.kernel.dump(), /10\.244\.1\.5/);
  await drained.undrain();
  assert.equal(node.kernel.dump(), before);
  await drained.undrain();
});

test('its time is its own; the last of several that is undone brings the endpoint back', async () => {
  const node = new FakeNode();
  await using handle = await node.proxier(webSource()).run();
  node.kernel.setConnections(key, pod, 1, 0);
  const all = [handle.drain({ address, timeoutMs: 5000 }), handle.drain({ address, port: 8080 })];
  await node.clock.advance(5000);
  const [first, second] = await Promise.all(all);
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(counts(first), [1, 0, 1, 0]);
  assert.deepEqual(counts(second), [1, 0, 1, 0]);
  await first.undrain();
  assert.doesNotMatch(node.kernel.dump(), /10\.244\.1\.5/);
  await second.undrain();
  assert.match(node.kernel.dump(), takesMore);
});

test('a signal undoes it, be it over or not', async () => {
  const node = new FakeNode();
  await using handle = await node.proxier(webSource()).run();
  node.kernel.setConnections(key, pod, 1, 0);
  const caller = new AbortController();
  const draining = handle.drain({ address, signal: caller.signal });
  await quiet();
  assert.doesNotMatch(node.kernel.dump(), takesMore);
  caller.abort(new Error('not today'));
  await assert.rejects(draining, { code: 'ERR_CLOSED' });
  await quiet();
  assert.match(node.kernel.dump(), takesMore);
  await assert.rejects(handle.drain({ address, signal: caller.signal }), { code: 'ERR_CLOSED' });

  node.kernel.setConnections(key, pod, 0, 0);
  const later = new AbortController();
  const over = handle.drain({ address, signal: later.signal });
  await node.clock.advance(1000);
  await over;
  later.abort();
  await quiet();
  assert.match(node.kernel.dump(), takesMore);
});

test('an endpoint that nobody lists is done at once; one that leaves the API is forgotten', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source).run();
  assert.deepEqual(counts(await handle.drain({ address: '10.244.9.9' })), [0, 0, 0, 0]);
  assert.deepEqual(counts(await handle.drain({ address: 'fd00::9', port: 1 })), [0, 0, 0, 0]);
  const draining = handle.drain({ address, timeoutMs: 0 });
  await node.clock.advance(1000);
  assert.deepEqual(counts(await draining), [1, 1, 0, 0]);
  source.apply(slice('web', ['10.244.2.7']));
  await handle.settled();
  source.apply(slice('web', [address, '10.244.2.7']));
  await handle.settled();
  assert.match(node.kernel.dump(), takesMore);
});

test('outlives the loss of a worker, whenever that is; the endpoint is never let in, and its time goes on', async () => {
  const node = new FakeNode();
  await using handle = await node.proxier(webSource()).run();
  node.kernel.setConnections(key, pod, 1, 0);
  let letIn = 0;
  node.kernel.afterEach = () => {
    if (takesMore.test(node.kernel.dump())) letIn += 1;
  };
  const draining = handle.drain({ address, timeoutMs: 10_000 });
  // The request is on its way.
  node.hosts[0]?.lose();
  await node.clock.advance(4000);
  node.hosts[0]?.lose();
  letIn = 0;
  await node.clock.advance(5000);
  node.kernel.setConnections(key, pod, 1, 0);
  const done = watched(draining);
  await node.clock.advance(900);
  assert.equal(done.isDone, false);
  await node.clock.advance(1000);
  assert.deepEqual(counts(await draining), [1, 0, 1, 0]);
  assert.equal(letIn, 0);
  assert.equal(handle.health().workerRestarts, 2);
});

test('what cannot be is refused by name, and stopping ends what waits', async () => {
  const node = new FakeNode();
  const handle: ProxierHandle = await node.proxier(webSource()).run();
  for (const [field, options] of Object.entries({
    address: { address: 'pod-1' },
    port: { address, port: 0 },
    timeoutMs: { address, timeoutMs: 0.5 },
  }))
    await assert.rejects(handle.drain(options), { code: 'ERR_INVALID_ARGUMENT', field });
  node.kernel.setConnections(key, pod, 1, 0);
  const waiting = assert.rejects(handle.drain({ address }), { code: 'ERR_CLOSED' });
  await quiet();
  await handle.stop();
  await waiting;
  await assert.rejects(handle.drain({ address }), { code: 'ERR_CLOSED' });
  assert.doesNotMatch(node.kernel.dump(), takesMore);
});
