/** Memory that the caller's thread and the worker's both see. What is large crosses in it, instead of through a message. */

/** Below this a message is quicker: its copies cost less than to hand memory over. */
export const LEAST_BYTES: number = 4096;
/** Kept between calls. The few that need more get memory of their own. */
export const MOST_BYTES: number = 4 * 1024 * 1024;
const SMALLEST_ROOM_BYTES = 256 * 1024;

/**
 * One piece of memory, lent to one call at a time and kept for the next: fresh memory costs a page fault for every 4 KB, which is more than
 * to copy them. It grows to what the largest call wanted, and is taken at the first that is large at all.
 */
export class SharedRoom {
  #idle: Uint8Array<SharedArrayBuffer> | undefined;
  #lent = false;

  /**
   * Calls `use` at once with room for so many bytes; with undefined when they are few or very many, or while another call has it.
   * A call that fails may leave a thread behind that still reads: its memory is never lent again.
   */
  lend<T>(bytes: number, use: (room: Uint8Array<SharedArrayBuffer> | undefined) => Promise<T>): Promise<T> {
    return this.#lent || bytes < LEAST_BYTES || bytes > MOST_BYTES ? use(undefined) : this.#lend(bytes, use);
  }

  async #lend<T>(bytes: number, use: (room: Uint8Array<SharedArrayBuffer>) => Promise<T>): Promise<T> {
    const room = this.#take(bytes);
    this.#lent = true;
    try {
      const value = await use(room);
      this.#idle = room;
      return value;
    } finally {
      this.#lent = false;
    }
  }

  #take(bytes: number): Uint8Array<SharedArrayBuffer> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle !== undefined && idle.length >= bytes) return idle;
    let size = SMALLEST_ROOM_BYTES;
    while (size < bytes) size *= 2;
    return new Uint8Array(new SharedArrayBuffer(size));
  }
}
