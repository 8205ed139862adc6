/** A client that goes on asking while other things happen. */
import type { NetpeerClient, Outcome } from './netpeer.ts';

export class Watcher {
  readonly outcomes: Outcome[] = [];
  readonly #client: NetpeerClient;
  readonly #ended: Promise<void>;
  #notify: () => void = () => {};

  constructor(client: NetpeerClient) {
    this.#client = client;
    this.#ended = this.#collect();
  }

  /** Waits until the outcomes so far have what is looked for; false when that takes longer than `timeoutMs`. */
  async until(found: (outcomes: readonly Outcome[]) => boolean, timeoutMs = 20_000): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!found(this.outcomes)) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((done) => {
        this.#notify = done;
        timer = setTimeout(done, leftMs);
      });
      clearTimeout(timer);
    }
    return true;
  }

  get failures(): readonly Outcome[] {
    return this.outcomes.filter(({ kind }) => kind !== 'answered');
  }

  async stop(): Promise<void> {
    this.#client.stop();
    await this.#ended;
  }

  async #collect(): Promise<void> {
    for await (const outcome of this.#client) {
      this.outcomes.push(outcome);
      this.#notify();
    }
  }
}
