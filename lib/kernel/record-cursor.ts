/** Dumps as cursors: the addon's records, one receive at a time, made into the types of `session.ts`. */
import { NetlinkError, ProxierError } from '../errors.ts';
import { DumpCode, type NativeDump } from './binding.ts';
import { absentError, callError, Errno } from './errno.ts';
import { RecordReader } from './record-reader.ts';
import type { Cursor } from './session.ts';

/** One receive brings at most 64 KB of messages, and their records are at most twice as long. */
export const SLICE_BYTES: number = 256 * 1024;

export function sliceBuffer(): Uint8Array {
  return new Uint8Array(SLICE_BYTES);
}

/** What a dump is, for its errors. */
export interface DumpName {
  readonly command: string;
  readonly object: string;
}

/** The error for a code of {@link NativeDump.next} or `NativeSession.dump`. */
export function dumpError(code: number, { command, object }: DumpName): NetlinkError {
  if (code === DumpCode.absent) return new NetlinkError('ERR_KERNEL_UNSUPPORTED', absentError(command, object));
  const lost = (errno: number, errnoName: string, reason: string): NetlinkError =>
    new NetlinkError('ERR_NETLINK_LOST', { errno, errnoName, command, object, reason });
  if (code === DumpCode.unknown) return lost(Errno.ETIMEDOUT, 'ETIMEDOUT', 'the kernel did not answer in time');
  if (code === DumpCode.interrupted) return lost(Errno.EINTR, 'EINTR', 'it kept changing while it was read');
  return callError(command, object, -code);
}

/** The session a cursor belongs to. */
export interface Owner {
  readonly closed: boolean;
  /** Takes a dump back that the cursor is done with. */
  release(dump: NativeDump): void;
}

export class RecordCursor<T> implements Cursor<T> {
  readonly #owner: Owner;
  readonly #name: DumpName;
  readonly #buffer: Uint8Array;
  readonly #decode: (reader: RecordReader) => T | undefined;
  #dump: NativeDump | undefined;
  #first: T[] | undefined;

  /** Reads the first slice at once, so that a dump the kernel refuses throws here. */
  constructor(
    owner: Owner,
    dump: NativeDump,
    buffer: Uint8Array,
    name: DumpName,
    decode: (reader: RecordReader) => T | undefined,
  ) {
    this.#owner = owner;
    this.#dump = dump;
    this.#buffer = buffer;
    this.#name = name;
    this.#decode = decode;
    this.#first = this.#read();
  }

  next(): readonly T[] | undefined {
    if (this.#owner.closed) throw new ProxierError('ERR_CLOSED', 'the kernel session is closed');
    const first = this.#first;
    if (first === undefined) return this.#read();
    this.#first = undefined;
    return first;
  }

  close(): void {
    this.#first = undefined;
    const dump = this.#dump;
    if (dump === undefined) return;
    this.#dump = undefined;
    this.#owner.release(dump);
  }

  #read(): T[] | undefined {
    while (this.#dump !== undefined) {
      const length = this.#dump.next(this.#buffer);
      if (length <= 0) {
        this.close();
        if (length < 0) throw dumpError(length, this.#name);
        break;
      }
      const slice = this.#decodeSlice(length);
      if (slice.length > 0) return slice;
    }
    return undefined;
  }

  #decodeSlice(length: number): T[] {
    const slice: T[] = [];
    try {
      const reader = new RecordReader(this.#buffer, length);
      while (reader.next()) {
        const value = this.#decode(reader);
        if (value !== undefined) slice.push(value);
      }
    } catch (error) {
      this.close();
      throw error;
    }
    return slice;
  }
}

/** Slices that were read before: for dumps that must be read whole to be believed. */
export class SliceCursor<T> implements Cursor<T> {
  readonly #owner: Owner;
  #slices: readonly (readonly T[])[];
  #at = 0;

  constructor(owner: Owner, slices: readonly (readonly T[])[]) {
    this.#owner = owner;
    this.#slices = slices;
  }

  next(): readonly T[] | undefined {
    if (this.#owner.closed) throw new ProxierError('ERR_CLOSED', 'the kernel session is closed');
    return this.#slices[this.#at++];
  }

  close(): void {
    this.#slices = [];
  }
}
