/** The first sync of 1,000 Services with 10 endpoints each, through plan and reconciler. */
import { sumReports } from '../../lib/proxier/reports.ts';
import type { ReconcileEffects } from '../../lib/reconcile/effects.ts';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../../lib/reconcile/worker-module.ts';
import { defaultInit } from '../../test/harness/default-init.ts';
import type { Measurement, Modes } from '../measurement.ts';
import { snapshot } from '../scale/cluster.ts';
import { fakeEffects } from '../scale/reconciler-run.ts';
import { DESTINATIONS, nowMicros, type Sample, SERVICES } from '../workload.ts';

export const measurement: Measurement = {
  title: `first sync of ${SERVICES} Services x ${DESTINATIONS} endpoints (${SERVICES * (DESTINATIONS + 4)} operations)`,
  series: [{ field: 'sync', title: 'from the records to the last answer', unit: 'us/op' }],
  ways: [
    { label: 'C floor, same messages', run: { floor: ['sync', String(SERVICES), String(DESTINATIONS)] } },
    { label: 'ipvs-proxier, just started', run: { mode: 'cold' } },
    { label: 'ipvs-proxier, after an earlier sync', run: { mode: 'warm' } },
  ],
  floorPrepare: [
    'ip link add kube-ipvs0 type dummy',
    'ipset create KUBE-CLUSTER-IP hash:ip,port',
    'ipset create KUBE-IPVS-IPS hash:ip',
  ],
  notes: ['The static part (sets, link, rules) is before the clock.'],
};

const init: ReconcileInit = { ...defaultInit, nodeName: 'bench', drainTimeoutMs: 900_000 };

/** The first sync, from the records to the last answer; static part (sets, link, rules) before the clock starts. */
async function sync(effects: ReconcileEffects = kernelEffects(init)): Promise<Sample> {
  const reconciler = new Reconciler(init, effects);
  await reconciler.handle({ kind: 'start', nowMs: 0 });
  const message = snapshot(SERVICES, DESTINATIONS);
  const start = nowMicros();
  let reply = await reconciler.handle({ kind: 'records', nowMs: 0, message });
  let { report } = reply;
  while (reply.unwritten !== undefined) {
    reply = await reconciler.handle({ kind: 'tick', nowMs: 0 });
    if (report !== undefined && reply.report !== undefined) report = sumReports(report, reply.report);
  }
  const total = nowMicros() - start;
  reconciler.close();
  if (report === undefined || report.failures.length > 0) throw new Error(JSON.stringify(report));
  const { operations, roundTrips, planMicros, kernelMicros } = report;
  return { operations, sync: total / operations, planMicros, kernelMicros, roundTrips };
}

/** The same in a process whose compiler has seen a sync of another cluster, on the fake kernel. */
async function warmSync(): Promise<Sample> {
  await sync(fakeEffects());
  return await sync();
}

export const modes: Modes = { cold: () => sync(), warm: warmSync };
