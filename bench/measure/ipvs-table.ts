/** Adding, editing and removing 1,000 virtual services with 10 destinations each. */
import { spawnSync } from 'node:child_process';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { BatchResult } from '../../lib/kernel/session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import {
  addAll,
  checked,
  countOf,
  DESTINATIONS,
  editAll,
  nowMicros,
  type PlainService,
  plainServices,
  quiet,
  removeAll,
  type Sample,
  SERVICES,
  warmUp,
} from '../workload.ts';

const size = [String(SERVICES), String(DESTINATIONS)];

export const measurement: Measurement = {
  title: `${SERVICES} virtual services x ${DESTINATIONS} destinations`,
  series: [
    { field: 'add', inside: 'addInside', title: 'adding services and destinations', unit: 'us/op' },
    { field: 'edit', inside: 'editInside', title: 'editing every weight', unit: 'us/op' },
    { field: 'remove', inside: 'removeInside', title: 'removing every destination, then its service', unit: 'us/op' },
  ],
  ways: [
    { label: 'C floor, 128 KB batches', run: { floor: ['table', ...size] } },
    { label: 'session.run, batch built', run: { mode: 'session' }, goal: 1.3 },
    { label: 'client.run on a worker, batch built', run: { mode: 'client' }, goal: 1.3 },
    { label: 'client.run, built from objects', run: { mode: 'clientBuild' }, goal: 1.6 },
    { label: 'C, one message and ack at a time', run: { floor: ['each', ...size] }, rounds: 3 },
    { label: 'libnl-3, one at a time', run: { libnl: size }, rounds: 3 },
    { label: 'ipvsadm -R (200 x 10, scaled)', run: { mode: 'ipvsadm' }, rounds: 3 },
  ],
  quoted: [
    {
      label: 'moby/ipvs (Go), one at a time',
      source: 'an earlier run on the same machine and kernel, with 64 KB C batches at 2.24 / 1.27 / 1.03',
      values: { add: 144, edit: 124, remove: 120 },
    },
  ],
  notes: [
    'Compilers, modules and IPVS are warmed up before the clock starts (C: one round of bare services, ours: six).',
  ],
};

type Run = (batch: Batch) => BatchResult | Promise<BatchResult>;

/** The clock runs from the call to the answer; with `building`, from the plain objects. */
async function phases(run: Run, building: boolean): Promise<Sample> {
  const table = plainServices();
  await warmUp(run, table);
  const built = building ? undefined : [addAll(table), editAll(table, 2), removeAll(table)];
  const builders: ((t: readonly PlainService[], into: Batch) => Batch)[] = [
    addAll,
    (t, into) => editAll(t, 2, into),
    removeAll,
  ];
  const again = new Batch(countOf(table));
  const micros: number[] = [];
  const inside: number[] = [];
  for (const [phase, build] of builders.entries()) {
    await quiet();
    const start = nowMicros();
    const batch = built?.[phase] ?? build(table, again.clear());
    const result = await run(batch);
    micros.push((nowMicros() - start) / batch.size);
    inside.push(checked(result).kernelMicros / batch.size);
  }
  const [add = Number.NaN, edit = Number.NaN, remove = Number.NaN] = micros;
  const [addInside = Number.NaN, editInside = Number.NaN, removeInside = Number.NaN] = inside;
  return { add, edit, remove, addInside, editInside, removeInside };
}

async function overClient(building: boolean): Promise<Sample> {
  await using kernel = await openKernel();
  return await phases((batch) => kernel.run(batch), building);
}

export const modes: Modes = {
  session: async () => {
    const session = openSession();
    const sample = await phases((batch) => session.run(batch), false);
    session.close();
    return sample;
  },
  client: () => overClient(false),
  clientBuild: () => overClient(true),
  ipvsadm: () => {
    const table = plainServices(200);
    const start = nowMicros();
    const { status, stderr } = spawnSync('ipvsadm', ['-R'], {
      input: addAll(table).toString().replaceAll('ipvsadm ', ''),
    });
    const add = (nowMicros() - start) / countOf(table);
    if (status !== 0) throw new Error(`ipvsadm -R: ${stderr}`);
    return { add };
  },
};
