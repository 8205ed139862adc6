/** One run of a proxier, from the first check to the last breath: intake, pump and host, and what they have to tell. */
import { ProxierError, toErrorRecord } from '../errors.ts';
import type { DriftCounts, PlanResult, ReconcileReply, SyncReport } from '../reconcile/protocol.ts';
import type { Logger } from '../types.ts';
import { type AdminSocket, openAdminSocket } from './admin-socket.ts';
import { Announcer } from './announcer.ts';
import { type AnsweredChanges, NOTHING_ANSWERED } from './change-ledger.ts';
import { preciseNowMs } from './clock.ts';
import type { ProxierDependencies } from './dependencies.ts';
import { type DrainedEndpoint, type DrainOptions, EndpointDrains } from './endpoint-drains.ts';
import type { ProxierEmitter, WarningEvent } from './events.ts';
import { assessHealth, type FailingObject, noteFailures, type ProxierHealth } from './health.ts';
import { Inquiry } from './inquiry.ts';
import type { InstanceLock } from './instance-lock.ts';
import type { Intake } from './intake.ts';
import type { ResolvedOptions } from './options-schema.ts';
import { type Claim, otherProxierError } from './other-proxiers.ts';
import { Pump, type ReconcileHost } from './pump.ts';
import { sumDrift, sumReports } from './reports.ts';
import { type ProxierStatistics, type WaitingChange, waitingChange } from './statistics.ts';
import { untilAborted } from './until-aborted.ts';
import { type TriedRevision, type WaitOptions, waitForRevision } from './wait-for.ts';

export interface EngineOptions {
  readonly options: ResolvedOptions;
  /** Stopped with the engine. */
  readonly intake: Intake;
  readonly dependencies: ProxierDependencies;
  readonly emitter: ProxierEmitter;
  readonly log: Logger;
}

export class Engine {
  /** Resolves when the engine has stopped, for whatever reason. */
  readonly finished: Promise<void>;
  readonly #options: ResolvedOptions;
  readonly #dependencies: ProxierDependencies;
  readonly #emitter: ProxierEmitter;
  readonly #log: Logger;
  readonly #announcer: Announcer;
  readonly #startedMs: number;
  readonly #intake: Intake;
  readonly #failing = new Map<string, FailingObject>();
  readonly #drains: EndpointDrains;
  readonly inquiry: Inquiry;
  readonly #ready: Promise<SyncReport>;
  readonly #onAbort = (): void => void this.stop();
  #resolveReady: (report: SyncReport) => void = () => {};
  #rejectReady: (error: ProxierError) => void = () => {};
  #finish: () => void = () => {};
  #phase: 'starting' | 'ready' | 'stopped' = 'starting';
  #untilReady: SyncReport | undefined;
  /** Changes that came to an end since the last report. */
  #answered = NOTHING_ANSWERED;
  #lastSync: Date | undefined;
  #workerRestarts = 0;
  /** Since the start. */
  #drift: DriftCounts | undefined;
  #lock: InstanceLock | undefined;
  #admin: AdminSocket | undefined;
  #host: ReconcileHost | undefined;
  #pump: Pump | undefined;
  #starting: Promise<SyncReport> | undefined;
  #stopping: Promise<void> | undefined;

