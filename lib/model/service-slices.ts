/** The EndpointSlices of each Service, and the Services that have hints in theirs. */
import type { ObjectKey, SliceBody } from '../records.ts';
import type { Change } from './record-store.ts';

const none: ReadonlyMap<ObjectKey, SliceBody> = new Map();

/** One slice is the rule, so it is kept bare. */
interface OneSlice {
  readonly key: ObjectKey;
  readonly body: SliceBody;
}

export class ServiceSlices {
  readonly #byService = new Map<ObjectKey, OneSlice | Map<ObjectKey, SliceBody>>();
  /** With the number of their slices that have hints. */
  readonly #hinted = new Map<ObjectKey, number>();

  /** By the key of the slice. */
  of(service: ObjectKey): ReadonlyMap<ObjectKey, SliceBody> {
    const held = this.#byService.get(service);
    if (held === undefined || held instanceof Map) return held ?? none;
    return new Map([[held.key, held.body]]);
  }

  /** The slice of a Service that has no other; undefined = it has none, or several. */
  only(service: ObjectKey): SliceBody | undefined {
    const held = this.#byService.get(service);
    return held === undefined || held instanceof Map ? undefined : held.body;
  }

  /** Services with a slice that has zone or node hints: what a change of the node's zone touches. */
  get hinted(): Iterable<ObjectKey> {
    return this.#hinted.keys();
  }

  /** A slice may move to another Service: the old one loses it, the new one gains it. */
  changed({ key, before, after }: Change<SliceBody>): void {
    if (before !== undefined) {
      if (after?.service !== before.service) this.#delete(before.service, key);
      if (hasHints(before)) this.#count(before.service, -1);
    }
    if (after !== undefined) {
      this.#put(key, after);
      if (hasHints(after)) this.#count(after.service, 1);
    }
  }

  #put(key: ObjectKey, body: SliceBody): void {
    const held = this.#byService.get(body.service);
    if (held === undefined || (!(held instanceof Map) && held.key === key)) {
      this.#byService.set(body.service, { key, body });
    } else if (held instanceof Map) {
      held.set(key, body);
    } else {
      this.#byService.set(
        body.service,
        new Map([
          [held.key, held.body],
          [key, body],
        ]),
      );
    }
  }

  #delete(service: ObjectKey, key: ObjectKey): void {
    const held = this.#byService.get(service);
    if (!(held instanceof Map)) {
      if (held?.key === key) this.#byService.delete(service);
      return;
    }
    held.delete(key);
    const [last] = held;
    if (last !== undefined && held.size === 1) this.#byService.set(service, { key: last[0], body: last[1] });
  }

  #count(service: ObjectKey, by: 1 | -1): void {
    const count = (this.#hinted.get(service) ?? 0) + by;
    if (count > 0) this.#hinted.set(service, count);
    else this.#hinted.delete(service);
  }
}

export function hasHints({ zoneHints, nodeHints }: SliceBody): boolean {
  return zoneHints !== undefined || nodeHints !== undefined;
}
