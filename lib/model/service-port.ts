/** A service port: one entry of `Service.spec.ports` in one IP family, with the endpoints that belong to it. */
import type { ObjectKey, ServiceBody } from '../records.ts';
import type { IpAddress, IpFamily, Protocol } from '../types.ts';
import type { Endpoint } from './endpoints.ts';

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

/** The endpoint lists of behaviour.md 1.5. Each is sorted by `address:port` and free of duplicates. */
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

export interface ServicePort extends ServicePortRef {
  /** The Service's cluster IP in this family. */
  readonly clusterIP: IpAddress;
  /** 1..65535 */
  readonly port: number;
  /** 0 = none. */
  readonly nodePort: number;
  /** The whole Service: addresses of both families, policies, affinity. */
  readonly body: ServiceBody;
  readonly endpoints: EndpointLists;
  /** Endpoints in none of the lists, because their address is a virtual IP of the Service itself. */
  readonly circular: readonly Endpoint[];
}

/** `IPv4 ns1/svc1:p80/tcp`; the name part is left out when it is empty: `IPv4 ns1/svc1:/tcp`. */
export function servicePortId(family: IpFamily, service: ObjectKey, portName: string, protocol: Protocol): string {
  return `${family} ${service}:${portName}/${protocol}`;
}
