/** What one service port of one family asks of the kernel. Made by `plan` from the model, summed into the desired state. */
import type { AddressServiceKey, Destination, IpAddress, IpFamily, SetEntry, VirtualService } from '../types.ts';
import type { DestinationId, KernelState, ServiceId, ServiceNode, SetName } from './state.ts';

/** `IPv4 ns1/svc1:p80/tcp`: family, Service, port name (may be empty), protocol. The family is part of every key. */
export type ServicePortId = string;

/** In falling order of precedence when two service ports want the same virtual service (behaviour.md 2.10). */
export type FrontendKind =
  | 'cluster-ip'
  | 'load-balancer'
  | 'external-ip'
  | 'node-port'
  /** Nobody's any more, kept for its open connections: whoever else wants it comes first. */
  | 'left-over';

export interface WantedService extends ServiceNode {
  readonly id: ServiceId;
  readonly kind: FrontendKind;
  readonly service: VirtualService<AddressServiceKey>;
  /** Shared between the frontends that use the same list: computed once. Sorted by id. */
  readonly destinations: ReadonlyMap<DestinationId, Destination>;
  /** How long destinations that are no longer wanted are kept for their connections. Absent = the proxier's option. */
  readonly drainTimeoutMs?: number;
  /** UDP: what tracked connections may lead to, shared as `destinations` are. Every endpoint that serves, chosen or not (behaviour.md 2.8). */
  readonly serving?: ReadonlySet<DestinationId>;
}

/** What all service ports together want. */
export interface WantedState extends KernelState {
  readonly services: ReadonlyMap<ServiceId, WantedService>;
}

export interface WantedEntry {
  readonly set: SetName;
  readonly entry: SetEntry;
  /**
   * Virtual services the entry speaks of: it is wanted while this service port has won at least one of them, so that entries go
   * with the winner of a conflict. Absent = wanted unconditionally.
   */
  readonly follows?: readonly ServiceId[];
  /** With `follows`: the frontend that has to have won it, for one service port may want a virtual service as several kinds. */
  readonly kind?: FrontendKind;
}

export interface WantedPort {
  readonly id: ServicePortId;
  readonly family: IpFamily;
  readonly virtualServices: readonly WantedService[];
  /** Tuples, source ranges, node port entries, KUBE-LOOP-BACK. KUBE-IPVS-IPS follows from `addresses`. */
  readonly entries: readonly WantedEntry[];
  /** VIPs to bind, in the way of the `vipBinding` option, each while this service port has won a virtual service on it. */
  readonly addresses: readonly IpAddress[];
  /** Load balancer virtual services that this node itself must not reach: rules of KUBE-IPVS-OUT-FILTER. */
  readonly outFilters: readonly ServiceId[];
  /** Content hash of all of the above, see hash.ts. */
  readonly hash: number;
  /** Things a user should know: a conflict, an endpoint left out and why. */
  readonly warnings: readonly string[];
}
