/**
 * A monitor as an async iterator. The worker asks its socket when it is asked itself, at an interval and only while somebody iterates: no
 * handle of the event loop and no callback from another thread, so a worker can end at any time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProxierError } from '../errors.ts';
import type { ChangeEvent, ChangeGroup } from '../types.ts';
import { checkedGroups, checkedInteger } from './check.ts';

export interface WatchOptions {
  /** Ends the iteration: the pending `next` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How long to wait before asking again after nothing had changed, in milliseconds, 1 to 60000. Default 100. */
  readonly intervalMs?: number;
}

/** Where the monitors are. */
export interface Monitors {
  open(): Promise<number>;
  /** Undefined: there is no such monitor any more. */
  drain(monitor: number): Promise<readonly ChangeEvent[] | undefined>;
  close(monitor: number): Promise<void>;
}

export class ChangeWatch implements AsyncIterableIterator<ChangeEvent> {
  readonly #monitors: Monitors;
  readonly #signal: AbortSignal | undefined;
  readonly #intervalMs: number;
  /** Wakes the waiting, at `return` and at the caller's signal. */
  readonly #end = new AbortController();
  readonly #events: AsyncGenerator<ChangeEvent, void, undefined>;
  #opened: Promise<number>;

  /** Subscribes at once: what is listed after this call is at least as new as the first event. */
  constructor(monitors: Monitors, groups: readonly ChangeGroup[], options: WatchOptions) {
    const { intervalMs = 100, signal } = options;
    checkedGroups('groups', groups);
    this.#intervalMs = checkedInteger('intervalMs', intervalMs, 1, 60_000);
    signal?.throwIfAborted();
    this.#monitors = monitors;
    this.#signal = signal;
    this.#opened = monitors.open();
    // Whoever iterates gets the error.
    this.#opened.catch(() => {});
    this.#events = this.#poll();
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ChangeEvent, undefined>> {
    return this.#events.next().then(({ value, done }) => {
      return value === undefined || done === true ? { value: undefined, done: true } : { value, done: false };
    });
  }

  async return(): Promise<IteratorResult<ChangeEvent, undefined>> {
    await this.#finish();
    return { value: undefined, done: true };
  }

  readonly #abort = (): void => {
    void this.#finish();
  };

  async #finish(): Promise<void> {
    if (this.#end.signal.aborted) return;
    this.#end.abort();
    this.#signal?.removeEventListener('abort', this.#abort);
    // A client that is closed has closed its monitors too.
    await this.#opened.then((monitor) => this.#monitors.close(monitor)).catch(() => {});
  }

  async *#poll(): AsyncGenerator<ChangeEvent, void, undefined> {
    try {
      while (!this.#end.signal.aborted) {
        const events = await this.#drain();
        if (this.#end.signal.aborted) break;
        yield* events;
        if (events.length === 0) await this.#wait();
      }
    } finally {
      await this.#finish();
    }
    this.#signal?.throwIfAborted();
  }

  /** When the worker went and took the monitor with it, another one is opened, and what happened between is lost. */
  async #drain(): Promise<readonly ChangeEvent[]> {
    const events = await this.#opened.then((monitor) => this.#monitors.drain(monitor)).catch(undefinedWhenLost);
    if (events !== undefined || this.#end.signal.aborted) return events ?? [];
    this.#opened = this.#monitors.open();
    await this.#opened;
    return [{ kind: 'lost' }];
  }

  async #wait(): Promise<void> {
    try {
      await sleep(this.#intervalMs, undefined, { signal: this.#end.signal });
    } catch (error) {
      if (!this.#end.signal.aborted) throw error;
    }
  }
}

function undefinedWhenLost(error: unknown): undefined {
  if (!(error instanceof ProxierError) || error.code !== 'ERR_WORKER') throw error;
}
