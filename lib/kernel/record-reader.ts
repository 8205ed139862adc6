/** Reads the records that `wire.ts` describes, field by field. They come from this library or its addon, and are believed. */
import { HEADER_BYTES } from './wire.ts';

/** Reads records one after another. */
export class RecordReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly end: number;
  /** Start of the current record. */
  start = 0;
  at = 0;
  #next = 0;

  constructor(bytes: Uint8Array, length: number = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = length;
  }

  /** Moves to the next record; false at the end. */
  next(): boolean {
    if (this.#next + HEADER_BYTES > this.end) return false;
    this.start = this.#next;
    this.#next += this.view.getUint16(this.start, true);
    this.at = this.start + HEADER_BYTES;
    return true;
  }

  get length(): number {
    return this.#next - this.start;
  }

  get opcode(): number {
    return this.view.getUint8(this.start + 2);
  }

  get flags(): number {
    return this.view.getUint8(this.start + 3);
  }

  u8(): number {
    return this.view.getUint8(this.at++);
  }

  u16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  u64(): bigint {
    this.at += 8;
    return this.view.getBigUint64(this.at - 8, true);
  }

  byteString(): Uint8Array {
    const length = this.u8();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  string(): string {
    const length = this.u8();
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.u8());
    return text;
  }
}
