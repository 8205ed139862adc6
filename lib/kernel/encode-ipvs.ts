/** IPVS operations to records, checked on the way. */
import { InvalidArgumentError } from '../errors.ts';
import type {
  Destination,
  DestinationKey,
  IpFamily,
  IpvsTimeouts,
  ServiceKey,
  Tunnel,
  VirtualService,
} from '../types.ts';
import {
  checkedAddress,
  checkedBoolean,
  checkedFamily,
  checkedInteger,
  checkedName,
  checkObject,
  numberOf,
  quote,
} from './check.ts';
import type { RecordWriter } from './record-writer.ts';
import { FORWARD_NUMBER, Opcode, PROTOCOL_NUMBER, TUNNEL_NUMBER, TunnelFlag } from './wire.ts';

const U32 = 0xffff_ffff;
/** Weights and thresholds are signed in the kernel. */
const INT_MAX = 0x7fff_ffff;
/** IP_VS_SVC_F_HASHED: the kernel's own, ignored on input. */
const HASHED = 0x2;
/** The kernel multiplies time-outs by HZ (at most 1000) in 32 bits; the persistence one without a check. */
const TIMEOUT_MAX_SECONDS = 2_147_483;

/** Writes only the key: the argument of a dump of destinations. */
export function encodeServiceKey(writer: RecordWriter, key: ServiceKey): void {
  writer.begin(Opcode.removeService);
  writeKey(writer, key);
  writer.commit();
}

export function writeKey(writer: RecordWriter, key: ServiceKey): IpFamily {
  checkObject('key', key);
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
  const protocol = numberOf(PROTOCOL_NUMBER, key.protocol);
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

export function writeService(writer: RecordWriter, service: VirtualService): void {
  checkObject('service', service);
  const family = writeKey(writer, service.key);
  const most = family === 'IPv4' ? 32 : 128;
  writer.u32((checkedInteger('service.flags', service.flags, 0, U32) & ~HASHED) >>> 0);
  writer.u32(checkedInteger('service.timeoutSeconds', service.timeoutSeconds, 0, TIMEOUT_MAX_SECONDS));
  const { prefixLength, persistenceEngine } = service;
  writer.u32(prefixLength === undefined ? 0 : checkedInteger('service.prefixLength', prefixLength, 1, most));
  writer.string(checkedName('service.scheduler', service.scheduler, 15));
  writer.string(persistenceEngine === undefined ? '' : checkedName('service.persistenceEngine', persistenceEngine, 15));
}

export function writeDestination(writer: RecordWriter, serviceFamily: IpFamily, destination: Destination): void {
  checkObject('destination', destination);
  const start = writer.at;
  const forward = numberOf(FORWARD_NUMBER, destination.forward);
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
    const message = `${destination.address} is ${family}, the service is ${serviceFamily}, and only tunnels mix families: give an address of ${serviceFamily}, or forward: 'tunnel'`;
    throw new InvalidArgumentError('destination.address', message);
  }
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
  if (destination.tunnel === undefined) writer.u32(0);
  else writeTunnel(writer, destination.forward, destination.tunnel);
}

function writeTunnel(writer: RecordWriter, forward: Destination['forward'], tunnel: Tunnel): void {
  if (forward !== 'tunnel') {
    throw new InvalidArgumentError('destination.tunnel', `is for the forwarding method tunnel, not ${forward}`);
  }
  checkObject('destination.tunnel', tunnel);
  const type = numberOf(TUNNEL_NUMBER, tunnel.type);
  if (type === undefined) {
    throw new InvalidArgumentError('destination.tunnel.type', `${quote(tunnel.type)} is none of ipip, gue, gre`);
  }
  const { port = 0, checksum = false, remoteChecksum = false } = tunnel;
  checkedBoolean('destination.tunnel.checksum', checksum);
  checkedBoolean('destination.tunnel.remoteChecksum', remoteChecksum);
  if (tunnel.type !== 'gue' && port !== 0) {
    throw new InvalidArgumentError(
      'destination.tunnel.port',
      `is ${quote(port)}: ${tunnel.type} has no port, only gue has`,
    );
  }
  if (tunnel.type === 'ipip' && (checksum || remoteChecksum)) {
    throw new InvalidArgumentError('destination.tunnel.checksum', 'ipip has no checksum, only gue and gre have');
  }
  if (tunnel.type === 'gre' && remoteChecksum) {
    throw new InvalidArgumentError('destination.tunnel.remoteChecksum', 'gre has none, only gue has');
  }
  writer.u8(type);
  writer.u8((checksum ? TunnelFlag.checksum : 0) | (remoteChecksum ? TunnelFlag.remoteChecksum : 0));
  writer.u16(checkedInteger('destination.tunnel.port', port, tunnel.type === 'gue' ? 1 : 0, 65535));
}

export function writeDestinationKey(writer: RecordWriter, destination: DestinationKey): void {
  checkObject('destination', destination);
  const start = writer.at;
  writer.u8(0);
  writer.u8(0);
  writer.u16(checkedInteger('destination.port', destination.port, 0, 65535));
  const family = checkedAddress(writer, 'destination.address', destination.address);
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
}

export function writeTimeouts(writer: RecordWriter, timeouts: IpvsTimeouts): void {
  checkObject('timeouts', timeouts);
  writer.u32(checkedInteger('timeouts.tcpSeconds', timeouts.tcpSeconds, 0, TIMEOUT_MAX_SECONDS));
  writer.u32(checkedInteger('timeouts.tcpFinSeconds', timeouts.tcpFinSeconds, 0, TIMEOUT_MAX_SECONDS));
  writer.u32(checkedInteger('timeouts.udpSeconds', timeouts.udpSeconds, 0, TIMEOUT_MAX_SECONDS));
}
