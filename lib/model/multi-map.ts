/** Several members under a key; a key without members is not there. */
export class MultiMap<K, V> {
  readonly #members = new Map<K, Set<V>>();
  readonly #none: ReadonlySet<V> = new Set();

  get(key: K): ReadonlySet<V> {
    return this.#members.get(key) ?? this.#none;
  }

  add(key: K, member: V): void {
    const members = this.#members.get(key);
    if (members === undefined) this.#members.set(key, new Set([member]));
    else members.add(member);
  }

  delete(key: K, member: V): void {
    const members = this.#members.get(key);
    members?.delete(member);
    if (members?.size === 0) this.#members.delete(key);
  }
}
