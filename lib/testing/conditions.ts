/** Lets tests wait for conditions on something that tells when it has changed: no polling, and no waiting for ever. */
export class Conditions {
  readonly #who: string;
  readonly #told: () => string;
  readonly #waiting = new Set<() => void>();

  /** @param told What more to say when a condition does not come to hold in time. */
  constructor(who: string, told: () => string = () => '') {
    this.#who = who;
    this.#told = told;
  }

  /** Resolves as soon as the condition holds, looked at now and after every change; rejects after the deadline. */
  until(condition: () => boolean, what: string, deadlineMs: number = 10_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        if (!condition()) return;
        finish();
        resolve();
      };
      const finish = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
      };
      const timer = setTimeout(() => {
        finish();
        reject(new Error(`${this.#who} waited ${deadlineMs} ms in vain for: ${what}${this.#told()}`));
      }, deadlineMs);
      this.#waiting.add(check);
      check();
    });
  }

  changed(): void {
    for (const check of [...this.#waiting]) check();
  }
}
