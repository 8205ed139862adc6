/** Writes the records that `wire.ts` describes, field by field. What goes into them has been checked. */
import { HEADER_BYTES } from './wire.ts';

/** Room that any record fits in: two addresses, two strings of 255 bytes, and the fixed part. */
const LARGEST_RECORD = 640;
const LEAST_BYTES = 1024;
/** From here on a buffer grows by a quarter instead of doubling. */
const LARGE_BYTES = 256 * 1024;

const NO_BYTES = new Uint8Array(0);
const NOTHING = { bytes: NO_BYTES, view: new DataView(NO_BYTES.buffer) } as const;

/** Appends records to a buffer that grows. A record counts only once `commit` has been called. */
export class RecordWriter {
  bytes: Uint8Array;
  view: DataView;
  /** Bytes of committed records. */
  length = 0;
  /** Where the next field goes. */
  at = 0;

  /** @param capacity Bytes to make room for now. Without any, room is made by the first record. */
  constructor(capacity = 0) {
    this.bytes = capacity === 0 ? NOTHING.bytes : new Uint8Array(Math.max(capacity, LARGEST_RECORD));
    this.view = capacity === 0 ? NOTHING.view : new DataView(this.bytes.buffer);
  }

  /** A writer that goes on behind records that are there already, in the same bytes as long as they have room. */
  static behind(records: Uint8Array): RecordWriter {
    const writer = new RecordWriter();
    writer.#hold(records);
    writer.length = records.length;
    return writer;
  }

  /** The committed records of another. */
  append(other: RecordWriter): void {
    if (this.length + other.length > this.bytes.length) this.#grow(this.length + other.length);
    this.bytes.set(other.bytes.subarray(0, other.length), this.length);
    this.length += other.length;
  }

  begin(opcode: number): void {
    if (this.length + LARGEST_RECORD > this.bytes.length) this.#grow(this.length + LARGEST_RECORD);
    this.at = this.length + HEADER_BYTES;
    this.bytes[this.length + 2] = opcode;
    this.bytes[this.length + 3] = 0;
  }

  /** Doubling a large buffer would leave half of it empty. */
  #grow(needed: number): void {
    const { length } = this.bytes;
    const grown = new Uint8Array(
      Math.max(needed, LEAST_BYTES, length < LARGE_BYTES ? 2 * length : Math.ceil(length * 1.25)),
    );
    grown.set(this.bytes.subarray(0, this.length));
    this.#hold(grown);
  }

  #hold(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  flags(value: number): void {
    this.bytes[this.length + 3] = value;
  }

  addFlags(value: number): void {
    this.bytes[this.length + 3] = (this.bytes[this.length + 3] ?? 0) | value;
  }

  u8(value: number): void {
    this.bytes[this.at++] = value;
  }

  u16(value: number): void {
    this.view.setUint16(this.at, value, true);
    this.at += 2;
  }

  u32(value: number): void {
    this.view.setUint32(this.at, value, true);
    this.at += 4;
  }

  /** `text` is ASCII of at most 255 characters; the caller has checked. */
  string(text: string): void {
    this.bytes[this.at++] = text.length;
    for (let i = 0; i < text.length; i++) this.bytes[this.at++] = text.charCodeAt(i);
  }

  /** `bytes` are at most 255; the caller has checked. */
  byteString(bytes: Uint8Array): void {
    this.bytes[this.at++] = bytes.length;
    this.bytes.set(bytes, this.at);
    this.at += bytes.length;
  }

  commit(): void {
    while (this.at % 4 !== 0) this.bytes[this.at++] = 0;
    this.view.setUint16(this.length, this.at - this.length, true);
    this.length = this.at;
  }
}
