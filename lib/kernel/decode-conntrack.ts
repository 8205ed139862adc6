/** Records of connections back to plain data. */
import type { ConntrackOperation } from '../operations.ts';
import type { Connection, ConnectionTuple, IpFamily } from '../types.ts';
import { ADDRESS_BYTES, readAddress } from './address-bytes.ts';
import type { RecordReader } from './record-reader.ts';
import { connectionProtocolOf } from './wire.ts';

function readFamily(reader: RecordReader): IpFamily {
  return reader.u8() === 6 ? 'IPv6' : 'IPv4';
}

interface Ends {
  readonly family: IpFamily;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** Where the source's bytes are; the destination's follow. */
  readonly at: number;
}

/** Undefined for a protocol that has no place in {@link ConnectionTuple}. */
function tupleOf(reader: RecordReader, ends: Ends): ConnectionTuple | undefined {
  const protocol = connectionProtocolOf(ends.protocol);
  if (protocol === undefined) return undefined;
  const source = readAddress(reader.bytes, ends.at, ends.family);
  const destination = readAddress(reader.bytes, ends.at + ADDRESS_BYTES, ends.family);
  const { sourcePort, destinationPort } = ends;
  if (protocol !== 'icmp' && protocol !== 'icmpv6')
    return { protocol, source, sourcePort, destination, destinationPort };
  const icmp = { type: destinationPort >> 8, code: destinationPort & 0xff, id: sourcePort };
  return { protocol, source, sourcePort: 0, destination, destinationPort: 0, icmp };
}

/** Only for records that `encodeConnectionRemoval` wrote. */
export function readConnectionRemoval(reader: RecordReader): ConntrackOperation {
  const family = readFamily(reader);
  const protocol = reader.u8();
  const zone = reader.u16();
  const id = reader.u32();
  const withId = reader.u32() === 1;
  const sourcePort = reader.u16();
  const destinationPort = reader.u16();
  const tuple = tupleOf(reader, { family, protocol, sourcePort, destinationPort, at: reader.at });
  if (tuple === undefined) throw new RangeError('record holds a protocol that is never written');
  return {
    verb: 'remove-connection',
    tuple,
    ...(zone === 0 ? {} : { zone }),
    ...(withId ? { id } : {}),
  };
}

/** Undefined for a protocol that has no place in {@link ConnectionTuple}. */
export function readConnection(reader: RecordReader): Connection | undefined {
  const family = readFamily(reader);
  const protocol = reader.u8();
  const zone = reader.u16();
  const id = reader.u32();
  const status = reader.u32();
  const timeoutSeconds = reader.u32();
  const mark = reader.u32();
  const [a, b, c, d] = [reader.u16(), reader.u16(), reader.u16(), reader.u16()];
  const { at } = reader;
  const original = tupleOf(reader, { family, protocol, sourcePort: a, destinationPort: b, at });
  const answers = { family, protocol, sourcePort: c, destinationPort: d, at: at + 2 * ADDRESS_BYTES };
  const reply = tupleOf(reader, answers);
  if (original === undefined || reply === undefined) return undefined;
  return { id, zone, status, timeoutSeconds, mark, original, reply };
}
