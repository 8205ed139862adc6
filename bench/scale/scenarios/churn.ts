/**
 * A cluster that changes all the time: so many events a second as long as asked, of which 50 a second replace a destination and the rest is
 * flips and noise; then faster and faster until something falls behind.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ProxierHandle } from '../../../lib/proxier/proxier.ts';
import { churn, type SimulatedCluster, type SimulationEvent, simulateCluster } from '../../../lib/testing/index.ts';
import { Pace } from '../../../lib/testing/simulation/pace.ts';
import { nowMicros, quantile } from '../../workload.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { proxierOver } from '../proxier-run.ts';

const STEADY = 1000;
/** Each a second, whatever the rate: a replaced destination stays in the kernel's trash for minutes, and slows all later ones. */
const REPLACED = 50;
/** A replacement is three events: the new pod and the end of the old one, the new one is ready, the old one is gone. A flip is two. */
const [EVENTS_OF_REPLACEMENT, EVENTS_OF_FLIP] = [3, 2];
const STEPS = [1400, 2000, 2800, 4000, 5600, 8000, 11_000, 16_000];
const STEP_SECONDS = 10;
/** What is handed in must be in the kernel within this, at the end of a step, and no event handed in later than this. */
const LATE_MS = 1000;
/** Then it is given up in the middle of a step; at the steady rate, whose backlog may be a pause, later. */
const HOPELESS_MS = { steady: 30_000, step: 3000 };
/** The loop's delay is measured by a timer of so many ms; what it says is what comes on top. */
const RESOLUTION_MS = 2;
const PROBE_MS = 200;
/** Heaps and caches grow to their size at first. */
const SETTLING_SHARE = 0.3;

interface Phase {
  readonly rate: number;
  readonly seconds: number;
}

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, seconds } = options;
  const cluster = simulateCluster({
    services,
    endpointsPerService: endpoints,
    nodes: Math.max(4, Math.ceil((services * endpoints) / 50)),
    families: ['IPv4'],
    mix: { nodePort: 0, loadBalancer: 0, externalName: 0, sctp: 0, externalIPs: 0, multiPort: 0 },
  });
  const events = new SteppedChurn(cluster, [
    { rate: STEADY, seconds },
    ...STEPS.map((rate) => ({ rate, seconds: STEP_SECONDS })),
  ]);
  const source = new ObjectSource();
  for (const kind of source.kinds) for (const object of cluster.objects(kind)) source.apply(object);
  source.synced();
  await using proxier = await proxierOver(source, options, { nodeName: 'node-0' }).run();
  const observer = new Observer(proxier, events);
  const observing = observer.run();
  await play(events, source);
  observer.stop();
  await observing;
  return observer.facts();
}

async function play(events: SteppedChurn, source: ObjectSource): Promise<void> {
  const { signal } = new AbortController();
  const pace = new Pace({});
  pace.begin();
  for (const event of events.all()) {
    await pace.until(event.atMs, signal);
    if (event.op === 'upsert') source.apply(event.object);
    else source.delete({ kind: event.kind, namespace: event.namespace, name: event.name });
  }
}

/** One churn after the other on the same cluster, in one timeline that begins with the first event. */
class SteppedChurn {
  readonly #cluster: SimulatedCluster;
  readonly #phases: readonly Phase[];
  phase = -1;
  played = 0;
  #startMicros = 0;
  #lastAtMs = 0;
  isStopped = false;

  constructor(cluster: SimulatedCluster, phases: readonly Phase[]) {
    this.#cluster = cluster;
    this.#phases = phases;
  }

  get rate(): number {
    return this.#phases[this.phase]?.rate ?? 0;
  }

