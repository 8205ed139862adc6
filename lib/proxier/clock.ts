/** Time as a parameter, so that tests turn the clock by hand. */
import { performance } from 'node:perf_hooks';

export interface Clock {
  /** Milliseconds that never go back; the zero is arbitrary. */
  nowMs(): number;
  /** The same with fractions, for what is over within one. Default `nowMs`. */
  preciseMs?(): number;
  /** Wall clock, for people. */
  date(): Date;
  /** Calls back once after `delayMs`; the result cancels it, harmless when it has run. */
  after(delayMs: number, callback: () => void): () => void;
}

/** The longest delay setTimeout takes; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  nowMs: () => Math.round(performance.now()),
  preciseMs: () => performance.now(),
  date: () => new Date(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(0, delayMs), MAX_DELAY_MS));
    return () => clearTimeout(timer);
  },
};

export function preciseNowMs(clock: Clock): number {
  return clock.preciseMs?.() ?? clock.nowMs();
}
