/** The kernel session over the native addon: batches (`batch-run.ts`), and dumps as cursors. */
import { InvalidArgumentError, NetlinkError, ProxierError } from '../errors.ts';
import type {
  ChangeGroup,
  Connection,
  ConnectionFilter,
  DestinationState,
  IpvsInfo,
  IpvsReadOptions,
  IpvsTableOptions,
  IpvsTimeouts,
  LinkAddressState,
  LinkState,
  LocalRouteFilter,
  LocalRouteState,
  ServiceKey,
  ServiceState,
  SetEntry,
  SetRef,
  SetState,
  VirtualServiceWithDestinations,
} from '../types.ts';
import { Batch } from './batch.ts';
import { BatchRun } from './batch-run.ts';
import { DumpCode, DumpKind, loadAddon, type NativeDump, type NativeSession, RunCode } from './binding.ts';
import { readEntryState, readSetState } from './decode.ts';
import { readConnection } from './decode-conntrack.ts';
import { encodeConnectionFilter } from './encode-conntrack.ts';
import { encodeTestEntry } from './encode-set.ts';
import { callError, Errno, IPSET_ERR_EXIST } from './errno.ts';
import { IpvsReader } from './ipvs-reader.ts';
import type { TableRecords, TableSource } from './ipvs-table.ts';
import { onMainThread } from './netns.ts';
import { type DumpName, dumpError, RecordCursor, sliceBuffer } from './record-cursor.ts';
import type { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import { type RemoveConnectionsOptions, type RemovedConnections, removeConnections } from './remove-connections.ts';
import { KernelMonitor, type RouteDumps, readAddresses, readLinks, readLocalRoutes } from './route-reads.ts';
import type { Ran, RunRecords } from './run-round.ts';
import type { BatchOptions, BatchResult, Cursor, KernelSession, ListOptions, Monitor } from './session.ts';

export interface SessionOptions {
  /** How long a dump waits for the kernel's next answer, in milliseconds, 1 to 600000. Default 5000. Batches never wait. */
  readonly timeoutMs?: number;
  /** Not here: a session is in the network namespace of its thread. Use `openKernel({ netns })`. */
  readonly netns?: string;
}

/**
 * Opens a session in the network namespace of the calling thread. It stays in it whatever the thread does later.
 * @throws InvalidArgumentError netns, ProxierError ERR_ADDON when the addon is not there; a kernel without IPVS is reported by the first call that needs it.
 */
export function openSession(options: SessionOptions = {}): KernelSession {
  const { timeoutMs = 5000 } = options;
  if (options.netns !== undefined) throw onMainThread();
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 600_000) {
    throw new InvalidArgumentError('timeoutMs', `is ${timeoutMs}, must be an integer from 1 to 600000`);
  }
  const { Session } = loadAddon();
  return new LinuxSession(new Session(timeoutMs));
}

const EMPTY = new Uint8Array(0);
/** Links and addresses change under a reader; a node where they never hold still has a problem worth an error. */
const INTERRUPTED_ROUNDS = 8;

