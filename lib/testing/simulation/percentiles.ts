/** Of durations in microseconds. All 0 when there was none. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Eight buckets to a doubling: what is said is at most 9 % more than what was measured. From 1 µs to more than an hour. */
const STEPS = 8;
const BUCKETS = 33 * STEPS;

/** Counts durations in buckets: as much memory for a million as for one. The maximum is exact. */
export class DurationCounts {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #max = 0;

  add(micros: number): void {
    const bucket = micros <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log2(micros) * STEPS));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    this.#count += 1;
    this.#max = Math.max(this.#max, micros);
  }

  get percentiles(): Percentiles {
    return { count: this.#count, p50: this.#at(0.5), p99: this.#at(0.99), max: this.#max };
  }

  /** The upper end of the bucket that this share of the durations ends in. */
  #at(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    for (const [bucket, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0) return Math.min(this.#max, 2 ** (bucket / STEPS));
    }
    return this.#max;
  }
}
