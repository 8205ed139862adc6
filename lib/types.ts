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
}

/** A destination as the kernel reports it. */
export interface DestinationState extends Destination {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
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
}

/** A set as the kernel reports it, without its entries. */
export interface SetState extends Required<SetSpec> {
  readonly revision: number;
  readonly entries: number;
  readonly references: number;
  readonly memoryBytes: number;
}

/**
 * An entry of a set in ipset's own notation and canonical form: `30080`, `10.96.0.10`, `10.96.0.10,tcp:80`,
 * `10.244.1.5,tcp:8080,10.244.1.5`, `198.18.0.1,tcp:80,10.0.0.0/8` (a full-length prefix is not written).
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
  /** Absent = global. */
  readonly scope?: AddressScope;
  /** Preferred lifetime 0: never chosen as a source address (IPv6). */
  readonly deprecated?: boolean;
}

/** A local address as the kernel reports it. */
export interface LinkAddressState {
  readonly link: string;
  readonly linkIndex: number;
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly scope: AddressScope;
  readonly deprecated: boolean;
}

/** The pino shape, so that `pino()` fits as it is and so does `console`. */
export interface Logger {
  debug(details: object, message?: string): void;
  info(details: object, message?: string): void;
  warn(details: object, message?: string): void;
  error(details: object, message?: string): void;
}
