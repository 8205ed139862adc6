/** Requests that fail as a whole: since when, why, and when the next one is due. */
import { ProxierError } from '../errors.ts';
import type { Clock } from './clock.ts';

export interface RequestFailure {
  readonly sinceMs: number;
  readonly error: ProxierError;
  readonly attempts: number;
}

export interface RequestFailuresOptions {
  readonly clock: Clock;
  /** It is made again after `retryInMs`. */
  onFailure(error: ProxierError, retryInMs: number): void;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;

export class RequestFailures {
  readonly #options: RequestFailuresOptions;
  #current: RequestFailure | undefined;

  constructor(options: RequestFailuresOptions) {
    this.#options = options;
  }

  /** Undefined: the last request did not fail. */
  get current(): RequestFailure | undefined {
    return this.#current;
  }

  clear(): void {
    this.#current = undefined;
  }

  /**
   * One more.
   *
   * @param isTold False: it is of no interest any more.
   * @returns After how many ms it is due again: twice as long each time.
   */
  add(cause: unknown, isTold: boolean): number {
    const error = asError(cause);
    const attempts = (this.#current?.attempts ?? 0) + 1;
    const retryInMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempts - 1));
    if (isTold) {
      this.#current = { sinceMs: this.#current?.sinceMs ?? this.#options.clock.nowMs(), error, attempts };
      this.#options.onFailure(error, retryInMs);
    }
    return retryInMs;
  }
}

/** What a host rejects with, if it is not one of ours. */
export function asError(cause: unknown): ProxierError {
  return cause instanceof ProxierError ? cause : new ProxierError('ERR_WORKER', String(cause), { cause });
}
