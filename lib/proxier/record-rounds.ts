/** Which records go next, and what has become of those that went: the feed cut into rounds and snapshots, without a clock of its own. */
import type { PendingChange, RoundLimits } from '../kube/pending-records.ts';
import type { RecordMessage } from '../records.ts';
import { type AnsweredChanges, type ChangeLatency, ChangeLedger, older } from './change-ledger.ts';
import { ROUND_LIMITS, type SnapshotFeed, snapshotMessages } from './record-messages.ts';

/** The part of a record store that is read. */
export interface RecordFeed extends SnapshotFeed {
  /** Highest `seq` given so far. */
  readonly seq: number;
  /** How many changes wait, and the one that has waited longest. */
  readonly pending: number;
  readonly oldestPending: PendingChange | undefined;
  /** The next round, which then waits no longer. */
  takeRound(limits: RoundLimits): readonly PendingChange[];
}

const EVERYTHING: RoundLimits = { records: Number.POSITIVE_INFINITY, endpoints: Number.POSITIVE_INFINITY };

export class RecordRounds {
  readonly #feed: RecordFeed;
  readonly #minPeriodMs: number;
  readonly #ledger = new ChangeLedger();
  #snapshotDue = false;
  /** What is left to be sent of a snapshot. */
  #snapshot: RecordMessage[] = [];
  #isUnknown = false;
  /** The kernel is not known to have what the reconciler was told in a snapshot. */
  #isBehind = false;
  /** The reconciler knows that every source has synced. */
  #syncedSent = false;
  /** What was handed in up to here goes before it hears that. */
  #syncedSeq: number | undefined;
  /** The last round left something: it goes on at once. */
  #hasRest = false;
  #nextRoundMs = 0;
  /** The first `seq` after the first complete pass: a first list is no change. */
  #measuredFrom = Number.POSITIVE_INFINITY;

  /** @param minPeriodMs Least time from the end of a round to the next one. */
  constructor(feed: RecordFeed, minPeriodMs: number) {
    this.#feed = feed;
    this.#minPeriodMs = minPeriodMs;
  }

  /** It is unknown what the reconciler has, until a whole snapshot has been sent. */
  get isUnknown(): boolean {
    return this.#isUnknown;
  }

  /** The change that has waited longest for the kernel's answer. */
  get oldest(): PendingChange | undefined {
    return older(this.#ledger.oldest, this.#feed.oldestPending);
  }

  /** Changes that wait for the kernel's answer; an object that changed again while it was written counts twice. */
  get waiting(): number {
    return this.#ledger.size + this.#feed.pending;
  }

  /** Everything up to here has been tried in the kernel. */
  get triedRevision(): number {
    const { oldest } = this;
    return oldest === undefined ? this.#feed.seq : oldest.firstSeq - 1;
  }

  /** The same, and -1 while the kernel may have lost what it had. */
  get settledRevision(): number {
    return this.#isBehind || this.#hasSyncedToTell ? -1 : this.triedRevision;
  }

  latency(): ChangeLatency {
    return this.#ledger.latency();
  }

  /** The reconciler has everything up to the revision. */
  hasSent(revision: number): boolean {
    const open = older(this.#ledger.oldestInFlight, this.#feed.oldestPending);
    return !this.#hasSyncedToTell && (open === undefined || open.firstSeq > revision);
  }

  /** When the next message is due; 0 = at once. What somebody waits for (the highest revision of it) is not paced. */
  dueMs(waitedFor: number): number {
    if (this.#snapshotDue || this.#snapshot.length > 0 || this.#hasSyncedToTell) return 0;
    const { oldestPending } = this.#feed;
    if (oldestPending === undefined) return Number.POSITIVE_INFINITY;
    return !this.#syncedSent || oldestPending.firstSeq <= waitedFor ? 0 : this.#nextRoundMs;
  }

  /** The next message; undefined = there is nothing to say. */
  take(): RecordMessage | undefined {
    if (this.#snapshotDue) this.#beginSnapshot();
    return this.#snapshot.shift() ?? this.#takeRound();
  }

  /** A message that makes the reconciler go on. */
  nothing(): RecordMessage {
    return { records: [], allSynced: this.#syncedSent };
  }

  /** The reconciler has taken the message in. `isLost`: and has been lost since. */
  arrived(message: RecordMessage, nowMs: number, isLost: boolean): void {
    this.#syncedSent = message.allSynced;
    if (this.#snapshot.length > 0) return;
    this.#nextRoundMs = this.#hasRest ? 0 : nowMs + this.#minPeriodMs;
    this.#isUnknown = isLost;
    if (!isLost) this.#ledger.arrived();
  }

  /** It is unknown what the reconciler has, or whether it is there. */
  lost(): void {
    this.#isUnknown = true;
    this.#isBehind = true;
    this.#snapshotDue = true;
    this.#snapshot = [];
    this.#ledger.lost();
  }

  /** There is a new one, which knows nothing. */
  restarted(): void {
    this.lost();
    this.#syncedSent = false;
  }

  /** Every object that the reconciler knows of had its turn. Undefined: that says nothing, as it is unknown what it has. */
  answered(nowMs: number): AnsweredChanges | undefined {
    if (this.#isUnknown) return undefined;
    this.#isBehind = false;
    return this.#ledger.answered(nowMs, this.#measuredFrom);
  }

  /** A complete pass was made. The first one ends the first lists, which are no changes. */
  completed(): void {
    this.#measuredFrom = Math.min(this.#measuredFrom, this.#feed.seq + 1);
  }

  get #hasSyncedToTell(): boolean {
    return !this.#syncedSent && this.#feed.allSynced;
  }

  #takeRound(): RecordMessage | undefined {
    const feed = this.#feed;
    const changes = feed.takeRound(ROUND_LIMITS);
    this.#hasRest = feed.pending > 0;
    if (feed.allSynced) this.#syncedSeq ??= feed.seq;
    const unlisted = feed.oldestPending?.firstSeq ?? Number.POSITIVE_INFINITY;
    const allSynced = this.#syncedSent || (this.#syncedSeq !== undefined && unlisted > this.#syncedSeq);
    if (changes.length === 0 && allSynced === this.#syncedSent) return undefined;
    this.#ledger.send(changes);
    return { records: changes.map(({ record }) => record), allSynced };
  }

  /** All that is pending is in it; newer state waits for its end. */
  #beginSnapshot(): void {
    this.#snapshotDue = false;
    this.#ledger.send(this.#feed.takeRound(EVERYTHING));
    this.#hasRest = false;
    this.#snapshot = snapshotMessages(this.#feed, this.#syncedSent);
  }
}
