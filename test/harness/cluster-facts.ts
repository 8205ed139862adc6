/** What objects say, as far as it explains why two proxies write different tables. */
import { familyOf } from '../../lib/address.ts';
import { EndpointBit, type ObjectRecord, type ServiceBody, type ServicePortBody } from '../../lib/records.ts';
import type { IpAddress, IpFamily } from '../../lib/types.ts';
import type { Cluster } from './kube-proxy-model.ts';

/** A way into a Service that leads to a virtual service. */
export interface Frontend {
  readonly kind: 'cluster-ip' | 'load-balancer' | 'external-ip' | 'node-port';
  /** `namespace/name` */
  readonly of: string;
  readonly body: ServiceBody;
  /** `tcp 10.96.0.10:80` */
  readonly service: string;
  readonly address: IpAddress;
}

export class ClusterFacts {
  readonly onInterfaces: ReadonlySet<IpAddress>;
  /** Addresses of other Nodes. */
  readonly otherNodes: ReadonlySet<IpAddress>;
  /** `ns/svc1 10.244.1.5` */
  readonly localEndpoints: ReadonlySet<string>;
  /** Services of which an endpoint is said twice and differently: `ns/svc1 10.244.1.5`, and `ns/svc1` alone. */
  readonly saidTwice: ReadonlySet<string>;
  /** Services with an endpoint of another weight than 1. */
  readonly weighed: ReadonlySet<string>;
  readonly #frontends: readonly Frontend[];

  constructor({ records, interfaceAddresses }: Cluster) {
    this.onInterfaces = new Set(interfaceAddresses);
    this.otherNodes = new Set(
      records.flatMap(({ kind, body }) => (kind === 'node' && body !== null && !body.self ? body.addresses : [])),
    );
    this.localEndpoints = new Set(
      records.flatMap(({ kind, body }) => {
        if (kind !== 'slice' || body === null) return [];
        const local = body.addresses.filter((_, index) => ((body.conditions[index] ?? 0) & EndpointBit.local) !== 0);
        return local.map((address) => `${body.service} ${address}`);
      }),
    );
    this.weighed = new Set(
      records.flatMap(({ kind, body }) => (kind === 'slice' && body?.weights !== undefined ? [body.service] : [])),
    );
    this.saidTwice = endpointsSaidTwice(records);
    this.#frontends = records.flatMap(({ kind, key, body }) =>
      kind === 'service' && body !== null
        ? body.ports.flatMap((port) => frontendsOfPort(key, body, port, interfaceAddresses))
        : [],
    );
  }

  /** Those that want a virtual service; or, of a bare port or address, those that have the most rivals. */
  frontendsOf(what: {
    readonly family: IpFamily;
    readonly service?: string;
    readonly address?: IpAddress | undefined;
    readonly set?: string;
    readonly text: string;
  }): readonly Frontend[] {
    const { service, address, family, set, text } = what;
    if (service !== undefined) return this.#of(service);
    const isMeant = (frontend: Frontend): boolean => {
      if (address !== undefined) return frontend.address === address && frontend.kind !== 'node-port';
      const [, protocol] = /^NODE-PORT-(?:LOCAL-)?(TCP|UDP)$/.exec(set ?? '') ?? [];
      const start = `${protocol?.toLowerCase()} `;
      return (
        frontend.kind === 'node-port' &&
        familyOf(frontend.address) === family &&
        frontend.service.startsWith(start) &&
        frontend.service.endsWith(`:${text.split(' ').at(-1)}`)
      );
    };
    const meant = this.#frontends.filter(isMeant).map((frontend) => this.#of(frontend.service));
    return meant.reduce((most, rivals) => (rivals.length > most.length ? rivals : most), []);
  }

  isClusterIP(address: IpAddress): boolean {
    return this.#frontends.some((frontend) => frontend.kind === 'cluster-ip' && frontend.address === address);
  }

  #of(service: string): readonly Frontend[] {
    return this.#frontends.filter((frontend) => frontend.service === service);
  }
}

/** Of several that are not terminating kube-proxy takes the one that it comes across last. */
function endpointsSaidTwice(records: readonly ObjectRecord[]): ReadonlySet<string> {
  const said = new Map<string, string>();
  const twice = new Set<string>();
  for (const { kind, body } of records) {
    if (kind !== 'slice' || body === null) continue;
    body.addresses.forEach((address, index) => {
      const name = `${body.service} ${address}`;
      const text = JSON.stringify([body.conditions[index], body.zoneHints?.[index], body.nodeHints?.[index]]);
      const before = said.get(name) ?? text;
      said.set(name, text);
      if (before !== text) twice.add(name).add(body.service);
    });
  }
  return twice;
}

function frontendsOfPort(
  of: string,
  body: ServiceBody,
  port: ServicePortBody,
  interfaceAddresses: readonly IpAddress[],
): Frontend[] {
  const make = (kind: Frontend['kind'], addresses: readonly IpAddress[], number: number): Frontend[] =>
    addresses
      .filter((address) => body.clusterIPs.some((clusterIP) => familyOf(clusterIP) === familyOf(address)))
      .map((address) => {
        const host = familyOf(address) === 'IPv6' ? `[${address}]` : address;
        return { kind, of, body, address, service: `${port.protocol} ${host}:${number}` };
      });
  return [
    ...make('cluster-ip', body.clusterIPs, port.port),
    ...make('load-balancer', body.loadBalancerIPs, port.port),
    ...make('external-ip', body.externalIPs, port.port),
    ...(port.nodePort === 0 ? [] : make('node-port', interfaceAddresses, port.nodePort)),
  ];
}
