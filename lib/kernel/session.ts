/**
 * A kernel session: the synchronous face of netlink, implemented by the addon (`linux-session.ts`) and by the fake kernel of
 * `testing`. It blocks its thread for the time the kernel takes (microseconds an operation), so servers use it on a worker.
 */
import type { NetlinkErrorDetails } from '../errors.ts';
import type {
  DestinationState,
  LinkAddressState,
  LinkState,
  ServiceKey,
  SetEntry,
  SetState,
  VirtualService,
} from '../types.ts';
import type { Batch } from './batch.ts';

export interface OperationFailure {
  /** Position in the batch. */
  readonly index: number;
  /** The operation in the notation people know, e.g. `ipvsadm -a -t 10.96.0.10:80 -r …`. */
  readonly operation: string;
  /** `failed`: the kernel said no. `unknown`: no answer was seen; read back before believing either way. */
  readonly outcome: 'failed' | 'unknown';
  readonly error: NetlinkErrorDetails;
}

export interface BatchResult {
  /** Operations the kernel carried out (or found already so, for the idempotent verbs). */
  readonly applied: number;
  /** In rising order of index. Everything not listed was applied. */
  readonly failures: readonly OperationFailure[];
  /** Netlink messages sent, and send+receive rounds made. */
  readonly messages: number;
  readonly roundTrips: number;
  /** Time inside the addon, first send to last answer, in microseconds. */
  readonly kernelMicros: number;
}

/** A dump in progress. A slice is what one receive brought; undefined = the end. Closing early is allowed, closing twice harmless. */
export interface Cursor<T> {
  next(): readonly T[] | undefined;
  close(): void;
}

/** Reads everything a cursor has left, and closes it. */
export function readAll<T>(cursor: Cursor<T>): T[] {
  const all: T[] = [];
  try {
    for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) all.push(...slice);
  } finally {
    cursor.close();
  }
  return all;
}

/** All methods throw `NetlinkError` for a failure of the call as a whole, `ProxierError` ERR_CLOSED after `close`. */
export interface KernelSession {
  /** Applies the operations in order, each with its own outcome; a failing one does not stop the others. */
  run(batch: Batch): BatchResult;
  services(): Cursor<VirtualService>;
  /** Empty for a service that does not exist: the kernel does not tell the difference. */
  destinations(service: ServiceKey): Cursor<DestinationState>;
  /** Set headers, no entries. */
  sets(): Cursor<SetState>;
  /** Entries of one set in canonical text; ENOENT when there is no such set. */
  entries(set: string): Cursor<SetEntry>;
  links(): Cursor<LinkState>;
  addresses(): Cursor<LinkAddressState>;
  close(): void;
}
