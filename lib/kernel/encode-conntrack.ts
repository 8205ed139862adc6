/**
 * Removals and filters of connections to records. A removal is written only with a whole tuple: to the kernel a delete without one means
 * every connection there is.
 */
import { InvalidArgumentError } from '../errors.ts';
import type { ConntrackOperation } from '../operations.ts';
import type { ConnectionFilter, ConnectionProtocol, ConnectionTuple, IpAddress, IpFamily } from '../types.ts';
import { checkedAddress, checkedFamily, checkedInteger, checkObject, numberOf, quote } from './check.ts';
import type { RecordWriter } from './record-writer.ts';
import { CONNECTION_PROTOCOL_NUMBER, ConnectionField, Opcode } from './wire.ts';

const U16 = 0xffff;
const U32 = 0xffff_ffff;

export function encodeConnectionRemoval(writer: RecordWriter, operation: ConntrackOperation): void {
  const { tuple, zone = 0, id } = operation;
  if (typeof tuple !== 'object' || tuple === null) {
    throw new InvalidArgumentError('tuple', 'is missing: a connection is removed by its whole tuple');
  }
  const start = writer.at;
  writer.u8(0);
  writer.u8(checkedProtocol('tuple.protocol', tuple.protocol));
  writer.u16(checkedInteger('zone', zone, 0, U16));
  writer.u32(id === undefined ? 0 : checkedInteger('id', id, 0, U32));
  writer.u32(id === undefined ? 0 : 1);
  writePorts(writer, tuple);
  const family = checkedAddress(writer, 'tuple.source', tuple.source);
  if (checkedAddress(writer, 'tuple.destination', tuple.destination) !== family) {
    throw new InvalidArgumentError('tuple.destination', `${tuple.destination} is not of the family of ${tuple.source}`);
  }
  checkFamilyOfProtocol('tuple.protocol', tuple.protocol, family);
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
}

function writePorts(writer: RecordWriter, tuple: ConnectionTuple): void {
  const { icmp } = tuple;
  if (!isIcmp(tuple.protocol)) {
    if (icmp !== undefined)
      throw new InvalidArgumentError('tuple.icmp', `is there, and the protocol is ${tuple.protocol}`);
    writer.u16(checkedInteger('tuple.sourcePort', tuple.sourcePort, 0, U16));
    writer.u16(checkedInteger('tuple.destinationPort', tuple.destinationPort, 0, U16));
    return;
  }
  if (typeof icmp !== 'object' || icmp === null)
    throw new InvalidArgumentError('tuple.icmp', `is missing, and the protocol is ${tuple.protocol}`);
  checkedInteger('tuple.sourcePort', tuple.sourcePort, 0, 0);
  checkedInteger('tuple.destinationPort', tuple.destinationPort, 0, 0);
  writer.u16(checkedInteger('tuple.icmp.id', icmp.id, 0, U16));
  const type = checkedInteger('tuple.icmp.type', icmp.type, 0, 255);
  writer.u16(type * 256 + checkedInteger('tuple.icmp.code', icmp.code, 0, 255));
}

const ADDRESSES = ['originalSource', 'originalDestination', 'replySource', 'replyDestination'] as const;
const PORTS = ['originalSourcePort', 'originalDestinationPort', 'replySourcePort', 'replyDestinationPort'] as const;

/** Appends a filter: the argument of a dump of connections. */
export function encodeConnectionFilter(writer: RecordWriter, filter: ConnectionFilter): void {
  checkObject('filter', filter);
  const { protocol, zone, mark } = filter;
  if (mark !== undefined) checkObject('filter.mark', mark);
  writer.begin(Opcode.connectionFilter);
  const start = writer.at;
  writer.u8(0);
  writer.u8(protocol === undefined ? 0 : checkedProtocol('filter.protocol', protocol));
  writer.u16(0);
  let fields = zone === undefined ? 0 : ConnectionField.zone;
  if (mark !== undefined) fields |= ConnectionField.mark;
  for (const name of PORTS) {
    const port = filter[name];
    if (port !== undefined && (protocol === undefined || isIcmp(protocol))) {
      throw new InvalidArgumentError(
        `filter.${name}`,
        `is ${quote(port)}: a port needs protocol tcp, udp or sctp beside it`,
      );
    }
    if (port !== undefined) fields |= ConnectionField[name];
    writer.u16(port === undefined ? 0 : checkedInteger(`filter.${name}`, port, 0, U16));
  }
  writer.u16(zone === undefined ? 0 : checkedInteger('filter.zone', zone, 0, U16));
  writer.u16(0);
  writer.u32(mark === undefined ? 0 : checkedInteger('filter.mark.value', mark.value, 0, U32));
  writer.u32(mark === undefined ? 0 : checkedInteger('filter.mark.mask', mark.mask, 0, U32));
  let family = filter.family === undefined ? undefined : checkedFamily('filter.family', filter.family);
  if (protocol !== undefined && isIcmp(protocol)) {
    family ??= protocol === 'icmp' ? 'IPv4' : 'IPv6';
  }
  for (const name of ADDRESSES) {
    const text = filter[name];
    if (text !== undefined) fields |= ConnectionField[name];
    family = writeFilterAddress(writer, `filter.${name}`, text, family);
  }
  if (protocol !== undefined && family !== undefined) checkFamilyOfProtocol('filter.protocol', protocol, family);
  writer.bytes[start] = family === undefined ? 0 : family === 'IPv4' ? 4 : 6;
  writer.view.setUint16(start + 2, fields, true);
  writer.commit();
}

function writeFilterAddress(
  writer: RecordWriter,
  field: string,
  text: IpAddress | undefined,
  family: IpFamily | undefined,
): IpFamily | undefined {
  if (text === undefined) {
    writer.bytes.fill(0, writer.at, writer.at + 16);
    writer.at += 16;
    return family;
  }
  const own = checkedAddress(writer, field, text);
  if (family !== undefined && own !== family) {
    throw new InvalidArgumentError(field, `${text} is ${own}, the rest of the filter is ${family}`);
  }
  return own;
}

function isIcmp(protocol: ConnectionProtocol): boolean {
  return protocol === 'icmp' || protocol === 'icmpv6';
}

function checkFamilyOfProtocol(field: string, protocol: ConnectionProtocol, family: IpFamily): void {
  if (!isIcmp(protocol) || (protocol === 'icmp') === (family === 'IPv4')) return;
  throw new InvalidArgumentError(field, `${protocol} has no connections between ${family} addresses`);
}

function checkedProtocol(field: string, protocol: ConnectionProtocol): number {
  const number = numberOf(CONNECTION_PROTOCOL_NUMBER, protocol);
  if (number !== undefined) return number;
  const known = Object.keys(CONNECTION_PROTOCOL_NUMBER).join(', ');
  throw new InvalidArgumentError(field, `${quote(protocol)} is none of ${known}`);
}
