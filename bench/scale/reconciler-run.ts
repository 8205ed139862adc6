/** A reconciler in this thread, called as the pump calls it: whatever it wants to go on with at once is a tick, until it wants nothing more. */
import { setImmediate } from 'node:timers/promises';
import type { Iptables } from '../../lib/kernel/iptables.ts';
import type { ReconcileEffects } from '../../lib/reconcile/effects.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest, SyncReport } from '../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../../lib/reconcile/worker-module.ts';
import type { RecordMessage } from '../../lib/records.ts';
import { FakeIptables, FakeKernel, FakeSysctls } from '../../lib/testing/index.ts';
import type { IpFamily } from '../../lib/types.ts';
import { defaultInit } from '../../test/harness/default-init.ts';
import { nowMicros } from '../workload.ts';
import type { ScenarioOptions } from './facts.ts';

/** A reconciler that wants to be called for ever would measure for ever. */
const MAX_TICKS = 100_000;

/** What all the requests of one errand came to. */
export interface Errand {
  readonly operations: number;
  readonly roundTrips: number;
  readonly kernelMicros: number;
  readonly ticks: number;
  /** The longest single request: so long a change would have had to wait. */
  readonly longestMicros: number;
  readonly micros: number;
  /** Of it: programs that ran, which is iptables. */
  readonly iptablesMicros: number;
  readonly iptablesSaves: number;
}

export class ReconcilerRun {
  readonly reconciler: Reconciler;
  readonly #iptables: CountedIptables;
  /** It never passes: nothing is due but what was asked for. */
  readonly #nowMs = 1000;

  constructor(init: ReconcileInit, effects: ReconcileEffects = kernelEffects(init)) {
    this.#iptables = new CountedIptables();
    this.reconciler = new Reconciler(init, {
      ...effects,
      openIptables: async (options) => this.#iptables.over(await effects.openIptables(options)),
    });
  }

  start(): Promise<Errand> {
    return this.ask({ kind: 'start', nowMs: this.#nowMs });
  }

  say(message: RecordMessage): Promise<Errand> {
    return this.ask({ kind: 'records', nowMs: this.#nowMs, message });
  }

  resync(): Promise<Errand> {
    return this.ask({ kind: 'resync', nowMs: this.#nowMs });
  }

  /** @param after Called after each reply; true ends it there. Its own time is not counted. */
  async ask(request: ReconcileRequest, after: () => boolean = () => false): Promise<Errand> {
    const iptables = this.#iptables;
    const before = { micros: iptables.micros, saves: iptables.saves };
    const sum = { operations: 0, roundTrips: 0, kernelMicros: 0, ticks: 0, longestMicros: 0, micros: 0 };
    let next: ReconcileRequest | undefined = request;
    while (next !== undefined) {
      const start = nowMicros();
      const reply: ReconcileReply = await this.reconciler.handle(next);
      const micros = nowMicros() - start;
      sum.micros += micros;
      sum.longestMicros = Math.max(sum.longestMicros, micros);
      if (reply.report !== undefined) {
        const { operations, roundTrips, kernelMicros } = checked(reply.report);
        sum.operations += operations;
        sum.roundTrips += roundTrips;
        sum.kernelMicros += kernelMicros;
      }
      if (after() || reply.wakeInMs !== 0) break;
      sum.ticks += 1;
      if (sum.ticks > MAX_TICKS) throw new Error('the reconciler wants to be called for ever');
      next = { kind: 'tick', nowMs: this.#nowMs };
    }
    return {
      ...sum,
      iptablesMicros: iptables.micros - before.micros,
      iptablesSaves: iptables.saves - before.saves,
    };
  }

  close(): Promise<void> {
    return this.reconciler.close();
  }
}

/** What the first 2,000 Services teach the compiler is not measured where a long-running process is meant. */
export async function warmCompiler(options: ScenarioOptions, records: RecordMessage): Promise<void> {
  const run = new ReconcilerRun(initOf(options), fakeEffects());
  await run.start();
  await run.say(records);
  await run.close();
}

export function initOf({ routes }: Pick<ScenarioOptions, 'routes'>): ReconcileInit {
  const vipBinding = routes ? 'local-route' : 'address';
  return { ...defaultInit, nodeName: 'bench', drainTimeoutMs: 900_000, vipBinding };
}

export function fakeEffects(kernel: FakeKernel = new FakeKernel()): ReconcileEffects {
  const iptables = new FakeIptables(kernel);
  return {
    openSession: () => kernel.session(),
    openIptables: () => Promise.resolve(iptables),
    sysctls: new FakeSysctls(),
    cores: 2,
    interfaceAddresses: () => [],
    random: Math.random,
    nowMicros,
    turn: () => setImmediate(),
  };
}

/** A benchmark of refusals would be a fast one. */
function checked(report: SyncReport): SyncReport {
  if (report.failures.length > 0 || report.unknown > 0) {
    throw new Error(
      `${report.failures.length} failures, ${report.unknown} unknown: ${JSON.stringify(report.failures[0])}`,
    );
  }
  return report;
}

class CountedIptables {
  saves = 0;
  micros = 0;

  over(iptables: Iptables): Iptables {
    return {
      backend: iptables.backend,
      save: async (family: IpFamily, signal?: AbortSignal) => {
        this.saves += 1;
        return await this.#timed(iptables.save(family, signal));
      },
      restore: (family: IpFamily, text: string, signal?: AbortSignal) =>
        this.#timed(iptables.restore(family, text, signal)),
    };
  }

  async #timed<T>(work: Promise<T>): Promise<T> {
    const start = nowMicros();
    try {
      return await work;
    } finally {
      this.micros += nowMicros() - start;
    }
  }
}
