/**
 * Values that every room shares: addresses, virtual services, destinations, sets, links.
 * A leaf: imports nothing, knows neither netlink encodings nor Kubernetes objects.
 */

/** Kubernetes' own spelling of an IP family (`Service.spec.ipFamilies`). */
export type IpFamily = 'IPv4' | 'IPv6';

/** Transport protocol, lower case as ipset and IPVS tools print it. Kubernetes' upper case is folded at projection. */
export type Protocol = 'tcp' | 'udp' | 'sctp';

/**
 * An IP address in canonical text form (`10.96.0.1`, `fd00::1`): made by `parseAddress` of `address.ts` and nowhere else, so two
 * equal addresses are two equal strings. Never IPv4-mapped, never with a zone or a prefix length.
 */
export type IpAddress = string & { readonly __brand: 'IpAddress' };

/** A virtual service found by destination address, protocol and port (0 = all ports). */
export interface AddressServiceKey {
  readonly protocol: Protocol;
  readonly address: IpAddress;
  readonly port: number;
}

/** A virtual service found by firewall mark. Always somebody else's as far as the proxier is concerned. */
export interface FwmarkServiceKey {
  readonly fwmark: number;
  readonly family: IpFamily;
}

/** What names a virtual service in the kernel: the key, nothing else. */
export type ServiceKey = AddressServiceKey | FwmarkServiceKey;

/** IP_VS_SVC_F_* of include/uapi/linux/ip_vs.h. `hashed` belongs to the kernel: ignored on input, masked off on read. */
export const ServiceFlag = {
  persistent: 0x1,
  hashed: 0x2,
  onePacket: 0x4,
  sched1: 0x8,
  sched2: 0x10,
  sched3: 0x20,
} as const;

/** A virtual service as it is written. */
export interface VirtualService<K extends ServiceKey = ServiceKey> {
  readonly key: K;
  /** Kernel scheduler name, at most 15 bytes: `rr`, `wrr`, `lc`, `wlc`, `sh`, `mh`, `sed`, `nq`, … */
  readonly scheduler: string;
  /** Bits of {@link ServiceFlag}, without `hashed`. */
  readonly flags: number;
  /** Persistence time-out in seconds; 0 when the `persistent` flag is not set. */
  readonly timeoutSeconds: number;
  /** Persistence granularity as a prefix length: 1..32 (IPv4), 1..128 (IPv6). Absent = full length. */
  readonly prefixLength?: number;
  /** Persistence engine (`sip`), absent = none. */
  readonly persistenceEngine?: string;
}

/** IP_VS_CONN_F_* forwarding methods; `masquerade` is NAT, the only one that may change the port. */
export type ForwardMethod = 'masquerade' | 'local' | 'tunnel' | 'direct' | 'bypass';

/** Encapsulation of a tunnel, IP_VS_CONN_F_TUNNEL_TYPE_*: IP in IP; Generic UDP Encapsulation; GRE. */
export type TunnelType = 'ipip' | 'gue' | 'gre';

export interface Tunnel {
  readonly type: TunnelType;
  /** UDP port of the destination's `gue` receiver, 1 to 65535; there for `gue`, and only there. */
  readonly port?: number;
  /** `gue` and `gre`: with the checksum of the outer packet. Absent = without. */
  readonly checksum?: boolean;
  /** `gue`: the inner checksum is offloaded to the receiver. Absent = no. */
  readonly remoteChecksum?: boolean;
}

export interface DestinationKey {
  readonly address: IpAddress;
  readonly port: number;
}

/** A destination ("real server") as it is written. */
export interface Destination extends DestinationKey {
  /** 0 = no new connections, the existing ones go on (draining). */
  readonly weight: number;
  readonly forward: ForwardMethod;
  /** Connections above which the destination is skipped; absent or 0 = no limit. */
  readonly upperThreshold?: number;
  /** Connections below which it is used again; absent or 0 = kernel default (3/4 of the upper one). */
  readonly lowerThreshold?: number;
  /** For `forward: 'tunnel'` only. Absent = plain IPIP. Needs Linux 5.2 (`gue`) or 5.3 (`gre`). */
  readonly tunnel?: Tunnel;
}

