/** Time that passes only when it is told to: an hour of a proxier's life in as long as its work takes. */
import type { Clock } from '../proxier/clock.ts';
import { Timeline } from './simulation/timeline.ts';

interface Timer {
  cancelled: boolean;
  readonly callback: () => void;
}

/** For `fakeProxier` and for sources that play something. What waits for anything but this clock (files, sockets) is not waited for. */
export class VirtualClock implements Clock {
  readonly #startMs: number;
  readonly #timers = new Timeline<Timer>();
  #nowMs = 0;
  #waiting = 0;

  /** @param startMs What `date()` begins with, in ms since 1970. Default: the machine's. */
  constructor(startMs: number = Date.now()) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  date(): Date {
    return new Date(this.#startMs + this.#nowMs);
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { cancelled: false, callback };
    this.#timers.plan(this.#nowMs + Math.max(0, delayMs), timer);
    this.#waiting += 1;
    return () => {
      if (!timer.cancelled) this.#waiting -= 1;
      timer.cancelled = true;
    };
  }

  /** Callbacks that are still to come. */
  get timers(): number {
    return this.#waiting;
  }

  /** Lets what is under way end, then runs everything that falls due on the way, each with what follows from it, at its own time. */
  async advanceTo(nowMs: number): Promise<void> {
    await settle();
    while (this.#timers.nextAt <= nowMs) {
      this.#nowMs = Math.max(this.#nowMs, this.#timers.nextAt);
      const timer = this.#timers.take();
      if (timer === undefined || timer.cancelled) continue;
      timer.cancelled = true;
      this.#waiting -= 1;
      timer.callback();
      await settle();
    }
    this.#nowMs = Math.max(this.#nowMs, nowMs);
  }
}

/** Chains of promises run to their end between two turns of the event loop; a few more turns for what uses setImmediate itself. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
