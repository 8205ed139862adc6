/** How fast something recorded or simulated is played. */
import { setImmediate } from 'node:timers/promises';
import { InvalidArgumentError } from '../../errors.ts';
import { show } from '../../kube/json.ts';
import { type Clock, systemClock } from '../../proxier/clock.ts';
import { VirtualClock } from '../virtual-clock.ts';

export interface PaceOptions {
  /**
   * 1 (default): as fast as it was. 10: ten times as fast. `Infinity`: without waiting, but with turns of the event loop for others. Not with a
   * virtual clock, whose time passes as fast as the work is done.
   */
  readonly speed?: number;
  /**
   * Default: the machine's. A virtual clock is moved from event to event by the source itself, so that a proxier on the same clock lives through
   * the times of the events, one after another, in the same order each time.
   */
  readonly clock?: Clock;
}

/** So many events without a wait are followed by a turn of the event loop. */
const BURST = 64;

export class Pace {
  readonly #speed: number;
  readonly #clock: Clock;
  #startMs = 0;
  #burst = 0;

  /** @throws InvalidArgumentError for a speed that is none. */
  constructor({ speed = 1, clock = systemClock }: PaceOptions) {
    if (!(typeof speed === 'number' && speed > 0)) {
      throw new InvalidArgumentError('speed', `${show(speed)} is not a number above 0`);
    }
    if (speed !== 1 && clock instanceof VirtualClock) {
      throw new InvalidArgumentError('speed', 'has no effect with a virtual clock: leave one of the two out');
    }
    this.#speed = speed;
    this.#clock = clock;
  }

  /** The events' time 0 is now. */
  begin(): void {
    this.#startMs = this.#clock.nowMs();
  }

  /** Resolves when this time of the events has come, or at once when it has passed or the signal aborts. */
  async until(atMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const dueMs = this.#startMs + atMs / this.#speed;
    if (dueMs > this.#clock.nowMs()) {
      this.#burst = 0;
      if (this.#clock instanceof VirtualClock) await this.#clock.advanceTo(dueMs);
      else await this.#pause(dueMs - this.#clock.nowMs(), signal);
      return;
    }
    this.#burst += 1;
    if (this.#burst < BURST) return;
    this.#burst = 0;
    await setImmediate();
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#clock.after(delayMs, done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}
