/** When the audit does its work: a round in each period, a slice of about a millisecond at a time. The last and longest part of a round is spread over the period. */
import { type AuditParts, AuditRound } from './audit-round.ts';

/** Pieces of work of one slice, see `cost` of the round: about a millisecond. */
const sliceWork = 1000;
/** Where something is open that others may want, the next slice comes as soon as changes have gone in between. */
const soonMs = 1;
/** What one virtual service costs on the average of the spread part. */
const serviceWork = 20;

export class Audit {
  readonly #parts: AuditParts;
  readonly #periodMs: number;
  #round: AuditRound | undefined;
  #nextMs = 0;

  constructor(parts: AuditParts, periodMs: number) {
    this.#parts = parts;
    this.#periodMs = periodMs;
  }

  /** When the round that is under way goes on; undefined: there is none. */
  get nextMs(): number | undefined {
    return this.#round === undefined ? undefined : this.#nextMs;
  }

  /** A new round; one that is under way is given up. */
  begin(nowMs: number): void {
    this.abandon();
    this.#round = new AuditRound(this.#parts);
    this.#nextMs = nowMs;
  }

  /** True: the round is over. Throws what the session throws: then it is given up. */
  slice(nowMs: number): boolean {
    const round = this.#round;
    if (round === undefined) return true;
    let isOver = true;
    try {
      isOver = round.slice(sliceWork);
    } finally {
      if (isOver) this.#round = undefined;
    }
    this.#nextMs = nowMs + (round.isPaced ? this.#paceMs() : soonMs);
    return isOver;
  }

  /** Something is about to be written. */
  release(): void {
    this.#round?.release();
  }

  abandon(): void {
    this.#round?.end();
    this.#round = undefined;
  }

  #paceMs(): number {
    const { services, destinations } = this.#parts.applied;
    const slices = Math.ceil((services.size * serviceWork + destinations) / sliceWork);
    return Math.max(soonMs, Math.floor(this.#periodMs / (slices + 2)));
  }
}
