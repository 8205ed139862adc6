/** Records of links, addresses and local routes back to plain data. */
import type { IpFamily, LinkAddress, LinkAddressState, LinkState, LocalRoute, LocalRouteState } from '../types.ts';
import { ADDRESS_BYTES, readAddress } from './address-bytes.ts';
import { isVip } from './encode-route.ts';
import type { RecordReader } from './record-reader.ts';
import { AddressFlag, FOREVER, scopeOf } from './wire.ts';

function readFamily(reader: RecordReader): IpFamily {
  return reader.u8() === 6 ? 'IPv6' : 'IPv4';
}

/** What is as it is by default is not in the result, however it was given. */
export function readLinkAddress(reader: RecordReader): LinkAddress {
  const family = readFamily(reader);
  const prefixLength = reader.u8();
  const scope = scopeOf(reader.u8());
  const flags = reader.u8();
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  const valid = reader.u32();
  const preferred = reader.u32();
  const vip = isVip(family, prefixLength);
  const noDad = (flags & AddressFlag.noDad) !== 0;
  const noPrefixRoute = (flags & AddressFlag.noPrefixRoute) !== 0;
  return {
    link: reader.string(),
    address,
    prefixLength,
    ...(scope === 'global' ? {} : { scope }),
    ...(preferred === 0 ? { deprecated: true } : {}),
    ...(valid === FOREVER ? {} : { validSeconds: valid }),
    ...(preferred === 0 || preferred === valid ? {} : { preferredSeconds: preferred }),
    ...(noDad === vip ? {} : { noDad }),
    ...(noPrefixRoute === vip ? {} : { noPrefixRoute }),
  };
}

export function readLocalRoute(reader: RecordReader): LocalRoute {
  const route = readRouteBody(reader);
  const link = reader.string();
  return link === 'lo' ? route : { ...route, link };
}

function readRouteBody(reader: RecordReader): Omit<LocalRoute, 'link'> {
  const family = readFamily(reader);
  const prefixLength = reader.u8();
  const protocol = reader.u8();
  const withSource = reader.u8() === 1;
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  const source = withSource ? readAddress(reader.bytes, reader.at, family) : undefined;
  reader.at += ADDRESS_BYTES;
  return { address, prefixLength, protocol, ...(source === undefined ? {} : { source }) };
}

export function readLinkState(reader: RecordReader): LinkState {
  const index = reader.u32();
  const up = reader.u32() === 1;
  return { index, name: reader.string(), kind: reader.string(), up };
}

/** An address as dumped: with the interface's number, not its name. */
export type IndexedAddress = Omit<LinkAddressState, 'link'>;

export function readAddressState(reader: RecordReader): IndexedAddress {
  const linkIndex = reader.u32();
  const family = readFamily(reader);
  const prefixLength = reader.u8();
  const scope = scopeOf(reader.u8());
  const flags = reader.u8();
  const address = readAddress(reader.bytes, reader.at, family);
  reader.at += ADDRESS_BYTES;
  const valid = reader.u32();
  const deprecated = (flags & AddressFlag.deprecated) !== 0;
  // Of an address that never ends the kernel says that it is preferred for ever, deprecated or not.
  const preferred = deprecated ? 0 : reader.u32();
  return {
    linkIndex,
    address,
    prefixLength,
    scope,
    deprecated,
    ...(valid === FOREVER ? {} : { validSeconds: valid }),
    ...(preferred === FOREVER ? {} : { preferredSeconds: preferred }),
    noDad: (flags & AddressFlag.noDad) !== 0,
    noPrefixRoute: (flags & AddressFlag.noPrefixRoute) !== 0,
    tentative: (flags & AddressFlag.tentative) !== 0,
    dadFailed: (flags & AddressFlag.dadFailed) !== 0,
  };
}

/** A local route as dumped: with the interface's number, not its name. */
export type IndexedRoute = Omit<LocalRouteState, 'link'>;

export function readLocalRouteState(reader: RecordReader): IndexedRoute {
  return { linkIndex: reader.u32(), ...readRouteBody(reader) };
}
