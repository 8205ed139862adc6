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
import { DumpCode, DumpKind } from './binding.ts';
import { readDestinationState, readInfo, readService, readTimeouts } from './decode-ipvs.ts';
import { encodeServiceKey } from './encode-ipvs.ts';
import { Errno } from './errno.ts';
import { type DumpName, dumpError, type RecordCursor } from './record-cursor.ts';
import { type Cursor, readAll } from './session.ts';
import { serviceKeyText } from './text.ts';
import { Opcode, type RecordReader, RecordWriter } from './wire.ts';

export type OpenDump = <T>(
  kind: number,
  name: DumpName,
  decode: (reader: RecordReader) => T | undefined,
  argument?: { readonly bytes: Uint8Array; readonly length: number },
) => RecordCursor<T>;

const ALL = { command: 'IPVS_CMD_GET_SERVICE', object: 'all services' } as const;

export class IpvsReader {
  readonly #dump: OpenDump;
  readonly #key = new RecordWriter();

  constructor(dump: OpenDump) {
    this.#dump = (kind, name, decode, argument) => {
      try {
        return dump(kind, name, decode, argument);
      } catch (error) {
        // No read of IPVS is answered ENOENT but by a module that was loaded anew, under another number: the session asks for it now.
        if (!(error instanceof NetlinkError) || error.errno !== Errno.ENOENT) throw error;
        return dump(kind, name, decode, argument);
      }
    };
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
    const { statistics = false, thresholds = false } = options;
    const kind = statistics ? DumpKind.tableWithStatistics : thresholds ? DumpKind.tableByNetlink : DumpKind.table;
    const groups = new Groups();
    return new TableCursor(
      this.#dump(kind, ALL, (record) => groups.take(record)),
      groups,
    );
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
}

/** Puts the destination records that follow a service record under it. A service is whole when the next one begins. */
class Groups {
  #service: VirtualServiceWithDestinations | undefined;
  #destinations: DestinationState[] = [];

  take(record: RecordReader): VirtualServiceWithDestinations | undefined {
    if (record.opcode !== Opcode.serviceState) {
      const destination = readDestinationState(record);
      if (destination !== undefined) this.#destinations.push(destination);
      return undefined;
    }
    const whole = this.#service;
    const service = readService(record);
    this.#destinations = [];
    this.#service = service === undefined ? undefined : { ...service, destinations: this.#destinations };
    return whole;
  }

  last(): VirtualServiceWithDestinations | undefined {
    const whole = this.#service;
    this.#service = undefined;
    return whole;
  }
}

class TableCursor implements Cursor<VirtualServiceWithDestinations> {
  readonly #records: RecordCursor<VirtualServiceWithDestinations>;
  readonly #groups: Groups;

  constructor(records: RecordCursor<VirtualServiceWithDestinations>, groups: Groups) {
    this.#records = records;
    this.#groups = groups;
  }

  next(): readonly VirtualServiceWithDestinations[] | undefined {
    const slice = this.#records.next();
    if (slice !== undefined) return slice;
    const last = this.#groups.last();
    return last === undefined ? undefined : [last];
  }

  close(): void {
    this.#records.close();
    this.#groups.last();
  }
}
