/**
 * Moves records to the reconciler, one message at a time: the first change goes at once, what arrives while it is written is the next
 * round. Also keeps the reconciler's appointments (`wakeInMs`), which may take as long as iptables does and so run beside the
 * records, and gives a new worker what the old one knew.
 */
import { ProxierError } from '../errors.ts';
import type { PlanResult, ReconcileReply, ReconcileRequest, SyncReport } from '../reconcile/protocol.ts';
import type { ObjectRecord, RecordMessage } from '../records.ts';
import type { Host } from '../thread/host.ts';
import type { Clock } from './clock.ts';

export type ReconcileHost = Host<ReconcileRequest, ReconcileReply>;

/** The part of a record store that the pump reads. */
export interface RecordFeed {
  readonly allSynced: boolean;
  /** How many records wait to be taken. */
  readonly pending: number;
  takePending(max: number): readonly ObjectRecord[];
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

/** Something asked for from outside; its turn comes when all records handed in before it have gone. */
interface Waiter {
  run(): Promise<void>;
  reject(error: unknown): void;
}

export class Pump {
  readonly #options: PumpOptions;
  readonly #waiters: Waiter[] = [];
  #phase: 'new' | 'running' | 'stopped' = 'new';
  #rounds: Promise<void> | undefined;
  /** Woken while rounds were under way: look once more when they end. */
  #again = false;
  /** A tick, or something asked for: at most one, beside the records. */
  #beside: Promise<void> | undefined;
  #cancelTimer: () => void = () => {};
  #dirty = false;
  #lost = false;
  #snapshotDue = false;
  /** Messages of a snapshot that is under way. */
  #snapshot: RecordMessage[] = [];
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
    this.#wake();
  }

  /** A full pass now. Rejects when it could not be made. */
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

  /** Resolves when everything handed in before has been tried. */
  settled(): Promise<void> {
    return this.#ask(async () => {});
  }

  /** Makes no more requests; resolves when the one in flight has ended. Idempotent. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    this.#cancelTimer();
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError());
    await Promise.all([this.#rounds, this.#beside]);
  }

  #ask<T>(act: () => Promise<T>): Promise<T> {
    if (this.#phase !== 'running') return Promise.reject(closedError());
    return new Promise<T>((resolve, reject) => {
      this.#waiters.push({ run: () => act().then(resolve, reject), reject });
      this.#wake();
    });
  }

  /** Begins rounds unless they are under way. On the next microtask, so that changes handed in together go together. */
  #wake(): void {
    if (this.#phase !== 'running') return;
    this.#again = true;
    if (this.#rounds !== undefined) return;
    this.#cancelTimer();
    this.#rounds = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#rounds = undefined;
        if (this.#again) this.#wake();
        else this.#sleep();
      });
  }

  async #run(): Promise<void> {
    this.#again = false;
    for (let round = this.#next(); round !== undefined; round = this.#next()) await round;
  }

