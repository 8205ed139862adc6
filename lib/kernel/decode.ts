/** Records back to plain data: operations of a batch, and the entries of a dump. The layouts are in `wire.ts`. */
import type { Operation } from '../operations.ts';
import type { IpFamily, SetEntry, SetSpec, SetState } from '../types.ts';
import { readConnectionRemoval } from './decode-conntrack.ts';
import { readDestination, readDestinationKey, readKey, readService, readTimeouts } from './decode-ipvs.ts';
import { readLinkAddress, readLocalRoute } from './decode-route.ts';
import type { RecordReader } from './record-reader.ts';
import { readEntry } from './set-entry.ts';
import { readOptions } from './set-options.ts';
import { Opcode, SetFlag, setTypeOf } from './wire.ts';

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
    case Opcode.zeroService:
      return { verb: 'zero-service', key: written(readKey(reader)) };
    case Opcode.zeroServices:
      return { verb: 'zero-services' };
    case Opcode.flushServices:
      return { verb: 'flush-services' };
    case Opcode.setTimeouts:
      return { verb: 'set-timeouts', timeouts: readTimeouts(reader) };
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
    case Opcode.renameSet:
      return { verb: 'rename-set', name: reader.string(), newName: reader.string() };
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
    case Opcode.ensureAddress:
      return { verb: 'ensure-address', address: readLinkAddress(reader) };
    case Opcode.addLocalRoute:
      return { verb: 'add-local-route', route: readLocalRoute(reader) };
    case Opcode.removeLocalRoute:
      return { verb: 'remove-local-route', route: readLocalRoute(reader) };
    case Opcode.removeConnection:
      return readConnectionRemoval(reader);
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

function readSetSpec(reader: RecordReader): SetSpec {
  const type = written(setTypeOf(reader.u8()));
  const family = readFamily(reader);
  const flags = reader.u8();
  reader.at += 1;
  const hashSize = reader.u32();
  const maxElements = reader.u32();
  const timeoutSeconds = reader.u32();
  return {
    name: reader.string(),
    type,
    family,
    ...(hashSize === 0 ? {} : { hashSize }),
    ...(maxElements === 0 ? {} : { maxElements }),
    ...((flags & SetFlag.timeout) === 0 ? {} : { timeoutSeconds }),
    ...((flags & SetFlag.comment) === 0 ? {} : { comment: true }),
  };
}

/** Undefined for a set of a type that this library has no word for. */
export function readSetState(reader: RecordReader): SetState | undefined {
  const type = setTypeOf(reader.u8());
  const family = readFamily(reader);
  const revision = reader.u8();
  const flags = reader.u8();
  const hashSize = reader.u32();
  const maxElements = reader.u32();
  const entries = reader.u32();
  const references = reader.u32();
  const memoryBytes = reader.u32();
  const timeoutSeconds = reader.u32();
  const name = reader.string();
  if (type === undefined) return undefined;
  return {
    name,
    type,
    family,
    hashSize,
    maxElements,
    ...((flags & SetFlag.timeout) === 0 ? {} : { timeoutSeconds }),
    comment: (flags & SetFlag.comment) !== 0,
    otherProperties: (flags & SetFlag.other) !== 0,
    revision,
    entries,
    references,
    memoryBytes,
  };
}

function readSetAndEntry(reader: RecordReader): { set: Pick<SetSpec, 'name' | 'type' | 'family'>; entry: SetEntry } {
  const fields = written(readEntry(reader));
  const name = reader.string();
  const iface = fields.type === 'hash:net,iface' ? reader.string() : '';
  return { set: { name, type: fields.type, family: fields.family }, entry: fields.text(iface, readOptions(reader)) };
}

/** Undefined when the set is of a type that this library has no word for. */
export function readEntryState(reader: RecordReader): SetEntry | undefined {
  const fields = readEntry(reader);
  if (fields === undefined) return undefined;
  const iface = fields.type === 'hash:net,iface' ? reader.string() : '';
  return fields.text(iface, readOptions(reader));
}
