/** A set whose members are there for as long as somebody owns them. */
import type { ServicePortId } from './wanted.ts';

/** One owner is the rule, so it is kept bare. */
type Owners = ServicePortId | Set<ServicePortId>;

export class OwnedSet<T> implements ReadonlySet<T> {
  readonly #owners = new Map<T, Owners>();

  get size(): number {
    return this.#owners.size;
  }

  has(member: T): boolean {
    return this.#owners.has(member);
  }

  /** True when the member was not there before. An owner counts once however often it asks. */
  acquire(member: T, owner: ServicePortId): boolean {
    const owners = this.#owners.get(member);
    if (owners === undefined) {
      this.#owners.set(member, owner);
      return true;
    }
    if (typeof owners !== 'string') owners.add(owner);
    else if (owners !== owner) this.#owners.set(member, new Set([owners, owner]));
    return false;
  }

  /** True when that was the last owner and the member is gone. Releasing what one does not own changes nothing. */
  release(member: T, owner: ServicePortId): boolean {
    const owners = this.#owners.get(member);
    if (owners === undefined) return false;
    if (typeof owners === 'string') return owners === owner && this.#owners.delete(member);
    owners.delete(owner);
    return owners.size === 0 && this.#owners.delete(member);
  }

  ownersOf(member: T): readonly ServicePortId[] {
    const owners = this.#owners.get(member);
    if (owners === undefined) return [];
    return typeof owners === 'string' ? [owners] : [...owners].sort();
  }

  /** More than one owner. */
  isShared(member: T): boolean {
    return typeof this.#owners.get(member) === 'object';
  }

  forEach(callback: (value: T, key: T, set: ReadonlySet<T>) => void): void {
    for (const member of this.#owners.keys()) callback(member, member, this);
  }

  *entries(): SetIterator<[T, T]> {
    for (const member of this.#owners.keys()) yield [member, member];
  }

  keys(): SetIterator<T> {
    return this.#owners.keys();
  }

  values(): SetIterator<T> {
    return this.#owners.keys();
  }

  [Symbol.iterator](): SetIterator<T> {
    return this.#owners.keys();
  }
}
