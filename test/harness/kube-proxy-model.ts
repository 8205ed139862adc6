/**
 * What kube-proxy 1.36 writes in IPVS mode, with its defects: behaviour.md 1.5, 2.2 to 2.7 and 4.3, without a cluster CIDR. For manifests that
 * there is no dump of; those that there are it gives line for line. Shares nothing with lib/model and lib/plan.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Cidr, cidrContains, familyOf, parseAddress, parseCidr } from '../../lib/address.ts';
import {
  EndpointBit,
  type ObjectRecord,
  type ServiceBody,
  type ServicePortBody,
  type SliceBody,
} from '../../lib/records.ts';
import type { IpAddress, IpFamily } from '../../lib/types.ts';
import { type RuleLine, ruleLines } from './rule-lines.ts';
import type { StateText } from './state-text.ts';

/** A dump of all that is compared. */
export interface Tables extends StateText {
  /** The `-A` lines of nat and filter, as `nat -A …`, in the order of iptables-save. */
  readonly rules: ReadonlyMap<IpFamily, readonly RuleLine[]>;
}

export interface Cluster {
  readonly records: readonly ObjectRecord[];
  readonly nodeName: string;
  /** On the interfaces of this node. */
  readonly interfaceAddresses: readonly IpAddress[];
}

interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
  readonly conditions: number;
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
}

export function kubeProxyTables(cluster: Cluster): Tables {
  const families = (['IPv4', 'IPv6'] as const).map((family) => new FamilyModel(cluster, family));
  return {
    ipvs: families.flatMap(({ services }) => [...services].flatMap(([line, rest]) => [line, ...rest])).sort(),
    sets: families
      .flatMap(({ sets }) => [...sets].flatMap(([set, all]) => [...all].map((one) => `add ${set} ${one}`)))
      .sort(),
    addresses: families.flatMap(({ bound }) => [...bound]).sort(),
    rules: new Map(families.map((model) => [model.family, model.rules()])),
  };
}

const listing = readFileSync(join(import.meta.dirname, '../../../test/fixtures/iptables-save-4.5.txt'), 'utf8');

const forwardedOnly = '-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL';

class FamilyModel {
  readonly family: IpFamily;
  readonly services = new Map<string, readonly string[]>();
  readonly sets = new Map<string, Set<string>>();
  readonly bound = new Set<IpAddress>();
  readonly #cluster: Cluster;
  readonly #drops: RuleLine[] = [];

  constructor(cluster: Cluster, family: IpFamily) {
    this.#cluster = cluster;
    this.family = family;
    for (const record of cluster.records) {
      if (record.kind !== 'service' || record.body === null) continue;
      const clusterIP = record.body.clusterIPs.find((address) => familyOf(address) === family);
      if (clusterIP === undefined) continue;
      for (const port of record.body.ports) this.#port(record.key, record.body, port, clusterIP);
    }
    for (const address of this.bound) this.#add('IPVS-IPS', address);
  }

  #port(key: string, body: ServiceBody, port: ServicePortBody, clusterIP: IpAddress): void {
    const { family } = this;
    const ofFamily = (list: readonly IpAddress[]): IpAddress[] =>
      list.filter((address) => familyOf(address) === family);
    const [externalIPs, loadBalancerIPs] = [ofFamily(body.externalIPs), ofFamily(body.loadBalancerIPs)];
    const endpoints = this.#endpoints(key, port);
    for (const { address, port: number } of endpoints.filter(isLocal)) {
      this.#add('LOOP-BACK', `${address},${port.protocol}:${number},${address}`);
    }
    const isExposed = port.nodePort !== 0 || externalIPs.length > 0 || loadBalancerIPs.length > 0;
    const cluster = !body.internalPolicyLocal || isExposed ? this.#clusterList(endpoints) : [];
    const local = usable(endpoints.filter(isLocal), endpoints.filter(isLocal));
    const listFor = (isPolicyLocal: boolean): readonly Endpoint[] =>
      isPolicyLocal && local.length > 0 ? local : cluster;
    const tuple = (address: IpAddress): string => `${address},${port.protocol}:${port.port}`;

