/** A map that knows how often it was changed, so that whoever watches it need not look through it. */
export class CountedMap<K, V> extends Map<K, V> {
  #changes = 0;

  /** Rises with every `set`, `delete` of something and `clear`. */
  get changes(): number {
    return this.#changes;
  }

  override set(key: K, value: V): this {
    this.#changes += 1;
    return super.set(key, value);
  }

  override delete(key: K): boolean {
    const deleted = super.delete(key);
    if (deleted) this.#changes += 1;
    return deleted;
  }

  override clear(): void {
    this.#changes += 1;
    super.clear();
  }
}
