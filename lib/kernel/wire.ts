/**
 * The flat records that cross the Node-API line, in both directions: operations on the way in, dump entries on the way out.
 * `native/wire.h` mirrors this file, field for field; `test/kernel/session.test.ts` holds the two together.
 *
 *     record      u16 length (of all of it, a multiple of 4) | u8 opcode | u8 flags | fields | strings | zero padding
 *     string      u8 length | bytes (ASCII, no NUL)
 *     key         u8 family (4, 6) | u8 protocol number, 0 = by fwmark | u16 port | u32 fwmark | 16 address           (24 bytes)
 *     0x10-0x12   service         key | u32 flags | u32 timeout s | u32 prefix length, 0 = full | string scheduler | string engine
 *     0x13        service id      key
 *     0x14-0x16   destination     key | u8 family | u8 forward | u16 port | u32 weight | u32 upper | u32 lower | 16 address |
 *                                 u8 tunnel type | u8 tunnel flags (1 = checksum, 2 = remote checksum) | u16 tunnel port
 *     0x17        destination id  key | u8 family | u8 0 | u16 port | 16 address
 *     0x18        zero service    key
 *     0x19-0x1a   zero, flush     nothing: all services
 *     0x1b        time-outs       u32 tcp s | u32 tcp fin s | u32 udp s
 *     0x20-0x21   set             u8 type | u8 family | u8 set flags | u8 0 | u32 hash size | u32 max elements | u32 timeout s | string name
 *                                 set flags 1 = timeouts, 2 = comments, 4 = something else that this library does not copy (dump only)
 *     0x22-0x23   set name        string name
 *     0x24, 0x27  swap, rename    string name | string other
 *     0x25, 0x26, 0x28 set entry  entry | string name | string interface (hash:net,iface only) | options
 *                 entry           u8 type | u8 family | u8 protocol | u8 prefix length | u16 port | u16 0 | 16 address | 16 second address;
 *                                 header flags 1 = physdev, 2 = nomatch, 4 = timeout, 8 = comment; bitmap:port ends before the addresses, and only
 *                                 hash:ip,port,ip and hash:ip,port,net have the second one (the prefix length is the last address's)
 *                 options         u32 timeout s (flag 4) | string comment (flag 8)
 *     0x30-0x31   link            string name
 *     0x32-0x34   address         u8 family | u8 prefix length | u8 scope | u8 1 = no DAD, 2 = no prefix route | 16 address |
 *                                 u32 valid s | u32 preferred s (all ones = for ever) | string link
 *     0x35-0x36   local route     u8 family | u8 prefix length | u8 protocol | u8 1 = with source | 16 address | 16 source | string link
 *     0x40        connection      u8 family | u8 protocol | u16 zone | u32 id | u32 1 = with id | u16 source port, ICMP: id |
 *                                 u16 destination port, ICMP: type * 256 + code | 16 source | 16 destination
 *     0x41        connection filter, the argument of a dump: u8 family, 0 = both | u8 protocol, 0 = any | u16 fields (ConnectionField) |
 *                                 4 u16 ports | u16 zone | u16 0 | u32 mark | u32 mask | 4 times 16 address
 *                                 (original source, original destination, reply source, reply destination)
 *
 * Dump records, opcode 0x80 and up:
 *     0x80        service         as 0x10 | statistics
 *     0x81        destination     as 0x14 without the key | u32 active | u32 inactive | u32 persistent | statistics
 *                 statistics      with header flag 1 only: 10 u64, IPVS_STATS_ATTR_CONNS to _OUTBPS
 *     0x86        time-outs       as 0x1b
 *     0x87        info            u32 version | u32 connection table size
 *     0x82        set             u8 type, 0 = another | u8 family | u8 revision | u8 set flags | u32 hash size | u32 max elements |
 *                                 u32 entries | u32 references | u32 memory bytes | u32 timeout s | string name | string type
 *     0x83        set entry       entry | string interface (hash:net,iface only) | options
 *     0x84        link            u32 index | u32 1 = up | string name | string kind
 *     0x85        address         u32 index | u8 family | u8 prefix length | u8 scope | u8 1 = no DAD, 2 = no prefix route, 4 = deprecated,
 *                                 8 = tentative, 16 = DAD failed | 16 address | u32 valid s | u32 preferred s
 *     0xa0        local route     u32 index | u8 family | u8 prefix length | u8 protocol | u8 1 = with source | 16 address | 16 source
 *     0xa1        changes lost    nothing; a monitor's 0x84 and 0x85 have header flag 1 when they are about a removal
 *     0xb0        connection      u8 family | u8 protocol | u16 zone | u32 id | u32 status | u32 timeout s | u32 mark |
 *                                 4 u16 ports (as in 0x40; original, reply) | 4 times 16 address (as in 0x41)
 *
 * All numbers are little-endian, addresses in network order, ports plain numbers.
 */
import type { AddressScope, ConnectionProtocol, ForwardMethod, Protocol, SetType, TunnelType } from '../types.ts';

