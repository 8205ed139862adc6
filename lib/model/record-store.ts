/** Objects of one kind by key, from several sources, with the mark-and-drop of a snapshot. */
import type { ObjectKey } from '../records.ts';

interface Slot<Body> {
  readonly source: string;
  readonly body: Body;
  readonly epoch: number;
}

/** The object that counts for a key, before and after a record. */
export interface Change<Body> {
  readonly key: ObjectKey;
  readonly before: Body | undefined;
  readonly after: Body | undefined;
}

/**
 * Two sources may say the same key; the one with the lowest name counts, whatever the order they speak in, so that the outcome is a
 * function of what was said. When it withdraws the object the next one takes over.
 */
export class RecordStore<Body> {
  /** One source for an object is the rule, so its slot is kept bare. */
  readonly #slots = new Map<ObjectKey, Slot<Body> | readonly Slot<Body>[]>();
  /** Their names once, though each record brings its own. */
  readonly #sources = new Map<string, string>();
  #epoch = 0;

  get(key: ObjectKey): Body | undefined {
    return first(this.#slots.get(key))?.body;
  }

  get size(): number {
    return this.#slots.size;
  }

  *entries(): IterableIterator<[ObjectKey, Body]> {
    for (const [key, slots] of this.#slots) {
      const counts = first(slots);
      if (counts !== undefined) yield [key, counts.body];
    }
  }

  /** Sources that say this key, the one that counts first. */
  sources(key: ObjectKey): readonly string[] {
    return listOf(this.#slots.get(key)).map((slot) => slot.source);
  }

  /** Two sources or more say this key. */
  isShared(key: ObjectKey): boolean {
    if (this.#sources.size < 2) return false;
    const slots = this.#slots.get(key);
    return slots !== undefined && isList(slots);
  }

  /** Takes in one record; undefined when what counts for the key is the same as before. */
  put(key: ObjectKey, from: string, body: Body | null): Change<Body> | undefined {
    const source = this.#nameOf(from);
    const slots = this.#slots.get(key);
    const before = first(slots)?.body;
    const said: Slot<Body> | undefined = body === null ? undefined : { source, body, epoch: this.#epoch };
    if (slots === undefined || (!isList(slots) && slots.source === source)) {
      return this.#settle(key, said, before);
    }
    const others = listOf(slots).filter((slot) => slot.source !== source);
    const next = said === undefined ? others : [...others, said];
    return this.#settle(key, next.sort(bySource), before);
  }

  /** From here on, what is not said again before {@link end} is gone. */
  begin(): void {
    this.#epoch += 1;
  }

  /** Drops what was not said since {@link begin} and returns what changed by that. */
  end(): readonly Change<Body>[] {
    const changes: Change<Body>[] = [];
    for (const [key, slots] of this.#slots) {
      if (isList(slots) ? slots.every((slot) => slot.epoch === this.#epoch) : slots.epoch === this.#epoch) continue;
      const said = listOf(slots).filter((slot) => slot.epoch === this.#epoch);
      const change = this.#settle(key, said, first(slots)?.body);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  #nameOf(source: string): string {
    const known = this.#sources.get(source);
    if (known === undefined) this.#sources.set(source, source);
    return known ?? source;
  }

  #settle(
    key: ObjectKey,
    slots: Slot<Body> | readonly Slot<Body>[] | undefined,
    before: Body | undefined,
  ): Change<Body> | undefined {
    const next = slots !== undefined && isList(slots) && slots.length < 2 ? slots[0] : slots;
    if (next === undefined) this.#slots.delete(key);
    else this.#slots.set(key, next);
    const after = first(next)?.body;
    return before === after ? undefined : { key, before, after };
  }
}

function isList<Body>(slots: Slot<Body> | readonly Slot<Body>[]): slots is readonly Slot<Body>[] {
  return Array.isArray(slots);
}

function first<Body>(slots: Slot<Body> | readonly Slot<Body>[] | undefined): Slot<Body> | undefined {
  return slots !== undefined && isList(slots) ? slots[0] : slots;
}

function listOf<Body>(slots: Slot<Body> | readonly Slot<Body>[] | undefined): readonly Slot<Body>[] {
  if (slots === undefined) return [];
  return isList(slots) ? slots : [slots];
}

function bySource<Body>(a: Slot<Body>, b: Slot<Body>): number {
  return a.source < b.source ? -1 : 1;
}
