/** The destinations that several frontends of a service port share, with the sum of their hashes. */
import type { Destination, ForwardMethod } from '../types.ts';
import { addHash, numberHash, subtractHash } from './hash.ts';
import { sameDestination } from './same.ts';
import type { DestinationId } from './state.ts';

export class DestinationList extends Map<DestinationId, Destination> {
  #sum = 0;

  /** Of the hashes of all destinations. */
  get sum(): number {
    return this.#sum;
  }

  /** True when that changed anything. */
  put(id: DestinationId, destination: Destination): boolean {
    const before = this.get(id);
    if (before !== undefined) {
      if (sameDestination(before, destination)) return false;
      this.#sum = subtractHash(this.#sum, destinationHash(id, before));
    }
    this.set(id, destination);
    this.#sum = addHash(this.#sum, destinationHash(id, destination));
    return true;
  }

  /** True when it was there. */
  drop(id: DestinationId): boolean {
    const before = this.get(id);
    if (before === undefined) return false;
    this.#sum = subtractHash(this.#sum, destinationHash(id, before));
    return this.delete(id);
  }

  /** Becomes the same as another list; returns what changed by that. */
  become(other: ReadonlyMap<DestinationId, Destination>): readonly DestinationId[] {
    const changed: DestinationId[] = [];
    for (const id of this.keys()) if (!other.has(id)) changed.push(id);
    for (const id of changed) this.drop(id);
    for (const [id, destination] of other) if (this.put(id, destination)) changed.push(id);
    return changed;
  }
}

const forwardNumbers: Readonly<Record<ForwardMethod, number>> = {
  masquerade: 0,
  local: 1,
  tunnel: 2,
  direct: 3,
  bypass: 4,
};

function destinationHash(id: DestinationId, { weight, forward }: Destination): number {
  return numberHash(id, weight * 8 + forwardNumbers[forward]);
}