    this.#virtualService(body, port, clusterIP, port.port, listFor(body.internalPolicyLocal));
    this.bound.add(clusterIP);
    this.#add('CLUSTER-IP', tuple(clusterIP));
    const external = listFor(body.externalPolicyLocal);
    for (const address of [...externalIPs, ...loadBalancerIPs]) {
      this.#virtualService(body, port, address, port.port, external);
      if (!this.#cluster.interfaceAddresses.includes(address)) this.bound.add(address);
    }
    for (const address of externalIPs) {
      this.#add(body.externalPolicyLocal ? 'EXTERNAL-IP-LOCAL' : 'EXTERNAL-IP', tuple(address));
    }
    for (const address of loadBalancerIPs) {
      this.#add('LOAD-BALANCER', tuple(address));
      if (body.externalPolicyLocal) this.#add('LOAD-BALANCER-LOCAL', tuple(address));
      this.#sourceRanges(body, port, address);
    }
    if (port.nodePort === 0) {
      this.#healthCheck(body);
      return;
    }
    const nodes = ofFamily(this.#cluster.interfaceAddresses);
    if (nodes.length === 0) return;
    for (const address of nodes) this.#virtualService(body, port, address, port.nodePort, external);
    const isSctp = port.protocol === 'sctp';
    for (const set of [`NODE-PORT-`, ...(body.externalPolicyLocal ? ['NODE-PORT-LOCAL-'] : [])]) {
      if (!isSctp) this.#add(`${set}${port.protocol.toUpperCase()}`, String(port.nodePort));
      else for (const address of nodes) this.#add(`${set}SCTP-HASH`, `${address},sctp:${port.nodePort}`);
    }
    this.#healthCheck(body);
  }

  #healthCheck({ healthCheckNodePort }: ServiceBody): void {
    if (healthCheckNodePort !== 0) this.#add('HEALTH-CHECK-NODE-PORT', String(healthCheckNodePort));
  }

