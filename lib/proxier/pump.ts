/**
 * Moves records to the reconciler, keeps its appointments (`wakeInMs`: ticks), and asks it what others want to know. The rules:
 *
 * - Records go in rounds, one message at a time. A round is all that waits when it begins; what arrives meanwhile is the next round. The
 *   first change goes at once, the next round `minSyncPeriodMs` after the end of the last one, or at once when somebody waits for it.
 * - A tick that is due, and whatever was asked for once the rounds it came after have gone, begins before the next message of records does. It may
 *   take as long as iptables does and so runs beside the records, one at a time, in turns when both are due: however fast records or
 *   questions come, nothing starves.
 * - When it is unknown what the reconciler has (its worker was replaced, or records failed) a snapshot of everything goes first. What
 *   is asked for makes it be tried at once, and is refused with the error when that fails: nobody waits for ever.
 */
import { ProxierError } from '../errors.ts';
import type { EndpointDrain, PlanResult, ReconcileReply, ReconcileRequest, SyncReport } from '../reconcile/protocol.ts';
import type { ObjectRecord, RecordMessage } from '../records.ts';
import type { Host } from '../thread/host.ts';
import type { Clock } from './clock.ts';

export type ReconcileHost = Host<ReconcileRequest, ReconcileReply>;

/** The part of a record store that the pump reads. */
export interface RecordFeed {
  readonly allSynced: boolean;
  /** All that waits, which then waits no longer. */
  takePending(): readonly ObjectRecord[];
  /** Everything there is; pending records stay pending. */
  snapshot(): readonly ObjectRecord[];
}

export interface PumpOptions {
  readonly host: ReconcileHost;
  readonly feed: RecordFeed;
  readonly clock: Clock;
  /** Least time from the end of a round to the next round of records. */
  readonly minSyncPeriodMs: number;
  onReply(reply: ReconcileReply): void;
  /** Endpoints that are to be drained whatever the records say. Default: none. */
  drains?(): readonly EndpointDrain[];
  /** A request failed as a whole; it is made again after `retryInMs`. */
  onFailure(error: ProxierError, retryInMs: number): void;
}

/** What the pump waits for, for health. */
export interface PumpState {
  /** When the oldest change that is not yet in the kernel was handed in. */
  readonly pendingSinceMs: number | undefined;
  /** When requests began to fail, and the last reason. */
  readonly failing: { readonly sinceMs: number; readonly error: ProxierError; readonly attempts: number } | undefined;
}

/** Keeps one structured clone, and so one pause of the caller's event loop, to a few milliseconds. */
const MAX_RECORDS = 2000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;

/** Something asked for from outside. */
interface Waiter {
  /** The number of the round that takes the last record handed in before it. */
  readonly round: number;
  run(): Promise<void>;
  reject(error: unknown): void;
}

export class Pump {
  readonly #options: PumpOptions;
  /** In the order they came, so with rising rounds. */
  readonly #waiters: Waiter[] = [];
  #phase: 'new' | 'running' | 'stopped' = 'new';
  #running: Promise<void> | undefined;
  /** Woken while messages were under way: look once more when they end. */
  #again = false;
  /** A tick, or something asked for: at most one, beside the records. */
  #beside: Promise<void> | undefined;
  /** The last of them was asked for: a tick that is due has the next turn. */
  #tickHasTurn = false;
  #cancelTimer: () => void = () => {};
  /** Something is new since the last round began. */
  #dirty = false;
  #lost = false;
  #snapshotDue = false;
  /** What is left to be sent of a round or a snapshot. */
  #messages: RecordMessage[] = [];
  /** It is unknown what the reconciler has, until a whole snapshot has been sent. */
  #unknown = false;
  /** How many rounds have begun. */
  #round = 0;
  /** The reconciler knows that every source has synced. */
  #syncedSent = false;
  #tickAtMs: number | undefined;
  #nextRoundMs = 0;
  #retryAtMs = 0;
  #pendingSinceMs: number | undefined;
  #sentSinceMs: number | undefined;
  #failing: PumpState['failing'];

  constructor(options: PumpOptions) {
    this.#options = options;
  }

