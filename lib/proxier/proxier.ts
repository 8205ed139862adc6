/** The public face: one object that keeps the kernel equal to what the cluster says. */
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import type { PlanResult, SyncReport } from '../reconcile/protocol.ts';
import type { Logger } from '../types.ts';
import { type ProxierDependencies, systemDependencies } from './dependencies.ts';
import type { DrainedEndpoint, DrainOptions } from './endpoint-drains.ts';
import { Engine } from './engine.ts';
import { ProxierEmitter, type ProxierEventName, type ProxierListener } from './events.ts';
import type { ProxierHealth } from './health.ts';
import type { Explanation, ProxierStatus, StatusOptions } from './inquiry.ts';
import { Intake, problemObject } from './intake.ts';
import { guardLogger } from './logging.ts';
import type { ProxierOptions } from './options.ts';
import { type ResolvedOptions, resolveOptions } from './options-schema.ts';
import { planOnce } from './plan-once.ts';
import { recorded } from './recording.ts';
import type { ProxierStatistics } from './statistics.ts';
import { checkWaitOptions, type TriedRevision, type WaitOptions } from './wait-for.ts';

export interface PlanOptions {
  /** The longest wait for the first complete lists, in ms. Default 30,000. 0: they must be there already. */
  readonly timeoutMs?: number;
  /** Calls the plan off: it rejects with ERR_CLOSED. */
  readonly signal?: AbortSignal;
}

/** A proxier at work. Disposing it stops it: `await using proxier = await new Proxier(options).run()`. */
export interface ProxierHandle extends AsyncDisposable {
  /** What was done from the start to the first complete pass, summed up. */
  readonly report: SyncReport;
  /** Resolves when the proxier has stopped, for whatever reason. Never rejects. */
  readonly finished: Promise<void>;
  on<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this;
  once<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this;
  off<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this;
  plan(against?: PlanResult['against'], options?: PlanOptions): Promise<PlanResult>;
  /** Reads the kernel, compares, mends, now. Rejects with the error of a pass that could not be made. */
  resync(): Promise<SyncReport>;
  /**
   * Takes an endpoint of this cluster out of all virtual services of this node although the API lists it still: for an agent that is about to
   * shut down a pod or the node. It gets no new connections from the moment of the call's first pass on (TCP: weight 0; UDP and SCTP: deleted), and
   * counts as not ready and not serving for all that is decided by that. Resolves when none of its destinations has connections left, or
   * when their time was up; at once with 0 for an endpoint that the API does not list. It stays out until `undrain`, until the signal aborts, or
   * until the API does not list it any more. Each call stands for itself: an endpoint is in again when all are undone. A worker that is lost
   * and replaced goes on with it; a process that ends forgets it.
   *
   * @example
   * await using proxier = await new Proxier(options).run();
   * const { overdue } = await proxier.drain({ address: '10.244.1.5', timeoutMs: 30_000 });
   * @throws InvalidArgumentError address, port, timeoutMs, signal. ProxierError ERR_CLOSED when it is called off, or the proxier stops.
   */
  drain(options: DrainOptions): Promise<DrainedEndpoint>;
  /** Resolves when every change handed in before the call has been tried; what failed is retried later, see `health`. */
  settled(): Promise<void>;
  /**
   * Of the newest change handed in: our own counter, never a resourceVersion. It rises with what concerns the proxier, and not with
   * metadata, status or heartbeats.
   */
  readonly revision: number;
  /**
   * Resolves when every change up to the revision has been tried in the kernel, also what large rounds have left for later: with what fails there,
   * which is retried later, and does not make it reject. It hurries the changes it waits for past `minSyncPeriodMs`.
   *
   * @example
   * source.apply(endpointSlice);
   * const { failures } = await proxier.waitFor(proxier.revision, { timeoutMs: 5000 });
   * @throws InvalidArgumentError for a revision that was not handed in, timeoutMs, signal. ProxierError ERR_TIMEOUT; ERR_CLOSED when it is
   * called off, or the proxier stops; the error that keeps a lost worker from being replaced.
   */
  waitFor(revision: number, options?: WaitOptions): Promise<TriedRevision>;
  health(): ProxierHealth;
  /** Revisions, what waits, and how long changes take to get to the kernel. */
  statistics(): ProxierStatistics;
  /** How everything stands: counts, what is not applied and why, health. The admin socket and `ipvs-proxier status` say the same. */
  status(options?: StatusOptions): Promise<ProxierStatus>;
  /**
   * Why something is as it is: what the records say of it, what is wanted, what was applied, how each kernel object stands, and what the flight
   * recorder has of it, oldest first. It is asked for by the name of a Service (`ns1/svc1`), of a service port (`IPv4 ns1/svc1:p80/tcp`, `ns1/svc1:p80`),
   * of a virtual service (`tcp 10.96.0.10:80`), or by an address with or without a port, of a VIP or of an endpoint. What is not known is
   * answered with what may have been meant.
   *
   * @throws InvalidArgumentError key. ProxierError ERR_CLOSED once it is stopped, ERR_WORKER while the worker is being replaced.
   */
  explain(key: string): Promise<Explanation>;
  /**
   * Leaves virtual services, sets, addresses and rules as they are, so that traffic goes on; once it resolves nothing is written any
   * more. Idempotent.
   */
  stop(): Promise<void>;
}

