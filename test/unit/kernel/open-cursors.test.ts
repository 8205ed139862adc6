/** What the worker keeps open between requests: closed by whoever stops reading, and never mistaken for another's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openKernel } from '../../../lib/kernel/client.ts';
import { ConntrackReader } from '../../../lib/kernel/client-conntrack.ts';
import { IpsetReader } from '../../../lib/kernel/client-ipset.ts';
import { RouteReader } from '../../../lib/kernel/client-route.ts';
import type { Cursor } from '../../../lib/kernel/session.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';

const set = { name: 'STREAM', type: 'hash:ip', family: 'IPv4' } as const;

/** A set of several slices; and how many cursors were opened, how many closed. */
async function watched() {
  const session = new FakeKernel().session();
  const count = { opened: 0, closed: 0 };
  const entries = session.entries.bind(session);
  session.entries = (name): Cursor<string> => {
    const cursor = entries(name);
    count.opened++;
    const close = (): void => {
      count.closed++;
      cursor.close();
    };
    return { next: () => cursor.next(), close };
  };
  const kernel = await openKernel({ session });
  const batch = kernel.batch().createSet(set);
  for (let i = 1; i < 200; i++) batch.addEntry(set, `10.0.0.${i}`);
  await kernel.run(batch);
  return { kernel, count, session };
}

test('a stream that is aborted, at whatever moment, or left leaves no cursor open, which would hold the set', async () => {
  const { kernel, count } = await watched();
  const reason = new Error('enough');
  for (const steps of [0, 1, 2]) {
    const controller = new AbortController();
    const stream = kernel.ipset.stream(set.name, { signal: controller.signal });
    for (let step = 0; step < steps; step++) assert.equal((await stream.next()).done, false);
    const next = stream.next();
    controller.abort(reason);
    await assert.rejects(next, reason);
    assert.deepEqual([count.opened, count.closed], [steps + 1, steps + 1], `${steps}`);
  }
  for await (const _slice of kernel.ipset.stream(set.name)) break;
  assert.deepEqual(count, { opened: 4, closed: 4 });
  await assert.rejects(kernel.ipset.stream(set.name, { signal: AbortSignal.abort(reason) }).next(), reason);
  // Nobody iterates it any more: the end of the client closes it.
  await kernel.ipset.stream(set.name).next();
  await kernel.close();
  assert.deepEqual(count, { opened: 5, closed: 5 });
});

test('what a worker that died had open is an error for its reader, not the end, and not what the next worker has opened', async () => {
  const { session } = await watched();
  const sets = [new IpsetReader(session), new IpsetReader(session)] as const;
  const { cursor = 0 } = sets[0].handle({ kind: 'openEntries', set: set.name });
  const { cursor: another } = sets[1].handle({ kind: 'openEntries', set: set.name });
  assert.notEqual(cursor, another);
  assert.throws(() => sets[1].handle({ kind: 'nextEntries', cursor }), { code: 'ERR_WORKER' });
  assert.equal(sets[0].handle({ kind: 'nextEntries', cursor }).entries?.length, 64);

  const connections = [new ConntrackReader(session), new ConntrackReader(session)] as const;
  const { connectionCursor = 0 } = connections[0].handle({ kind: 'openConnections', filter: {} });
  connections[1].handle({ kind: 'openConnections', filter: {} });
  assert.throws(() => connections[1].handle({ kind: 'nextConnections', connectionCursor }), { code: 'ERR_WORKER' });

  const routes = [new RouteReader(session), new RouteReader(session)] as const;
  const { monitor = 0 } = routes[0].handle({ kind: 'openMonitor', groups: ['link'] });
  routes[1].handle({ kind: 'openMonitor', groups: ['link'] });
  assert.deepEqual(routes[1].handle({ kind: 'drainMonitor', monitor }), {}, 'lost, which the watch then says');
  assert.deepEqual(routes[0].handle({ kind: 'drainMonitor', monitor }), { changes: [] });
});
