/**
 * One measurement in one process: `node dist/bench/round.js ops|client|sync|warm-sync SERVICES DESTINATIONS`. Run by main.ts in a fresh network namespace,
 * because destinations deleted earlier slow later adds. Prints one line of JSON, times in microseconds.
 */
import { parseAddress } from '../lib/address.ts';
import { Batch } from '../lib/kernel/batch.ts';
import { openKernel } from '../lib/kernel/client.ts';
import { openSession } from '../lib/kernel/linux-session.ts';
import type { BatchResult } from '../lib/kernel/session.ts';
import type { ReconcileEffects } from '../lib/reconcile/effects.ts';
import type { ReconcileInit } from '../lib/reconcile/protocol.ts';
import { Reconciler } from '../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../lib/reconcile/worker-module.ts';
import { EndpointBit, type ObjectRecord } from '../lib/records.ts';
import { FakeIptables, FakeKernel, FakeSysctls } from '../lib/testing/index.ts';
import type { AddressServiceKey, IpAddress } from '../lib/types.ts';

const [mode, ...sizes] = process.argv.slice(2);
const [services = 1000, destinations = 10] = sizes.map(Number);

const micros = (): number => performance.now() * 1000;

function address(base: number, offset: number): IpAddress {
  const number = base + offset;
  const text = [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new RangeError(text);
  return parsed;
}

const vip = (i: number): IpAddress => address(0x0a600001, i);
const pod = (i: number): IpAddress => address(0x0af40001, i % 60_000);

function ipvsBatch(): Batch {
  const batch = new Batch(services * (destinations + 1));
  for (let i = 0; i < services; i++) {
    const key: AddressServiceKey = { protocol: 'tcp', address: vip(i), port: 80 };
    batch.createService({ key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
    for (let d = 0; d < destinations; d++) {
      batch.createDestination(key, {
        address: pod(i * destinations + d),
        port: 8080,
        weight: 1,
        forward: 'masquerade',
      });
    }
  }
  return batch;
}

function checked(result: BatchResult): BatchResult {
  if (result.failures.length > 0) throw new Error(`${result.failures.length} failed: ${result.failures[0]?.operation}`);
  return result;
}

/** An already built batch through a session in this thread; building it apart, once the compiler has seen that code. */
async function ops(): Promise<object> {
  const session = openSession();
  ipvsBatch();
  let start = micros();
  const batch = ipvsBatch();
  const buildMicros = micros() - start;
  start = micros();
  const { messages, roundTrips } = checked(session.run(batch));
  const runMicros = micros() - start;
  session.close();

  return { operations: batch.size, buildMicros, micros: runMicros, messages, roundTrips };
}

/** The call in TypeScript to the resolved promise, through a worker. */
async function client(): Promise<object> {
  await using kernel = await openKernel();
  await kernel.ipvs.list();
  const batch = ipvsBatch();
  const start = micros();
  const result = checked(await kernel.run(batch));
  return { operations: batch.size, micros: micros() - start, roundTrips: result.roundTrips };
}

function records(): ObjectRecord[] {
  let seq = 0;
  const list: ObjectRecord[] = [];
  for (let i = 0; i < services; i++) {
    const key = `default/s${i}`;
    list.push({
      ...{ source: 'bench', seq: ++seq, kind: 'service', key, uid: `s${i}` },
      body: {
        createdMs: 0,
        clusterIPs: [vip(i)],
        ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: 0 }],
        externalIPs: [],
        loadBalancerIPs: [],
        sourceRanges: [],
        hasSourceRanges: false,
        affinitySeconds: 0,
        internalPolicyLocal: false,
        externalPolicyLocal: false,
        healthCheckNodePort: 0,
      },
    });
    list.push({
      ...{ source: 'bench', seq: ++seq, kind: 'slice', key: `${key}-a`, uid: `e${i}` },
      body: {
        service: key,
        family: 'IPv4',
        ports: [{ name: 'http', protocol: 'tcp', port: 8080 }],
        addresses: Array.from({ length: destinations }, (_, d) => pod(i * destinations + d)),
        conditions: Array.from({ length: destinations }, () => EndpointBit.ready | EndpointBit.serving),
      },
    });
  }
  return list;
}

const init = {
  nodeName: 'bench',
  families: ['IPv4'],
  scheduler: 'rr',
  masqueradeAll: false,
  masqueradeBit: 14,
  detectLocal: { mode: 'ClusterCIDR', cidrs: ['10.244.0.0/16'] },
  nodePortAddresses: [],
  syncPeriodMs: 30_000,
  drainTimeoutMs: 900_000,
  takeOver: false,
  iptables: 'auto',
  applySysctls: true,
} as const satisfies ReconcileInit;

/** The first sync, from the records to the last answer; static part (sets, link, rules) before the clock starts. */
async function sync(effects: ReconcileEffects = kernelEffects(init)): Promise<object> {
  const reconciler = new Reconciler(init, effects);
  await reconciler.handle({ kind: 'start', nowMs: 0 });
  const message = { records: records(), snapshot: 'whole', allSynced: true } as const;
  const start = micros();
  const { report } = await reconciler.handle({ kind: 'records', nowMs: 0, message });
  const total = micros() - start;
  reconciler.close();
  if (report === undefined || report.failures.length > 0) throw new Error(JSON.stringify(report));
  const { operations, roundTrips, planMicros, kernelMicros } = report;
  return { operations, micros: total, planMicros, kernelMicros, roundTrips };
}

/** The same in a process whose compiler has seen a sync of another cluster, on the fake kernel. */
async function warmSync(): Promise<object> {
  const fake = new FakeKernel();
  const iptables = new FakeIptables(fake);
  await sync({
    openSession: () => fake.session(),
    openIptables: () => Promise.resolve(iptables),
    sysctls: new FakeSysctls(),
    interfaceAddresses: () => [],
    random: Math.random,
    nowMicros: micros,
  });
  return await sync();
}

const modes = new Map<string, () => Promise<object>>([
  ['ops', ops],
  ['client', client],
  ['sync', () => sync()],
  ['warm-sync', warmSync],
]);
const run = modes.get(mode ?? '');
if (run === undefined) throw new RangeError(`mode ${mode}: one of ${[...modes.keys()].join(', ')}`);
process.stdout.write(`${JSON.stringify(await run())}\n`);
