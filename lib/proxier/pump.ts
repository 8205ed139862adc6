/**
 * Moves records to the reconciler, keeps its appointments (`wakeInMs`: ticks), and asks it what others want to know. The rules:
 *
 * - Records go in rounds of one message each, one at a time. The first change goes at once, what arrives meanwhile is the next round, and
 *   `minSyncPeriodMs` lies between the end of a round and the next one, unless somebody waits for it. A round is bounded (`ROUND_LIMITS`):
 *   what does not fit stays in the feed, where newer state replaces it, and goes with the next round at once. Nothing is paced until the
 *   reconciler knows that the sources have synced, as it writes nothing: it has nearly everything when the last list comes in.
 * - A tick that is due, and what was asked for once the records before it have gone, begins before the next message of records. It may take
 *   as long as iptables does and so runs beside the records, one at a time, in turns when both are due: nothing starves.
 * - A change is answered when the reconciler has it and, in a later reply or that one, nothing `unwritten`.
 * - When it is unknown what the reconciler has (its worker was replaced, or records failed) a snapshot of everything goes first. What
 *   is asked for makes it be tried at once, and is refused with the error when that fails: nobody waits for ever.
 */
import { ProxierError } from '../errors.ts';
import type { EndpointDrain, PlanResult, ReconcileReply, ReconcileRequest, SyncReport } from '../reconcile/protocol.ts';
import type { RecordMessage } from '../records.ts';
import type { Host } from '../thread/host.ts';
import { type AnsweredChanges, NOTHING_ANSWERED } from './change-ledger.ts';
import { type Clock, preciseNowMs } from './clock.ts';
import type { PumpState } from './health.ts';
import { OpenResyncs } from './open-resyncs.ts';
import { Questions } from './questions.ts';
import { type RecordFeed, RecordRounds } from './record-rounds.ts';
import { asError, RequestFailures } from './request-failures.ts';
import { RevisionWaiters } from './revision-waiters.ts';
import { WorkLoop } from './work-loop.ts';

export type ReconcileHost = Host<ReconcileRequest, ReconcileReply>;

export interface PumpOptions {
  readonly host: ReconcileHost;
  readonly feed: RecordFeed;
  readonly clock: Clock;
  /** Least time from the end of a round to the next round of records. */
  readonly minSyncPeriodMs: number;
  /** @param answered The changes that the kernel has answered with it. */
  onReply(reply: ReconcileReply, answered: AnsweredChanges): void;
  /** Endpoints that are to be drained whatever the records say. Default: none. */
  drains?(): readonly EndpointDrain[];
  /** A request failed as a whole; it is made again after `retryInMs`. */
  onFailure(error: ProxierError, retryInMs: number): void;
}