const DEFAULT_PLAN_TIMEOUT_MS = 30_000;

export class Proxier implements AsyncDisposable {
  readonly #options: ResolvedOptions;
  readonly #dependencies: ProxierDependencies;
  readonly #log: Logger;
  readonly #emitter: ProxierEmitter;
  #engine: Engine | undefined;
  /** The embedder's own sources deliver only once: what a plan has read of them is kept for the run. */
  #keptIntake: Intake | undefined;
  readonly #stopping = new AbortController();

  /** @throws InvalidArgumentError at once for options that cannot be. Nothing is read or opened before `plan` or `run`. */
  constructor(options: ProxierOptions);
  /** @internal */
  constructor(options: ProxierOptions, dependencies: ProxierDependencies);
  constructor(options: ProxierOptions, dependencies: ProxierDependencies = systemDependencies) {
    this.#options = resolveOptions(options);
    this.#dependencies = dependencies;
    const log = guardLogger(this.#options.logger);
    this.#log = log;
    this.#emitter = new ProxierEmitter((error) => log.error({ err: error }, error.message));
  }

  /** Listeners are called on this thread, in order; one that throws is reported on `error` and hurts nothing else. */
  on<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#emitter.on(event, listener);
    return this;
  }

  once<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#emitter.once(event, listener);
    return this;
  }

  off<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#emitter.off(event, listener);
    return this;
  }

  /**
   * What would be written, in order, and who wants it. Writes nothing, and works before `run()` too: then it reads the sources, asks,
   * and closes everything again (but keeps sources that were given as objects for `run()`).
   *
   * @param against `kernel` (default): what is missing or wrong there now. `empty`: everything; needs no privileges and no addon.
   * @throws ProxierError ERR_TIMEOUT when the sources' first lists do not arrive; ERR_CLOSED when it is called off, or the proxier stopped;
   * what the sources or the kernel refuse.
   */
  async plan(against: PlanResult['against'] = 'kernel', options: PlanOptions = {}): Promise<PlanResult> {
    const { timeoutMs = DEFAULT_PLAN_TIMEOUT_MS } = options;
    if (against !== 'kernel' && against !== 'empty') {
      throw new InvalidArgumentError('against', `${JSON.stringify(against)} is not kernel or empty`);
    }
    checkWaitOptions(options);
    const signal = this.#endOf(options.signal);
    if (signal.aborted) throw new ProxierError('ERR_CLOSED', 'the plan was called off', { cause: signal.reason });
    if (this.#engine?.isStopped === false) return this.#engine.plan(against, timeoutMs, signal);
    const intake = this.#takeIntake('plan');
    try {
      return await planOnce({
        options: this.#options,
        dependencies: this.#dependencies,
        intake,
        observer: {
          onProblem: (source, problem) => {
            const { message, error } = problem;
            const object = problemObject(source, problem);
            this.#log.warn({ object }, message);
            this.#emitter.emit('warning', { object, message, ...(error === undefined ? {} : { error }) });
          },
          onConnection: (source, connection) => this.#emitter.emit('connection', { source, ...connection }),
        },
        against,
        timeoutMs,
        signal,
      });
    } finally {
      if (intake !== this.#keptIntake) await intake.stop();
    }
  }

  /**
   * Starts, and resolves when the first complete pass is in the kernel: before that only the empty frame (link, sets, rules) is written, and
   * while a source is not to be reached it waits, with everything in the kernel as it was. Once per Proxier.
   *
   * @throws ProxierError for what can never work, with everything closed again: ERR_OTHER_PROXIER, ERR_PERMISSION, ERR_KERNEL_UNSUPPORTED,
   * ERR_SCHEDULER_UNKNOWN, ERR_ADDON, ERR_IPTABLES_CONFLICT, ERR_KUBE_CONFIG, ERR_MANIFEST, …; ERR_CLOSED when stopped meanwhile.
   */
  async run(): Promise<ProxierHandle> {
    if (this.#stopping.signal.aborted) throw new ProxierError('ERR_CLOSED', 'this Proxier was stopped: make a new one');
    if (this.#engine !== undefined) {
      throw new ProxierError('ERR_CLOSED', 'this Proxier was run before: make a new one');
    }
    const engine = new Engine({
      options: this.#options,
      intake: this.#takeIntake('run'),
      dependencies: this.#dependencies,
      emitter: this.#emitter,
      log: this.#log,
    });
    this.#engine = engine;
    return new RunningProxier(this, engine, await engine.start());
  }

  /** Undefined before `run()`. While `run()` waits it says for what. */
  health(): ProxierHealth | undefined {
    return this.#engine?.health();
  }

  /** The same as the handle's; ends a `run()` or a `plan()` that still waits, and refuses later ones, with ERR_CLOSED. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#engine?.stop();
    await this.#keptIntake?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** What ends a plan: whoever asked for it, the proxier's signal, `stop`. */
  #endOf(signal: AbortSignal | undefined): AbortSignal {
    const signals = [signal, this.#options.signal, this.#stopping.signal];
    return AbortSignal.any(signals.filter((each) => each !== undefined));
  }

  /** A recording is of the run. What a plan has read counts for it only where the run does not hear it again. */
  #takeIntake(purpose: 'plan' | 'run'): Intake {
    if (this.#keptIntake !== undefined) return this.#keptIntake;
    const { init, hooks, origin } = this.#options;
    const { nodeName, scheduler } = init;
    const sources = this.#dependencies.makeSources(this.#options);
    const isKept = origin.kind === 'source';
    const isRecorded = isKept || purpose === 'run';
    const heard = isRecorded ? recorded(sources, this.#options, this.#dependencies.clock) : sources;
    const intake = new Intake(heard, { nodeName, scheduler, hooks, clock: this.#dependencies.clock });
    if (isKept) this.#keptIntake = intake;
    return intake;
  }
}

class RunningProxier implements ProxierHandle {
  readonly report: SyncReport;
  readonly #proxier: Proxier;
  readonly #engine: Engine;

  constructor(proxier: Proxier, engine: Engine, report: SyncReport) {
    this.#proxier = proxier;
    this.#engine = engine;
    this.report = report;
  }

  get finished(): Promise<void> {
    return this.#engine.finished;
  }

  on<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#proxier.on(event, listener);
    return this;
  }

  once<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#proxier.once(event, listener);
    return this;
  }

  off<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): this {
    this.#proxier.off(event, listener);
    return this;
  }

  plan(against?: PlanResult['against'], options?: PlanOptions): Promise<PlanResult> {
    return this.#proxier.plan(against, options);
  }

  async resync(): Promise<SyncReport> {
    return this.#engine.resync();
  }

  async drain(options: DrainOptions): Promise<DrainedEndpoint> {
    return this.#engine.drain(options);
  }

  async settled(): Promise<void> {
    return this.#engine.settled();
  }

  get revision(): number {
    return this.#engine.revision;
  }

  async waitFor(revision: number, options: WaitOptions = {}): Promise<TriedRevision> {
    return this.#engine.waitFor(revision, options);
  }

  health(): ProxierHealth {
    return this.#engine.health();
  }

  statistics(): ProxierStatistics {
    return this.#engine.statistics();
  }

  status(options?: StatusOptions): Promise<ProxierStatus> {
    return this.#engine.inquiry.status(options);
  }

  explain(key: string): Promise<Explanation> {
    return this.#engine.inquiry.explain(key);
  }

  stop(): Promise<void> {
    return this.#proxier.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
