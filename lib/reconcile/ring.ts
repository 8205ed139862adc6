/** The last things of a kind: bounded by their number and by their size, the oldest go first. */
interface Slot<T> {
  readonly item: T;
  readonly bytes: number;
}

export class Ring<T> {
  readonly #capacity: number;
  readonly #maxBytes: number;
  /** Grows to the capacity, then goes round. */
  readonly #slots: (Slot<T> | undefined)[] = [];
  /** How many were ever put in, and taken out: both modulo the capacity are places. */
  #pushed = 0;
  #dropped = 0;
  #bytes = 0;

  /** @param maxBytes Of all items together, by what `push` is told of each. One item that is larger is kept alone. */
  constructor(capacity: number, maxBytes: number) {
    this.#capacity = capacity;
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#pushed - this.#dropped;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): T | undefined {
    return this.size === 0 ? undefined : this.#slots[this.#dropped % this.#capacity]?.item;
  }

  push(item: T, bytes: number): void {
    if (this.size === this.#capacity) this.#drop();
    this.#slots[this.#pushed % this.#capacity] = { item, bytes };
    this.#pushed += 1;
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes && this.size > 1) this.#drop();
  }

  /** From the oldest to the newest. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let at = this.#dropped; at < this.#pushed; at += 1) {
      const slot = this.#slots[at % this.#capacity];
      if (slot !== undefined) yield slot.item;
    }
  }

  #drop(): void {
    const place = this.#dropped % this.#capacity;
    this.#bytes -= this.#slots[place]?.bytes ?? 0;
    this.#slots[place] = undefined;
    this.#dropped += 1;
  }
}
