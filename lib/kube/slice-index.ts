/** Which slices to weigh anew when a Service or a Node changes. */
import type { ObjectKey } from '../records.ts';
import type { SliceEntry } from './store-entry.ts';

const NONE: ReadonlySet<never> = new Set<never>();

/** Made when the first Service asks for weights, so that a cluster where none does pays nothing. */
export class SliceIndex {
  readonly #byService = new Map<ObjectKey, Set<SliceEntry>>();
  readonly #byNode = new Map<string, Set<SliceEntry>>();

  ofService(service: ObjectKey): ReadonlySet<SliceEntry> {
    return this.#byService.get(service) ?? NONE;
  }

  /** Slices whose weights depend on this Node. */
  onNode(name: string): ReadonlySet<SliceEntry> {
    return this.#byNode.get(name) ?? NONE;
  }

  /** Slices whose weights matter. */
  *weighed(): IterableIterator<SliceEntry> {
    for (const slices of this.#byService.values()) {
      for (const slice of slices) if (slice.on !== undefined) yield slice;
    }
  }

  /** It belongs to another Service now, or to none. */
  move(slice: SliceEntry, from: ObjectKey | undefined, to: ObjectKey | undefined): void {
    if (from === to) return;
    if (from !== undefined) drop(this.#byService, from, slice);
    if (to === undefined) this.place(slice, undefined);
    else put(this.#byService, to, slice);
  }

  /** Its weights depend on these Nodes; undefined: its weights do not matter. */
  place(slice: SliceEntry, on: ReadonlySet<string> | undefined): void {
    for (const name of slice.on ?? NONE) if (on?.has(name) !== true) drop(this.#byNode, name, slice);
    for (const name of on ?? NONE) put(this.#byNode, name, slice);
    slice.on = on;
  }
}

function put(map: Map<string, Set<SliceEntry>>, key: string, slice: SliceEntry): void {
  const slices = map.get(key);
  if (slices === undefined) map.set(key, new Set([slice]));
  else slices.add(slice);
}

function drop(map: Map<string, Set<SliceEntry>>, key: string, slice: SliceEntry): void {
  const slices = map.get(key);
  slices?.delete(slice);
  if (slices?.size === 0) map.delete(key);
}
