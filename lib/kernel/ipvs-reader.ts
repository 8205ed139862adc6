/** What a session reads of IPVS. */
import { NetlinkError } from '../errors.ts';
import type {
  DestinationState,
  IpvsInfo,
  IpvsReadOptions,
  IpvsTableOptions,
  IpvsTimeouts,
  ServiceKey,
  ServiceState,
  VirtualServiceWithDestinations,
} from '../types.ts';
import { DumpCode, DumpKind, type NativeDump } from './binding.ts';
import { readDestinationState, readInfo, readService, readTimeouts } from './decode-ipvs.ts';
import { encodeServiceKey } from './encode-ipvs.ts';
import { Errno } from './errno.ts';
import { ServiceGroups, TableCursor, type TableRecords } from './ipvs-table.ts';
import { type DumpName, dumpError, type RecordCursor, SLICE_BYTES } from './record-cursor.ts';
import type { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import { type Cursor, readAll } from './session.ts';
import { serviceKeyText } from './text.ts';

/** What it needs of the session. */
export interface IpvsDumps {
  /** A cursor on a dump that has begun. */
  dump<T>(
    kind: number,
    name: DumpName,
    decode: (reader: RecordReader) => T | undefined,
    argument?: { readonly bytes: Uint8Array; readonly length: number },
  ): RecordCursor<T>;
  /** The same without the cursor; to be released. */
  open(kind: number, name: DumpName): NativeDump;
  release(dump: NativeDump): void;
}

const ALL = { command: 'IPVS_CMD_GET_SERVICE', object: 'all services' } as const;

export class IpvsReader {
  readonly #dumps: IpvsDumps;
  readonly #key = new RecordWriter();

  constructor(dumps: IpvsDumps) {
    this.#dumps = dumps;
  }

  services(options: IpvsReadOptions = {}): Cursor<ServiceState> {
    const kind = options.statistics === true ? DumpKind.servicesWithStatistics : DumpKind.services;
    return this.#dump(kind, ALL, readService);
  }

  service(key: ServiceKey, options: IpvsReadOptions = {}): ServiceState | undefined {
    const kind = options.statistics === true ? DumpKind.serviceWithStatistics : DumpKind.service;
    const name = { command: 'IPVS_CMD_GET_SERVICE', object: serviceKeyText(key) };
    try {
      return readAll(this.#dump(kind, name, readService, this.#argument(key)))[0];
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === Errno.ESRCH) return undefined;
      throw error;
    }
  }

  destinations(service: ServiceKey, options: IpvsReadOptions = {}): Cursor<DestinationState> {
    const kind = options.statistics === true ? DumpKind.destinationsWithStatistics : DumpKind.destinations;
    const name = { command: 'IPVS_CMD_GET_DEST', object: serviceKeyText(service) };
    return this.#dump(kind, name, readDestinationState, this.#argument(service));
  }

  servicesWithDestinations(options: IpvsTableOptions = {}): Cursor<VirtualServiceWithDestinations> {
    const kind = tableKind(options);
    const groups = new ServiceGroups();
    return new TableCursor(
      this.#dump(kind, ALL, (record) => groups.take(record)),
      groups,
    );
  }

  /** As `TableSource` says. */
  tableRecords(options: IpvsTableOptions, room: Uint8Array): TableRecords {
    return again(() => {
      const dump = this.#dumps.open(tableKind(options), ALL);
      try {
        return readRecords(dump, room);
      } finally {
        this.#dumps.release(dump);
      }
    });
  }

  timeouts(): IpvsTimeouts {
    return this.#one(DumpKind.timeouts, { command: 'IPVS_CMD_GET_CONFIG', object: 'time-outs' }, readTimeouts);
  }

  info(): IpvsInfo {
    return this.#one(DumpKind.info, { command: 'IPVS_CMD_GET_INFO', object: 'version' }, readInfo);
  }

  #argument(key: ServiceKey): RecordWriter {
    this.#key.length = 0;
    encodeServiceKey(this.#key, key);
    return this.#key;
  }

  #one<T>(kind: number, name: DumpName, decode: (reader: RecordReader) => T): T {
    const [value] = readAll(this.#dump(kind, name, decode));
    if (value === undefined) throw dumpError(DumpCode.unknown, name);
    return value;
  }

  #dump<T>(
    kind: number,
    name: DumpName,
    decode: (reader: RecordReader) => T | undefined,
    argument?: RecordWriter,
  ): RecordCursor<T> {
    return again(() => this.#dumps.dump(kind, name, decode, argument));
  }
}

/** No read of IPVS is answered ENOENT but by a module that was loaded anew, under another number: the session asks for it now. */
function again<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof NetlinkError) || error.errno !== Errno.ENOENT) throw error;
    return read();
  }
}

function tableKind({ statistics = false, thresholds = false }: IpvsTableOptions): number {
  return statistics ? DumpKind.tableWithStatistics : thresholds ? DumpKind.tableByNetlink : DumpKind.table;
}

function readRecords(dump: NativeDump, room: Uint8Array): TableRecords {
  const rest: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const fits = room.length - length >= SLICE_BYTES;
    const into = fits ? room.subarray(length) : new Uint8Array(SLICE_BYTES);
    const bytes = dump.next(into);
    if (bytes < 0) throw dumpError(bytes, ALL);
    if (bytes === 0) return { length, rest };
    if (fits) length += bytes;
    else rest.push(into.slice(0, bytes));
  }
}