export class Pump {
  readonly #options: PumpOptions;
  /** Which records go next. */
  readonly #rounds: RecordRounds;
  readonly #waiters = new RevisionWaiters();
  readonly #failures: RequestFailures;
  readonly #loop: WorkLoop;
  readonly #questions = new Questions();
  readonly #resyncs = new OpenResyncs();
  #phase: 'new' | 'running' | 'stopped' = 'new';
  /** A tick, or something asked for: at most one, beside the records. */
  #beside: Promise<void> | undefined;
  /** The last of them was asked for: a tick that is due has the next turn. */
  #tickHasTurn = false;
  #lost = false;
  #tickAtMs: number | undefined;
  #hasUnwritten = false;
  #retryAtMs = 0;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#rounds = new RecordRounds(options.feed, options.minSyncPeriodMs);
    this.#failures = new RequestFailures(options);
    this.#loop = new WorkLoop({ clock: options.clock, next: () => this.#next(), dueMs: () => this.#dueMs() });
  }

  get state(): PumpState {
    return { pendingSinceMs: this.#rounds.oldest?.sinceMs, failing: this.#failures.current };
  }

  /** How the changes fare that were handed in. */
  get changes(): Pick<RecordRounds, 'oldest' | 'waiting' | 'triedRevision' | 'latency'> {
    return this.#rounds;
  }

  /** Sends `start`; rejects with its error. From then on records flow. */
  async start(): Promise<void> {
    const reply = await this.#options.host.call({ kind: 'start', nowMs: this.#now() });
    if (this.#phase !== 'new') throw closedError();
    this.#phase = 'running';
    this.#take(reply);
    this.#wake();
  }

  /** The feed has something new, or has become synced. */
  notify(): void {
    this.#wake();
  }

  /** The reconciler's state was lost: it reads the kernel again, and gets all records again. */
  restarted(): void {
    this.#lost = true;
    this.#rounds.lost();
    this.#wake();
  }

  /** A full pass now, to its last operation. Rejects when it could not be made, or when the reconciler cannot be told what must go before it. */
  async resync(): Promise<SyncReport> {
    const { whole } = await this.#ask(async () => {
      const reply = await this.#options.host.call({ kind: 'resync', nowMs: this.#now() });
      const { report } = reply;
      this.#succeeded(reply);
      if (report === undefined) throw new ProxierError('ERR_WORKER', 'resync was answered without a report');
      // In an object: the rest of it is not waited for here, where it would be in its own way.
      return { whole: isWhole(reply) ? report : this.#resyncs.add(report) };
    });
    return whole;
  }

  plan(against: PlanResult['against']): Promise<PlanResult> {
    return this.#ask(async () => {
      const { plan } = await this.#options.host.call({ kind: 'plan', against });
      if (plan === undefined) throw new ProxierError('ERR_WORKER', 'plan was answered without a plan');
      return plan;
    });
  }

  /** Tells the reconciler which endpoints are to be drained, as they are when their turn comes. */
  tellDrains(): Promise<void> {
    return this.#ask(async () => this.#succeeded(await this.#callDrain(this.#options.drains?.() ?? [])));
  }

  /** Resolves when everything handed in before has been tried. */
  settled(): Promise<void> {
    return this.waitFor(this.#options.feed.seq);
  }

  /** Resolves when everything handed in up to the revision has been tried. Neither resolves nor rejects once the signal aborts. */
  waitFor(revision: number, signal?: AbortSignal): Promise<void> {
    if (this.#phase !== 'running') return Promise.reject(closedError());
    const waited = this.#waiters.wait(revision, signal);
    this.#hurry();
    return waited;
  }

  /** Makes no more requests; resolves when the one in flight has ended. Idempotent. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    this.#refuse(closedError());
    await Promise.all([this.#loop.stop(), this.#beside]);
  }

  #ask<T>(act: () => Promise<T>): Promise<T> {
    if (this.#phase !== 'running') return Promise.reject(closedError());
    const answer = this.#questions.add(this.#options.feed.seq, act);
    this.#hurry();
    return answer;
  }

  #wake(): void {
    if (this.#phase === 'running') this.#loop.wake();
  }

  #hurry(): void {
    this.#retryAtMs = 0;
    this.#wake();
  }

  #refuse(error: ProxierError): void {
    this.#questions.refuse(error);
    this.#resyncs.refuse(error);
    this.#waiters.refuse(error);
  }

  /** The next message, under way; undefined = none is due now. Before it begins what is due beside it. */
  #next(): Promise<void> | undefined {
    const now = this.#now();
    if (now < this.#retryAtMs) return undefined;
    if (this.#lost) return this.#restart();
    const message = this.#nextMessage(now);
    this.#waiters.settle(this.#rounds.settledRevision);
    if (this.#beside === undefined && !this.#rounds.isUnknown) this.#startBeside(now);
    return message === undefined ? undefined : this.#send(message);
  }

  #nextMessage(now: number): RecordMessage | undefined {
    const message = now >= this.#recordsDueMs() ? this.#rounds.take() : undefined;
    // The tick that is to go on with what is unwritten would wait for one that waits for iptables: any message does as well.
    const isHeldUp = this.#beside !== undefined && this.#restDueMs() <= now;
    return message ?? (isHeldUp ? this.#rounds.nothing() : undefined);
  }

  #startBeside(now: number): void {
    const tickDue = this.#tickAtMs !== undefined && now >= this.#tickAtMs;
    const asks = this.#questionIsDue() && !(tickDue && this.#tickHasTurn);
    if (!asks && !tickDue) return;
    this.#tickHasTurn = asks;
    this.#beside = (asks ? this.#questions.askFirst() : this.#tick()).finally(() => {
      this.#beside = undefined;
      this.#wake();
    });
  }

  /** The records handed in before it have gone. */
  #questionIsDue(): boolean {
    return this.#questions.isDue((revision) => this.#rounds.hasSent(revision));
  }

  #dueMs(): number {
    return Math.max(this.#retryAtMs, this.#lost ? 0 : this.#workDueMs());
  }

  #workDueMs(): number {
    const recordsMs = this.#recordsDueMs();
    if (this.#beside !== undefined) return Math.min(recordsMs, this.#restDueMs());
    return Math.min(recordsMs, this.#questionIsDue() ? 0 : (this.#tickAtMs ?? Number.POSITIVE_INFINITY));
  }

  #recordsDueMs(): number {
    return this.#rounds.dueMs(Math.max(this.#questions.highest, this.#waiters.highest));
  }

  /** When what is unwritten is to be gone on with. */
  #restDueMs(): number {
    return this.#hasUnwritten && !this.#rounds.isUnknown
      ? (this.#tickAtMs ?? Number.POSITIVE_INFINITY)
      : Number.POSITIVE_INFINITY;
  }

  async #restart(): Promise<void> {
    this.#lost = false;
    this.#tickAtMs = undefined;
    this.#rounds.restarted();
    try {
      this.#take(await this.#options.host.call({ kind: 'start', nowMs: this.#now() }));
      // Before the records: they would bring those endpoints back.
      const drains = this.#options.drains?.() ?? [];
      if (drains.length > 0) this.#take(await this.#callDrain(drains));
    } catch (error) {
      this.#lost = true;
      this.#recordsFailed(error);
      this.#refuse(asError(error));
    }
  }

  #callDrain(endpoints: readonly EndpointDrain[]): Promise<ReconcileReply> {
    return this.#options.host.call({ kind: 'drain', nowMs: this.#now(), endpoints });
  }

  async #send(message: RecordMessage): Promise<void> {
    const mends = this.#rounds.isUnknown;
    try {
      const reply = await this.#options.host.call({ kind: 'records', nowMs: this.#now(), message });
      this.#rounds.arrived(message, this.#now(), this.#lost);
      this.#succeeded(reply);
    } catch (error) {
      // Nobody knows how much of it was taken in.
      this.#rounds.lost();
      this.#recordsFailed(error);
      if (mends) this.#refuse(asError(error));
    }
  }

  async #tick(): Promise<void> {
    this.#tickAtMs = undefined;
    try {
      this.#succeeded(await this.#options.host.call({ kind: 'tick', nowMs: this.#now() }));
    } catch (error) {
      this.#tickAtMs = this.#now() + this.#failures.add(error, this.#phase === 'running');
    }
  }

  #take(reply: ReconcileReply): void {
    this.#tickAtMs = reply.wakeInMs === undefined ? undefined : this.#now() + reply.wakeInMs;
    this.#hasUnwritten = !isWhole(reply);
    const answered = this.#hasUnwritten ? undefined : this.#rounds.answered(preciseNowMs(this.#options.clock));
    if (reply.report?.complete === true) this.#rounds.completed();
    this.#options.onReply(reply, answered ?? NOTHING_ANSWERED);
    this.#resyncs.take(reply.report, answered !== undefined);
    this.#waiters.settle(this.#rounds.settledRevision);
  }

  #succeeded(reply: ReconcileReply): void {
    this.#failures.clear();
    this.#take(reply);
  }

  /** Nothing else goes before it was tried again. */
  #recordsFailed(cause: unknown): void {
    this.#retryAtMs = this.#now() + this.#failures.add(cause, this.#phase === 'running');
  }

  #now(): number {
    return this.#options.clock.nowMs();
  }
}

/** Every object had its turn. */
function isWhole({ unwritten = 0 }: ReconcileReply): boolean {
  return unwritten === 0;
}

function closedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the proxier is stopped');
}