export const Opcode = {
  createService: 0x10,
  updateService: 0x11,
  ensureService: 0x12,
  removeService: 0x13,
  createDestination: 0x14,
  updateDestination: 0x15,
  ensureDestination: 0x16,
  removeDestination: 0x17,
  zeroService: 0x18,
  zeroServices: 0x19,
  flushServices: 0x1a,
  setTimeouts: 0x1b,
  createSet: 0x20,
  ensureSet: 0x21,
  removeSet: 0x22,
  flushSet: 0x23,
  swapSets: 0x24,
  addEntry: 0x25,
  removeEntry: 0x26,
  renameSet: 0x27,
  testEntry: 0x28,
  ensureLink: 0x30,
  removeLink: 0x31,
  addAddress: 0x32,
  removeAddress: 0x33,
  ensureAddress: 0x34,
  addLocalRoute: 0x35,
  removeLocalRoute: 0x36,
  removeConnection: 0x40,
  connectionFilter: 0x41,
  serviceState: 0x80,
  destinationState: 0x81,
  timeoutsState: 0x86,
  infoState: 0x87,
  setState: 0x82,
  entryState: 0x83,
  linkState: 0x84,
  addressState: 0x85,
  localRouteState: 0xa0,
  changesLost: 0xa1,
  connectionState: 0xb0,
} as const;

export const HEADER_BYTES = 4;
export const KEY_BYTES = 24;
/** Header flag of IPVS records of a dump. */
export const HAS_STATISTICS = 1;
/** IP_VS_TUNNEL_ENCAP_FLAG_* */
export const TunnelFlag = { checksum: 1, remoteChecksum: 2 } as const;
export const TUNNEL_NUMBER: Readonly<Record<TunnelType, number>> = { ipip: 0, gue: 1, gre: 2 };
export const EntryFlag = { physdev: 1, nomatch: 2, timeout: 4, comment: 8 } as const;
export const SetFlag = { timeout: 1, comment: 2, other: 4 } as const;

/** Of an address, written or read back. */
export const AddressFlag = { noDad: 1, noPrefixRoute: 2, deprecated: 4, tentative: 8, dadFailed: 16 } as const;
/** A lifetime without an end (INFINITY_LIFE_TIME). */
export const FOREVER = 0xffff_ffff;
/** Header flag of what a monitor tells: it was removed. */
export const CHANGE_REMOVED = 1;

/** Fields of a connection filter that are there. */
export const ConnectionField = {
  originalSource: 0x1,
  originalDestination: 0x2,
  originalSourcePort: 0x4,
  originalDestinationPort: 0x8,
  replySource: 0x10,
  replyDestination: 0x20,
  replySourcePort: 0x40,
  replyDestinationPort: 0x80,
  mark: 0x100,
  zone: 0x200,
} as const;

export const CONNECTION_PROTOCOL_NUMBER: Readonly<Record<ConnectionProtocol, number>> = {
  tcp: 6,
  udp: 17,
  sctp: 132,
  icmp: 1,
  icmpv6: 58,
};

export function connectionProtocolOf(number: number): ConnectionProtocol | undefined {
  return number === 1 ? 'icmp' : number === 58 ? 'icmpv6' : protocolOf(number);
}

export const PROTOCOL_NUMBER: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
export const FORWARD_NUMBER: Readonly<Record<ForwardMethod, number>> = {
  masquerade: 0,
  local: 1,
  tunnel: 2,
  direct: 3,
  bypass: 4,
};
export const SET_TYPE_NUMBER: Readonly<Record<SetType, number>> = {
  'hash:ip': 1,
  'hash:net': 2,
  'hash:ip,port': 3,
  'hash:ip,port,ip': 4,
  'hash:ip,port,net': 5,
  'hash:net,iface': 6,
  'bitmap:port': 7,
};
/** RT_SCOPE_* of linux/rtnetlink.h. */
export const SCOPE_NUMBER: Readonly<Record<AddressScope, number>> = { global: 0, site: 200, link: 253, host: 254 };

export function protocolOf(number: number): Protocol | undefined {
  return number === 6 ? 'tcp' : number === 17 ? 'udp' : number === 132 ? 'sctp' : undefined;
}

const FORWARD_METHODS: readonly ForwardMethod[] = ['masquerade', 'local', 'tunnel', 'direct', 'bypass'];

export function forwardOf(number: number): ForwardMethod | undefined {
  return FORWARD_METHODS[number];
}

const TUNNEL_TYPES: readonly TunnelType[] = ['ipip', 'gue', 'gre'];

export function tunnelOf(number: number): TunnelType | undefined {
  return TUNNEL_TYPES[number];
}

const SET_TYPES: readonly (SetType | undefined)[] = [
  undefined,
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'hash:net,iface',
  'bitmap:port',
];

export function setTypeOf(number: number): SetType | undefined {
  return SET_TYPES[number];
}

/** A scope without a name of its own (a site's own number) is nearest to the next wider named one. */
export function scopeOf(number: number): AddressScope {
  return number >= 254 ? 'host' : number === 253 ? 'link' : number >= 200 ? 'site' : 'global';
}
