/** Set entries between ipset's notation and records. One file, so that what is written and what is read cannot drift apart. */
import type { IpFamily, SetEntry, SetType } from '../types.ts';
import { ADDRESS_BYTES, readAddress, writeAddress } from './address-bytes.ts';
import type { RecordReader } from './record-reader.ts';
import type { RecordWriter } from './record-writer.ts';
import { type EntryOptions, joinOptions } from './set-options.ts';
import { EntryFlag, PROTOCOL_NUMBER, protocolOf, SET_TYPE_NUMBER, setTypeOf } from './wire.ts';

/** What the fields of an entry are, by type. `net` is the field that may carry a prefix length. */
const SHAPE: Record<
  SetType,
  { readonly fields: readonly ('ip' | 'net' | 'port' | 'iface')[]; readonly zero: boolean }
> = {
  'hash:ip': { fields: ['ip'], zero: false },
  'hash:net': { fields: ['net'], zero: false },
  'hash:ip,port': { fields: ['ip', 'port'], zero: false },
  'hash:ip,port,ip': { fields: ['ip', 'port', 'ip'], zero: false },
  'hash:ip,port,net': { fields: ['ip', 'port', 'net'], zero: false },
  'hash:net,iface': { fields: ['net', 'iface'], zero: true },
  'bitmap:port': { fields: [], zero: false },
};

/** Where the fields are, from the start of the entry: see `wire.ts`. */
const ENTRY_PORT = 4;
const ENTRY_ADDRESS = 8;
const PHYSDEV = 'physdev:';
/** TCP, UDP, SCTP, UDP-Lite (ip_set_proto_with_ports); and ICMP, ICMPv6, whose type and code stand in the port's place. */
const PORT_PROTOCOLS: ReadonlySet<number> = new Set([6, 17, 132, 136, 1, 58]);

function decimal(text: string, most: number): number {
  if (text.length === 0 || text.length > 5 || (text.length > 1 && text.startsWith('0'))) return -1;
  let value = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value <= most ? value : -1;
}

function protocolNumber(text: string): number {
  return text === 'tcp' || text === 'udp' || text === 'sctp' ? PROTOCOL_NUMBER[text] : decimal(text, 255);
}

export interface EncodedEntry {
  /** What is wrong with the entry, in words; undefined when it was written. */
  readonly problem?: string;
  /** Interface name of hash:net,iface, to be written after the set's name. */
  readonly iface?: string;
}

const WRITTEN: EncodedEntry = {};

/** Writes the `entry` part of a record. */
export function writeEntry(
  writer: RecordWriter,
  type: SetType,
  family: IpFamily,
  { body, nomatch }: { readonly body: string; readonly nomatch: boolean },
): EncodedEntry {
  const at = writer.at;
  const { bytes, view } = writer;
  const shape = SHAPE[type];
  bytes[at] = SET_TYPE_NUMBER[type];
  bytes[at + 1] = family === 'IPv4' ? 4 : 6;
  view.setUint16(at + 2, 0, true);
  view.setUint32(at + ENTRY_PORT, 0, true);
  writer.at = at + ENTRY_ADDRESS;
  if (nomatch && !shape.fields.includes('net')) return { problem: `has nomatch, which ${type} does not know` };
  if (shape.fields.length === 0) {
    const port = decimal(body, 65535);
    if (port < 0) return { problem: 'is not a port (0 to 65535)' };
    view.setUint16(at + ENTRY_PORT, port, true);
    return WRITTEN;
  }
  let flags: number = nomatch ? EntryFlag.nomatch : 0;
  const parts = body.split(',');
  if (parts.length !== shape.fields.length) return { problem: `must have the form ${notation(type)}` };
  let iface: string | undefined;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] ?? '';
    const field = shape.fields[i];
    if (field === 'port') {
      const colon = part.indexOf(':');
      const protocol = protocolNumber(part.slice(0, colon));
      const port = decimal(part.slice(colon + 1), 65535);
      if (colon < 0 || protocol < 1 || port < 0) return { problem: `must have the form ${notation(type)}` };
      if (port !== 0 && !PORT_PROTOCOLS.has(protocol)) {
        return { problem: `has a port, and protocol ${protocol} has none: write ${protocol}:0` };
      }
      bytes[at + 2] = protocol;
      view.setUint16(at + ENTRY_PORT, port, true);
    } else if (field === 'iface') {
      const physdev = part.startsWith(PHYSDEV);
      if (physdev) flags |= EntryFlag.physdev;
      iface = physdev ? part.slice(PHYSDEV.length) : part;
      if (!isLinkName(iface)) return { problem: `must have the form ${notation(type)}` };
    } else {
      const problem = writeNetwork(writer, at, family, part, field === 'net', shape.zero);
      if (problem !== undefined) return { problem };
    }
  }
  writer.flags(flags);
  return iface === undefined ? WRITTEN : { iface };
}

