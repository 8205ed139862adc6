/** What stays behind after a million operations; after ten million with --long. */
import type { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { addAll, checked, editAll, memory, plainServices, type Sample } from '../workload.ts';

const OPERATIONS = 1_000_000;
const LONG_OPERATIONS = 10_000_000;
const MEBIBYTE = 1 << 20;
const TENTHS = 10;
const WARM_TENTHS = 2;

export const measurement: Measurement = {
  title: 'a million operations (kernel-long: ten million), in batches of 10,000',
  absolute: true,
  series: [
    { field: 'growth', title: 'resident set, growth of its least from the first half to the second', unit: 'MiB' },
    { field: 'end', title: 'resident set at the end', unit: 'MiB', noGoal: true },
  ],
  ways: [
    { label: 'session.run', run: { mode: 'session' }, goal: 4, rounds: 1 },
    { label: 'client.run on a worker', run: { mode: 'client' }, goal: 4, rounds: 1 },
  ],
  notes: [
    'Weighed after each tenth; the first two bring the heaps to their size, and do not count.',
    'A worker collects its garbage when it likes and cannot be asked to: so the least of a half is taken.',
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
  const weights: number[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) weights.push(await until((operations * tenth) / TENTHS));
  const growth = Math.min(...weights.slice(TENTHS / 2)) - Math.min(...weights.slice(WARM_TENTHS, TENTHS / 2));
  const tenths = Object.fromEntries(weights.map((weight, at) => [`after${at + 1}Tenths`, weight]));
  return { growth: Math.max(0, growth), end: weights.at(-1) ?? Number.NaN, operations: done, ...tenths };
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
