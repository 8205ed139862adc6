/** Delays between attempts: exponential with full jitter, forgotten after a while without failures (client-go's reflector). */
export interface BackoffOptions {
  /** Default 800 ms. */
  readonly baseMs?: number;
  /** Default 30,000 ms. */
  readonly capMs?: number;
  /** Starts again from the base when the last failure is older. Default 120,000 ms. */
  readonly resetMs?: number;
  /** 0 (inclusive) to 1 (exclusive). Default Math.random. */
  readonly random?: () => number;
}

export class Backoff {
  readonly #baseMs: number;
  readonly #capMs: number;
  readonly #resetMs: number;
  readonly #random: () => number;
  #limitMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(options: BackoffOptions = {}) {
    this.#baseMs = options.baseMs ?? 800;
    this.#capMs = options.capMs ?? 30_000;
    this.#resetMs = options.resetMs ?? 120_000;
    this.#random = options.random ?? Math.random;
    this.#limitMs = this.#baseMs;
  }

  /** The delay after a failure at this time. */
  next(nowMs: number): number {
    if (nowMs - this.#lastMs > this.#resetMs) this.#limitMs = this.#baseMs;
    this.#lastMs = nowMs;
    const delayMs = this.#random() * this.#limitMs;
    this.#limitMs = Math.min(this.#limitMs * 2, this.#capMs);
    return delayMs;
  }
}