  #sourceRanges(body: ServiceBody, { protocol, port }: ServicePortBody, vip: IpAddress): void {
    const ranges = body.sourceRanges.map(parseCidr).filter((cidr) => cidr?.family === this.family);
    if (ranges.length === 0) return;
    const tuple = `${vip},${protocol}:${port}`;
    this.#add('LOAD-BALANCER-FW', tuple);
    // What kube-proxy falls back to.
    const nodeIP = this.#nodes(true)[0] ?? (this.family === 'IPv4' ? '127.0.0.1' : '::1');
    let allowsNode = false;
    for (const cidr of ranges) {
      if (cidr === undefined) continue;
      // The kernel refuses a net of length 0, and lists one of full length without it.
      if (cidr.prefixLength > 0) this.#add('LOAD-BALANCER-SOURCE-CIDR', `${tuple},${this.#net(cidr)}`);
      allowsNode ||= contains(cidr, nodeIP);
    }
    if (allowsNode) this.#add('LOAD-BALANCER-SOURCE-IP', `${tuple},${vip}`);
    else {
      const length = this.family === 'IPv4' ? 32 : 128;
      const number = { tcp: 6, udp: 17, sctp: 132 }[protocol];
      const match = `-s ${vip}/${length} -m ipvs --vproto ${number} --vaddr ${vip} --vport ${port}`;
      this.#drops.push(`filter -A KUBE-IPVS-OUT-FILTER ${match} -j DROP`);
    }
  }

  #net({ prefixLength, address, text }: Cidr): string {
    return prefixLength === (this.family === 'IPv4' ? 32 : 128) ? address : text;
  }

  #virtualService(
    body: ServiceBody,
    { protocol }: ServicePortBody,
    vip: IpAddress,
    port: number,
    list: readonly Endpoint[],
  ): void {
    const name = `${{ tcp: '-t', udp: '-u', sctp: '--sctp-service' }[protocol]} ${hostPort(vip, port)}`;
    const persistent = body.affinitySeconds > 0 ? ` -p ${body.affinitySeconds}` : '';
    for (const line of [...this.services.keys()]) if (line.startsWith(`-A ${name} `)) this.services.delete(line);
    this.services.set(
      `-A ${name} -s rr${persistent}`,
      list.map((endpoint) => `-a ${name} -r ${hostPort(endpoint.address, endpoint.port)} -m -w 1`),
    );
  }

  /** Merged by address and port: the first one seen, but for a later one that is not terminating. */
  #endpoints(service: string, { name, protocol }: ServicePortBody): readonly Endpoint[] {
    const found = new Map<string, Endpoint>();
    const slices = this.#cluster.records.flatMap(({ kind, key, body }) =>
      kind === 'slice' && body !== null && body.service === service && body.family === this.family
        ? [{ key, body }]
        : [],
    );
    for (const { body } of slices.sort((a, b) => (a.key < b.key ? -1 : 1))) {
      for (const { port } of body.ports.filter((one) => one.name === name && one.protocol === protocol)) {
        body.addresses.forEach((address, index) => {
          const endpoint = endpointAt(body, index, address, port);
          const id = hostPort(address, port);
          if (!found.has(id) || (endpoint.conditions & EndpointBit.terminating) === 0) found.set(id, endpoint);
        });
      }
    }
    return [...found.values()];
  }

  #clusterList(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    const ready = endpoints.filter(isReady);
    const zone = this.#cluster.records.flatMap(({ kind, body }) =>
      kind === 'node' && body?.self ? [body.zone] : [],
    )[0];
    const near = (hints: (endpoint: Endpoint) => readonly string[], here: string): readonly Endpoint[] => {
      const isHinted = here !== '' && ready.every((endpoint) => hints(endpoint).length > 0);
      return isHinted ? ready.filter((endpoint) => hints(endpoint).includes(here)) : [];
    };
    const chosen = [near(({ nodes }) => nodes, this.#cluster.nodeName), near(({ zones }) => zones, zone ?? ''), ready];
    return usable(chosen.find(({ length }) => length > 0) ?? [], endpoints);
  }

  /** Addresses of Nodes of this family, of this one or the others. */
  #nodes(self: boolean): readonly IpAddress[] {
    return this.#cluster.records.flatMap(({ kind, body }) =>
      kind === 'node' && body?.self === self
        ? body.addresses.filter((address) => familyOf(address) === this.family)
        : [],
    );
  }

  #add(set: string, entry: string): void {
    const name = this.#setName(set);
    this.sets.set(name, (this.sets.get(name) ?? new Set()).add(entry));
  }

  #setName(set: string): string {
    return `${this.family === 'IPv4' ? 'KUBE-' : 'KUBE-6-'}${set}`.slice(0, 31);
  }

  /** The listing of behaviour.md 4.5 without the lines whose set is empty, where kube-proxy looks at that. */
  rules(): readonly RuleLine[] {
    const lines = ruleLines(listing.split('\n')).flatMap((line) => {
      const set = /--match-set KUBE-(\S+)/.exec(line)?.[1];
      if (set === undefined) return [line];
      const isConditional = !/^filter -A KUBE-(IPVS-FILTER|NODE-PORT) /.test(line);
      if (isConditional && !this.sets.has(this.#setName(set))) return [];
      const ours = line.replace(`KUBE-${set} `, `${this.#setName(set)} `);
      // The listing leaves out what needs br_netfilter.
      const forwarded = ours.replace(/ -m addrtype --dst-type LOCAL -j ACCEPT$/, ` ${forwardedOnly} -j ACCEPT`);
      return forwarded === ours ? [ours] : [forwarded, ours];
    });
    const spelled = lines.map((line) => {
      const withoutCidr = line.replace(/! -s \S+ (.*) dst,dst -j KUBE-MARK-MASQ$/, '$1 src,dst -j KUBE-MARK-MASQ');
      if (this.family === 'IPv4') return withoutCidr;
      return withoutCidr.replace('127.0.0.0/8', '::1/128').replace('icmp-port', 'icmp6-port');
    });
    return [...spelled, ...this.#drops];
  }
}

function endpointAt(body: SliceBody, index: number, address: IpAddress, port: number): Endpoint {
  const conditions = body.conditions[index] ?? 0;
  return { address, port, conditions, zones: body.zoneHints?.[index] ?? [], nodes: body.nodeHints?.[index] ?? [] };
}

/** Those, or without any all that serve while they terminate. */
function usable(chosen: readonly Endpoint[], all: readonly Endpoint[]): readonly Endpoint[] {
  const ready = chosen.filter(isReady);
  const both = EndpointBit.serving | EndpointBit.terminating;
  return ready.length > 0 ? ready : all.filter(({ conditions }) => (conditions & both) === both);
}

function isReady({ conditions }: Endpoint): boolean {
  return (conditions & EndpointBit.ready) !== 0;
}

function isLocal({ conditions }: Endpoint): boolean {
  return (conditions & EndpointBit.local) !== 0;
}

function contains(cidr: Cidr, text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && cidrContains(cidr, address);
}

function hostPort(address: IpAddress, port: number): string {
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
