/** What happens later, in order of time and, at one time, in the order it was planned: a binary heap, so that its cost is that of what waits. */
interface Planned<T> {
  readonly at: number;
  readonly order: number;
  readonly what: T;
}

export class Timeline<T> {
  readonly #heap: Planned<T>[] = [];
  #order = 0;

  get size(): number {
    return this.#heap.length;
  }

  /** Time of the first; infinity when nothing waits. */
  get nextAt(): number {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  plan(at: number, what: T): void {
    const heap = this.#heap;
    const item = { at, order: this.#order++, what };
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(item, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = item;
  }

  /** The first one, which waits no longer. */
  take(): T | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || first === undefined || heap.length === 0) return first?.what;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const one = heap[left];
      if (one === undefined) break;
      const other = heap[left + 1];
      const [child, at] = other !== undefined && isBefore(other, one) ? [other, left + 1] : [one, left];
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = at;
    }
    heap[index] = last;
    return first.what;
  }
}

function isBefore(one: Planned<unknown>, other: Planned<unknown>): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
