/** Records back to plain data: operations of a batch, and the entries of a dump. The layouts are in `wire.ts`. */
import type { Operation } from '../operations.ts';
import type {
  Destination,
  DestinationKey,
  DestinationState,
  IpFamily,
  LinkAddress,
  LinkState,
  ServiceKey,
  SetEntry,
  SetSpec,
  SetState,
  VirtualService,
} from '../types.ts';
import { ADDRESS_BYTES, readAddress } from './address-bytes.ts';
import { readEntry } from './set-entry.ts';
import { forwardOf, Opcode, protocolOf, type RecordReader, scopeOf, setTypeOf } from './wire.ts';

const HASHED = 0x2;

/** The operation of the reader's current record. Only for records that `encodeOperation` wrote. */
export function decodeOperation(reader: RecordReader): Operation {
  switch (reader.opcode) {
    case Opcode.createService:
      return { verb: 'create-service', service: written(readService(reader)) };
    case Opcode.updateService:
      return { verb: 'update-service', service: written(readService(reader)) };
    case Opcode.ensureService:
      return { verb: 'ensure-service', service: written(readService(reader)) };
    case Opcode.removeService:
      return { verb: 'remove-service', key: written(readKey(reader)) };
    case Opcode.createDestination:
      return {
        verb: 'create-destination',
        key: written(readKey(reader)),
        destination: written(readDestination(reader)),
      };
    case Opcode.updateDestination:
      return {
        verb: 'update-destination',
        key: written(readKey(reader)),
        destination: written(readDestination(reader)),
      };
    case Opcode.ensureDestination:
      return {
        verb: 'ensure-destination',
        key: written(readKey(reader)),
        destination: written(readDestination(reader)),
      };
    case Opcode.removeDestination:
      return { verb: 'remove-destination', key: written(readKey(reader)), destination: readDestinationKey(reader) };
    case Opcode.createSet:
      return { verb: 'create-set', set: readSetSpec(reader) };
    case Opcode.ensureSet:
      return { verb: 'ensure-set', set: readSetSpec(reader) };
    case Opcode.removeSet:
      return { verb: 'remove-set', name: reader.string() };
    case Opcode.flushSet:
      return { verb: 'flush-set', name: reader.string() };
    case Opcode.swapSets:
      return { verb: 'swap-sets', name: reader.string(), other: reader.string() };
    case Opcode.addEntry:
      return { verb: 'add-entry', ...readSetAndEntry(reader) };
    case Opcode.removeEntry:
      return { verb: 'remove-entry', ...readSetAndEntry(reader) };
    case Opcode.ensureLink:
      return { verb: 'ensure-link', name: reader.string() };
    case Opcode.removeLink:
      return { verb: 'remove-link', name: reader.string() };
    case Opcode.addAddress:
      return { verb: 'add-address', address: readLinkAddress(reader) };
    case Opcode.removeAddress: {
      const { link, address, prefixLength } = readLinkAddress(reader);
      return { verb: 'remove-address', link, address, prefixLength };
    }
    default:
      throw new RangeError(`record with opcode 0x${reader.opcode.toString(16)} is not an operation`);
  }
}

function written<T>(value: T | undefined): T {
  if (value === undefined) throw new RangeError('record holds a value that is never written');
  return value;
}

function readFamily(reader: RecordReader): IpFamily {
  return reader.u8() === 6 ? 'IPv6' : 'IPv4';
}

function readKey(reader: RecordReader): ServiceKey | undefined {
  const family = readFamily(reader);
  const protocolNumber = reader.u8();
  const port = reader.u16();
  const fwmark = reader.u32();
  const at = reader.at;
  reader.at += ADDRESS_BYTES;
  if (protocolNumber === 0) return { fwmark, family };
  const protocol = protocolOf(protocolNumber);
  return protocol === undefined ? undefined : { protocol, address: readAddress(reader.bytes, at, family), port };
}

/** Undefined for a service of a protocol that has no place in {@link ServiceKey} (ICMP, ESP: the kernel takes any number). */
export function readService(reader: RecordReader): VirtualService | undefined {
  const full = reader.bytes[reader.at] === 6 ? 128 : 32;
  const key = readKey(reader);
  if (key === undefined) return undefined;
  const flags = (reader.u32() & ~HASHED) >>> 0;
  const timeoutSeconds = reader.u32();
  const prefixLength = reader.u32();
  const scheduler = reader.string();
  const persistenceEngine = reader.string();
  if ((prefixLength === 0 || prefixLength === full) && persistenceEngine === '') {
    return { key, scheduler, flags, timeoutSeconds };
  }
  return {
    key,
    scheduler,
    flags,
    timeoutSeconds,
    ...(prefixLength === 0 || prefixLength === full ? {} : { prefixLength }),
    ...(persistenceEngine === '' ? {} : { persistenceEngine }),
  };
}

