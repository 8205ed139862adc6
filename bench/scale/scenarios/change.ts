/** One endpoint of one Service changes, everything else is there: from the record's arrival at the reconciler to the kernel's answer. */
import { readFileSync } from 'node:fs';
import { Batch } from '../../../lib/kernel/batch.ts';
import { openSession } from '../../../lib/kernel/linux-session.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { checked, nowMicros, pod, quantile, vip } from '../../workload.ts';
import { change, messages, podsOf, sliceRecord } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { initOf, ReconcilerRun } from '../reconciler-run.ts';

const WARM_CHANGES = 400;
/** Each leaves a destination in the kernel's trash when it goes: few. */
const NEW_ENDPOINTS = 200;

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, times } = options;
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  for (const message of messages(0, services, endpoints)) await run.say(message);
  const micros = { goes: [] as number[], comes: [] as number[], isNew: [] as number[] };
  const one = async (into: number[], record: ObjectRecord): Promise<void> => {
    const errand = await run.say(change(record));
    if (errand.operations !== 1) throw new Error(`one endpoint took ${errand.operations} operations`);
    into.push(errand.micros);
  };
  const pair = async (index: number): Promise<void> => {
    const service = serviceAt(index, services);
    const pods = podsOf(service, endpoints);
    await one(micros.goes, sliceRecord(service, pods.slice(1)));
    await one(micros.comes, sliceRecord(service, pods));
  };
  for (let index = 0; index < WARM_CHANGES; index++) await pair(index);
  for (const times of Object.values(micros)) times.length = 0;
  const before = startedProcesses();
  for (let index = 0; index < times; index++) await pair(WARM_CHANGES + index);
  // One for a Service: that none takes back what another one has brought.
  const fresh = Math.min(NEW_ENDPOINTS, Math.floor(services / 2));
  for (let index = 0; index < fresh; index++) {
    const service = serviceAt(index, services);
    // Beyond those that any Service has.
    const extra = pod(59_000 + index);
    await one(micros.isNew, sliceRecord(service, [...podsOf(service, endpoints), extra]));
  }
  const processes = startedProcesses() - before;
  await run.close();
  const all = [...micros.goes, ...micros.comes];
  return {
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    goesP50: quantile(micros.goes, 0.5),
    comesP50: quantile(micros.comes, 0.5),
    newP50: quantile(micros.isNew, 0.5),
    newP99: quantile(micros.isNew, 0.99),
    changes: all.length + fresh,
    processes,
    sessionP50: sessionTrip(times, endpoints),
  };
}

/** All over the cluster, but for the two that everything needs. */
function serviceAt(index: number, services: number): number {
  return 2 + ((index * 7919) % (services - 2));
}

/** The same message through the session alone: what of it is netlink, the addon included. */
function sessionTrip(times: number, endpoints: number): number {
  const session = openSession();
  const key = { protocol: 'tcp', address: vip(2), port: 80 } as const;
  const [address] = podsOf(2, endpoints);
  if (address === undefined) return Number.NaN;
  const batch = new Batch().updateDestination(key, { address, port: 8080, weight: 1, forward: 'masquerade' });
  const micros: number[] = [];
  for (let index = 0; index < times; index++) {
    const start = nowMicros();
    checked(session.run(batch));
    micros.push(nowMicros() - start);
  }
  session.close();
  return quantile(micros, 0.5);
}

/** On this machine since it was booted, threads included: in the test kernel there is nobody else to start any. */
function startedProcesses(): number {
  return Number(/^processes (\d+)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]);
}
