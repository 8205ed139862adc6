/** Newline-delimited text out of chunks of bytes. Splits at LF only: readline would also split at U+2028, which JSON may hold. */
const LF = 10;

export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #limit: number;
  #parts: Buffer[] = [];
  #length = 0;

  /** `limit`: longest line in bytes. */
  constructor(onLine: (line: string) => void, limit: number) {
    this.#onLine = onLine;
    this.#limit = limit;
  }

  /** Throws when a line is longer than the limit; what `onLine` throws goes through. */
  push(chunk: Buffer): void {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LF, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + part.length > this.#limit) throw new RangeError(`a line is longer than ${this.#limit} bytes`);
      if (end < 0) {
        if (part.length > 0) this.#parts.push(part);
        this.#length += part.length;
        return;
      }
      const line = this.#parts.length === 0 ? part.toString() : Buffer.concat([...this.#parts, part]).toString();
      this.#parts = [];
      this.#length = 0;
      start = end + 1;
      if (line.length > 0) this.#onLine(line);
    }
  }

  /** Bytes of a line whose end has not come. */
  get pendingBytes(): number {
    return this.#length;
  }
}