  get state(): PumpState {
    return { pendingSinceMs: this.#sentSinceMs ?? this.#pendingSinceMs, failing: this.#failing };
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
    this.#dirty = true;
    this.#pendingSinceMs ??= this.#now();
    this.#wake();
  }

  /** The reconciler's state was lost: it reads the kernel again, and gets all records again. */
  restarted(): void {
    this.#lost = true;
    this.#unknown = true;
    this.#wake();
  }

  /** A full pass now. Rejects when it could not be made, or when the reconciler cannot be told what must go before it. */
  resync(): Promise<SyncReport> {
    return this.#ask(async () => {
      const reply = await this.#options.host.call({ kind: 'resync', nowMs: this.#now() });
      this.#succeeded(reply);
      if (reply.report === undefined) throw new ProxierError('ERR_WORKER', 'resync was answered without a report');
      return reply.report;
    });
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
    return this.#ask(async () => {});
  }

  /** Makes no more requests; resolves when the one in flight has ended. Idempotent. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    this.#cancelTimer();
    this.#refuse(closedError());
    await Promise.all([this.#running, this.#beside]);
  }

  #ask<T>(act: () => Promise<T>): Promise<T> {
    if (this.#phase !== 'running') return Promise.reject(closedError());
    return new Promise<T>((resolve, reject) => {
      const round = this.#round + (this.#dirty ? 1 : 0);
      this.#waiters.push({ round, run: () => act().then(resolve, reject), reject });
      this.#retryAtMs = 0;
      this.#wake();
    });
  }

  #refuse(error: ProxierError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  /** Looks for work unless that is under way. On the next microtask, so that changes handed in together go together. */
  #wake(): void {
    if (this.#phase !== 'running') return;
    this.#again = true;
    if (this.#running !== undefined) return;
    this.#cancelTimer();
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        if (this.#again) this.#wake();
        else this.#sleep();
      });
  }

  async #run(): Promise<void> {
    this.#again = false;
    for (let sent = this.#next(); sent !== undefined; sent = this.#next()) await sent;
  }

  /** The next message, under way; undefined = none is due now. Before it begins what is due beside it. */
  #next(): Promise<void> | undefined {
    if (this.#phase !== 'running') return undefined;
    const now = this.#now();
    if (now < this.#retryAtMs) return undefined;
    if (this.#lost) return this.#restart();
    if (this.#snapshotDue) this.#beginSnapshot();
    else if (this.#messages.length === 0 && now >= this.#roundDueMs()) this.#beginRound();
    if (this.#beside === undefined && !this.#unknown) this.#startBeside(now);
    const message = this.#messages.shift();
    return message === undefined ? undefined : this.#send(message);
  }

  #startBeside(now: number): void {
    const tickDue = this.#tickAtMs !== undefined && now >= this.#tickAtMs;
    const waiter = this.#waiterIsDue() && !(tickDue && this.#tickHasTurn) ? this.#waiters.shift() : undefined;
    if (waiter === undefined && !tickDue) return;
    this.#tickHasTurn = waiter !== undefined;
    this.#beside = (waiter === undefined ? this.#tick() : waiter.run()).finally(() => {
      this.#beside = undefined;
      this.#wake();
    });
  }

  /** The records handed in before it have gone. */
  #waiterIsDue(): boolean {
    const round = this.#waiters[0]?.round;
    return round !== undefined && (this.#messages.length === 0 ? round <= this.#round : round < this.#round);
  }

  /** One timer, for whatever is due first. */
  #sleep(): void {
    if (this.#phase !== 'running') return;
    const dueMs = this.#dueMs();
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(dueMs, this.#retryAtMs) - this.#now();
    this.#cancelTimer = this.#options.clock.after(Math.max(0, delayMs), () => this.#wake());
  }

  #dueMs(): number {
    if (this.#lost || this.#snapshotDue || this.#messages.length > 0) return 0;
    const roundMs = this.#roundDueMs();
    if (this.#beside !== undefined) return roundMs;
    return Math.min(roundMs, this.#waiterIsDue() ? 0 : (this.#tickAtMs ?? Number.POSITIVE_INFINITY));
  }

  #roundDueMs(): number {
    if (!this.#dirty) return Number.POSITIVE_INFINITY;
    const isWaitedFor = (this.#waiters.at(-1)?.round ?? 0) > this.#round;
    const becameSynced = !this.#syncedSent && this.#options.feed.allSynced;
    return isWaitedFor || becameSynced ? 0 : this.#nextRoundMs;
  }

  async #restart(): Promise<void> {
    this.#lost = false;
    this.#tickAtMs = undefined;
    this.#messages = [];
    this.#snapshotDue = true;
    this.#syncedSent = false;
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

  #beginRound(): void {
    const { feed } = this.#options;
    const records = feed.takePending();
    const allSynced = this.#syncedSent || feed.allSynced;
    this.#dirty = false;
    this.#round += 1;
    const isEmpty = records.length === 0 && allSynced === this.#syncedSent;
    this.#sentSinceMs = isEmpty ? undefined : this.#pendingSinceMs;
    this.#pendingSinceMs = undefined;
    if (!isEmpty) this.#messages = roundMessages(records, this.#syncedSent, allSynced);
  }

  #beginSnapshot(): void {
    const { feed } = this.#options;
    this.#snapshotDue = false;
    this.#messages = snapshotMessages(feed, this.#syncedSent);
  }

  async #send(message: RecordMessage): Promise<void> {
    const mends = this.#unknown;
    try {
      const reply = await this.#options.host.call({ kind: 'records', nowMs: this.#now(), message });
      this.#syncedSent = message.allSynced;
      if (this.#messages.length === 0) this.#allSent();
      this.#succeeded(reply);
    } catch (error) {
      // Nobody knows how much of it was taken in.
      this.#unknown = true;
      this.#snapshotDue = true;
      this.#messages = [];
      this.#recordsFailed(error);
      if (mends) this.#refuse(asError(error));
    }
  }

  #allSent(): void {
    this.#nextRoundMs = this.#now() + this.#options.minSyncPeriodMs;
    this.#sentSinceMs = undefined;
    // A worker that was lost meanwhile has nothing of it.
    this.#unknown = this.#lost;
  }

  async #tick(): Promise<void> {
    this.#tickAtMs = undefined;
    try {
      this.#succeeded(await this.#options.host.call({ kind: 'tick', nowMs: this.#now() }));
    } catch (error) {
      this.#tickAtMs = this.#now() + this.#failed(error);
    }
  }

  #take(reply: ReconcileReply): void {
    this.#tickAtMs = reply.wakeInMs === undefined ? undefined : this.#now() + reply.wakeInMs;
    this.#options.onReply(reply);
  }

  #succeeded(reply: ReconcileReply): void {
    this.#failing = undefined;
    this.#take(reply);
  }

  /** Nothing else goes before it was tried again. */
  #recordsFailed(cause: unknown): void {
    this.#retryAtMs = this.#now() + this.#failed(cause);
  }

  /** Tells it, and after how many ms it is due again. */
  #failed(cause: unknown): number {
    const error = asError(cause);
    const attempts = (this.#failing?.attempts ?? 0) + 1;
    const retryInMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempts - 1));
    if (this.#phase === 'running') {
      this.#failing = { sinceMs: this.#failing?.sinceMs ?? this.#now(), error, attempts };
      this.#options.onFailure(error, retryInMs);
    }
    return retryInMs;
  }

  #now(): number {
    return this.#options.clock.nowMs();
  }
}

