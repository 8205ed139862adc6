/** Who waits until everything up to a revision has been tried. */

interface RevisionWaiter {
  readonly revision: number;
  resolve(): void;
  reject(error: unknown): void;
}

export class RevisionWaiters {
  readonly #waiters = new Set<RevisionWaiter>();

  /** The highest revision waited for; 0 = none is. */
  get highest(): number {
    let highest = 0;
    for (const { revision } of this.#waiters) highest = Math.max(highest, revision);
    return highest;
  }

  /** Forgotten, neither resolved nor rejected, when the signal aborts: whoever aborts it knows. */
  wait(revision: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = (): void => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener('abort', forget);
      };
      const waiter: RevisionWaiter = {
        revision,
        resolve: () => {
          forget();
          resolve();
        },
        reject: (error) => {
          forget();
          reject(error);
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener('abort', forget, { once: true });
    });
  }

  /** Everything up to this has been tried. */
  settle(upTo: number): void {
    for (const waiter of [...this.#waiters]) if (waiter.revision <= upTo) waiter.resolve();
  }

  refuse(error: unknown): void {
    for (const waiter of [...this.#waiters]) waiter.reject(error);
  }
}