/** A destination as the kernel reports it. */
export interface DestinationState extends Destination {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
  /** There when it was asked for. */
  readonly statistics?: IpvsStatistics;
}

/** A virtual service as the kernel reports it. */
export interface ServiceState extends VirtualService {
  /** There when it was asked for. */
  readonly statistics?: IpvsStatistics;
}

/** A virtual service with everything under it. */
export interface VirtualServiceWithDestinations extends ServiceState {
  readonly destinations: readonly DestinationState[];
}

/**
 * Counted since the service or destination was made or zeroed (IPVS_SVC_ATTR_STATS64; 32 bits before Linux 4.1). The kernel brings all of
 * them up to date every two seconds, and not at all while `net.ipv4.vs.run_estimation` is 0; the rates are averages over some seconds.
 * `in`: from clients; `out`: to them, which passes IPVS by `masquerade` only.
 */
export interface IpvsStatistics {
  readonly connections: bigint;
  readonly inPackets: bigint;
  readonly outPackets: bigint;
  readonly inBytes: bigint;
  readonly outBytes: bigint;
  readonly connectionsPerSecond: number;
  readonly inPacketsPerSecond: number;
  readonly outPacketsPerSecond: number;
  readonly inBytesPerSecond: number;
  readonly outBytesPerSecond: number;
}

/** How long IPVS keeps an idle connection, in seconds: established TCP, TCP after a FIN, UDP. SCTP's cannot be read or set. */
export interface IpvsTimeouts {
  readonly tcpSeconds: number;
  readonly tcpFinSeconds: number;
  readonly udpSeconds: number;
}

export interface IpvsInfo {
  /** `1.2.1` */
  readonly version: string;
  /** Buckets of the connection table; from Linux 7.1 on the most that there can be. */
  readonly connectionTableSize: number;
}

/** What a read of IPVS brings beyond the usual. */
export interface IpvsReadOptions {
  /** Default false. */
  readonly statistics?: boolean;
}

export interface IpvsTableOptions extends IpvsReadOptions {
  /**
   * Reads the thresholds of destinations too, and the persistent connections of those whose service is not persistent (any more). Default
   * false: these are left out where forwarding is masquerade, because /proc/net/ip_vs, several times faster than netlink, does not have them.
   */
  readonly thresholds?: boolean;
}

export type SetType =
  | 'hash:ip'
  | 'hash:net'
  | 'hash:ip,port'
  | 'hash:ip,port,ip'
  | 'hash:ip,port,net'
  | 'hash:net,iface'
  | 'bitmap:port';

/** What is needed to encode an entry of a set: its name, its type, and the family of its addresses. */
export interface SetRef {
  /** At most 31 bytes (IPSET_MAXNAMELEN 32 with the NUL). */
  readonly name: string;
  readonly type: SetType;
  /** Ignored by `bitmap:port`, which holds no address. */
  readonly family: IpFamily;
}

/** A set as it is created. */
export interface SetSpec extends SetRef {
  /** Initial buckets of a hash set, rounded up to a power of two by the kernel. Absent or 0 = 1024. */
  readonly hashSize?: number;
  /** Most entries of a hash set. Absent or 0 = 65536. */
  readonly maxElements?: number;
  /**
   * Entries can have time-outs, 0 to 2147483 seconds, and one added without its own gets this; 0 = that one stays for ever. Absent = the set
   * has no time-outs, and an entry with one is refused. A set has them from its creation on or never.
   */
  readonly timeoutSeconds?: number;
  /** Entries can have comments. Absent = no. */
  readonly comment?: boolean;
}

