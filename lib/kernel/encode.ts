/** Operations to records, checked on the way: what the kernel would misread or cut off never gets into a batch. */
import { InvalidArgumentError } from '../errors.ts';
import type { Operation } from '../operations.ts';
import type {
  Destination,
  DestinationKey,
  IpFamily,
  LinkAddress,
  ServiceKey,
  SetSpec,
  VirtualService,
} from '../types.ts';
import { writeAddress } from './address-bytes.ts';
import { isLinkName, writeEntry } from './set-entry.ts';
import { FORWARD_NUMBER, Opcode, PROTOCOL_NUMBER, type RecordWriter, SCOPE_NUMBER, SET_TYPE_NUMBER } from './wire.ts';

const U32 = 0xffff_ffff;
/** Weights and thresholds are signed in the kernel. */
const INT_MAX = 0x7fff_ffff;
/** IP_VS_SVC_F_HASHED: the kernel's own, ignored on input. */
const HASHED = 0x2;
/** The kernel multiplies a persistence time-out by HZ (at most 1000) in 32 bits, without a check. */
const TIMEOUT_MAX_SECONDS = 2_147_483;

const OPCODE = {
  'create-service': Opcode.createService,
  'update-service': Opcode.updateService,
  'ensure-service': Opcode.ensureService,
  'remove-service': Opcode.removeService,
  'create-destination': Opcode.createDestination,
  'update-destination': Opcode.updateDestination,
  'ensure-destination': Opcode.ensureDestination,
  'remove-destination': Opcode.removeDestination,
  'create-set': Opcode.createSet,
  'ensure-set': Opcode.ensureSet,
  'remove-set': Opcode.removeSet,
  'flush-set': Opcode.flushSet,
  'swap-sets': Opcode.swapSets,
  'add-entry': Opcode.addEntry,
  'remove-entry': Opcode.removeEntry,
  'ensure-link': Opcode.ensureLink,
  'remove-link': Opcode.removeLink,
  'add-address': Opcode.addAddress,
  'remove-address': Opcode.removeAddress,
} as const satisfies Record<Operation['verb'], number>;

/** Appends one operation. Throws InvalidArgumentError, and then the writer holds what it held before. */
export function encodeOperation(writer: RecordWriter, operation: Operation): void {
  const opcode = OPCODE[operation.verb];
  if (opcode === undefined) throw new InvalidArgumentError('verb', `${quote(operation.verb)} is not an operation`);
  writer.begin(opcode);
  switch (operation.verb) {
    case 'create-service':
    case 'update-service':
    case 'ensure-service':
      writeService(writer, operation.service);
      break;
    case 'remove-service':
      writeKey(writer, operation.key);
      break;
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
      writeDestination(writer, writeKey(writer, operation.key), operation.destination);
      break;
    case 'remove-destination':
      writeKey(writer, operation.key);
      writeDestinationKey(writer, operation.destination);
      break;
    case 'create-set':
    case 'ensure-set':
      writeSet(writer, operation.set);
      break;
    case 'remove-set':
    case 'flush-set':
      writer.string(checkedName('name', operation.name, 31));
      break;
    case 'swap-sets':
      writer.string(checkedName('name', operation.name, 31));
      writer.string(checkedName('other', operation.other, 31));
      break;
    case 'add-entry':
    case 'remove-entry': {
      const { set, entry } = operation;
      const { problem, iface } = writeEntry(
        writer,
        checkedType(set.type),
        checkedFamily('set.family', set.family),
        entry,
      );
      if (problem !== undefined) throw new InvalidArgumentError('entry', `${quote(entry)} ${problem}`);
      writer.string(checkedName('set.name', set.name, 31));
      if (iface !== undefined) writer.string(iface);
      break;
    }
    case 'ensure-link':
    case 'remove-link':
      writer.string(checkedLink('name', operation.name));
      break;
    case 'add-address':
      writeLinkAddress(writer, operation.address, 'address.');
      break;
    case 'remove-address':
      writeLinkAddress(writer, operation, '');
      break;
  }
  writer.commit();
}

/** Writes only the key: the argument of a dump of destinations. */
export function encodeServiceKey(writer: RecordWriter, key: ServiceKey): void {
  writer.begin(Opcode.removeService);
  writeKey(writer, key);
  writer.commit();
}

function writeKey(writer: RecordWriter, key: ServiceKey): IpFamily {
  if ('fwmark' in key) {
    const family = checkedFamily('key.family', key.family);
    writer.u8(family === 'IPv4' ? 4 : 6);
    writer.u8(0);
    writer.u16(0);
    writer.u32(checkedInteger('key.fwmark', key.fwmark, 1, U32));
    writer.bytes.fill(0, writer.at, writer.at + 16);
    writer.at += 16;
    return family;
  }
  const protocol = PROTOCOL_NUMBER[key.protocol];
  if (protocol === undefined) {
    throw new InvalidArgumentError('key.protocol', `${quote(key.protocol)} is none of tcp, udp, sctp`);
  }
  const start = writer.at;
  writer.u8(0);
  writer.u8(protocol);
  writer.u16(checkedInteger('key.port', key.port, 0, 65535));
  writer.u32(0);
  const family = checkedAddress(writer, 'key.address', key.address);
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
  return family;
}

