/** Numbers that are handed out and come back: addresses, node ports. Goes round, so that one that came back rests for as long as possible. */
export class NumberPool {
  readonly #first: number;
  readonly #size: number;
  readonly #taken = new Set<number>();
  #next = 0;

  /** The numbers from `first`, `size` of them. */
  constructor(first: number, size: number) {
    this.#first = first;
    this.#size = size;
  }

  get free(): number {
    return this.#size - this.#taken.size;
  }

  /** Undefined when all are taken. */
  take(): number | undefined {
    if (this.free <= 0) return undefined;
    while (this.#taken.has(this.#next)) this.#next = (this.#next + 1) % this.#size;
    const offset = this.#next;
    this.#taken.add(offset);
    this.#next = (offset + 1) % this.#size;
    return this.#first + offset;
  }

  give(number: number): void {
    this.#taken.delete(number - this.#first);
  }
}
