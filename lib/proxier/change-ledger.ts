/** The changes that were taken and that the kernel has not answered: by object, so that memory is bounded by objects, not by events. */
import type { PendingChange } from '../kube/pending-records.ts';
import { LatencyHistogram, type LatencySummary } from './latency.ts';

/** What a reply of the reconciler has brought to an end. */
export interface AnsweredChanges {
  /** Objects; what was coalesced into one change counts once. */
  readonly changes: number;
  /** The longest that one of them took, from its trigger time where the API says it, else from when it was handed in; 0 = none is measured. */
  readonly oldestMs: number;
}

export interface ChangeLatency {
  /**
   * Changes of EndpointSlices whose annotation `endpoints.kubernetes.io/last-change-trigger-time` says when they were caused, from then on:
   * kube-proxy's `network_programming_duration_seconds`.
   */
  readonly fromTrigger: LatencySummary;
  /** All changes, from when the source handed them in. */
  readonly fromHandIn: LatencySummary;
}

export const NOTHING_ANSWERED: AnsweredChanges = { changes: 0, oldestMs: 0 };

export class ChangeLedger {
  /** Sent, and the reconciler has not said that it has all of it. */
  #inFlight = new OpenChanges();
  /** The reconciler has them, and has not had a turn for each. */
  #taken = new OpenChanges();
  readonly #fromTrigger = new LatencyHistogram();
  readonly #fromHandIn = new LatencyHistogram();

  /** Objects that wait. */
  get size(): number {
    return this.#inFlight.size + this.#taken.size;
  }

  /** The oldest of all. */
  get oldest(): PendingChange | undefined {
    return older(this.#inFlight.oldest, this.#taken.oldest);
  }

  /** The oldest that the reconciler may not have. */
  get oldestInFlight(): PendingChange | undefined {
    return this.#inFlight.oldest;
  }

  send(changes: Iterable<PendingChange>): void {
    this.#inFlight.add(changes);
  }

  /** The reconciler has all that was sent. */
  arrived(): void {
    this.#taken.add(this.#inFlight.values());
    this.#inFlight = new OpenChanges();
  }

  /** It is unknown what the reconciler has. */
  lost(): void {
    this.#taken.add(this.#inFlight.values());
    this.#inFlight = this.#taken;
    this.#taken = new OpenChanges();
  }

  /**
   * All that has arrived was tried.
   *
   * @param measuredFrom The first `seq` whose latency counts.
   */
  answered(nowMs: number, measuredFrom: number): AnsweredChanges {
    const { size } = this.#taken;
    if (size === 0) return NOTHING_ANSWERED;
    let oldestMs = 0;
    for (const { firstSeq, sinceMs, triggeredMs } of this.#taken.values()) {
      if (firstSeq < measuredFrom) continue;
      this.#fromHandIn.record(nowMs - sinceMs);
      if (triggeredMs !== undefined) this.#fromTrigger.record(nowMs - triggeredMs);
      oldestMs = Math.max(oldestMs, nowMs - (triggeredMs ?? sinceMs));
    }
    this.#taken = new OpenChanges();
    return { changes: size, oldestMs };
  }

  latency(): ChangeLatency {
    return { fromTrigger: this.#fromTrigger.summary(), fromHandIn: this.#fromHandIn.summary() };
  }
}

/** One change for each object, the oldest. */
class OpenChanges {
  readonly #byId = new Map<string, PendingChange>();
  #oldest: PendingChange | undefined;

  get size(): number {
    return this.#byId.size;
  }

  get oldest(): PendingChange | undefined {
    return this.#oldest;
  }

  values(): IterableIterator<PendingChange> {
    return this.#byId.values();
  }

  add(changes: Iterable<PendingChange>): void {
    for (const change of changes) {
      const kept = older(this.#byId.get(change.id), change);
      if (kept !== undefined) this.#byId.set(change.id, kept);
      this.#oldest = older(this.#oldest, change);
    }
  }
}

export function older(one: PendingChange | undefined, other: PendingChange | undefined): PendingChange | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.firstSeq <= other.firstSeq ? one : other;
}
