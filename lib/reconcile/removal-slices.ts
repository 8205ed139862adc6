/**
 * What nobody wants any more, in slices: the virtual services of one VIP go together, and those of one node port, so that each can be removed in the
 * orders of design.md.
 */
import { type DirtyObjects, noDirtyObjects } from '../plan/dirty.ts';
import type { Planner } from '../plan/planner.ts';
import { boundSetOf } from '../plan/sets.ts';
import type { KernelState, ServiceId } from '../plan/state.ts';
import { isBound } from '../plan/vip-binding.ts';
import type { AddressServiceKey } from '../types.ts';
import { markWithDependents, scopeOfKey } from './object-scope.ts';

interface Leaving {
  readonly key: AddressServiceKey;
  readonly group: string;
}

export class RemovalSlices {
  readonly #planner: Planner;
  readonly #applied: KernelState;
  /** The groups that come last first. */
  readonly #leaving: Leaving[];

  constructor(planner: Planner, applied: KernelState, services: Iterable<ServiceId>) {
    this.#planner = planner;
    this.#applied = applied;
    this.#leaving = [...services]
      .flatMap((id) => {
        const key = applied.services.get(id)?.service.key;
        return key === undefined ? [] : [{ key, group: this.#groupOf(key) }];
      })
      .sort((a, b) => (a.group < b.group ? -1 : a.group > b.group ? 1 : 0));
  }

  get isOver(): boolean {
    return this.#leaving.length === 0;
  }

  /** So many virtual services, and the rest of the last one's group. */
  next(services: number): DirtyObjects {
    const slice = noDirtyObjects();
    let group = '';
    for (let left = services; ; left -= 1) {
      const last = this.#leaving.at(-1);
      if (last === undefined || (left <= 0 && last.group !== group)) return slice;
      group = last.group;
      this.#leaving.pop();
      markWithDependents(slice, scopeOfKey(last.key), this.#planner, this.#applied);
    }
  }

  #groupOf(key: AddressServiceKey): string {
    const { address, protocol, port } = key;
    const isVip = isBound(this.#applied, address) || this.#applied.sets.get(boundSetOf(address))?.has(address) === true;
    return isVip ? address : `${protocol}:${port}`;
  }
}
