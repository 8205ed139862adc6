/** What a simulated cluster is made of. */
import { InvalidArgumentError } from '../../errors.ts';
import { show } from '../../kube/json.ts';
import type { IpFamily } from '../../types.ts';
import { PodAddresses, rangeSizes } from './address-plan.ts';

/** Shares, 0 to 1. Of all Services, where nothing else is said. */
export interface ServiceMix {
  /** Types; the rest is ClusterIP. Default 0.08, 0.08, 0.02; together at most 1. Node ports end at 2,768: Services after that are ClusterIP. */
  readonly nodePort: number;
  readonly loadBalancer: number;
  readonly externalName: number;
  /** Of the Services of a cluster of two families: those with addresses of both. Of the rest one in five is IPv6. Default 0.5. */
  readonly dualStack: number;
  /** Two ports, or three. Default 0.3. */
  readonly multiPort: number;
  /** Default 0.05 and 0.02; the rest is TCP. */
  readonly udp: number;
  readonly sctp: number;
  /** `internalTrafficPolicy: Local`. Default 0.03. */
  readonly internalLocal: number;
  /** `externalTrafficPolicy: Local`, of NodePort and LoadBalancer Services. Default 0.3. */
  readonly externalLocal: number;
  /** `sessionAffinity: ClientIP`. Default 0.03. */
  readonly clientIP: number;
  /** `loadBalancerSourceRanges`, of LoadBalancer Services. Default 0.2. */
  readonly sourceRanges: number;
  /** `externalIPs`. Default 0.02. */
  readonly externalIPs: number;
  /** `trafficDistribution: PreferClose`: endpoints have zone hints. Default 0.05. */
  readonly preferClose: number;
  /** The annotation `ipvs-proxier.io/scheduler`. Default 0.03. */
  readonly scheduler: number;
}

export interface SimulatedClusterOptions {
  /** Same options, same cluster, to the byte. A whole number from 0. Default 1. */
  readonly seed?: number;
  /** Services at the start, `default/kubernetes` and `kube-system/kube-dns` among them. Churn keeps about as many. Default 100. */
  readonly services?: number;
  /** A number is that for each Service; a range is evenly spread. Default 1 to 9. */
  readonly endpointsPerService?: number | { readonly min: number; readonly max: number };
  /** They are called `node-0`, `node-1`, … Default 10. */
  readonly nodes?: number;
  /** `zone-0`, `zone-1`, …; nodes take turns. Default 3. */
  readonly zones?: number;
  /** `ns-0`, `ns-1`, … Default 10. */
  readonly namespaces?: number;
  /** Default both. */
  readonly families?: readonly IpFamily[];
  /** What is not given has its default. */
  readonly mix?: Partial<ServiceMix>;
}

/** Options with their defaults, checked. */
export interface ClusterShape {
  readonly seed: number;
  readonly services: number;
  readonly endpoints: { readonly min: number; readonly max: number };
  readonly nodes: number;
  readonly zones: number;
  readonly namespaces: number;
  readonly families: readonly IpFamily[];
  readonly mix: ServiceMix;
  readonly pods: PodAddresses;
}

const defaultMix: ServiceMix = {
  nodePort: 0.08,
  loadBalancer: 0.08,
  externalName: 0.02,
  dualStack: 0.5,
  multiPort: 0.3,
  udp: 0.05,
  sctp: 0.02,
  internalLocal: 0.03,
  externalLocal: 0.3,
  clientIP: 0.03,
  sourceRanges: 0.2,
  externalIPs: 0.02,
  preferClose: 0.05,
  scheduler: 0.03,
};

/** @throws InvalidArgumentError naming the field. */
export function clusterShape(options: SimulatedClusterOptions): ClusterShape {
  const { endpointsPerService = { min: 1, max: 9 }, families = ['IPv4', 'IPv6'] } = options;
  const range =
    typeof endpointsPerService === 'number'
      ? { min: endpointsPerService, max: endpointsPerService }
      : endpointsPerService;
  const nodes = whole('nodes', options.nodes ?? 10, 1, rangeSizes.node);
  const pods = new PodAddresses(nodes);
  const services = whole('services', options.services ?? 100, 0, rangeSizes.cluster / 2);
  const min = whole('endpointsPerService', range.min, 0, 1e6);
  const max = whole('endpointsPerService', range.max, min, 1e6);
  // Rollouts and scaling need room.
  const room = (nodes * pods.perNode) / 2;
  if (services * max > room) {
    throw new InvalidArgumentError(
      'endpointsPerService',
      `${services} Services of up to ${max} endpoints do not fit: ${nodes} nodes hold ${room} of them; take more nodes`,
    );
  }
  if (families.length === 0 || new Set(families).size !== families.length) {
    throw new InvalidArgumentError(
      'families',
      `${show(families)} is not a list that names IPv4 or IPv6, or both, once`,
    );
  }
  return {
    seed: whole('seed', options.seed ?? 1, 0, Number.MAX_SAFE_INTEGER),
    services,
    endpoints: { min, max },
    nodes,
    zones: whole('zones', options.zones ?? 3, 1, 1e6),
    namespaces: whole('namespaces', options.namespaces ?? 10, 1, 1e6),
    families,
    mix: serviceMix(options.mix ?? {}),
    pods,
  };
}

function serviceMix(given: Partial<ServiceMix>): ServiceMix {
  const mix = { ...defaultMix, ...given };
  for (const [name, share] of Object.entries(mix)) {
    if (!(typeof share === 'number' && share >= 0 && share <= 1)) {
      throw new InvalidArgumentError(`mix.${name}`, `${show(share)} is not a share from 0 to 1`);
    }
    if (!Object.hasOwn(defaultMix, name)) throw new InvalidArgumentError(`mix.${name}`, 'there is no such share');
  }
  if (mix.nodePort + mix.loadBalancer + mix.externalName > 1) {
    throw new InvalidArgumentError('mix', 'nodePort, loadBalancer and externalName are more than 1 together');
  }
  return mix;
}

export function whole(field: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new InvalidArgumentError(field, `${show(value)} is not a whole number from ${min} to ${max}`);
}
