/**
 * The iptables rules, in the form iptables-save prints them (behaviour.md 4.5, second listing): constant for a set of options. Every
 * set is referenced always; an empty one matches nothing, so Services come and go without a rewrite. Two things depend on the Services there
 * are ({@link ServiceRules}).
 */
import { parseCidr } from '../address.ts';
import type { IpFamily } from '../types.ts';
import { outFilterChain } from './out-filter.ts';
import type { RuleLine, RuleSet, RuleTable, ServiceRules } from './rule-set.ts';
import { type SetId, setComment, setName } from './sets.ts';

export { ruleChanges, savedServiceRules } from './rule-changes.ts';
export type { RuleLine, RuleSet, RuleTable, ServiceRules, TableName } from './rule-set.ts';

export interface RuleOptions {
  /** All traffic to cluster IPs is source-translated; wins over `detectLocal`. */
  readonly masqueradeAll: boolean;
  /** Bit of the packet mark that asks for SNAT, 0..31. */
  readonly masqueradeBit: number;
  /** `MASQUERADE --random-fully`: iptables 1.6.2 or later. */
  readonly randomFully: boolean;
  /** How traffic from pods of this node is told from the rest (behaviour.md 4.4). CIDRs are canonical, at most one per family. */
  readonly detectLocal:
    | { readonly mode: 'ClusterCIDR'; readonly cidrs: readonly string[] }
    | { readonly mode: 'NodeCIDR' }
    | { readonly mode: 'BridgeInterface'; readonly bridge: string }
    | { readonly mode: 'InterfaceNamePrefix'; readonly prefix: string };
  /** The Node's pod CIDRs, canonical; only mode `NodeCIDR` looks at them. Undefined = the Node is not known (yet). */
  readonly podCIDRs: readonly string[] | undefined;
  /** How VIPs are bound. Absent = by addresses. */
  readonly vipBinding?: 'address' | 'local-route';
}

const noServiceRules: ServiceRules = { externalIPs: false, outFilters: new Map() };

/** All rules of a family as they are without any Service. */
export function staticRules(family: IpFamily, options: RuleOptions): RuleSet {
  return familyRules(family, options, noServiceRules);
}

/** All rules of a family. */
export function familyRules(family: IpFamily, options: RuleOptions, services: ServiceRules): RuleSet {
  return { family, tables: [natTable(family, options, services), filterTable(family, options, services)] };
}

function natTable(family: IpFamily, options: RuleOptions, services: ServiceRules): RuleTable {
  const mark = markOf(options);
  const match = matcher(family);
  const chains = new Map<string, readonly RuleLine[]>([
    [
      'KUBE-SERVICES',
      [
        `-s ${family === 'IPv4' ? '127.0.0.0/8' : '::1/128'} -j RETURN`,
        `${match.explained('LOAD-BALANCER', 'dst,dst')} -j KUBE-LOAD-BALANCER`,
        `${clusterIpMatch(family, options)} -j KUBE-MARK-MASQ`,
        `${match.explained('EXTERNAL-IP', 'dst,dst')} -j KUBE-MARK-MASQ`,
        ...externalAccepts('EXTERNAL-IP', family, services),
        `${match.explained('EXTERNAL-IP-LOCAL', 'dst,dst')} ${fromThisNode} -j KUBE-MARK-MASQ`,
        ...externalAccepts('EXTERNAL-IP-LOCAL', family, services),
        '-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        `${match.plain('CLUSTER-IP', 'dst,dst')} -j ACCEPT`,
        `${match.plain('LOAD-BALANCER', 'dst,dst')} -j ACCEPT`,
      ],
    ],
    [
      'KUBE-POSTROUTING',
      [
        `${match.explained('LOOP-BACK', 'dst,dst,src')} -j MASQUERADE`,
        `-m mark ! --mark ${mark}/${mark} -j RETURN`,
        `-j MARK --set-xmark ${mark}/0x0`,
        `${comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE${options.randomFully ? ' --random-fully' : ''}`,
      ],
    ],
    ['KUBE-NODE-PORT', nodePortRules(family)],
    [
      'KUBE-LOAD-BALANCER',
      [
        `${fromThisNode} -j KUBE-MARK-MASQ`,
        `${match.explained('LOAD-BALANCER-LOCAL', 'dst,dst')} -j RETURN`,
        '-j KUBE-MARK-MASQ',
      ],
    ],
    ['KUBE-MARK-MASQ', [`-j MARK --set-xmark ${mark}/${mark}`]],
  ]);
  return {
    name: 'nat',
    chains: withChainNames(chains),
    jumps: [
      jump('OUTPUT', 'kubernetes service portals', 'KUBE-SERVICES'),
      jump('PREROUTING', 'kubernetes service portals', 'KUBE-SERVICES'),
      jump('POSTROUTING', 'kubernetes postrouting rules', 'KUBE-POSTROUTING'),
    ],
    provisional: new Set(awaitsNode(options) ? ['KUBE-SERVICES'] : []),
  };
}

