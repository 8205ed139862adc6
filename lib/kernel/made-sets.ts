/** Sets that a batch makes without saying how many buckets they are to have: they get as many as what the batch adds to them needs. */
import type { Operation } from '../operations.ts';
import { setHashSize } from './encode-set.ts';
import type { RecordWriter } from './record-writer.ts';
import { DEFAULT_HASH_SIZE, tableFor } from './set-size.ts';

export class MadeSets {
  readonly #byName = new Map<string, MadeSet>();

  /** @param at Where the operation's record begins. */
  take(operation: Operation, writer: RecordWriter, at: number): void {
    if (operation.verb === 'add-entry') {
      this.#byName.get(operation.set.name)?.add(writer);
    } else if (operation.verb === 'create-set' || operation.verb === 'ensure-set') {
      const { name, type, hashSize } = operation.set;
      if (type !== 'bitmap:port' && !hashSize) this.#byName.set(name, new MadeSet(at));
      else this.#byName.delete(name);
    }
  }

  clear(): void {
    this.#byName.clear();
  }
}

/** A set that is made in a batch, and the additions to it so far. */
class MadeSet {
  /** Where its record begins. */
  readonly #at: number;
  #additions = 0;

  constructor(at: number) {
    this.#at = at;
  }

  add(writer: RecordWriter): void {
    this.#additions++;
    // At each doubling, from what the kernel takes of itself.
    if (this.#additions >= DEFAULT_HASH_SIZE && (this.#additions & (this.#additions - 1)) === 0) {
      setHashSize(writer, this.#at, tableFor(this.#additions + 1));
    }
  }
}
