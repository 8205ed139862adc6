/** One edit of a destination, from the call to the answer. */
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { BatchResult } from '../../lib/kernel/session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { addAll, checked, editAll, nowMicros, plainServices, quantile, type Sample } from '../workload.ts';

const EDITS = 2000;
const WARM_EDITS = 2000;
/** Each takes milliseconds in User Mode Linux. */
const WARM_PROMISES = 500;

export const measurement: Measurement = {
  title: 'one edit of a destination, call to answer, 2,000 times',
  series: [
    { field: 'mean', title: 'mean, no clock in the loop of C and session.run', unit: 'us' },
    { field: 'p50', title: 'p50', unit: 'us' },
    { field: 'p99', title: 'p99', unit: 'us' },
  ],
  ways: [
    { label: 'C, bare round trip', run: { floor: ['trip', String(EDITS)] } },
    { label: 'session.run', run: { mode: 'session' }, goal: 1.5 },
    { label: 'client.run, thread: inline', run: { mode: 'inline' }, rounds: 3 },
    { label: 'client.run on a worker', run: { mode: 'client' }, goal: 1.5, rounds: 2 },
    { label: '  an empty batch there: the hop alone', run: { mode: 'hop' }, rounds: 2 },
  ],
  notes: [
    'The two worker ways are two thread switches, which take User Mode Linux 1 to 2 ms and a native kernel some 25 us.',
  ],
};

/** A thread switch makes the clock's own cost too small to see: the mean is of the timed edits. */
async function trips(run: (i: number) => Promise<BatchResult>): Promise<Sample> {
  for (let i = 0; i < WARM_PROMISES; i++) checked(await run(i));
  const times: number[] = [];
  for (let i = 0; i < EDITS; i++) {
    const start = nowMicros();
    await run(i);
    times.push(nowMicros() - start);
  }
  const mean = times.reduce((sum, time) => sum + time, 0) / EDITS;
  return { mean, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

/** The same without a promise in the way. */
function syncTrips(run: (i: number) => BatchResult): Sample {
  for (let i = 0; i < WARM_EDITS; i++) checked(run(i));
  let start = nowMicros();
  for (let i = 0; i < EDITS; i++) run(i);
  const mean = (nowMicros() - start) / EDITS;
  const times: number[] = [];
  for (let i = 0; i < EDITS; i++) {
    start = nowMicros();
    run(i);
    times.push(nowMicros() - start);
  }
  return { mean, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

const table = plainServices(1, 1);
const edits = [editAll(table, 1), editAll(table, 2)];
const edit = (i: number): Batch => edits[i % 2] ?? new Batch();

async function overClient(thread: 'worker' | 'inline', batch: (i: number) => Batch): Promise<Sample> {
  await using kernel = await openKernel({ thread });
  await kernel.run(addAll(table));
  return await trips((i) => kernel.run(batch(i)));
}

export const modes: Modes = {
  session: () => {
    const session = openSession();
    checked(session.run(addAll(table)));
    return syncTrips((i) => session.run(edit(i)));
  },
  inline: () => overClient('inline', edit),
  client: () => overClient('worker', edit),
  hop: () => {
    const empty = new Batch();
    return overClient('worker', () => empty);
  },
};
