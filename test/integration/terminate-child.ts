/**
 * Ends a hundred workers in the midst of their batches, and thirty that have just begun, in a network namespace of its own (`unshare -n`),
 * and then does a batch itself. What matters is that this process lives to print the last line.
 */
import { on } from 'node:events';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { readAll } from '../../lib/kernel/session.ts';

const ROUNDS = 100;
const BEGUN = 30;
const AT_ONCE = 2;
const counter = new Int32Array(new SharedArrayBuffer(4));
const ended: number[] = [];

async function endOne(round: number, when: 'started' | 'at work'): Promise<void> {
  const worker = new Worker(join(import.meta.dirname, 'terminate-worker.js'), { workerData: { counter, round } });
  for await (const [message] of on(worker, 'message')) if (message === when) break;
  // Each time a little later in the batch, or in the loading of the addon.
  for (let turn = 0; turn < round % 10; turn++) await setImmediate();
  ended.push(await worker.terminate());
}

const session = openSession();
for (let round = 0; round < ROUNDS; round += AT_ONCE) {
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => endOne(round + i, 'at work')));
}
const batches = Atomics.load(counter, 0);
for (let round = 0; round < BEGUN; round += AT_ONCE) {
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => endOne(round + i, 'started')));
}
// A client closed while its worker has a batch lets it end; one that is not closed goes with the process.
const set = { name: 'TERMINATE', type: 'hash:ip', family: 'IPv4' } as const;
const client = await openKernel();
const batch = client.batch().ensureSet(set);
for (let i = 0; i < 20_000; i++) batch.addEntry(set, `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
const running = client.run(batch, { onFailure: 'report' });
await client.close();
const { applied, failures } = await running;
const hasSets = failures.length === 0;
const said = {
  ended: ended.length,
  batches,
  applied,
  // All of them on a kernel without ip_set.
  refused: [...new Set(failures.map(({ error }) => error.errnoName))],
  entries: hasSets ? readAll(session.sets()).find(({ name }) => name === set.name)?.entries : 0,
  links: readAll(session.links()).filter(({ name }) => name === 'lo').length,
};
session.run(new Batch().removeSet(set.name));
session.close();
process.stdout.write(JSON.stringify(said));