/** A round in pieces. Only the last one says that the sources have synced. */
function roundMessages(records: readonly ObjectRecord[], syncedBefore: boolean, allSynced: boolean): RecordMessage[] {
  const pieces = inPieces(records);
  return pieces.map((piece, index) => ({
    records: piece,
    allSynced: index === pieces.length - 1 ? allSynced : syncedBefore,
  }));
}

/** A snapshot in pieces. Only the last one says that the sources have synced: before it, what is missing is not gone. */
export function snapshotMessages(feed: RecordFeed, syncedBefore: boolean): RecordMessage[] {
  const { allSynced } = feed;
  const messages = roundMessages(feed.snapshot(), syncedBefore, allSynced);
  const last = messages.length - 1;
  if (last === 0) return messages.map((message) => ({ ...message, snapshot: 'whole' }));
  return messages.map((message, index) => {
    if (index === 0) return { ...message, snapshot: 'begin' };
    return index === last ? { ...message, snapshot: 'end' } : message;
  });
}

/** At least one piece, which may be empty. */
function inPieces(records: readonly ObjectRecord[]): (readonly ObjectRecord[])[] {
  if (records.length <= MAX_RECORDS) return [records];
  const pieces: (readonly ObjectRecord[])[] = [];
  for (let from = 0; from < records.length; from += MAX_RECORDS) pieces.push(records.slice(from, from + MAX_RECORDS));
  return pieces;
}

function asError(cause: unknown): ProxierError {
  return cause instanceof ProxierError ? cause : new ProxierError('ERR_WORKER', String(cause), { cause });
}

function closedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the proxier is stopped');
}
