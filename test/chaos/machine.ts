/**
 * A node on which a whole proxier lives, dies and is started again: nothing of it is replaced but what it touches, and time is virtual. Whoever
 * starts it (the kubelet) starts it anew a second after it has ended.
 */
import type { KernelSession } from '../../lib/kernel/session.ts';
import type { ProxierOptions } from '../../lib/proxier/options.ts';
import { Proxier, type ProxierHandle } from '../../lib/proxier/proxier.ts';
import { makeSources } from '../../lib/proxier/sources.ts';
import { nodeAddresses } from '../../lib/reconcile/node-addresses.ts';
import { vipLink } from '../../lib/reconcile/observed.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../lib/reconcile/reconciler.ts';
import { FakeIptables } from '../../lib/testing/fake-iptables.ts';
import type { FakeKernel } from '../../lib/testing/fake-kernel.ts';
import { FakeSysctls } from '../../lib/testing/fake-sysctls.ts';
import { SeededRandom } from '../../lib/testing/simulation/seeded-random.ts';
import { VirtualClock } from '../../lib/testing/virtual-clock.ts';
import { type InlineHost, openInlineHost } from '../../lib/thread/inline-host.ts';
import { newKernel } from '../unit/reconcile/world.ts';
import { Cluster } from './cluster.ts';
import { endless, Lifetime, mortalEffects } from './mortal.ts';

export type MachineOptions = Omit<ProxierOptions, 'source'>;

export interface MachineParts {
  /** Default: empty. */
  readonly cluster?: Cluster;
  /** Default: one with `eth0 192.168.1.10`. */
  readonly kernel?: FakeKernel;
  /** What others have in it, see {@link Machine.others}. Default: what is in the kernel. */
  readonly others?: FakeKernel;
  /** Default: with this kernel. One of another kernel leaves the rules alone to this one. */
  readonly openSession?: () => KernelSession;
}

/** More at one moment of virtual time is a loop that never rests. */
const maxRequestsAtOnce = 60;
const restartMs = 1000;

/** One process: it knows nothing of those before. */
interface Process {
  handle: ProxierHandle | undefined;
  host: InlineHost<ReconcileRequest, ReconcileReply> | undefined;
  /** Of its worker. */
  life: Lifetime;
  isDead: boolean;
}

export class Machine {
  readonly kernel: FakeKernel;
  /** The same without us: only what others have in it. */
  readonly others: FakeKernel;
  readonly iptables: FakeIptables;
  readonly sysctls: FakeSysctls = new FakeSysctls();
  readonly clock: VirtualClock = new VirtualClock(0);
  readonly cluster: Cluster;
  /** What nobody would hear if it were thrown. */
  readonly troubles: string[] = [];
  /** That have happened. */
  readonly deaths = { worker: 0, process: 0 };
  readonly #options: MachineOptions;
  readonly #openSession: () => KernelSession;
  readonly #random = new SeededRandom(1);
  #process: Process | undefined;
  /** Each is true while somebody waits for an answer. */
  readonly #questions: (() => boolean)[] = [];
  #requestsAtOnce = 0;
  #requestsAtMs = -1;
  #isOver = false;

  constructor(options: MachineOptions, parts: MachineParts = {}) {
    const { cluster = new Cluster(), kernel = newKernel(), others = kernel.clone() } = parts;
    const { openSession = () => kernel.session() } = parts;
    this.#options = options;
    this.#openSession = openSession;
    this.cluster = cluster;
    this.kernel = kernel;
    this.others = others;
    this.iptables = new FakeIptables(kernel);
  }

  /** Of the living process, when it has made its first complete pass. */
  get handle(): ProxierHandle | undefined {
    return this.#process?.isDead === false ? this.#process.handle : undefined;
  }

  /** Questions and requests without an answer that somebody alive waits for. */
  get unanswered(): number {
    return this.#questions.filter((waits) => waits()).length;
  }

