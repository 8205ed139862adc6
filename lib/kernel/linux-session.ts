/** The kernel session over the native addon: batches (`batch-run.ts`), and dumps as cursors. */
import { InvalidArgumentError, NetlinkError, ProxierError } from '../errors.ts';
import type {
  DestinationState,
  LinkAddressState,
  LinkState,
  ServiceKey,
  SetEntry,
  SetState,
  VirtualService,
} from '../types.ts';
import { Batch } from './batch.ts';
import { BatchRun, type Ran } from './batch-run.ts';
import { DumpCode, DumpKind, loadAddon, type NativeDump, type NativeSession } from './binding.ts';
import {
  readAddressState,
  readDestinationState,
  readEntryState,
  readLinkState,
  readService,
  readSetState,
} from './decode.ts';
import { encodeServiceKey } from './encode.ts';
import { Errno } from './errno.ts';
import { type DumpName, dumpError, RecordCursor, SliceCursor, sliceBuffer } from './record-cursor.ts';
import { type BatchResult, type Cursor, type KernelSession, readAll } from './session.ts';
import { serviceKeyText } from './text.ts';
import { type RecordReader, RecordWriter } from './wire.ts';

export interface SessionOptions {
  /** How long a dump waits for the kernel's next answer, in milliseconds, 1 to 600000. Default 5000. Batches never wait. */
  readonly timeoutMs?: number;
}

/**
 * Opens a session in the network namespace of the calling thread. It stays in it whatever the thread does later.
 * @throws ProxierError ERR_ADDON when the addon is not there; a kernel without IPVS is reported by the first call that needs it.
 */
export function openSession(options: SessionOptions = {}): KernelSession {
  const { timeoutMs = 5000 } = options;
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 600_000) {
    throw new InvalidArgumentError('timeoutMs', `is ${timeoutMs}, must be an integer from 1 to 600000`);
  }
  const { Session } = loadAddon();
  return new LinuxSession(new Session(timeoutMs));
}

const EMPTY = new Uint8Array(0);
/** Links and addresses change under a reader; a node where they never hold still has a problem worth an error. */
const INTERRUPTED_ROUNDS = 8;

class LinuxSession implements KernelSession {
  readonly #native: NativeSession;
  readonly #stats = new Int32Array(3);
  /** Every cursor decodes a slice as soon as it has it, so one buffer serves them all. */
  readonly #slice = sliceBuffer();
  readonly #key = new RecordWriter();
  #results = new Int32Array(64);
  /** A dump that has ended, for the next one to use: an audit reads one for every virtual service. */
  #idle: NativeDump | undefined;
  closed = false;

  constructor(native: NativeSession) {
    this.#native = native;
  }

  run(batch: Batch): BatchResult {
    this.#check();
    const run = new BatchRun(batch, (records, length, count) => this.#run(records, length, count), this.#stats);
    return run.result();
  }

  services(): Cursor<VirtualService> {
    return this.#dump(DumpKind.services, { command: 'IPVS_CMD_GET_SERVICE', object: 'all services' }, readService);
  }

  destinations(service: ServiceKey): Cursor<DestinationState> {
    const writer = this.#key;
    writer.length = 0;
    encodeServiceKey(writer, service);
    const name = { command: 'IPVS_CMD_GET_DEST', object: serviceKeyText(service) };
    return this.#dump(DumpKind.destinations, name, readDestinationState, writer);
  }

  sets(): Cursor<SetState> {
    return this.#dump(DumpKind.sets, { command: 'IPSET_CMD_LIST', object: 'all sets' }, readSetState);
  }

  entries(set: string): Cursor<SetEntry> {
    // Any record that is only a name will do, and the batch checks the name.
    const { bytes, end: length } = new Batch().flushSet(set).reader();
    const name = { command: 'IPSET_CMD_LIST', object: set };
    return this.#dump(
      DumpKind.entries,
      name,
      (record) => {
        const entry = readEntryState(record);
        if (entry !== undefined) return entry;
        const reason = 'entries of sets of this type are not known to this library';
        const details = { errno: Errno.EOPNOTSUPP, errnoName: 'EOPNOTSUPP', ...name, reason };
        throw new NetlinkError('ERR_KERNEL_UNSUPPORTED', details);
      },
      { bytes, length },
    );
  }

  links(): Cursor<LinkState> {
    return new SliceCursor(
      this,
      this.#whole(DumpKind.links, { command: 'RTM_GETLINK', object: 'links' }, readLinkState),
    );
  }

  addresses(): Cursor<LinkAddressState> {
    const name = { command: 'RTM_GETADDR', object: 'addresses' };
    const slices = this.#whole(DumpKind.addresses, name, readAddressState);
    const links = new Map(readAll(this.links()).map((link) => [link.index, link.name]));
    return new SliceCursor(
      this,
      slices.map((slice) =>
        slice.flatMap(({ linkIndex, ...address }): LinkAddressState[] => {
          const link = links.get(linkIndex);
          // A link that went between the two dumps took its addresses with it.
          return link === undefined ? [] : [{ link, linkIndex, ...address }];
        }),
      ),
    );
  }

  /** A cursor is done with its dump. */
  release(dump: NativeDump): void {
    dump.close();
    this.#idle = dump;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#native.close();
  }

  #check(): void {
    if (this.closed) throw new ProxierError('ERR_CLOSED', 'the kernel session is closed');
  }

  #run(records: Uint8Array, length: number, count: number): Ran {
    if (this.#results.length < count) this.#results = new Int32Array(2 * count);
    const results = this.#results.subarray(0, count);
    const texts = this.#native.run(records, length, results, this.#stats);
    return { results, texts };
  }

  #dump<T>(
    kind: number,
    name: DumpName,
    decode: (reader: RecordReader) => T | undefined,
    argument?: { readonly bytes: Uint8Array; readonly length: number },
  ): RecordCursor<T> {
    this.#check();
    const idle = this.#idle;
    this.#idle = undefined;
    const dump = this.#native.dump(kind, argument?.bytes ?? EMPTY, argument?.length ?? 0, idle);
    if (typeof dump === 'number') throw dumpError(dump, name);
    return new RecordCursor(this, dump, this.#slice, name, decode);
  }

  /** rtnetlink says when things changed under a dump; then it is read again from the start. */
  #whole<T>(kind: number, name: DumpName, decode: (reader: RecordReader) => T): readonly (readonly T[])[] {
    for (let round = 0; round < INTERRUPTED_ROUNDS; round++) {
      try {
        const cursor = this.#dump(kind, name, decode);
        const slices: (readonly T[])[] = [];
        for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) slices.push(slice);
        return slices;
      } catch (error) {
        if (!(error instanceof NetlinkError) || error.errno !== Errno.EINTR) throw error;
      }
    }
    throw dumpError(DumpCode.interrupted, name);
  }
}
