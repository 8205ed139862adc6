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
  readonly #slots = new Map<ObjectKey, Slot<Body>[]>();
  #epoch = 0;

  get(key: ObjectKey): Body | undefined {
    return this.#slots.get(key)?.[0]?.body;
  }

  get size(): number {
    return this.#slots.size;
  }

  *entries(): IterableIterator<[ObjectKey, Body]> {
    for (const [key, slots] of this.#slots) {
      const first = slots[0];
      if (first !== undefined) yield [key, first.body];
    }
  }

  /** Sources that say this key, the one that counts first. */
  sources(key: ObjectKey): readonly string[] {
    return this.#slots.get(key)?.map((slot) => slot.source) ?? [];
  }

  /** Takes in one record; undefined when what counts for the key is the same as before. */
  put(key: ObjectKey, source: string, body: Body | null): Change<Body> | undefined {
    const slots = this.#slots.get(key);
    const before = slots?.[0]?.body;
    const others = slots?.filter((slot) => slot.source !== source) ?? [];
    const said: Slot<Body>[] = body === null ? [] : [{ source, body, epoch: this.#epoch }];
    const next = others.concat(said);
    if (next.length > 1) next.sort((a, b) => (a.source < b.source ? -1 : 1));
    return this.#settle(key, next, before);
  }

  /** From here on, what is not said again before {@link end} is gone. */
  begin(): void {
    this.#epoch += 1;
  }

  /** Drops what was not said since {@link begin} and returns what changed by that. */
  end(): readonly Change<Body>[] {
    const changes: Change<Body>[] = [];
    for (const [key, slots] of this.#slots) {
      if (slots.every((slot) => slot.epoch === this.#epoch)) continue;
      const said = slots.filter((slot) => slot.epoch === this.#epoch);
      const change = this.#settle(key, said, slots[0]?.body);
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }

  #settle(key: ObjectKey, slots: Slot<Body>[], before: Body | undefined): Change<Body> | undefined {
    if (slots.length > 0) this.#slots.set(key, slots);
    else this.#slots.delete(key);
    const after = slots[0]?.body;
    return before === after ? undefined : { key, before, after };
  }
}