function readDestination(reader: RecordReader): Destination | undefined {
  const family = readFamily(reader);
  const forward = forwardOf(reader.u8());
  const port = reader.u16();
  const weight = reader.u32();
  const upperThreshold = reader.u32();
  const lowerThreshold = reader.u32();
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  if (forward === undefined) return undefined;
  if (upperThreshold === 0) return { address, port, weight, forward };
  return { address, port, weight, forward, upperThreshold, ...(lowerThreshold === 0 ? {} : { lowerThreshold }) };
}

/**
 * Undefined for a forwarding method that is not one of IP_VS_CONN_F_* (a newer kernel). An audit reads tens of thousands of these,
 * nearly all without thresholds: those are one literal.
 */
export function readDestinationState(reader: RecordReader): DestinationState | undefined {
  const destination = readDestination(reader);
  const activeConnections = reader.u32();
  const inactiveConnections = reader.u32();
  const persistentConnections = reader.u32();
  if (destination === undefined) return undefined;
  if (destination.upperThreshold !== undefined) {
    return { ...destination, activeConnections, inactiveConnections, persistentConnections };
  }
  const { address, port, weight, forward } = destination;
  return { address, port, weight, forward, activeConnections, inactiveConnections, persistentConnections };
}

function readDestinationKey(reader: RecordReader): DestinationKey {
  const family = readFamily(reader);
  reader.at += 1;
  const port = reader.u16();
  const address = readAddress(reader.bytes, reader.at, family);
  return { address, port };
}

function readSetSpec(reader: RecordReader): SetSpec {
  const type = written(setTypeOf(reader.u8()));
  const family = readFamily(reader);
  reader.at += 2;
  const hashSize = reader.u32();
  const maxElements = reader.u32();
  return {
    name: reader.string(),
    type,
    family,
    ...(hashSize === 0 ? {} : { hashSize }),
    ...(maxElements === 0 ? {} : { maxElements }),
  };
}

/** Undefined for a set of a type that this library has no word for. */
export function readSetState(reader: RecordReader): SetState | undefined {
  const type = setTypeOf(reader.u8());
  const family = readFamily(reader);
  const revision = reader.u8();
  reader.at += 1;
  const hashSize = reader.u32();
  const maxElements = reader.u32();
  const entries = reader.u32();
  const references = reader.u32();
  const memoryBytes = reader.u32();
  const name = reader.string();
  return type === undefined
    ? undefined
    : { name, type, family, hashSize, maxElements, revision, entries, references, memoryBytes };
}

function readSetAndEntry(reader: RecordReader): { set: Pick<SetSpec, 'name' | 'type' | 'family'>; entry: SetEntry } {
  const fields = written(readEntry(reader));
  const name = reader.string();
  const iface = fields.type === 'hash:net,iface' ? reader.string() : '';
  return { set: { name, type: fields.type, family: fields.family }, entry: fields.text(iface) };
}

/** Undefined when the set is of a type that this library has no word for. */
export function readEntryState(reader: RecordReader): SetEntry | undefined {
  const fields = readEntry(reader);
  return fields?.text(fields.type === 'hash:net,iface' ? reader.string() : '');
}

function readLinkAddress(reader: RecordReader): LinkAddress {
  const family = readFamily(reader);
  const prefixLength = reader.u8();
  const scope = scopeOf(reader.u8());
  const deprecated = reader.u8() === 1;
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  return {
    link: reader.string(),
    address,
    prefixLength,
    ...(scope === 'global' ? {} : { scope }),
    ...(deprecated ? { deprecated } : {}),
  };
}

export function readLinkState(reader: RecordReader): LinkState {
  const index = reader.u32();
  const up = reader.u32() === 1;
  return { index, name: reader.string(), kind: reader.string(), up };
}

/** An address as dumped: with the interface's number, not its name. */
export type IndexedAddress = Required<Omit<LinkAddress, 'link'>> & { readonly linkIndex: number };

export function readAddressState(reader: RecordReader): IndexedAddress {
  const linkIndex = reader.u32();
  const family = readFamily(reader);
  const prefixLength = reader.u8();
  const scope = scopeOf(reader.u8());
  const deprecated = reader.u8() === 1;
  return { linkIndex, address: readAddress(reader.bytes, reader.at, family), prefixLength, scope, deprecated };
}