  constructor({ options, intake, dependencies, emitter, log }: EngineOptions) {
    this.#options = options;
    this.#intake = intake;
    this.#dependencies = dependencies;
    this.#emitter = emitter;
    this.#log = log;
    this.#announcer = new Announcer(emitter, log);
    this.#startedMs = dependencies.clock.nowMs();
    this.#drains = new EndpointDrains({ clock: dependencies.clock, send: async () => this.#running().tellDrains() });
    this.inquiry = new Inquiry({
      clock: dependencies.clock,
      nodeName: options.init.nodeName,
      host: () => (this.#phase === 'stopped' ? undefined : this.#host),
      health: () => this.health(),
      statistics: () => (this.#pump === undefined ? undefined : this.statistics()),
    });
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Nobody waits for it when the start fails before it is due.
    this.#ready.catch(() => {});
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal?.aborted === true) this.#onAbort();
  }

  /** Resolves when the first complete pass is in the kernel; a start that cannot work rejects with everything closed again. */
  start(): Promise<SyncReport> {
    this.#starting ??= this.#start().catch(async (error: unknown) => {
      void this.stop();
      await this.#release();
      throw error;
    });
    return this.#starting;
  }

  async #start(): Promise<SyncReport> {
    const options = this.#options;
    const dependencies = this.#dependencies;
    this.#throwIfStopped();
    await this.#claim();
    this.#throwIfStopped();
    await this.#openAdminSocket();
    this.#throwIfStopped();
    this.#host = await dependencies.openHost(options.init, options.thread, { onRestart: () => this.#restarted() });
    this.#throwIfStopped();
    this.#pump = new Pump({
      host: this.#host,
      feed: this.#intake.store,
      clock: dependencies.clock,
      minSyncPeriodMs: options.minSyncPeriodMs,
      onReply: (reply, answered) => this.#reply(reply, answered),
      drains: () => this.#drains.requests(),
      onFailure: (error, retryInMs) => {
        this.#log.error({ err: error, code: error.code, retryInMs }, `a pass could not be made: ${error.message}`);
        this.#emitter.emit('error', error);
      },
    });
    await this.#intake.start({
      onChange: () => this.#pump?.notify(),
      onProblem: (source, problem) => this.#announcer.problem(source, problem),
      onConnection: (source, connection) => this.#announcer.connection(source, connection),
    });
    this.#throwIfStopped();
    await this.#pump.start();
    return this.#ready;
  }

  async #claim(): Promise<void> {
    const claim = this.#dependencies.claimNode();
    const { lock, others } = await (this.#options.ignoreOtherProxiers ? claim.catch(unknownClaim) : claim);
    this.#lock = lock;
    if (others.length === 0) return;
    const error = otherProxierError(others);
    if (!this.#options.ignoreOtherProxiers) throw error;
    this.#warn({
      object: 'node',
      message: `${others.join(' and ')} works on the same tables, as ignoreOtherProxiers allows`,
    });
  }

  /** Without it the proxier does its work as well. */
  async #openAdminSocket(): Promise<void> {
    const { adminSocket } = this.#options;
    try {
      const path = adminSocket ?? (await this.#dependencies.adminSocketPath());
      if (path === undefined || path === false) return;
      this.#admin = await openAdminSocket(path, this.inquiry);
      this.#lock?.announce(path);
      this.#log.info({ path }, 'the admin socket is open');
    } catch (error) {
      const { message } = toErrorRecord(error);
      this.#warn({ object: 'admin socket', message, error: toErrorRecord(error, 'ERR_ADMIN_SOCKET') });
    }
  }

  resync(): Promise<SyncReport> {
    return this.#running().resync();
  }

  /** Waits for the first pass if that is still to come. */
  async plan(against: PlanResult['against'], timeoutMs: number, signal: AbortSignal): Promise<PlanResult> {
    let cancel = (): void => {};
    const late = new Promise<never>((_resolve, reject) => {
      cancel = this.#dependencies.clock.after(timeoutMs, () => reject(this.#intake.unsyncedError(timeoutMs)));
    });
    try {
      await untilAborted(Promise.race([this.#ready, late]), signal, 'the plan');
    } finally {
      cancel();
    }
    return untilAborted(this.#running().plan(against), signal, 'the plan');
  }

  drain(options: DrainOptions): Promise<DrainedEndpoint> {
    return this.#drains.drain(options);
  }

  settled(): Promise<void> {
    return this.#running().settled();
  }

  /** Highest revision handed in. */
  get revision(): number {
    return this.#intake.store.seq;
  }

  waitFor(revision: number, options: WaitOptions): Promise<TriedRevision> {
    const pump = this.#running();
    const source = {
      clock: this.#dependencies.clock,
      revision: this.revision,
      wait: (each: number, signal: AbortSignal) => pump.waitFor(each, signal),
      tried: () => ({
        revision: pump.changes.triedRevision,
        failures: [...this.#failing.values()].map(({ failure }) => failure),
      }),
    };
    return waitForRevision(source, revision, options);
  }

  statistics(): ProxierStatistics {
    if (this.#pump === undefined) throw stoppedError();
    const { changes } = this.#pump;
    const { triedRevision, waiting } = changes;
    const oldestWaiting = this.#oldestWaiting();
    return { revision: this.revision, triedRevision, waiting, oldestWaiting, latency: changes.latency() };
  }

  #oldestWaiting(): WaitingChange | undefined {
    const oldest = this.#pump === undefined ? this.#intake.store.oldestPending : this.#pump.changes.oldest;
    return waitingChange(oldest, preciseNowMs(this.#dependencies.clock));
  }

  get isStopped(): boolean {
    return this.#phase === 'stopped';
  }

  health(): ProxierHealth {
    return assessHealth({
      nowMs: this.#dependencies.clock.nowMs(),
      startedMs: this.#startedMs,
      syncPeriodMs: this.#options.init.syncPeriodMs,
      ready: this.#phase === 'ready',
      stopped: this.#phase === 'stopped',
      lastSync: this.#lastSync,
      pump: this.#pump?.state,
      oldestChange: this.#oldestWaiting(),
      sources: this.#intake.health(),
      unsynced: this.#intake.store.unsynced,
      failing: this.#failing,
      drains: this.#drains.waiting(),
      ...(this.#drift === undefined ? {} : { drift: this.#drift }),
      workerRestarts: this.#workerRestarts,
    });
  }

  /** Leaves the kernel as it is; nothing is written any more once this has resolved. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#phase = 'stopped';
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#rejectReady(stoppedError());
    this.#drains.close(stoppedError());
    await this.#release();
    // What the start was about to open when it was told to stop.
    await this.#starting?.catch(() => {});
    await this.#release();
    this.#finish();
  }

  /** The host is closed while the pump's last request may still run: closing is what bounds it. */
  async #release(): Promise<void> {
    const pumpStopped = this.#pump?.stop();
    const admin = this.#admin;
    this.#admin = undefined;
    const closed = await Promise.allSettled([this.#intake.stop(), this.#host?.close(), admin?.close()]);
    await pumpStopped;
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release();
    for (const result of closed) {
      if (result.status === 'rejected') this.#log.warn({ err: result.reason }, 'closing failed');
    }
  }

  #running(): Pump {
    if (this.#pump === undefined || this.#phase === 'stopped') throw stoppedError();
    return this.#pump;
  }

  #throwIfStopped(): void {
    if (this.#phase === 'stopped') throw stoppedError();
  }

  #restarted(): void {
    if (this.#phase === 'stopped') return;
    this.#workerRestarts += 1;
    this.#log.warn({ restarts: this.#workerRestarts }, 'the worker was lost and is replaced');
    this.#drains.restarted();
    this.#pump?.restarted();
  }

  #reply({ report, events, drains }: ReconcileReply, answered: AnsweredChanges): void {
    for (const event of events) this.#announcer.event(event);
    if (drains !== undefined) this.#drains.take(drains);
    this.#answered = {
      changes: this.#answered.changes + answered.changes,
      oldestMs: Math.max(this.#answered.oldestMs, answered.oldestMs),
    };
    if (report === undefined) return;
    this.#lastSync = this.#dependencies.clock.date();
    if (report.drift !== undefined) this.#drift = sumDrift(this.#drift, report.drift);
    noteFailures(this.#failing, report, this.#dependencies.clock.nowMs());
    this.#announcer.report(report);
    const { changes, oldestMs } = this.#answered;
    this.#answered = NOTHING_ANSWERED;
    this.#emitter.emit('sync', { ...report, changes, oldestChangeMs: oldestMs });
    if (this.#phase !== 'starting') return;
    this.#untilReady = this.#untilReady === undefined ? report : sumReports(this.#untilReady, report);
    if (!report.complete) return;
    this.#phase = 'ready';
    const { families } = this.#options.init;
    this.#log.info({ families, services: report.services, destinations: report.destinations }, 'ready');
    this.#emitter.emit('ready', this.#untilReady);
    this.#resolveReady(this.#untilReady);
  }

  #warn(event: WarningEvent): void {
    this.#announcer.warn(event);
  }
}

/** For who starts anyway. */
function unknownClaim(error: unknown): Claim {
  if (!(error instanceof ProxierError) || error.code !== 'ERR_OTHER_PROXIER') throw error;
  return { lock: undefined, others: [`perhaps another ipvs-proxier (${error.message})`] };
}

function stoppedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the proxier is stopped');
}
