/** Draws Services: what they ask for, and the addresses and ports that an API server would give them. */
import type { IpFamily } from '../../types.ts';
import { rangeSizes } from './address-plan.ts';
import type { ClusterShape } from './cluster-options.ts';
import type { PortTraits, ServiceTraits } from './cluster-state.ts';
import { NumberPool } from './number-pool.ts';
import type { SeededRandom } from './seeded-random.ts';

type Port = Omit<PortTraits, 'nodePort'>;

const tcpPorts: readonly Port[] = [
  { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 },
  { name: 'https', protocol: 'TCP', port: 443, targetPort: 8443 },
  { name: 'metrics', protocol: 'TCP', port: 9090, targetPort: 9090 },
];
const udpPorts: readonly Port[] = [
  { name: 'dns', protocol: 'UDP', port: 53, targetPort: 5353 },
  { name: 'dns-tcp', protocol: 'TCP', port: 53, targetPort: 5353 },
];
const sctpPorts: readonly Port[] = [
  { name: 'm3ua', protocol: 'SCTP', port: 2905, targetPort: 2905 },
  { name: 'oam', protocol: 'TCP', port: 8081, targetPort: 8081 },
];
const schedulers = ['wrr', 'lc', 'wlc', 'sh', 'mh'] as const;

export class ServiceFactory {
  readonly #shape: ClusterShape;
  readonly #random: SeededRandom;
  readonly #clusterIPs = new NumberPool(1, rangeSizes.cluster);
  readonly #loadBalancers = new NumberPool(1, rangeSizes.loadBalancer);
  readonly #externals = new NumberPool(1, rangeSizes.external);
  readonly #nodePorts = new NumberPool(30_000, 2768);

  constructor(shape: ClusterShape, random: SeededRandom) {
    this.#shape = shape;
    this.#random = random;
  }

  draw(): ServiceTraits {
    const { mix } = this.#shape;
    const random = this.#random;
    const type = this.#type();
    const families = this.#families();
    const ports = this.#ports();
    const loadBalancer = type === 'LoadBalancer' ? (this.#loadBalancers.take() ?? 0) : 0;
    const external = random.chance(mix.externalIPs) && type !== 'ExternalName' ? (this.#externals.take() ?? 0) : 0;
    const isNodePort = (type === 'NodePort' || type === 'LoadBalancer') && this.#nodePorts.free > ports.length;
    const isExternal = isNodePort || external > 0;
    const externalLocal = random.chance(mix.externalLocal) && isExternal;
    const takesRanges = random.chance(mix.sourceRanges) && loadBalancer > 0;
    return {
      // Without a free node port the API server would refuse it.
      type: isNodePort || type === 'ExternalName' ? type : 'ClusterIP',
      families,
      ports: ports.map((port) => ({ ...port, nodePort: isNodePort ? (this.#nodePorts.take() ?? 0) : 0 })),
      cluster: type === 'ExternalName' ? 0 : (this.#clusterIPs.take() ?? 0),
      loadBalancer: isNodePort ? loadBalancer : this.#refused(loadBalancer),
      external,
      healthCheckNodePort: externalLocal && loadBalancer > 0 && isNodePort ? (this.#nodePorts.take() ?? 0) : 0,
      internalLocal: random.chance(mix.internalLocal),
      externalLocal,
      clientIP: random.chance(mix.clientIP),
      sourceRanges: takesRanges && isNodePort,
      preferClose: random.chance(mix.preferClose),
      scheduler: random.chance(mix.scheduler) ? (random.pick(schedulers) ?? '') : '',
    };
  }

  /** The two that every cluster has, and that no churn takes away. */
  drawSystem(which: 'kubernetes' | 'kube-dns'): ServiceTraits {
    const ports: readonly Port[] =
      which === 'kubernetes'
        ? [{ name: 'https', protocol: 'TCP', port: 443, targetPort: 6443 }]
        : [...udpPorts, { name: 'metrics', protocol: 'TCP', port: 9153, targetPort: 9153 }];
    return {
      type: 'ClusterIP',
      families: this.#shape.families,
      ports: ports.map((port) => ({ ...port, nodePort: 0 })),
      cluster: this.#clusterIPs.take() ?? 0,
      loadBalancer: 0,
      external: 0,
      healthCheckNodePort: 0,
      internalLocal: false,
      externalLocal: false,
      clientIP: false,
      sourceRanges: false,
      preferClose: false,
      scheduler: '',
    };
  }

  /** Its addresses and ports may be given to others. */
  release(traits: ServiceTraits): void {
    this.#clusterIPs.give(traits.cluster);
    this.#loadBalancers.give(traits.loadBalancer);
    this.#externals.give(traits.external);
    this.#nodePorts.give(traits.healthCheckNodePort);
    for (const { nodePort } of traits.ports) this.#nodePorts.give(nodePort);
  }

  #refused(loadBalancer: number): 0 {
    this.#loadBalancers.give(loadBalancer);
    return 0;
  }

  #type(): ServiceTraits['type'] {
    const { nodePort, loadBalancer, externalName } = this.#shape.mix;
    const drawn = this.#random.next() / 2 ** 32;
    if (drawn < nodePort) return 'NodePort';
    if (drawn < nodePort + loadBalancer) return 'LoadBalancer';
    return drawn < nodePort + loadBalancer + externalName ? 'ExternalName' : 'ClusterIP';
  }

  #families(): readonly IpFamily[] {
    const { families, mix } = this.#shape;
    const isDual = this.#random.chance(mix.dualStack);
    const isSecond = this.#random.chance(0.2);
    if (families.length === 1 || isDual) return families;
    return families.filter((family) => (family === 'IPv6') === isSecond);
  }

  #ports(): readonly Port[] {
    const { udp, sctp, multiPort } = this.#shape.mix;
    const drawn = this.#random.next() / 2 ** 32;
    const isMulti = this.#random.chance(multiPort);
    const count = isMulti ? this.#random.between(2, 3) : 1;
    if (drawn < udp) return udpPorts.slice(0, count);
    if (drawn < udp + sctp) return sctpPorts.slice(0, count);
    return tcpPorts.slice(0, count);
  }
}