function writeService(writer: RecordWriter, service: VirtualService): void {
  const family = writeKey(writer, service.key);
  const most = family === 'IPv4' ? 32 : 128;
  writer.u32((checkedInteger('service.flags', service.flags, 0, U32) & ~HASHED) >>> 0);
  writer.u32(checkedInteger('service.timeoutSeconds', service.timeoutSeconds, 0, TIMEOUT_MAX_SECONDS));
  const { prefixLength, persistenceEngine } = service;
  writer.u32(prefixLength === undefined ? 0 : checkedInteger('service.prefixLength', prefixLength, 1, most));
  writer.string(checkedName('service.scheduler', service.scheduler, 15));
  writer.string(persistenceEngine === undefined ? '' : checkedName('service.persistenceEngine', persistenceEngine, 15));
}

function writeDestination(writer: RecordWriter, serviceFamily: IpFamily, destination: Destination): void {
  const start = writer.at;
  const forward = FORWARD_NUMBER[destination.forward];
  if (forward === undefined) {
    const methods = Object.keys(FORWARD_NUMBER).join(', ');
    throw new InvalidArgumentError('destination.forward', `${quote(destination.forward)} is none of ${methods}`);
  }
  const upper = checkedInteger('destination.upperThreshold', destination.upperThreshold ?? 0, 0, INT_MAX);
  const lower = checkedInteger('destination.lowerThreshold', destination.lowerThreshold ?? 0, 0, INT_MAX);
  if (lower > upper) {
    throw new InvalidArgumentError('destination.lowerThreshold', `is ${lower}, above upperThreshold ${upper}`);
  }
  writer.u8(0);
  writer.u8(forward);
  writer.u16(checkedInteger('destination.port', destination.port, 0, 65535));
  writer.u32(checkedInteger('destination.weight', destination.weight, 0, INT_MAX));
  writer.u32(upper);
  writer.u32(lower);
  const family = checkedAddress(writer, 'destination.address', destination.address);
  if (family !== serviceFamily && destination.forward !== 'tunnel') {
    const message = `${destination.address} is ${family}, the service is ${serviceFamily}: only tunnels mix families`;
    throw new InvalidArgumentError('destination.address', message);
  }
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
}

function writeDestinationKey(writer: RecordWriter, destination: DestinationKey): void {
  const start = writer.at;
  writer.u8(0);
  writer.u8(0);
  writer.u16(checkedInteger('destination.port', destination.port, 0, 65535));
  const family = checkedAddress(writer, 'destination.address', destination.address);
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
}

function writeSet(writer: RecordWriter, set: SetSpec): void {
  writer.u8(SET_TYPE_NUMBER[checkedType(set.type)]);
  writer.u8(checkedFamily('set.family', set.family) === 'IPv4' ? 4 : 6);
  writer.u16(0);
  writer.u32(checkedInteger('set.hashSize', set.hashSize ?? 0, 0, 0x8000_0000));
  writer.u32(checkedInteger('set.maxElements', set.maxElements ?? 0, 0, U32));
  writer.string(checkedName('set.name', set.name, 31));
}

function writeLinkAddress(writer: RecordWriter, address: LinkAddress, path: string): void {
  const start = writer.at;
  writer.u8(0);
  writer.u8(0);
  const scope = SCOPE_NUMBER[address.scope ?? 'global'];
  if (scope === undefined) {
    throw new InvalidArgumentError(`${path}scope`, `${quote(address.scope)} is none of global, site, link, host`);
  }
  writer.u8(scope);
  writer.u8(address.deprecated === true ? 1 : 0);
  const family = checkedAddress(writer, `${path}address`, address.address);
  const most = family === 'IPv4' ? 32 : 128;
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
  writer.bytes[start + 1] = checkedInteger(`${path}prefixLength`, address.prefixLength, 0, most);
  writer.string(checkedLink(`${path}link`, address.link));
}

function checkedAddress(writer: RecordWriter, field: string, text: string): IpFamily {
  const written = typeof text === 'string' ? writeAddress(writer.bytes, writer.at, text) : 0;
  if (written === 0) throw new InvalidArgumentError(field, `${quote(text)} is not an IPv4 or IPv6 address`);
  writer.at += 16;
  return written === 4 ? 'IPv4' : 'IPv6';
}

function checkedInteger(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new InvalidArgumentError(field, `is ${value}, must be an integer from ${least} to ${most}`);
}

function checkedFamily(field: string, family: IpFamily): IpFamily {
  if (family === 'IPv4' || family === 'IPv6') return family;
  throw new InvalidArgumentError(field, `${quote(family)} is neither IPv4 nor IPv6`);
}

function checkedType(type: SetSpec['type']): SetSpec['type'] {
  if (Object.hasOwn(SET_TYPE_NUMBER, type)) return type;
  throw new InvalidArgumentError('set.type', `${quote(type)} is none of ${Object.keys(SET_TYPE_NUMBER).join(' ')}`);
}

/** Names in the kernel are bytes; printable ASCII is what every tool shows alike. */
function checkedName(field: string, name: string, most: number): string {
  if (typeof name === 'string' && name.length > 0 && name.length <= most && /^[\x21-\x7e]+$/.test(name)) return name;
  throw new InvalidArgumentError(
    field,
    `${quote(name)} must be 1 to ${most} printable ASCII characters without blanks`,
  );
}

function checkedLink(field: string, name: string): string {
  if (typeof name === 'string' && isLinkName(name)) return name;
  throw new InvalidArgumentError(
    field,
    `${quote(name)} is not an interface name (1 to 15 characters, no / : or blank)`,
  );
}

function quote(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}
