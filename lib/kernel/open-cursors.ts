/** What a worker keeps open from one request to the next. */
import { randomInt } from 'node:crypto';
import { ProxierError } from '../errors.ts';
import type { Cursor } from './session.ts';

let last = randomInt(2 ** 47);

/**
 * A number that no other worker gives: when one dies and another takes its place, what was open there is not mistaken for what has been
 * opened here since.
 */
export function newHandle(): number {
  last++;
  return last;
}

/** Cursors by number. */
export class OpenCursors<T> {
  readonly #cursors = new Map<number, Cursor<T>>();

  add(cursor: Cursor<T>): number {
    const id = newHandle();
    this.#cursors.set(id, cursor);
    return id;
  }

  /**
   * The next slice, a copy; undefined at the end. After that, and after an error, the cursor is gone.
   * @throws ProxierError ERR_WORKER for one that is not open here: half a list must not pass for a whole one.
   */
  next(id: number): T[] | undefined {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) throw new ProxierError('ERR_WORKER', 'the worker was replaced while the list was read');
    let slice: readonly T[] | undefined;
    try {
      slice = cursor.next();
    } finally {
      if (slice === undefined) this.#cursors.delete(id);
    }
    return slice === undefined ? undefined : [...slice];
  }

  /** One that is not there any more is closed. */
  remove(id: number): void {
    this.#cursors.get(id)?.close();
    this.#cursors.delete(id);
  }

  close(): void {
    for (const cursor of this.#cursors.values()) cursor.close();
    this.#cursors.clear();
  }
}