  /** The most urgent message of records, under way; undefined = none is due now. Starts what runs beside them when it is due. */
  #next(): Promise<void> | undefined {
    if (this.#phase !== 'running') return undefined;
    const now = this.#now();
    if (now < this.#retryAtMs) return undefined;
    if (this.#lost) return this.#restart();
    if (this.#snapshotDue) this.#prepareSnapshot();
    const piece = this.#snapshot.shift();
    if (piece !== undefined) return this.#send(piece);
    if (this.#dirty && (now >= this.#nextRoundMs || this.#waiters.length > 0)) {
      const message = this.#takePending();
      if (message !== undefined) return this.#send(message);
    }
    if (this.#beside === undefined) this.#startBeside(now);
    return undefined;
  }

  #startBeside(now: number): void {
    const waiter = this.#waiters.shift();
    const tickDue = this.#tickAtMs !== undefined && now >= this.#tickAtMs;
    if (waiter === undefined && !tickDue) return;
    this.#beside = (waiter === undefined ? this.#tick() : waiter.run()).finally(() => {
      this.#beside = undefined;
      this.#wake();
    });
  }

  /** One timer, for whatever is due first. */
  #sleep(): void {
    if (this.#phase !== 'running') return;
    const tickAtMs = this.#beside === undefined ? this.#tickAtMs : undefined;
    const due = [tickAtMs, this.#dirty ? this.#nextRoundMs : undefined, this.#workIsDue() ? 0 : undefined];
    const first = Math.min(...due.filter((time) => time !== undefined));
    if (first === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(first, this.#retryAtMs) - this.#now();
    this.#cancelTimer = this.#options.clock.after(Math.max(0, delayMs), () => this.#wake());
  }

  #workIsDue(): boolean {
    const waiting = this.#beside === undefined && this.#waiters.length > 0;
    return this.#lost || this.#snapshotDue || this.#snapshot.length > 0 || waiting;
  }

  async #restart(): Promise<void> {
    this.#lost = false;
    this.#tickAtMs = undefined;
    this.#snapshotDue = true;
    this.#syncedSent = false;
    try {
      this.#take(await this.#options.host.call({ kind: 'start', nowMs: this.#now() }));
    } catch (error) {
      this.#lost = true;
      this.#failed(error);
    }
  }

  #takePending(): RecordMessage | undefined {
    const { feed } = this.#options;
    const records = feed.takePending(MAX_RECORDS);
    this.#dirty = feed.pending > 0;
    const allSynced = this.#syncedSent || (feed.allSynced && !this.#dirty);
    if (records.length > 0 || allSynced !== this.#syncedSent) {
      this.#sentSinceMs ??= this.#pendingSinceMs;
      this.#pendingSinceMs = this.#dirty ? this.#now() : undefined;
      return { records, allSynced };
    }
    this.#pendingSinceMs = undefined;
    return undefined;
  }

  #prepareSnapshot(): void {
    const { feed } = this.#options;
    this.#snapshotDue = false;
    this.#snapshot = snapshotMessages(feed, this.#syncedSent);
  }

  async #send(message: RecordMessage): Promise<void> {
    try {
      const reply = await this.#options.host.call({ kind: 'records', nowMs: this.#now(), message });
      this.#syncedSent = message.allSynced;
      if (!this.#dirty && this.#snapshot.length === 0) {
        this.#nextRoundMs = this.#now() + this.#options.minSyncPeriodMs;
        this.#sentSinceMs = undefined;
      }
      this.#succeeded(reply);
    } catch (error) {
      // Nobody knows how much of it was taken in.
      this.#snapshotDue = true;
      this.#snapshot = [];
      this.#failed(error);
    }
  }

  async #tick(): Promise<void> {
    const due = this.#tickAtMs;
    this.#tickAtMs = undefined;
    try {
      this.#succeeded(await this.#options.host.call({ kind: 'tick', nowMs: this.#now() }));
    } catch (error) {
      this.#tickAtMs = due;
      this.#failed(error);
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

  #failed(cause: unknown): void {
    if (this.#phase !== 'running') return;
    const error = cause instanceof ProxierError ? cause : new ProxierError('ERR_WORKER', String(cause), { cause });
    const attempts = (this.#failing?.attempts ?? 0) + 1;
    const retryInMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempts - 1));
    this.#failing = { sinceMs: this.#failing?.sinceMs ?? this.#now(), error, attempts };
    this.#retryAtMs = this.#now() + retryInMs;
    this.#options.onFailure(error, retryInMs);
  }

  #now(): number {
    return this.#options.clock.nowMs();
  }
}

/** A snapshot in pieces. Only the last one says that the sources have synced: before it, what is missing is not gone. */
export function snapshotMessages(feed: RecordFeed, syncedBefore: boolean): RecordMessage[] {
  const records = feed.snapshot();
  const { allSynced } = feed;
  if (records.length <= MAX_RECORDS) return [{ records, snapshot: 'whole', allSynced }];
  const messages: RecordMessage[] = [];
  for (let from = 0; from < records.length; from += MAX_RECORDS) {
    const to = from + MAX_RECORDS;
    const piece = { records: records.slice(from, to), allSynced: syncedBefore };
    if (from === 0) messages.push({ ...piece, snapshot: 'begin' });
    else if (to < records.length) messages.push(piece);
    else messages.push({ ...piece, snapshot: 'end', allSynced });
  }
  return messages;
}

function closedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the proxier is stopped');
}