/** A set as the kernel reports it, without its entries. `hashSize` and `maxElements` of a `bitmap:port` are 0, its family is IPv4. */
export interface SetState extends SetRef {
  readonly hashSize: number;
  readonly maxElements: number;
  /** Default time-out; absent = the set has no time-outs. */
  readonly timeoutSeconds?: number;
  readonly comment: boolean;
  /**
   * It has properties that {@link SetSpec} has no word for: counters, forceadd, skbinfo, a netmask, a bitmap of another range than all ports.
   * Such a set is never copied to make it larger: it would lose them.
   */
  readonly otherProperties: boolean;
  readonly revision: number;
  readonly entries: number;
  readonly references: number;
  readonly memoryBytes: number;
}

/**
 * An entry of a set in ipset's own notation and canonical form: `30080`, `10.96.0.10`, `10.96.0.10,tcp:80`,
 * `10.244.1.5,tcp:8080,10.244.1.5`, `198.18.0.1,tcp:80,10.0.0.0/8` (a full-length prefix is not written).
 *
 * Options follow in this order, each at most once: ` timeout 60` (seconds; 0 = for ever), ` nomatch` (types with a net only),
 * ` comment "text"` (at most 255 bytes of UTF-8, no double quote, no control character). They are understood in any order. Read back, entries
 * carry `timeout` (what is left of it; 0 = for ever) exactly when their set has time-outs, and `comment` when there is one; so in sets
 * without either, equal entries are equal strings. `remove` and `test` look at what comes before the options, and at `nomatch`.
 */
export type SetEntry = string;

/** A network interface. */
export interface LinkState {
  readonly index: number;
  readonly name: string;
  /** IFLA_INFO_KIND: `dummy`, `veth`, `bridge`, …; empty for a physical device or lo. */
  readonly kind: string;
  readonly up: boolean;
}

/** Address scope of rtnetlink(7). */
export type AddressScope = 'global' | 'site' | 'link' | 'host';

/** A local address on a link, as it is written. */
export interface LinkAddress {
  /** Interface name. */
  readonly link: string;
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** Absent = global. IPv6 addresses have the scope that their bits say, whatever is asked for. */
  readonly scope?: AddressScope;
  /** Preferred lifetime 0: never chosen as a source address. Not together with `preferredSeconds`. */
  readonly deprecated?: boolean;
  /** Removed by the kernel after this many seconds, 1 to 4294967294. Absent = never. */
  readonly validSeconds?: number;
  /** Deprecated by the kernel after this many seconds, at most `validSeconds`. Absent = as long as it is valid. */
  readonly preferredSeconds?: number;
  /** IFA_F_NODAD, IPv6 only: usable at once, without asking the link for duplicates. Absent = yes for an IPv6 /128, otherwise no. */
  readonly noDad?: boolean;
  /** IFA_F_NOPREFIXROUTE: no route to the prefix comes with it. Absent = yes for an IPv6 /128, otherwise no. */
  readonly noPrefixRoute?: boolean;
}

/** A local address as the kernel reports it. */
export interface LinkAddressState {
  readonly link: string;
  readonly linkIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly scope: AddressScope;
  readonly deprecated: boolean;
  /** What is left until the kernel removes it. Absent = for ever. */
  readonly validSeconds?: number;
  /** What is left until the kernel deprecates it, 0 = it is. Absent = for ever. */
  readonly preferredSeconds?: number;
  readonly noDad: boolean;
  readonly noPrefixRoute: boolean;
  /** IPv6: duplicate address detection has not ended, or has found another holder. It is not in use then. */
  readonly tentative: boolean;
  readonly dadFailed: boolean;
}

/**
 * A prefix that this host takes as its own without an address on any link: a route of type local in the table local. The owner's mark is the
 * protocol number, so that nobody removes another's.
 */
