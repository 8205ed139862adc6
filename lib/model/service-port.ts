/** A service port: one entry of `Service.spec.ports` in one IP family, with the endpoints that belong to it. */
import type { ObjectKey, ServiceBody, SliceBody } from '../records.ts';
import type { IpAddress, IpFamily, Protocol } from '../types.ts';
import type { Endpoint } from './endpoints.ts';
import type { EndpointChange } from './port-endpoints.ts';
import type { Selection } from './selection.ts';
import type { NodePlace } from './topology.ts';

/** What names a service port. The port is known by name and protocol, never by number (behaviour.md 1.2). */
export interface ServicePortRef {
  /** `IPv4 ns1/svc1:p80/tcp`, see {@link servicePortId}. */
  readonly id: string;
  readonly family: IpFamily;
  /** `namespace/name` */
  readonly service: ObjectKey;
  /** May be empty. */
  readonly portName: string;
  readonly protocol: Protocol;
}

/** The endpoint lists of behaviour.md 1.5. Each is free of duplicates. */
export interface EndpointLists {
  /** What traffic of policy `Cluster` may use: ready ones, narrowed by topology; without any, those serving while they terminate. */
  readonly cluster: readonly Endpoint[];
  /** What traffic of policy `Local` may use: the same choice among endpoints of this node, without topology. May be empty. */
  readonly local: readonly Endpoint[];
  /** Endpoints that serve, whatever else they are: what tracked UDP connections may lead to (behaviour.md 2.8). */
  readonly serving: readonly Endpoint[];
  /** Endpoints of this node in any condition: a pod may reach itself however it feels (KUBE-LOOP-BACK). */
  readonly everyLocal: readonly Endpoint[];
}

/** What the Service says of it. */
export interface ServicePortSpec extends ServicePortRef {
  /** The Service's cluster IP in this family. */
  readonly clusterIP: IpAddress;
  /** 1..65535 */
  readonly port: number;
  /** 0 = none. */
  readonly nodePort: number;
  /** The whole Service: addresses of both families, policies, affinity. */
  readonly body: ServiceBody;
}

export interface ServicePort extends ServicePortSpec {
  readonly endpoints: EndpointLists;
  /** Endpoints in none of the lists, because their address is a virtual IP of the Service itself. */
  readonly circular: readonly Endpoint[];
}

/** `IPv4 ns1/svc1:p80/tcp`; the name part is left out when it is empty: `IPv4 ns1/svc1:/tcp`. */
export function servicePortId(family: IpFamily, service: ObjectKey, portName: string, protocol: Protocol): string {
  return `${family} ${service}:${portName}/${protocol}`;
}

/** A service port that an event touched. */
export interface DirtyPort extends ServicePortRef {
  /** More has changed than slices. */
  isWhole: boolean;
  /** The slices that changed, as they were; undefined = there was none. */
  slices: Map<ObjectKey, SliceBody | undefined> | undefined;
}

/** What a touched service port has become. */
export type Derivation =
  /** Only these endpoints changed, and by the rule of this selection. */
  | {
      readonly kind: 'changes';
      readonly changes: readonly EndpointChange[];
      readonly selection: Selection;
      readonly place: NodePlace;
    }
  /**
   * All its endpoints are in one slice, all are ready, none has hints, none is taken out or circular. They are all chosen, unless one is said
   * twice. `slice` undefined = it has none.
   */
  | {
      readonly kind: 'simple';
      readonly spec: ServicePortSpec;
      readonly slice: SliceBody | undefined;
      /** The endpoints' own. */
      readonly targetPort: number;
    }
  | { readonly kind: 'whole'; readonly port: ServicePort }
  | { readonly kind: 'gone' };
