/**
 * The shape that desired, applied and observed state have in common: what the kernel holds on our behalf, by identity.
 * Pure data; whoever owns a KernelState mutates it.
 */
import { familyOf, hostPort, parseAddress } from '../address.ts';
import type {
  AddressServiceKey,
  Destination,
  DestinationKey,
  IpAddress,
  IpFamily,
  SetEntry,
  VirtualService,
} from '../types.ts';

/** `tcp 10.96.0.10:80`, `udp [fd00::10]:53`: the identity of a virtual service of ours. */
export type ServiceId = string;
/** `10.244.1.5:8080`, `[fd00::5]:8080` */
export type DestinationId = string;
/** Name of a set in the kernel (`KUBE-CLUSTER-IP`, `KUBE-6-CLUSTER-IP`). */
export type SetName = string;

export interface ServiceNode {
  readonly service: VirtualService<AddressServiceKey>;
  readonly destinations: ReadonlyMap<DestinationId, Destination>;
}

export interface KernelState {
  readonly services: ReadonlyMap<ServiceId, ServiceNode>;
  readonly sets: ReadonlyMap<SetName, ReadonlySet<SetEntry>>;
  /** VIPs bound by an address on the VIP device. */
  readonly addresses: ReadonlySet<IpAddress>;
  /** VIPs bound by a local route of ours (vip-binding.ts). */
  readonly routes: ReadonlySet<IpAddress>;
  /** Virtual services among which those of an entry are; a state that keeps no account of it has none to give, and is searched. */
  candidatesOf?(set: SetName, entry: SetEntry): Iterable<ServiceNode>;
}

export { hostPort } from '../address.ts';

export function serviceId(key: AddressServiceKey): ServiceId {
  return `${key.protocol} ${hostPort(key.address, key.port)}`;
}

/** The inverse of {@link serviceId}; undefined for what is no such text. */
export function serviceKeyOf(id: ServiceId): AddressServiceKey | undefined {
  const [, name, text, port] = /^(\w+) \[?([^\]]+)\]?:(\d+)$/.exec(id) ?? [];
  const protocol = (['tcp', 'udp', 'sctp'] as const).find((one) => one === name);
  const address = text === undefined ? undefined : parseAddress(text);
  if (protocol === undefined || address === undefined) return undefined;
  return { protocol, address, port: Number(port) };
}

export function destinationId(key: DestinationKey): DestinationId {
  return hostPort(key.address, key.port);
}

export function serviceFamily(key: AddressServiceKey): IpFamily {
  return familyOf(key.address);
}