  start(): void {
    const process: Process = { handle: undefined, host: undefined, life: new Lifetime(), isDead: false };
    this.#process = process;
    const effects = {
      openSession: this.#openSession,
      openIptables: async () => this.iptables,
      sysctls: this.sysctls,
      cores: 2,
      interfaceAddresses: () => nodeAddresses(this.kernel.outside.addresses.values(), vipLink),
      random: () => this.#random.next() / 2 ** 32,
      nowMicros: () => 0,
    };
    const module = {
      createHandler: (init: ReconcileInit) => {
        process.life = new Lifetime();
        return new Reconciler(init, mortalEffects(effects, process.life));
      },
    };
    const proxier = new Proxier(
      { ...this.#options, source: this.cluster.sources() },
      {
        clock: {
          nowMs: () => this.clock.nowMs(),
          date: () => this.clock.date(),
          after: (delayMs, callback) => this.clock.after(delayMs, () => process.isDead || callback()),
        },
        makeSources,
        claimNode: async () => ({ lock: undefined, others: [] }),
        adminSocketPath: async () => undefined,
        openHost: async (init, _thread, hostOptions) => {
          const host = await openInlineHost(module, init, hostOptions);
          process.host = host;
          return {
            call: (request) => this.#call(process, host, request),
            get epoch() {
              return host.epoch;
            },
            close: () => host.close(),
          };
        },
      },
    );
    proxier.run().then(
      (handle) => {
        process.handle = handle;
      },
      // What can never work, it believes: whoever started it tries again.
      () => this.#endProcess(process),
    );
  }

  async pass(ms: number): Promise<void> {
    this.#requestsAtOnce = 0;
    await this.clock.advanceTo(this.clock.nowMs() + ms);
  }

  /** The worker dies after so many operations. Whoever was to die before, does not. */
  killWorker(after: number): void {
    this.#kill(after, (process) => {
      this.deaths.worker += 1;
      process.host?.lose();
    });
  }

  /** The process with its worker does (SIGKILL). */
  killProcess(after: number): void {
    this.#kill(after, (process) => {
      this.deaths.process += 1;
      this.#endProcess(process);
    });
  }

  spare(): void {
    this.#kill(endless, () => {});
  }

  #kill(after: number, onEnd: (process: Process) => void): void {
    const process = this.#process;
    if (process === undefined || process.isDead) return;
    process.life.endAfter(after, () => onEnd(process));
    if (after === 0) process.life.end();
  }

  #endProcess(process: Process): void {
    if (process.isDead || this.#isOver) return;
    process.isDead = true;
    process.life.end();
    this.clock.after(restartMs, () => this.start());
  }

  /** Something that must be answered somehow, unless the process dies. */
  ask(question: (handle: ProxierHandle) => Promise<unknown>): void {
    const process = this.#process;
    if (process?.handle === undefined || process.isDead) return;
    void this.#answered(process, question(process.handle)).catch(() => {});
  }

  overflow(): void {
    if (this.#process !== undefined) this.#process.life.overflows = true;
  }

  /** Nobody is started any more; resolves when nothing runs. */
  async end(): Promise<void> {
    this.#isOver = true;
    await this.handle?.stop();
  }

  #call(
    process: Process,
    host: InlineHost<ReconcileRequest, ReconcileReply>,
    request: ReconcileRequest,
  ): Promise<ReconcileReply> {
    const nowMs = this.clock.nowMs();
    this.#requestsAtOnce = nowMs === this.#requestsAtMs ? this.#requestsAtOnce + 1 : 1;
    this.#requestsAtMs = nowMs;
    if (this.#requestsAtOnce > maxRequestsAtOnce) {
      this.troubles.push(`${maxRequestsAtOnce} requests at once, the last one a ${request.kind}`);
      return new Promise(() => {});
    }
    return this.#answered(process, host.call(request));
  }

  /** The same; who is dead waits for ever, and does not count. */
  async #answered<T>(process: Process, answer: Promise<T>): Promise<T> {
    let isOpen = true;
    this.#questions.push(() => isOpen && !process.isDead);
    try {
      return await answer;
    } finally {
      isOpen = false;
      if (process.isDead && !this.#isOver) await new Promise<never>(() => {});
    }
  }
}
