/**
 * Services that are reached from outside, one for each kind of frontend and policy, all of both families, as manifests. Service number N
 * has the cluster IPs 10.96.1.N and fd00:10:96::1:N; every one is served by the pods named in its slices.
 */
import { addresses } from '../harness/topology.ts';
import type { Family, PodName } from './expectations.ts';

export interface ExternalService {
  readonly number: number;
  readonly name: string;
  readonly pods: readonly PodName[];
  readonly spec: object;
  /** Load balancer IPs. */
  readonly ingress?: Readonly<Record<Family, string>>;
}

/** TCP 80 → 8080, UDP 53 → 5353, SCTP 3868 → 9000; node ports from 31000 on, three for each Service that has some. */
const protocols = [
  { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 },
  { name: 'dns', protocol: 'UDP', port: 53, targetPort: 5353 },
  { name: 'diameter', protocol: 'SCTP', port: 3868, targetPort: 9000 },
] as const;

export function nodePortOf(number: number, protocol: 'tcp' | 'udp' | 'sctp'): number {
  return 31_000 + number * 3 + ['tcp', 'udp', 'sctp'].indexOf(protocol);
}

export function vips(number: number): Readonly<Record<Family, string>> {
  return { ipv4: `198.18.0.${number}`, ipv6: `fd00:198:18::${number}` };
}

export function externalIps(number: number): Readonly<Record<Family, string>> {
  return { ipv4: `203.0.113.${number}`, ipv6: `fd00:203:0:113::${number}` };
}

/** A List of them and their EndpointSlices, as JSON. */
export function manifestOf(services: readonly ExternalService[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: services.flatMap(objectsOf) });
}

function objectsOf({ number, name, pods, spec, ingress }: ExternalService): object[] {
  const withNodePorts = 'type' in spec && spec.type !== 'ClusterIP';
  const ports = protocols.map((port, index) => ({
    ...port,
    ...(withNodePorts ? { nodePort: 31_000 + number * 3 + index } : {}),
  }));
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default' },
    spec: {
      clusterIP: `10.96.1.${number}`,
      clusterIPs: [`10.96.1.${number}`, `fd00:10:96::1:${number}`],
      ipFamilies: ['IPv4', 'IPv6'],
      ports,
      ...spec,
    },
    ...(ingress === undefined
      ? {}
      : { status: { loadBalancer: { ingress: [{ ip: ingress.ipv4 }, { ip: ingress.ipv6 }] } } }),
  };
  const slices = (['ipv4', 'ipv6'] as const).map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${family}`, namespace: 'default', labels: { 'kubernetes.io/service-name': name } },
    addressType: family === 'ipv4' ? 'IPv4' : 'IPv6',
    ports: protocols.map((port) => ({ name: port.name, protocol: port.protocol, port: port.targetPort })),
    endpoints: pods.map((pod) => ({
      addresses: [addresses[pod][family]],
      nodeName: pod === 'p3' ? 'n2' : 'n1',
      conditions: { ready: true },
    })),
  }));
  return [service, ...slices];
}