export interface LocalRoute {
  /** Host bits cleared. */
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** Interface name; for an IPv6 route it has to be up. Absent = `lo`. */
  readonly link?: string;
  /** rtm_protocol, 4 (static) to 255: `/etc/iproute2/rt_protos` names the known ones. */
  readonly protocol: number;
  /** RTA_PREFSRC: the source address of packets to it. Has to be an address of this host; an IPv6 one of scope link or host, of that very link. */
  readonly source?: IpAddress;
}

export interface LocalRouteState extends LocalRoute {
  readonly link: string;
  readonly linkIndex: number;
}

/** `protocol`: only routes with this owner's mark. Absent = all, the kernel's own (2) too. */
export interface LocalRouteFilter {
  readonly protocol?: number;
}

/** What can be watched: RTNLGRP_LINK; RTNLGRP_IPV4_IFADDR and RTNLGRP_IPV6_IFADDR. */
export type ChangeGroup = 'link' | 'address';

/**
 * Something changed in the kernel. `set`: it is there now, new or altered; `removed`: as it was last. `lost`: more changed than the socket
 * could hold; list everything again.
 */
export type ChangeEvent =
  | { readonly kind: 'link'; readonly change: 'set' | 'removed'; readonly link: LinkState }
  | { readonly kind: 'address'; readonly change: 'set' | 'removed'; readonly address: LinkAddressState }
  | { readonly kind: 'lost' };

/** Protocols whose connections are tracked by a tuple this library has words for. Others (GRE, ESP, …) are left out of lists. */
export type ConnectionProtocol = Protocol | 'icmp' | 'icmpv6';

/** What names a connection in one direction. All of it: nothing in it is optional but by protocol. */
export interface ConnectionTuple {
  readonly protocol: ConnectionProtocol;
  readonly source: IpAddress;
  /** 0 for ICMP. */
  readonly sourcePort: number;
  readonly destination: IpAddress;
  /** 0 for ICMP. */
  readonly destinationPort: number;
  /** There for ICMP and ICMPv6, and only there. */
  readonly icmp?: { readonly type: number; readonly code: number; readonly id: number };
}

/** IPS_* of include/uapi/linux/netfilter/nf_conntrack_common.h. */
export const ConnectionStatus = {
  expected: 0x1,
  seenReply: 0x2,
  assured: 0x4,
  confirmed: 0x8,
  sourceNat: 0x10,
  destinationNat: 0x20,
  dying: 0x200,
  offload: 0x4000,
} as const;

/** A tracked connection. */
export interface Connection {
  /** Told apart from a later connection of the same tuple by this. */
  readonly id: number;
  /** Conntrack zone of the original direction; 0 = the default one. */
  readonly zone: number;
  /** Bits of {@link ConnectionStatus}, and others of the kernel's. */
  readonly status: number;
  /** Until it is forgotten, unless a packet comes. 0 for one that is offloaded or dying. */
  readonly timeoutSeconds: number;
  /** 0 = none. */
  readonly mark: number;
  /** As the first packet had it, and as the answers have it: they mirror each other but for NAT. */
  readonly original: ConnectionTuple;
  readonly reply: ConnectionTuple;
}

/** Which connections: those that match every field that is there. Addresses of one filter are of one family; ports need a `protocol`. */
export interface ConnectionFilter {
  readonly family?: IpFamily;
  readonly protocol?: ConnectionProtocol;
  readonly originalSource?: IpAddress;
  readonly originalSourcePort?: number;
  readonly originalDestination?: IpAddress;
  readonly originalDestinationPort?: number;
  readonly replySource?: IpAddress;
  readonly replySourcePort?: number;
  readonly replyDestination?: IpAddress;
  readonly replyDestinationPort?: number;
  /** Conntrack zone of the original direction. */
  readonly zone?: number;
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** The pino shape, so that `pino()` fits as it is and so does `console`. */
export interface Logger {
  debug(details: object, message?: string): void;
  info(details: object, message?: string): void;
  warn(details: object, message?: string): void;
  error(details: object, message?: string): void;
}
