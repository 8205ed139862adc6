/** What a batch weighs. */
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { addAll, checked, countOf, editAll, memory, plainServices, type Sample } from '../workload.ts';

const OPERATIONS = 100_000;

export const measurement: Measurement = {
  title: 'a batch of 100,000 operations',
  absolute: true,
  series: [
    { field: 'js', title: 'JavaScript heap and buffers', unit: 'bytes/op' },
    { field: 'ran', title: 'the same and native, after it was run', unit: 'bytes/op' },
  ],
  ways: [
    { label: 'room made for it, new Batch(100000)', run: { mode: 'expected' }, goal: 100, rounds: 3 },
    { label: 'left to grow, new Batch()', run: { mode: 'grown' }, goal: 100, rounds: 3 },
  ],
  notes: [
    'Native is what the resident set grew by beyond JavaScript, from before the batch was built to after it was run.',
  ],
};

async function weigh(makeEmpty: () => Batch): Promise<Sample> {
  const table = plainServices(OPERATIONS / 100, 99);
  if (countOf(table) !== OPERATIONS) throw new RangeError('another size');
  const session = openSession();
  // Code and inline caches are there once, not for every batch.
  session.run(editAll(plainServices(1, 1), 1));
  for (let i = 0; i < 500; i++) addAll(plainServices(10, 9));
  const before = await memory();
  const batch = makeEmpty();
  for (const { service, destinations } of table) {
    batch.createService(service);
    for (const destination of destinations) batch.createDestination(service.key, destination);
  }
  const built = await memory();
  checked(session.run(batch));
  const after = await memory();
  const js = (built.js - before.js) / OPERATIONS;
  const native = Math.max(0, after.resident - before.resident - (after.js - before.js)) / OPERATIONS;
  // Uses both, so that neither is collected before it was weighed.
  const complete = batch.size === countOf(table) ? 1 : 0;
  return { js, ran: (after.js - before.js) / OPERATIONS + native, complete };
}

export const modes: Modes = {
  expected: () => weigh(() => new Batch(OPERATIONS)),
  grown: () => weigh(() => new Batch()),
};