class LinuxSession implements KernelSession, TableSource {
  readonly #native: NativeSession;
  readonly #stats = new Int32Array(3);
  /** Every cursor decodes a slice as soon as it has it, so one buffer serves them all. */
  readonly #slice = sliceBuffer();
  readonly #key = new RecordWriter();
  readonly #ipvs = new IpvsReader({
    dump: (kind, name, decode, argument) => this.#dump(kind, name, decode, argument),
    open: (kind, name) => this.#open(kind, name),
    release: (dump) => this.release(dump),
  });
  #results = new Int32Array(64);
  /** A dump that has ended, for the next one to use: an audit reads one for every virtual service. */
  #idle: NativeDump | undefined;
  closed = false;
  readonly #routes: RouteDumps;

  constructor(native: NativeSession) {
    this.#native = native;
    this.#routes = this.#routeDumps();
  }

  run(batch: Batch, options: BatchOptions = {}): BatchResult {
    this.#check();
    const run: RunRecords = (records, length, count) => this.#run(records, length, count);
    return new BatchRun(batch, run, this.#stats, this, options).result();
  }

  services(options?: IpvsReadOptions): Cursor<ServiceState> {
    return this.#ipvs.services(options);
  }

  service(service: ServiceKey, options?: IpvsReadOptions): ServiceState | undefined {
    return this.#ipvs.service(service, options);
  }

  destinations(service: ServiceKey, options?: IpvsReadOptions): Cursor<DestinationState> {
    return this.#ipvs.destinations(service, options);
  }

  servicesWithDestinations(options?: IpvsTableOptions): Cursor<VirtualServiceWithDestinations> {
    return this.#ipvs.servicesWithDestinations(options);
  }

  tableRecords(options: IpvsTableOptions, room: Uint8Array): TableRecords {
    return this.#ipvs.tableRecords(options, room);
  }

  timeouts(): IpvsTimeouts {
    return this.#ipvs.timeouts();
  }

  info(): IpvsInfo {
    return this.#ipvs.info();
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

  testEntry(set: SetRef, entry: SetEntry): boolean {
    this.#check();
    const writer = new RecordWriter();
    encodeTestEntry(writer, set, entry);
    const code = this.#run(writer.bytes, writer.length, 1).results[0] ?? RunCode.unknown;
    if (code === 0 || code === IPSET_ERR_EXIST) return code === 0;
    const name = { command: 'IPSET_CMD_TEST', object: `${set.name} ${entry}` };
    if (code > 0) throw callError(name.command, name.object, code);
    throw dumpError(code === RunCode.absent ? DumpCode.absent : DumpCode.unknown, name);
  }

  links(): Cursor<LinkState> {
    return readLinks(this.#routes);
  }

  addresses(options?: ListOptions): Cursor<LinkAddressState> {
    return readAddresses(this.#routes, options);
  }

  localRoutes(filter: LocalRouteFilter = {}, options?: ListOptions): Cursor<LocalRouteState> {
    return readLocalRoutes(this.#routes, filter, options);
  }

  openMonitor(groups: readonly ChangeGroup[]): Monitor {
    return new KernelMonitor(this.#routes, groups);
  }

  connections(filter: ConnectionFilter = {}): Cursor<Connection> {
    const writer = this.#key;
    writer.length = 0;
    encodeConnectionFilter(writer, filter);
    const name = { command: 'IPCTNL_MSG_CT_GET', object: 'connections' };
    return this.#dump(DumpKind.connections, name, readConnection, writer);
  }

  removeConnections(
    filter: ConnectionFilter,
    predicate: (connection: Connection) => boolean,
    options: RemoveConnectionsOptions = {},
  ): RemovedConnections {
    return removeConnections(this, filter, predicate, options);
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
    if (this.closed)
      throw new ProxierError('ERR_CLOSED', 'the kernel session is closed: open another one with openSession()');
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
    return new RecordCursor(this, this.#open(kind, name, argument), this.#slice, name, decode);
  }

  #open(kind: number, name: DumpName, argument?: { readonly bytes: Uint8Array; readonly length: number }): NativeDump {
    this.#check();
    const idle = this.#idle;
    this.#idle = undefined;
    const dump = this.#native.dump(kind, argument?.bytes ?? EMPTY, argument?.length ?? 0, idle);
    if (typeof dump === 'number') throw dumpError(dump, name);
    return dump;
  }

  /** This session as the readers of `route-reads.ts` use it. */
  #routeDumps(): RouteDumps {
    const isClosed = (): boolean => this.closed;
    return {
      get closed() {
        return isClosed();
      },
      release: (dump) => this.release(dump),
      whole: (kind, name, decode, argument) => this.#whole(kind, name, decode, argument),
      inSlices: (kind, name, decode, argument) => this.#dump(kind, name, decode, argument),
      changes: () => {
        this.#check();
        return this.#native.dump(DumpKind.changes, EMPTY, 0, undefined);
      },
      buffer: this.#slice,
    };
  }

  /** rtnetlink says when things changed under a dump; then it is read again from the start. */
  #whole<T>(
    kind: number,
    name: DumpName,
    decode: (reader: RecordReader) => T,
    argument?: { readonly bytes: Uint8Array; readonly length: number },
  ): readonly (readonly T[])[] {
    for (let round = 0; round < INTERRUPTED_ROUNDS; round++) {
      try {
        const cursor = this.#dump(kind, name, decode, argument);
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