function writeNetwork(
  writer: RecordWriter,
  entry: number,
  family: IpFamily,
  text: string,
  prefixed: boolean,
  zero: boolean,
): string | undefined {
  const full = family === 'IPv4' ? 32 : 128;
  const slash = text.indexOf('/');
  const written = writeAddress(writer.bytes, writer.at, slash < 0 ? text : text.slice(0, slash));
  if (written === 0 || (slash >= 0 && !prefixed)) return `holds "${text}", which is not an address`;
  if ((written === 4) !== (family === 'IPv4'))
    return `holds "${text}", but the set is of family ${family}: add it to a set of the other family`;
  if (prefixed) {
    const prefix = slash < 0 ? full : decimal(text.slice(slash + 1), full);
    if (prefix < 0) return `holds "${text}", whose prefix length is not one of ${family}`;
    if (prefix === 0 && !zero) {
      const halves = family === 'IPv4' ? '0.0.0.0/1 and 128.0.0.0/1' : '::/1 and 8000::/1';
      return `holds "${text}", and this set type takes no /0: add ${halves} instead (splitPrefix0)`;
    }
    if (clearHostBits(writer.bytes, writer.at, prefix)) {
      const masked = readAddress(writer.bytes, writer.at, family);
      return `holds "${text}", which has host bits: the network is ${masked}/${prefix}`;
    }
    writer.bytes[entry + 3] = prefix;
  }
  writer.at += ADDRESS_BYTES;
  return undefined;
}

/** Whether there were any. Stops at the 16 bytes: behind an IPv4 address they are zero. */
function clearHostBits(bytes: Uint8Array, at: number, prefix: number): boolean {
  let cleared = false;
  for (let i = prefix >> 3; i < ADDRESS_BYTES; i++) {
    const mask = i === prefix >> 3 ? 0xff >> (prefix & 7) : 0xff;
    const byte = bytes[at + i] ?? 0;
    if ((byte & mask) === 0) continue;
    bytes[at + i] = byte & ~mask;
    cleared = true;
  }
  return cleared;
}

/**
 * `0.0.0.0/0` and `::/0` are no entry of hash:net and hash:ip,port,net: their two halves are. Any other network is returned as it is, alone;
 * so is an entry whose last field is another one.
 * @example ranges.flatMap((range) => splitPrefix0(range)); splitPrefix0('0.0.0.0/0') // ['0.0.0.0/1', '128.0.0.0/1']
 */
export function splitPrefix0(entry: SetEntry): [SetEntry] | [SetEntry, SetEntry] {
  const found = /^((?:.*,)?)(0\.0\.0\.0|::)\/0((?: .*)?)$/s.exec(entry);
  if (found === null) return [entry];
  const [, head = '', address = '', options = ''] = found;
  const other = address === '::' ? '8000::' : '128.0.0.0';
  return [`${head}${address}/1${options}`, `${head}${other}/1${options}`];
}

function notation(type: SetType): string {
  const words = { ip: 'ADDRESS', net: 'ADDRESS[/PREFIX]', port: 'PROTOCOL:PORT', iface: '[physdev:]INTERFACE' };
  return SHAPE[type].fields.map((field) => words[field]).join(',');
}

/** The kernel's dev_valid_name (net/core/dev.c): 1 to 15 bytes, no slash, colon or blank, not `.` or `..`. */
export function isLinkName(name: string): boolean {
  return /^[\x21-\x2e\x30-\x39\x3b-\x7e]{1,15}$/.test(name) && name !== '.' && name !== '..';
}

export interface EntryFields {
  readonly type: SetType;
  readonly family: IpFamily;
  /** Text of the entry; complete but for the interface and the options, which stand elsewhere in the record. */
  text(iface: string, options: EntryOptions): SetEntry;
}

/** Reads the `entry` part of a record; undefined for a set type this library does not know. */
export function readEntry(reader: RecordReader): EntryFields | undefined {
  const at = reader.at;
  const { bytes, view, flags } = reader;
  const type = setTypeOf(view.getUint8(at));
  if (type === undefined) return undefined;
  const family: IpFamily = view.getUint8(at + 1) === 6 ? 'IPv6' : 'IPv4';
  const protocol = view.getUint8(at + 2);
  const prefix = view.getUint8(at + 3);
  const port = view.getUint16(at + ENTRY_PORT, true);
  reader.at = at + ENTRY_ADDRESS;
  if (type === 'bitmap:port') {
    return { type, family, text: (_iface, options) => joinOptions(String(port), false, options) };
  }
  const full = family === 'IPv4' ? 32 : 128;
  const parts: string[] = [];
  for (const field of SHAPE[type].fields) {
    if (field === 'port') parts.push(`${protocolOf(protocol) ?? protocol}:${port}`);
    else if (field !== 'iface') {
      const address = readAddress(bytes, reader.at, family);
      parts.push(field === 'net' && prefix !== full ? `${address}/${prefix}` : address);
      reader.at += ADDRESS_BYTES;
    }
  }
  const nomatch = (flags & EntryFlag.nomatch) !== 0;
  const physdev = (flags & EntryFlag.physdev) === 0 ? '' : PHYSDEV;
  const head = parts.join(',');
  return {
    type,
    family,
    text: (iface, options) =>
      joinOptions(type === 'hash:net,iface' ? `${head},${physdev}${iface}` : head, nomatch, options),
  };
}
