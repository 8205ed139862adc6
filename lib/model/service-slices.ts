/** The EndpointSlices of each Service, and the Services that have hints in theirs. */
import type { ObjectKey, SliceBody } from '../records.ts';
import type { Change } from './record-store.ts';

const none: ReadonlyMap<ObjectKey, SliceBody> = new Map();

export class ServiceSlices {
  readonly #byService = new Map<ObjectKey, Map<ObjectKey, SliceBody>>();
  readonly #hinted = new Set<ObjectKey>();

  /** By the key of the slice. */
  of(service: ObjectKey): ReadonlyMap<ObjectKey, SliceBody> {
    return this.#byService.get(service) ?? none;
  }

  /** Services with a slice that has zone or node hints: what a change of the node's zone touches. */
  get hinted(): ReadonlySet<ObjectKey> {
    return this.#hinted;
  }

  /** A slice may move to another Service: the old one loses it, the new one gains it. */
  changed({ key, before, after }: Change<SliceBody>): void {
    if (before !== undefined) {
      const slices = this.#byService.get(before.service);
      slices?.delete(key);
      if (slices?.size === 0) this.#byService.delete(before.service);
    }
    if (after !== undefined) {
      const slices = this.#byService.get(after.service) ?? new Map<ObjectKey, SliceBody>();
      this.#byService.set(after.service, slices.set(key, after));
    }
    for (const slice of [before, after]) if (slice !== undefined) this.#noteHints(slice.service);
  }

  #noteHints(service: ObjectKey): void {
    for (const { zoneHints, nodeHints } of this.of(service).values()) {
      if (zoneHints !== undefined || nodeHints !== undefined) {
        this.#hinted.add(service);
        return;
      }
    }
    this.#hinted.delete(service);
  }
}