/**
 * Policy Local exempts from source translation what clients send, not what this node's own processes do: their source is the VIP, which
 * another node answers to itself (behaviour.md 9 #20). Always beside a set: what the node sends to its own daemons is nobody's business.
 */
const fromThisNode = '-m addrtype --src-type LOCAL';

/** What was marked, or is not to be, leaves here, before anything that others put into nat. The first is for packets that are only forwarded. */
function externalAccepts(
  id: 'EXTERNAL-IP' | 'EXTERNAL-IP-LOCAL',
  family: IpFamily,
  { externalIPs }: ServiceRules,
): readonly string[] {
  const match = matcher(family).explained(id, 'dst,dst');
  const forwarded = `${match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`;
  return [...(externalIPs ? [forwarded] : []), `${match} -m addrtype --dst-type LOCAL -j ACCEPT`];
}

/**
 * The port sets know no address, so a VIP whose port is somebody's node port would be source-translated (kubernetes #132068): VIP
 * traffic leaves first. Then each exemption before the SNAT entry it qualifies, and before the exemption whom it is not for.
 */
function nodePortRules(family: IpFamily): readonly RuleLine[] {
  const match = matcher(family);
  const vips = (['CLUSTER-IP', 'LOAD-BALANCER', 'EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'] as const).map(
    (id) => `${match.plain(id, 'dst,dst')} -j RETURN`,
  );
  const ports = (['TCP', 'UDP', 'SCTP-HASH'] as const).flatMap((name) => {
    const protocol = name === 'SCTP-HASH' ? 'sctp' : name.toLowerCase();
    const direction = name === 'SCTP-HASH' ? 'dst,dst' : 'dst';
    const local = `-p ${protocol} ${match.explained(`NODE-PORT-LOCAL-${name}`, direction)}`;
    return [
      `${local} ${fromThisNode} -j KUBE-MARK-MASQ`,
      `${local} -j RETURN`,
      `-p ${protocol} ${match.explained(`NODE-PORT-${name}`, direction)} -j KUBE-MARK-MASQ`,
    ];
  });
  return [...vips, ...ports];
}