  /** How much later than it was due the last event was handed in. */
  get lateMs(): number {
    return this.played === 0 ? 0 : Math.max(0, (nowMicros() - this.#startMicros) / 1000 - this.#lastAtMs);
  }

  *all(): Generator<SimulationEvent> {
    let offsetMs = 0;
    this.#startMicros = nowMicros();
    for (const { rate, seconds } of this.#phases) {
      if (this.isStopped) return;
      this.phase += 1;
      const flips = (0.6 * (rate - EVENTS_OF_REPLACEMENT * REPLACED)) / EVENTS_OF_FLIP;
      const noise = rate - EVENTS_OF_REPLACEMENT * REPLACED - EVENTS_OF_FLIP * flips;
      const mix = { flip: flips, replace: REPLACED, noise, rollout: 0, scale: 0, service: 0, nodeLoss: 0 };
      const options = { seed: this.phase + 1, ratePerSecond: rate, durationMs: seconds * 1000, mix };
      for (const event of churn(this.#cluster, options)) {
        this.#lastAtMs = offsetMs + event.atMs;
        this.played += 1;
        yield { ...event, atMs: this.#lastAtMs };
        if (this.isStopped) return;
      }
      offsetMs += seconds * 1000;
    }
  }
}

/** Looks once a second; asks five times a second how long what was handed in until then takes to be in the kernel. */
class Observer {
  readonly #proxier: ProxierHandle;
  readonly #events: SteppedChurn;
  readonly #lag = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #probes: number[] = [];
  readonly #steadyProbes: number[] = [];
  readonly #perSecond = { p50: [] as number[], max: [] as number[], rssMB: [] as number[] };
  readonly #sums = { kernel: 0, plan: 0, operations: 0, passes: 0 };
  #steady: Facts = {};
  #sustained: Facts = { sustained: 0 };
  #isOver = false;
  #last = {
    micros: nowMicros(),
    played: 0,
    cpu: process.cpuUsage(),
    ...{ kernel: 0, plan: 0, operations: 0, passes: 0 },
  };

  constructor(proxier: ProxierHandle, events: SteppedChurn) {
    this.#proxier = proxier;
    this.#events = events;
    proxier.on('sync', ({ kernelMicros, planMicros, operations }) => {
      this.#sums.kernel += kernelMicros;
      this.#sums.plan += planMicros;
      this.#sums.operations += operations;
      this.#sums.passes += 1;
    });
  }

  stop(): void {
    this.#isOver = true;
  }

  async run(): Promise<void> {
    this.#lag.enable();
    void this.#probe();
    let phase = 0;
    while (!this.#isOver) {
      await setTimeout(1000);
      const now = this.#events.phase;
      if (now > phase) this.#endOfPhase(phase);
      phase = now;
      if (phase === 0) this.#lookAtSteady();
      if (this.#lateMs() > (phase === 0 ? HOPELESS_MS.steady : HOPELESS_MS.step)) this.#events.isStopped = true;
    }
    if (phase === 0) this.#endOfPhase(0);
    else if (!this.#events.isStopped) this.#endOfPhase(phase);
  }

  facts(): Facts {
    const { p50, max, rssMB } = this.#perSecond;
    const settled = rssMB.slice(Math.floor(rssMB.length * SETTLING_SHARE));
    return {
      ...this.#steady,
      probeP50Ms: quantile(this.#steadyProbes, 0.5),
      probeP99Ms: quantile(this.#steadyProbes, 0.99),
      probeMaxMs: Math.max(...this.#steadyProbes),
      rssMB: settled.at(-1) ?? Number.NaN,
      rssFirstMB: settled[0] ?? Number.NaN,
      rssSlopeMBPerMinute: 60 * slopeOf(settled),
      ...this.#sustained,
      secondsP50Ms: p50,
      secondsMaxMs: max,
      secondsRssMB: rssMB,
    };
  }

  async #probe(): Promise<void> {
    while (!this.#isOver) {
      const start = nowMicros();
      try {
        await this.#proxier.settled();
      } catch {
        return;
      }
      const ms = (nowMicros() - start) / 1000;
      this.#probes.push(ms);
      if (this.#events.phase === 0) this.#steadyProbes.push(ms);
      await setTimeout(Math.max(0, PROBE_MS - ms));
    }
  }

  #lookAtSteady(): void {
    const probes = this.#probes.splice(0);
    const { p50, max, rssMB } = this.#perSecond;
    p50.push(probes.length === 0 ? (p50.at(-1) ?? 0) : quantile(probes, 0.5));
    max.push(probes.length === 0 ? (max.at(-1) ?? 0) : Math.max(...probes));
    rssMB.push(process.memoryUsage().rss / 1e6);
  }

  /** What waits, by either measure. */
  #lateMs(): number {
    return Math.max(this.#events.lateMs, this.#proxier.health().oldestPendingMs);
  }

  #endOfPhase(phase: number): void {
    const now = { micros: nowMicros(), played: this.#events.played, cpu: process.cpuUsage(), ...this.#sums };
    const last = this.#last;
    this.#last = now;
    const wall = now.micros - last.micros;
    const cpu = now.cpu.user + now.cpu.system - last.cpu.user - last.cpu.system;
    const lateMs = this.#lateMs();
    const figures = {
      eventsPerSecond: ((now.played - last.played) / wall) * 1e6,
      operationsPerSecond: ((now.operations - last.operations) / wall) * 1e6,
      passesPerSecond: ((now.passes - last.passes) / wall) * 1e6,
      kernelShare: (now.kernel - last.kernel) / wall,
      planShare: (now.plan - last.plan) / wall,
      cpuShare: cpu / wall,
      lagP99Ms: Math.max(0, this.#lag.percentile(99) / 1e6 - RESOLUTION_MS),
      lagMaxMs: this.#lag.max / 1e6 - RESOLUTION_MS,
      lateMs,
    };
    this.#lag.reset();
    if (phase === 0) this.#steady = figures;
    if (lateMs > LATE_MS) this.#events.isStopped = true;
    else if (this.#sustained['sustained'] === 0 || phase > 0) {
      this.#sustained = {
        sustained: figures.eventsPerSecond,
        sustainedKernelShare: figures.kernelShare,
        sustainedCpuShare: figures.cpuShare,
        sustainedOperationsPerSecond: figures.operationsPerSecond,
        sustainedLagP99Ms: figures.lagP99Ms,
      };
    }
  }
}

/** Of a line through the values, by least squares; a step is 1. */
function slopeOf(values: readonly number[]): number {
  const middle = (values.length - 1) / 2;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const [over, under] = values.reduce(
    ([a, b], value, index) => [a + (index - middle) * (value - mean), b + (index - middle) ** 2],
    [0, 0],
  );
  return under === 0 ? 0 : over / under;
}
