/** Runs batches and dumps until it is terminated, which is at any time: while the addon is loaded, too. */
import { parentPort, workerData } from 'node:worker_threads';
import { parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { readAll } from '../../lib/kernel/session.ts';

const { counter, round } = workerData;
if (!(counter instanceof Int32Array) || typeof round !== 'number') throw new TypeError('started without its data');
parentPort?.postMessage('started');
const session = openSession();
const set = { name: `TERMINATE-${round}`, type: 'hash:ip,port', family: 'IPv4' } as const;
// A kernel without ip_set refuses what is meant for it, and does the rest.
const hasSets = session.run(new Batch().ensureSet(set)).failures.length === 0;
for (let turn = 0; ; turn++) {
  const batch = new Batch().ensureSet(set);
  for (let i = 0; i < 200; i++) {
    const address = parseAddress(`10.66.${round}.${i}`);
    if (address === undefined) throw new Error('unreachable');
    if (turn % 2 === 0) batch.addEntry(set, `${address},tcp:${i}`);
    else batch.removeEntry(set, `${address},tcp:${i}`);
    if (i < 20 && turn % 2 === 0) batch.addAddress({ link: 'lo', address, prefixLength: 32 });
    else if (i < 20) batch.removeAddress('lo', address, 32);
    // There already: refused, with words of the kernel that become strings of this thread.
    if (i < 20 && turn % 2 === 0) batch.addAddress({ link: 'lo', address, prefixLength: 32 });
  }
  session.run(batch.removeSet(set.name));
  // Left half read, as it is when the thread ends here; and read to the end, which leaves the object to the next.
  session.addresses().next();
  if (hasSets) session.sets().next();
  readAll(session.links());
  // A session of its own each time: objects that the addon makes.
  openSession().close();
  Atomics.add(counter, 0, 1);
  if (turn === 0) parentPort?.postMessage('at work');
}
