/** Objects that several sources say: worth a word, once for as long as the same sources say them. */
import type { ObjectKey, RecordKind } from '../records.ts';

export interface Rival {
  readonly kind: RecordKind;
  readonly key: ObjectKey;
}

export class Rivals {
  readonly #known = new Map<string, Rival & { readonly sources: string }>();

  get isEmpty(): boolean {
    return this.#known.size === 0;
  }

  get known(): readonly Rival[] {
    return [...this.#known.values()];
  }

  /** Takes the sources that say the object now, the one that counts first. What is to be said of it, undefined = nothing new. */
  update(
    { kind, key }: Rival,
    sources: readonly string[],
  ): { readonly object: string; readonly message: string } | undefined {
    if (sources.length < 2 && this.#known.size === 0) return undefined;
    const object = `${kind} ${key}`;
    const names = sources.join(' and ');
    if (sources.length < 2) {
      this.#known.delete(object);
      return undefined;
    }
    if (this.#known.get(object)?.sources === names) return undefined;
    this.#known.set(object, { kind, key, sources: names });
    return { object, message: `${names} both say it; the one of ${sources[0]} counts` };
  }
}
