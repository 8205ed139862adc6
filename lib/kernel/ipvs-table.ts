/** The whole IPVS table as it was read: records of services, each followed by those of its destinations. */
import type { DestinationState, IpvsTableOptions, VirtualServiceWithDestinations } from '../types.ts';
import { readDestinationState, readService } from './decode-ipvs.ts';
import type { RecordCursor } from './record-cursor.ts';
import { RecordReader } from './record-reader.ts';
import type { Cursor, KernelSession } from './session.ts';
import { Opcode } from './wire.ts';

/** The table undecoded: so many bytes of the room that was given, and what did not fit there. No record is cut. */
export interface TableRecords {
  readonly length: number;
  readonly rest: readonly Uint8Array[];
}

/** A session that has records to give: another thread gets them a hundred times as cheaply as the objects that they stand for. */
export interface TableSource {
  tableRecords(options: IpvsTableOptions, room: Uint8Array): TableRecords;
}

export function isTableSource(session: KernelSession): session is KernelSession & TableSource {
  return 'tableRecords' in session && typeof session.tableRecords === 'function';
}

export function decodeTable({ length, rest }: TableRecords, room: Uint8Array): VirtualServiceWithDestinations[] {
  const groups = new ServiceGroups();
  const services: VirtualServiceWithDestinations[] = [];
  for (const slice of [room.subarray(0, length), ...rest]) {
    const reader = new RecordReader(slice);
    while (reader.next()) {
      const whole = groups.take(reader);
      if (whole !== undefined) services.push(whole);
    }
  }
  const last = groups.last();
  if (last !== undefined) services.push(last);
  return services;
}

/** Puts the destination records that follow a service record under it. A service is whole when the next one begins. */
export class ServiceGroups {
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

export class TableCursor implements Cursor<VirtualServiceWithDestinations> {
  readonly #records: RecordCursor<VirtualServiceWithDestinations>;
  readonly #groups: ServiceGroups;

  constructor(records: RecordCursor<VirtualServiceWithDestinations>, groups: ServiceGroups) {
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
