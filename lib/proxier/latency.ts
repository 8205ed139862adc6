/** How long changes take, in a bounded memory. */
import { createHistogram } from 'node:perf_hooks';

export interface LatencySummary {
  /** How many were measured. */
  readonly count: number;
  /** Half of them took no longer than this, in ms, to within 1 %. 0 when there are none, as with the others. */
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  /** Exactly. */
  readonly maxMs: number;
}

/** What is longer than an hour counts as an hour but in the maximum. */
const HIGHEST_MICROS = 3_600_000_000;

export class LatencyHistogram {
  /** Buckets of microseconds, two digits: some 40 kB, whatever is recorded. */
  readonly #histogram = createHistogram({ lowest: 1, highest: HIGHEST_MICROS, figures: 2 });
  #maxMs = 0;

  record(ms: number): void {
    this.#maxMs = Math.max(this.#maxMs, ms);
    this.#histogram.record(Math.min(HIGHEST_MICROS, Math.max(1, Math.round(ms * 1000))));
  }

  summary(): LatencySummary {
    const { count } = this.#histogram;
    const quantile = (percent: number): number =>
      count === 0 ? 0 : Math.min(this.#maxMs, this.#histogram.percentile(percent) / 1000);
    return { count, p50Ms: quantile(50), p90Ms: quantile(90), p99Ms: quantile(99), maxMs: this.#maxMs };
  }
}
