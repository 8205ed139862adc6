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
  /** Shared between the frontends that use the same list, and kept up to date in place. In no order. */
  readonly destinations: ReadonlyMap<DestinationId, Destination>;
  /** The service port that wants it. */
  readonly port: WantedPort;
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

/** Kept up to date in place while endpoints come and go (live-port.ts). */
export interface WantedPort {
  readonly id: ServicePortId;
  readonly family: IpFamily;
  /** `namespace/name` */
  readonly service: string;
  readonly portName: string;
  /** 0 = unknown: younger than all that are known. */
  readonly createdMs: number;
  /** How long destinations that are no longer wanted are kept for their connections. Undefined = the proxier's option. */
  readonly drainTimeoutMs: number | undefined;
  /** UDP: what tracked connections may lead to: every endpoint that serves, chosen or not (behaviour.md 2.8). */
  readonly serving: ReadonlySet<DestinationId> | undefined;
  readonly virtualServices: readonly WantedService[];
  /** Tuples, source ranges, node port entries, KUBE-LOOP-BACK. KUBE-IPVS-IPS follows from `addresses`. Put together when it is asked for. */
  readonly entries: readonly WantedEntry[];
  /** Those of KUBE-LOOP-BACK: one for each endpoint of this node in any condition, for connections outlive readiness (behaviour.md 2.7). */
  readonly loopBack: ReadonlySet<SetEntry>;
  /** VIPs to bind, in the way of the `vipBinding` option, each while this service port has won a virtual service on it. */
  readonly addresses: readonly IpAddress[];
  /** Load balancer virtual services that this node itself must not reach: rules of KUBE-IPVS-OUT-FILTER. */
  readonly outFilters: readonly ServiceId[];
  /** Things a user should know: a conflict, an endpoint left out and why. */
  readonly warnings: readonly string[];
  /** Content hash of all of the above but what comes and goes with endpoints, see hash.ts. */
  readonly shape: number;
  /** Content hash of all of the above. */
  readonly hash: number;
}
