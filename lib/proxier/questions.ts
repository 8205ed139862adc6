/** What was asked for from outside and goes to the reconciler once the records handed in before it have gone. */

interface Question {
  /** The highest `seq` of the records that go before it. */
  readonly revision: number;
  run(): Promise<void>;
  reject(error: unknown): void;
}

export class Questions {
  /** In the order they came, so with rising revisions. */
  readonly #waiting: Question[] = [];

  /** The revision that the last of them waits for; 0 = none waits. */
  get highest(): number {
    return this.#waiting.at(-1)?.revision ?? 0;
  }

  /** @param act Never throws at once. */
  add<T>(revision: number, act: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ revision, run: () => act().then(resolve, reject), reject });
    });
  }

  /** The first one's records have gone. */
  isDue(hasSent: (revision: number) => boolean): boolean {
    const [question] = this.#waiting;
    return question !== undefined && hasSent(question.revision);
  }

  /** Makes the first one its own: resolves when it has its answer, whatever that is. */
  async askFirst(): Promise<void> {
    await this.#waiting.shift()?.run();
  }

  refuse(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
