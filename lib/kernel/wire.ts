/**
 * The flat records that cross the Node-API line, in both directions: operations on the way in, dump entries on the way out.
 * `native/wire.h` mirrors this file, field for field; `test/kernel/session.test.ts` holds the two together.
 *
 *     record      u16 length (of all of it, a multiple of 4) | u8 opcode | u8 flags | fields | strings | zero padding
 *     string      u8 length | bytes (ASCII, no NUL)
 *     key         u8 family (4, 6) | u8 protocol number, 0 = by fwmark | u16 port | u32 fwmark | 16 address           (24 bytes)
 *     0x10-0x12   service         key | u32 flags | u32 timeout s | u32 prefix length, 0 = full | string scheduler | string engine
 *     0x13        service id      key
 *     0x14-0x16   destination     key | u8 family | u8 forward | u16 port | u32 weight | u32 upper | u32 lower | 16 address
 *     0x17        destination id  key | u8 family | u8 0 | u16 port | 16 address
 *     0x20-0x21   set             u8 type | u8 family | u16 0 | u32 hash size | u32 max elements | string name
 *     0x22-0x23   set name        string name
 *     0x24        set swap        string name | string other
 *     0x25-0x26   set entry       entry | string name | string interface (hash:net,iface only)
 *                 entry           u8 type | u8 family | u8 protocol | u8 prefix length | u16 port | u16 0 | 16 address | 16 second address;
 *                                 header flags 1 = physdev, 2 = nomatch; bitmap:port ends before the addresses, and only
 *                                 hash:ip,port,ip and hash:ip,port,net have the second one (the prefix length is the last address's)
 *     0x30-0x31   link            string name
 *     0x32-0x33   address         u8 family | u8 prefix length | u8 scope | u8 1 = deprecated | 16 address | string link
 *
 * Dump records, opcode 0x80 and up:
 *     0x80        service         as 0x10
 *     0x81        destination     as 0x14 without the key | u32 active | u32 inactive | u32 persistent
 *     0x82        set             u8 type, 0 = another | u8 family | u8 revision | u8 0 | u32 hash size | u32 max elements | u32 entries |
 *                                 u32 references | u32 memory bytes | string name | string type
 *     0x83        set entry       entry | string interface (hash:net,iface only)
 *     0x84        link            u32 index | u32 1 = up | string name | string kind
 *     0x85        address         u32 index | u8 family | u8 prefix length | u8 scope | u8 1 = deprecated | 16 address
 *
 * All numbers are little-endian, addresses in network order, ports plain numbers.
 */
import type { AddressScope, ForwardMethod, Protocol, SetType } from '../types.ts';

export const Opcode = {
  createService: 0x10,
  updateService: 0x11,
  ensureService: 0x12,
  removeService: 0x13,
  createDestination: 0x14,
  updateDestination: 0x15,
  ensureDestination: 0x16,
  removeDestination: 0x17,
  createSet: 0x20,
  ensureSet: 0x21,
  removeSet: 0x22,
  flushSet: 0x23,
  swapSets: 0x24,
  addEntry: 0x25,
  removeEntry: 0x26,
  ensureLink: 0x30,
  removeLink: 0x31,
  addAddress: 0x32,
  removeAddress: 0x33,
  serviceState: 0x80,
  destinationState: 0x81,
  setState: 0x82,
  entryState: 0x83,
  linkState: 0x84,
  addressState: 0x85,
} as const;

export const HEADER_BYTES = 4;
export const KEY_BYTES = 24;
export const EntryFlag = { physdev: 1, nomatch: 2 } as const;

export const PROTOCOL_NUMBER: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
export const FORWARD_NUMBER: Readonly<Record<ForwardMethod, number>> = {
  masquerade: 0,
  local: 1,
  tunnel: 2,
  direct: 3,
  bypass: 4,
};
export const SET_TYPE_NUMBER: Readonly<Record<SetType, number>> = {
  'hash:ip': 1,
  'hash:net': 2,
  'hash:ip,port': 3,
  'hash:ip,port,ip': 4,
  'hash:ip,port,net': 5,
  'hash:net,iface': 6,
  'bitmap:port': 7,
};
/** RT_SCOPE_* of linux/rtnetlink.h. */
export const SCOPE_NUMBER: Readonly<Record<AddressScope, number>> = { global: 0, site: 200, link: 253, host: 254 };

export function protocolOf(number: number): Protocol | undefined {
  return number === 6 ? 'tcp' : number === 17 ? 'udp' : number === 132 ? 'sctp' : undefined;
}

const FORWARD_METHODS: readonly ForwardMethod[] = ['masquerade', 'local', 'tunnel', 'direct', 'bypass'];

export function forwardOf(number: number): ForwardMethod | undefined {
  return FORWARD_METHODS[number];
}

const SET_TYPES: readonly (SetType | undefined)[] = [
  undefined,
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'hash:net,iface',
  'bitmap:port',
];

export function setTypeOf(number: number): SetType | undefined {
  return SET_TYPES[number];
}

/** A scope without a name of its own (a site's own number) is nearest to the next wider named one. */
export function scopeOf(number: number): AddressScope {
  return number >= 254 ? 'host' : number === 253 ? 'link' : number >= 200 ? 'site' : 'global';
}

/** Room that any record fits in: two addresses, two strings of 255 bytes, and the fixed part. */
const LARGEST_RECORD = 640;

/** Appends records to a buffer that grows. A record counts only once `commit` has been called. */
export class RecordWriter {
  bytes: Uint8Array;
  view: DataView;
  /** Bytes of committed records. */
  length = 0;
  /** Where the next field goes. */
  at = 0;

  constructor(capacity = 1024) {
    this.bytes = new Uint8Array(Math.max(capacity, LARGEST_RECORD));
    this.view = new DataView(this.bytes.buffer);
  }

  /** A writer that goes on behind records that are there already. */
  static behind(records: Uint8Array): RecordWriter {
    const writer = new RecordWriter(records.length + LARGEST_RECORD);
    writer.bytes.set(records);
    writer.length = records.length;
    return writer;
  }

  begin(opcode: number): void {
    if (this.length + LARGEST_RECORD > this.bytes.length) this.#grow();
    this.at = this.length + HEADER_BYTES;
    this.bytes[this.length + 2] = opcode;
    this.bytes[this.length + 3] = 0;
  }

  #grow(): void {
    const grown = new Uint8Array(this.bytes.length * 2);
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }

  flags(value: number): void {
    this.bytes[this.length + 3] = value;
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

  commit(): void {
    while (this.at % 4 !== 0) this.bytes[this.at++] = 0;
    this.view.setUint16(this.length, this.at - this.length, true);
    this.length = this.at;
  }
}

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

  string(): string {
    const length = this.u8();
    let text = '';
    for (let i = 0; i < length; i++) text += String.fromCharCode(this.u8());
    return text;
  }
}
