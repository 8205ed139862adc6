/** Does one thing after the other as long as something is due, and sleeps until the next is. */
import type { Clock } from './clock.ts';

export interface WorkLoopOptions {
  readonly clock: Clock;
  /** Begins what is due; undefined = nothing is. Never rejects. */
  next(): Promise<void> | undefined;
  /** When something is due though nobody wakes it; Infinity = never. */
  dueMs(): number;
}

export class WorkLoop {
  readonly #options: WorkLoopOptions;
  #isStopped = false;
  #running: Promise<void> | undefined;
  /** Woken at work: look once more when it ends. */
  #again = false;
  #cancelTimer: () => void = () => {};

  constructor(options: WorkLoopOptions) {
    this.#options = options;
  }

  /** Looks for work unless that is under way. On the next microtask, so that what is handed in together goes together. */
  wake(): void {
    if (this.#isStopped) return;
    this.#again = true;
    if (this.#running !== undefined) return;
    this.#cancelTimer();
    this.#running = Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        if (this.#again) this.wake();
        else this.#sleep();
      });
  }

  /** Begins nothing more; resolves when what is under way has ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#running;
  }

  async #run(): Promise<void> {
    this.#again = false;
    for (let work = this.#next(); work !== undefined; work = this.#next()) await work;
  }

  #next(): Promise<void> | undefined {
    return this.#isStopped ? undefined : this.#options.next();
  }

  /** One timer, for whatever is due first. */
  #sleep(): void {
    if (this.#isStopped) return;
    const { clock } = this.#options;
    const dueMs = this.#options.dueMs();
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#cancelTimer = clock.after(Math.max(0, dueMs - clock.nowMs()), () => this.wake());
  }
}
