/** 50,000 entries into a hash:ip,port,ip set. */
import { spawnSync } from 'node:child_process';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { BatchResult } from '../../lib/kernel/session.ts';
import type { SetEntry, SetSpec } from '../../lib/types.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { checked, nowMicros, pod, quiet, type Sample } from '../workload.ts';

const ENTRIES = 50_000;
/** A restored entry takes ipset a third of a millisecond in User Mode Linux. */
const RESTORED = process.env['BENCH_NATIVE'] === undefined ? 5_000 : ENTRIES;

const WARM_ROUNDS = 4;

const set: SetSpec = { name: 'BENCH', type: 'hash:ip,port,ip', family: 'IPv4', hashSize: 65_536, maxElements: 131_072 };

export const measurement: Measurement = {
  title: '50,000 entries of hash:ip,port,ip',
  series: [{ field: 'add', inside: 'addInside', title: 'adding, the set created with room for them', unit: 'us/op' }],
  ways: [
    { label: 'C floor, 128 KB batches', run: { floor: ['ipset', String(ENTRIES)] } },
    { label: 'session.run, batch built', run: { mode: 'session' }, goal: 1.3 },
    { label: 'client.run on a worker, batch built', run: { mode: 'client' }, goal: 1.3 },
    { label: `client.run, built from strings`, run: { mode: 'clientBuild' } },
    { label: 'ipset restore', run: { mode: 'restore' }, rounds: 3 },
  ],
  notes: [
    'ipset restore adds 5,000 entries in User Mode Linux, 50,000 natively; its figure is per entry, its start included.',
  ],
};

function entry(i: number): SetEntry {
  const address = pod(i);
  return `${address},tcp:8080,${address}`;
}

const allEntries = (): SetEntry[] => Array.from({ length: ENTRIES }, (_, i) => entry(i));

function additions(spec: SetSpec, entries: readonly SetEntry[], batch: Batch = new Batch(entries.length)): Batch {
  for (const one of entries) batch.addEntry(spec, one);
  return batch;
}

async function adding(run: (batch: Batch) => BatchResult | Promise<BatchResult>, building: boolean): Promise<Sample> {
  const entries = allEntries();
  const warm = { ...set, name: 'WARM' };
  const again = new Batch(entries.length);
  for (let round = 0; round < WARM_ROUNDS; round++) {
    checked(await run(additions(warm, entries, again.clear().createSet(warm)).removeSet(warm.name)));
  }
  checked(await run(new Batch().createSet(set)));
  const built = building ? undefined : additions(set, entries);
  await quiet();
  const start = nowMicros();
  const result = await run(built ?? additions(set, entries, again.clear()));
  const micros = nowMicros() - start;
  return { add: micros / ENTRIES, addInside: checked(result).kernelMicros / ENTRIES };
}

async function overClient(building: boolean): Promise<Sample> {
  await using kernel = await openKernel();
  return await adding((batch) => kernel.run(batch), building);
}

export const modes: Modes = {
  session: async () => {
    const session = openSession();
    const sample = await adding((batch) => session.run(batch), false);
    session.close();
    return sample;
  },
  client: () => overClient(false),
  clientBuild: () => overClient(true),
  restore: () => {
    const lines = [`create BENCH hash:ip,port,ip hashsize 65536 maxelem 131072`];
    for (let i = 0; i < RESTORED; i++) lines.push(`add BENCH ${entry(i)}`);
    const input = `${lines.join('\n')}\n`;
    const start = nowMicros();
    const { status, stderr } = spawnSync('ipset', ['restore'], { input });
    const add = (nowMicros() - start) / RESTORED;
    if (status !== 0) throw new Error(`ipset restore: ${stderr}`);
    return { add };
  },
};
