/** Everything read back: 1,000 virtual services with 10 destinations each. A sample is the median of 20 reads. */
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { addAll, checked, DESTINATIONS, median, nowMicros, plainServices, type Sample, SERVICES } from '../workload.ts';

const READS = 20;
const SLOW_READS = 5;
const WARM_READS = 40;

export const measurement: Measurement = {
  title: `reading back ${SERVICES} services x ${DESTINATIONS} destinations`,
  series: [{ field: 'read', title: 'the whole table, as objects', unit: 'ms' }],
  ways: [
    {
      label: 'C, genl services + /proc/net/ip_vs',
      run: { floor: ['read', String(SERVICES), String(DESTINATIONS), String(READS)] },
    },
    { label: 'session.servicesWithDestinations', run: { mode: 'session' }, goal: 1.5 },
    { label: 'client.ipvs.listWithDestinations', run: { mode: 'client' }, goal: 1.5 },
    { label: 'a genl dump for every service', run: { mode: 'genl' }, rounds: 3 },
  ],
  notes: ['A sample is the median of 20 reads in one process, after forty that are not counted.'],
};

async function reading(read: () => number | Promise<number>, reads: number, warmReads: number): Promise<Sample> {
  const times: number[] = [];
  for (let round = 0; round < warmReads + reads; round++) {
    const start = nowMicros();
    const destinations = await read();
    if (round >= warmReads) times.push((nowMicros() - start) / 1000);
    if (destinations !== SERVICES * DESTINATIONS) throw new Error(`${destinations} destinations`);
  }
  return { read: median(times) };
}

function filled(): KernelSession {
  const session = openSession();
  checked(session.run(addAll(plainServices())));
  return session;
}

const count = (table: readonly { readonly destinations: readonly unknown[] }[]): number =>
  table.reduce((sum, { destinations }) => sum + destinations.length, 0);

export const modes: Modes = {
  session: () => {
    const session = filled();
    return reading(() => count(readAll(session.servicesWithDestinations())), READS, WARM_READS);
  },
  client: async () => {
    filled().close();
    await using kernel = await openKernel();
    return await reading(async () => count(await kernel.ipvs.listWithDestinations()), READS, WARM_READS);
  },
  genl: () => {
    const session = filled();
    const byService = (): number =>
      readAll(session.services()).reduce((sum, { key }) => sum + readAll(session.destinations(key)).length, 0);
    return reading(byService, SLOW_READS, 2);
  },
};
