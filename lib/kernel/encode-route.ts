/** Addresses and local routes to records, checked on the way. */
import { InvalidArgumentError } from '../errors.ts';
import type { IpFamily, LinkAddress, LocalRoute, LocalRouteFilter } from '../types.ts';
import { checkedAddress, checkedBoolean, checkedInteger, checkedLink, checkObject, numberOf, quote } from './check.ts';
import type { RecordWriter } from './record-writer.ts';
import { AddressFlag, FOREVER, SCOPE_NUMBER } from './wire.ts';

/** RTPROT_STATIC. The numbers below are the kernel's own routes and those of programs that do not say who they are. */
const FIRST_OWNER = 4;

/** `path` is put before the names of fields: `address.` or nothing. */
export function writeLinkAddress(writer: RecordWriter, address: LinkAddress, path: string): void {
  const start = writer.at;
  writer.u32(0);
  const scope = numberOf(SCOPE_NUMBER, address.scope ?? 'global');
  if (scope === undefined) {
    throw new InvalidArgumentError(`${path}scope`, `${quote(address.scope)} is none of global, site, link, host`);
  }
  writer.bytes[start + 2] = scope;
  const family = checkedAddress(writer, `${path}address`, address.address);
  const most = family === 'IPv4' ? 32 : 128;
  const prefixLength = checkedInteger(`${path}prefixLength`, address.prefixLength, 0, most);
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
  writer.bytes[start + 1] = prefixLength;
  writer.bytes[start + 3] = addressFlags(address, family, prefixLength, path);
  writeLifetimes(writer, address, path);
  writer.string(checkedLink(`${path}link`, address.link));
}

/** A VIP answers at once, and is nobody's prefix. */
export function isVip(family: IpFamily, prefixLength: number): boolean {
  return family === 'IPv6' && prefixLength === 128;
}

function addressFlags(address: LinkAddress, family: IpFamily, prefixLength: number, path: string): number {
  const vip = isVip(family, prefixLength);
  const { noDad = vip, noPrefixRoute = vip } = address;
  checkedBoolean(`${path}noDad`, noDad);
  checkedBoolean(`${path}noPrefixRoute`, noPrefixRoute);
  if (noDad && family === 'IPv4') {
    throw new InvalidArgumentError(
      `${path}noDad`,
      `${address.address} is IPv4, which has no duplicate address detection`,
    );
  }
  return (noDad ? AddressFlag.noDad : 0) | (noPrefixRoute ? AddressFlag.noPrefixRoute : 0);
}

function writeLifetimes(writer: RecordWriter, address: LinkAddress, path: string): void {
  const { validSeconds, preferredSeconds, deprecated = false } = address;
  const valid =
    validSeconds === undefined ? FOREVER : checkedInteger(`${path}validSeconds`, validSeconds, 1, FOREVER - 1);
  checkedBoolean(`${path}deprecated`, deprecated);
  if (deprecated && preferredSeconds !== undefined) {
    const message = `is ${quote(preferredSeconds)}, and deprecated says 0: give one of the two`;
    throw new InvalidArgumentError(`${path}preferredSeconds`, message);
  }
  const most = Math.min(valid, FOREVER - 1);
  writer.u32(valid);
  if (deprecated) writer.u32(0);
  else if (preferredSeconds === undefined) writer.u32(valid);
  else writer.u32(checkedInteger(`${path}preferredSeconds`, preferredSeconds, 0, most));
}

export function writeLocalRoute(writer: RecordWriter, route: LocalRoute): void {
  checkObject('route', route);
  const start = writer.at;
  writer.u32(0);
  const family = checkedAddress(writer, 'route.address', route.address);
  const most = family === 'IPv4' ? 32 : 128;
  const prefixLength = checkedInteger('route.prefixLength', route.prefixLength, 0, most);
  if (hasHostBits(writer.bytes.subarray(writer.at - 16, writer.at), prefixLength)) {
    const message = `${route.address}/${prefixLength} has host bits: clear them, or give the full prefix length ${most}`;
    throw new InvalidArgumentError('route.address', message);
  }
  writer.bytes[start] = family === 'IPv4' ? 4 : 6;
  writer.bytes[start + 1] = prefixLength;
  writer.bytes[start + 2] = checkedInteger('route.protocol', route.protocol, FIRST_OWNER, 255);
  if (route.source === undefined) {
    writer.bytes.fill(0, writer.at, writer.at + 16);
    writer.at += 16;
  } else {
    writer.bytes[start + 3] = 1;
    if (checkedAddress(writer, 'route.source', route.source) !== family) {
      throw new InvalidArgumentError('route.source', `${route.source} is not of the family of ${route.address}`);
    }
  }
  writer.string(checkedLink('route.link', route.link ?? 'lo'));
}

/** The number that a dump of local routes is filtered by; 0 = none. */
export function ownerOf(filter: LocalRouteFilter): number {
  return filter.protocol === undefined ? 0 : checkedInteger('protocol', filter.protocol, 1, 255);
}

function hasHostBits(bytes: Uint8Array, prefixLength: number): boolean {
  if (prefixLength === 8 * bytes.length) return false;
  return bytes.some((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefixLength - 8 * index));
    return (byte & (0xff >> kept)) !== 0;
  });
}
