/** The lines of a file with their numbers, in as much memory as the longest of them. Ends are line feeds only: JSON may hold the others. */
import { createReadStream } from 'node:fs';

export interface NumberedLine {
  /** From 1. */
  readonly number: number;
  /** Undefined of a line that is too long. */
  readonly text: string | undefined;
  /** False of a last line without a line feed: what wrote it was cut off. */
  readonly ended: boolean;
}

const LF = 10;
/** An EndpointSlice of 1,000 endpoints, the most there can be, has half a megabyte. */
const MAX_LINE_BYTES = 16 * 2 ** 20;

/** @throws what reading the file throws. */
export async function* numberedLines(path: string): AsyncIterableIterator<NumberedLine> {
  let parts: Buffer[] = [];
  let length = 0;
  let number = 1;
  const take = (ended: boolean): NumberedLine => {
    const text = length > MAX_LINE_BYTES ? undefined : Buffer.concat(parts).toString();
    const line = { number, text, ended };
    parts = [];
    length = 0;
    number += 1;
    return line;
  };
  for await (const chunk of createReadStream(path)) {
    const bytes: unknown = chunk;
    if (!Buffer.isBuffer(bytes)) continue;
    let start = 0;
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, start)) {
      length += end - start;
      if (length <= MAX_LINE_BYTES) parts.push(bytes.subarray(start, end));
      start = end + 1;
      yield take(true);
    }
    length += bytes.length - start;
    if (length <= MAX_LINE_BYTES) parts.push(bytes.subarray(start));
    else parts = [];
  }
  if (length > 0) yield take(false);
}
