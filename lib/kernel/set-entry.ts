/** Set entries between ipset's notation and records. One file, so that what is written and what is read cannot drift apart. */
import type { IpFamily, SetEntry, SetType } from '../types.ts';
import { ADDRESS_BYTES, readAddress, writeAddress } from './address-bytes.ts';
import {
  EntryFlag,
  PROTOCOL_NUMBER,
  protocolOf,
  type RecordReader,
  type RecordWriter,
  SET_TYPE_NUMBER,
  setTypeOf,
} from './wire.ts';

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
const NOMATCH = ' nomatch';

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

/** Writes the `entry` part of a record for `text`. */
export function writeEntry(writer: RecordWriter, type: SetType, family: IpFamily, text: SetEntry): EncodedEntry {
  const at = writer.at;
  const { bytes, view } = writer;
  const shape = SHAPE[type];
  bytes[at] = SET_TYPE_NUMBER[type];
  bytes[at + 1] = family === 'IPv4' ? 4 : 6;
  view.setUint16(at + 2, 0, true);
  view.setUint32(at + ENTRY_PORT, 0, true);
  writer.at = at + ENTRY_ADDRESS;
  if (shape.fields.length === 0) {
    const port = decimal(text, 65535);
    if (port < 0) return { problem: 'is not a port (0 to 65535)' };
    view.setUint16(at + ENTRY_PORT, port, true);
    return WRITTEN;
  }
  let flags = 0;
  let rest = text;
  if (rest.endsWith(NOMATCH) && shape.fields.includes('net')) {
    flags |= EntryFlag.nomatch;
    rest = rest.slice(0, -NOMATCH.length);
  }
  const parts = rest.split(',');
  if (parts.length !== shape.fields.length) return { problem: `must have the form ${notation(type)}` };
  let iface: string | undefined;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] ?? '';
    const field = shape.fields[i];
    if (field === 'port') {
      const colon = part.indexOf(':');
      const protocol = protocolNumber(part.slice(0, colon));
      const port = decimal(part.slice(colon + 1), 65535);
      if (colon < 0 || protocol < 0 || port < 0) return { problem: `must have the form ${notation(type)}` };
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
  if ((written === 4) !== (family === 'IPv4')) return `holds "${text}", but the set is of family ${family}`;
  if (prefixed) {
    const prefix = slash < 0 ? full : decimal(text.slice(slash + 1), full);
    if (prefix < 0) return `holds "${text}", whose prefix length is not one of ${family}`;
    if (prefix === 0 && !zero) return `holds "${text}": this set type takes no /0, use the two /1 halves`;
    writer.bytes[entry + 3] = prefix;
  }
  writer.at += ADDRESS_BYTES;
  return undefined;
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
  /** Text of the entry; complete but for the interface, which stands elsewhere in the record. */
  text(iface: string): SetEntry;
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
  if (type === 'bitmap:port') return { type, family, text: () => String(port) };
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
  const suffix = (flags & EntryFlag.nomatch) === 0 ? '' : NOMATCH;
  const physdev = (flags & EntryFlag.physdev) === 0 ? '' : PHYSDEV;
  const head = parts.join(',');
  return {
    type,
    family,
    text: (iface) => (type === 'hash:net,iface' ? `${head},${physdev}${iface}${suffix}` : `${head}${suffix}`),
  };
}