function filterTable(family: IpFamily, options: RuleOptions, services: ServiceRules): RuleTable {
  const mark = markOf(options);
  const match = matcher(family);
  const unreachable = family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable';
  const chains = new Map<string, readonly RuleLine[]>([
    [
      'KUBE-FORWARD',
      [
        `${comment('kubernetes forwarding rules')} -m mark --mark ${mark}/${mark} -j ACCEPT`,
        `${comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ],
    ],
    ['KUBE-NODE-PORT', [`${match.explained('HEALTH-CHECK-NODE-PORT', 'dst')} -j ACCEPT`]],
    ['KUBE-PROXY-FIREWALL', [`${match.explained('LOAD-BALANCER-FW', 'dst,dst')} -j KUBE-SOURCE-RANGES-FIREWALL`]],
    [
      'KUBE-SOURCE-RANGES-FIREWALL',
      [
        `${match.explained('LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')} -j RETURN`,
        `${match.explained('LOAD-BALANCER-SOURCE-IP', 'dst,dst,src')} -j RETURN`,
        '-j DROP',
      ],
    ],
    [
      'KUBE-IPVS-FILTER',
      [
        `${match.plain('LOAD-BALANCER', 'dst,dst')} -j RETURN`,
        `${match.plain('CLUSTER-IP', 'dst,dst')} -j RETURN`,
        `${match.plain('EXTERNAL-IP', 'dst,dst')} -j RETURN`,
        `${match.plain('EXTERNAL-IP-LOCAL', 'dst,dst')} -j RETURN`,
        `${match.plain('HEALTH-CHECK-NODE-PORT', 'dst')} -j RETURN`,
        `-m conntrack --ctstate NEW ${match.plain('IPVS-IPS', 'dst')} -j REJECT --reject-with ${unreachable}`,
      ],
    ],
  ]);
  return {
    name: 'filter',
    chains: new Map([...withChainNames(chains), [outFilterChain, [...services.outFilters.values()].sort()]]),
    jumps: [
      jump('FORWARD', 'kubernetes forwarding rules', 'KUBE-FORWARD'),
      jump('INPUT', 'kubernetes health check rules', 'KUBE-NODE-PORT'),
      jump('INPUT', 'kube-proxy firewall rules', 'KUBE-PROXY-FIREWALL'),
      jump('FORWARD', 'kube-proxy firewall rules', 'KUBE-PROXY-FIREWALL'),
      jump('INPUT', 'kubernetes ipvs access filter', 'KUBE-IPVS-FILTER'),
      jump('OUTPUT', 'kubernetes ipvs access filter', 'KUBE-IPVS-OUT-FILTER'),
    ],
  };
}

/** The three forms of behaviour.md 4.4. */
function clusterIpMatch(family: IpFamily, options: RuleOptions): string {
  const match = matcher(family);
  if (options.masqueradeAll) return match.explained('CLUSTER-IP', 'dst,dst');
  const elsewhere = notLocal(family, options);
  // Without a detector only the node's own processes are told apart: their source is the VIP itself, or with an IPv6 local route some
  // address of the node (docs/vip-binding.md).
  if (elsewhere === undefined) {
    const isRoute = family === 'IPv6' && options.vipBinding === 'local-route';
    return isRoute
      ? `${match.explained('CLUSTER-IP', 'dst,dst')} ${fromThisNode}`
      : match.explained('CLUSTER-IP', 'src,dst');
  }
  return `${elsewhere} ${match.explained('CLUSTER-IP', 'dst,dst')}`;
}

/** What tells local traffic from other is not known: rules that are there say it better than a guess (a restart, a Node made anew). */
export function awaitsNode({ masqueradeAll, detectLocal, podCIDRs }: RuleOptions): boolean {
  return !masqueradeAll && detectLocal.mode === 'NodeCIDR' && podCIDRs === undefined;
}

function notLocal(family: IpFamily, options: RuleOptions): string | undefined {
  const { detectLocal } = options;
  switch (detectLocal.mode) {
    case 'ClusterCIDR':
      return notFrom(family, detectLocal.cidrs);
    case 'NodeCIDR':
      return notFrom(family, options.podCIDRs ?? []);
    case 'BridgeInterface':
      return `! -i ${detectLocal.bridge}`;
    case 'InterfaceNamePrefix':
      return `! -i ${detectLocal.prefix}+`;
  }
}

function notFrom(family: IpFamily, cidrs: readonly string[]): string | undefined {
  const cidr = cidrs.find((text) => parseCidr(text)?.family === family);
  return cidr === undefined ? undefined : `! -s ${cidr}`;
}

/** Hexadecimal without leading zeros, as iptables-save prints a mark. */
function markOf(options: RuleOptions): string {
  return `0x${(2 ** options.masqueradeBit).toString(16)}`;
}

function matcher(family: IpFamily): {
  plain(id: SetId, direction: string): string;
  explained(id: SetId, direction: string): string;
} {
  const plain = (id: SetId, direction: string): string => `-m set --match-set ${setName(id, family)} ${direction}`;
  return { plain, explained: (id, direction) => `${comment(setComment(id))} ${plain(id, direction)}` };
}

/** iptables-save puts a backslash before quotes and backslashes of a comment; iptables-restore takes it off again. */
function comment(text: string): string {
  return `-m comment --comment "${text.replace(/[\\'"]/g, '\\$&')}"`;
}

function jump(from: string, why: string, to: string): RuleLine {
  return `-A ${from} ${comment(why)} -j ${to}`;
}

function withChainNames(chains: ReadonlyMap<string, readonly RuleLine[]>): ReadonlyMap<string, readonly RuleLine[]> {
  return new Map([...chains].map(([name, rules]) => [name, rules.map((rule) => `-A ${name} ${rule}`)]));
}
