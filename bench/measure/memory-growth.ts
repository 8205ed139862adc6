/** What stays behind after a million operations; after ten million with --long. */
import type { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { addAll, checked, editAll, memory, plainServices, type Sample } from '../workload.ts';

const OPERATIONS = 1_000_000;
const LONG_OPERATIONS = 10_000_000;
const MEBIBYTE = 1 << 20;

export const measurement: Measurement = {
  title: 'a million operations (kernel-long: ten million), in batches of 10,000',
  absolute: true,
  series: [
    { field: 'growth', title: 'resident set, growth from the middle to the end', unit: 'MiB' },
    { field: 'end', title: 'resident set at the end', unit: 'MiB', noGoal: true },
  ],
  ways: [
    { label: 'session.run', run: { mode: 'session' }, goal: 4, rounds: 1 },
    { label: 'client.run on a worker', run: { mode: 'client' }, goal: 4, rounds: 1 },
  ],
  notes: [
    'The first half brings the heaps to their size. A worker collects its garbage when it likes: it cannot be asked to.',
  ],
};

async function growth(run: (batch: Batch) => unknown, long: boolean): Promise<Sample> {
  const operations = long ? LONG_OPERATIONS : OPERATIONS;
  const table = plainServices();
  await run(addAll(table));
  let done = 0;
  const until = async (count: number): Promise<number> => {
    while (done < count) {
      const batch = editAll(table, done % 7);
      await run(batch);
      done += batch.size;
    }
    return (await memory()).resident / MEBIBYTE;
  };
  const middle = await until(operations / 2);
  const end = await until(operations);
  return { growth: Math.max(0, end - middle), end, operations: done };
}

export const modes: Modes = {
  session: async (long) => {
    const session = openSession();
    const sample = await growth((batch) => checked(session.run(batch)), long);
    session.close();
    return sample;
  },
  client: async (long) => {
    await using kernel = await openKernel();
    return await growth((batch) => kernel.run(batch), long);
  },
};
