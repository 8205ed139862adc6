/** IPVS records back to plain data. The layouts are in `wire.ts`. */
import type {
  Destination,
  DestinationKey,
  DestinationState,
  IpFamily,
  IpvsInfo,
  IpvsStatistics,
  IpvsTimeouts,
  ServiceKey,
  ServiceState,
  Tunnel,
} from '../types.ts';
import { ADDRESS_BYTES, readAddress } from './address-bytes.ts';
import type { RecordReader } from './record-reader.ts';
import { forwardOf, HAS_STATISTICS, protocolOf, TunnelFlag, tunnelOf } from './wire.ts';

const HASHED = 0x2;
/** Where a destination's fields go on behind its address. */
const TUNNEL_AT = 16 + ADDRESS_BYTES;

function readFamily(reader: RecordReader): IpFamily {
  return reader.u8() === 6 ? 'IPv6' : 'IPv4';
}

export function readKey(reader: RecordReader): ServiceKey | undefined {
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

/**
 * Of an operation, or as dumped. Undefined for a service of a protocol that has no place in {@link ServiceKey} (ICMP, ESP: the kernel takes
 * any number).
 */
export function readService(reader: RecordReader): ServiceState | undefined {
  const full = reader.bytes[reader.at] === 6 ? 128 : 32;
  const key = readKey(reader);
  if (key === undefined) return undefined;
  const flags = (reader.u32() & ~HASHED) >>> 0;
  const timeoutSeconds = reader.u32();
  const prefixLength = reader.u32();
  const scheduler = reader.string();
  const persistenceEngine = reader.string();
  const measured = reader.flags === HAS_STATISTICS;
  if ((prefixLength === 0 || prefixLength === full) && persistenceEngine === '' && !measured) {
    return { key, scheduler, flags, timeoutSeconds };
  }
  return {
    key,
    scheduler,
    flags,
    timeoutSeconds,
    ...(prefixLength === 0 || prefixLength === full ? {} : { prefixLength }),
    ...(persistenceEngine === '' ? {} : { persistenceEngine }),
    ...(measured ? { statistics: readStatistics(reader) } : {}),
  };
}

export function readDestination(reader: RecordReader): Destination | undefined {
  const family = readFamily(reader);
  const forward = forwardOf(reader.u8());
  const port = reader.u16();
  const weight = reader.u32();
  const upperThreshold = reader.u32();
  const lowerThreshold = reader.u32();
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  const tunnel = readTunnel(reader);
  if (forward === undefined) return undefined;
  if (upperThreshold === 0 && tunnel === undefined) return { address, port, weight, forward };
  return {
    address,
    port,
    weight,
    forward,
    ...(upperThreshold === 0 ? {} : { upperThreshold }),
    ...(upperThreshold === 0 || lowerThreshold === 0 ? {} : { lowerThreshold }),
    ...(tunnel === undefined || forward !== 'tunnel' ? {} : { tunnel }),
  };
}

/** Undefined for plain IPIP, which is what a tunnel is when nothing is said. */
function readTunnel(reader: RecordReader): Tunnel | undefined {
  const number = reader.u8();
  const flags = reader.u8();
  const port = reader.u16();
  const type = tunnelOf(number);
  if (type === undefined || (number === 0 && flags === 0 && port === 0)) return undefined;
  return {
    type,
    ...(port === 0 ? {} : { port }),
    ...((flags & TunnelFlag.checksum) === 0 ? {} : { checksum: true }),
    ...((flags & TunnelFlag.remoteChecksum) === 0 ? {} : { remoteChecksum: true }),
  };
}

/**
 * Undefined for a forwarding method that is not one of IP_VS_CONN_F_* (a newer kernel).
 */
export function readDestinationState(reader: RecordReader): DestinationState | undefined {
  const plain = readPlainState(reader);
  if (plain !== undefined) return plain;
  const destination = readDestination(reader);
  const activeConnections = reader.u32();
  const inactiveConnections = reader.u32();
  const persistentConnections = reader.u32();
  if (destination === undefined) return undefined;
  return {
    ...destination,
    activeConnections,
    inactiveConnections,
    persistentConnections,
    ...(reader.flags === HAS_STATISTICS ? { statistics: readStatistics(reader) } : {}),
  };
}

/** An audit reads tens of thousands of these, nearly all without thresholds, tunnel and statistics: they are read in one go. */
function readPlainState(reader: RecordReader): DestinationState | undefined {
  const { view, at, flags } = reader;
  if (flags !== 0 || view.getUint32(at + 8, true) !== 0 || view.getUint32(at + TUNNEL_AT, true) !== 0) return undefined;
  const forward = forwardOf(view.getUint8(at + 1));
  if (forward === undefined) return undefined;
  return {
    address: readAddress(reader.bytes, at + 16, view.getUint8(at) === 6 ? 'IPv6' : 'IPv4'),
    port: view.getUint16(at + 2, true),
    weight: view.getUint32(at + 4, true),
    forward,
    activeConnections: view.getUint32(at + TUNNEL_AT + 4, true),
    inactiveConnections: view.getUint32(at + TUNNEL_AT + 8, true),
    persistentConnections: view.getUint32(at + TUNNEL_AT + 12, true),
  };
}

export function readDestinationKey(reader: RecordReader): DestinationKey {
  const family = readFamily(reader);
  reader.at += 1;
  const port = reader.u16();
  const address = readAddress(reader.bytes, reader.at, family);
  return { address, port };
}

function readStatistics(reader: RecordReader): IpvsStatistics {
  return {
    connections: reader.u64(),
    inPackets: reader.u64(),
    outPackets: reader.u64(),
    inBytes: reader.u64(),
    outBytes: reader.u64(),
    connectionsPerSecond: Number(reader.u64()),
    inPacketsPerSecond: Number(reader.u64()),
    outPacketsPerSecond: Number(reader.u64()),
    inBytesPerSecond: Number(reader.u64()),
    outBytesPerSecond: Number(reader.u64()),
  };
}

export function readTimeouts(reader: RecordReader): IpvsTimeouts {
  return { tcpSeconds: reader.u32(), tcpFinSeconds: reader.u32(), udpSeconds: reader.u32() };
}

export function readInfo(reader: RecordReader): IpvsInfo {
  const version = reader.u32();
  return {
    version: `${(version >>> 16) & 0xff}.${(version >>> 8) & 0xff}.${version & 0xff}`,
    connectionTableSize: reader.u32(),
  };
}
