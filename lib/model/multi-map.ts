/** Several members under a key; a key without members is not there. */

/** One member is the rule, so it is kept bare. */
type Members<V> = V | Set<V>;

export class MultiMap<K, V extends string> {
  readonly #members = new Map<K, Members<V>>();
  readonly #none: ReadonlySet<V> = new Set();

  get(key: K): ReadonlySet<V> {
    const members = this.#members.get(key);
    if (members === undefined) return this.#none;
    return members instanceof Set ? members : new Set([members]);
  }

  add(key: K, member: V): void {
    const members = this.#members.get(key);
    if (members === undefined) this.#members.set(key, member);
    else if (members instanceof Set) members.add(member);
    else if (members !== member) this.#members.set(key, new Set([members, member]));
  }

  delete(key: K, member: V): void {
    const members = this.#members.get(key);
    if (!(members instanceof Set)) {
      if (members === member) this.#members.delete(key);
      return;
    }
    members.delete(member);
    if (members.size === 0) this.#members.delete(key);
  }
}
