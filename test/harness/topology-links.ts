/** The addresses of the topology, and its links and routes as `ip -batch` text. */

export type PeerName = 'n1' | 'n2' | 'p1' | 'p2' | 'p3' | 'client';

export interface AddressPair {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Fixed: manifests name them. */
export const addresses: Readonly<Record<PeerName, AddressPair>> = {
  n1: { ipv4: '192.168.1.10', ipv6: 'fd00:192:168:1::10' },
  n2: { ipv4: '192.168.1.20', ipv6: 'fd00:192:168:1::20' },
  client: { ipv4: '192.168.1.100', ipv6: 'fd00:192:168:1::100' },
  p1: { ipv4: '10.244.1.5', ipv6: 'fd00:10:244:1::5' },
  p2: { ipv4: '10.244.1.6', ipv6: 'fd00:10:244:1::6' },
  p3: { ipv4: '10.244.2.7', ipv6: 'fd00:10:244:2::7' },
};

/** All pods, for `clusterCIDR`. */
export const clusterCidrs = ['10.244.0.0/16', 'fd00:10:244::/48'] as const;

/** The nodes' addresses on their pods' links, as a CNI plugin gives them: node addresses, too. */
export const podGateways = {
  n1: { ipv4: '10.244.1.1', ipv6: 'fd00:10:244:1::1' },
  n2: { ipv4: '10.244.2.1', ipv6: 'fd00:10:244:2::1' },
} as const;

/** Service addresses, which the client reaches through n1: cluster IPs, load balancer IPs, external IPs. */
const serviceCidrs = [
  ...['10.96.0.0/12', 'fd00:10:96::/112'],
  ...['198.18.0.0/15', 'fd00:198:18::/48'],
  ...['203.0.113.0/24', 'fd00:203:0:113::/64'],
] as const;

export const namespacePrefix = 'ipvs-test-';
export const namespaceNames = ['lan', 'n2', 'p1', 'p2', 'p3', 'client'] as const;
export type NamespaceName = (typeof namespaceNames)[number];

/** n1's own links: what is to be deleted with the topology. */
export const nodeLinks = ['lan0', 'pod-p1', 'pod-p2'] as const;

/** All veth pairs, run in n1. */
export function linksText(): string {
  const inNamespace = (name: NamespaceName): string => `netns ${namespacePrefix}${name}`;
  return `link add lan0 type veth peer name port-n1 ${inNamespace('lan')}
link add port-n2 ${inNamespace('lan')} type veth peer name eth0 ${inNamespace('n2')}
link add port-client ${inNamespace('lan')} type veth peer name eth0 ${inNamespace('client')}
link add pod-p1 type veth peer name eth0 ${inNamespace('p1')}
link add pod-p2 type veth peer name eth0 ${inNamespace('p2')}
link add pod-p3 ${inNamespace('n2')} type veth peer name eth0 ${inNamespace('p3')}
`;
}

/** Addresses and routes of n1. */
export function nodeText(): string {
  return `link set lo up
${lanEnd('lan0', addresses.n1)}
route add 10.244.2.0/24 via ${addresses.n2.ipv4}
route add fd00:10:244:2::/64 via ${addresses.n2.ipv6}
${podEnd('p1', podGateways.n1)}
${podEnd('p2', podGateways.n1)}
`;
}

/** Addresses and routes of every other namespace. */
export const namespaceTexts: Readonly<Record<NamespaceName, string>> = {
  lan: `link add br0 type bridge
link set br0 up
link set port-n1 up master br0
link set port-n2 up master br0
link set port-client up master br0
`,
  n2: `link set lo up
${lanEnd('eth0', addresses.n2)}
route add 10.244.1.0/24 via ${addresses.n1.ipv4}
route add fd00:10:244:1::/64 via ${addresses.n1.ipv6}
${podEnd('p3', podGateways.n2)}
`,
  p1: podText('p1', podGateways.n1),
  p2: podText('p2', podGateways.n1),
  p3: podText('p3', podGateways.n2),
  client: `link set lo up
${lanEnd('eth0', addresses.client)}
${serviceCidrs.map((cidr) => `route add ${cidr} via ${cidr.includes(':') ? addresses.n1.ipv6 : addresses.n1.ipv4}`).join('\n')}
`,
};

function lanEnd(link: string, address: AddressPair): string {
  return `link set ${link} up
addr add ${address.ipv4}/24 dev ${link}
addr add ${address.ipv6}/64 dev ${link} nodad`;
}

/** A node's end of a pod's link. */
function podEnd(pod: 'p1' | 'p2' | 'p3', gateway: AddressPair): string {
  return `link set pod-${pod} up
addr add ${gateway.ipv4}/32 dev pod-${pod}
addr add ${gateway.ipv6}/128 dev pod-${pod} nodad
route add ${addresses[pod].ipv4}/32 dev pod-${pod} src ${gateway.ipv4}
route add ${addresses[pod].ipv6}/128 dev pod-${pod} src ${gateway.ipv6}`;
}

function podText(pod: 'p1' | 'p2' | 'p3', gateway: AddressPair): string {
  return `link set lo up
link set eth0 up
addr add ${addresses[pod].ipv4}/32 dev eth0
addr add ${addresses[pod].ipv6}/128 dev eth0 nodad
route add ${gateway.ipv4}/32 dev eth0
route add ${gateway.ipv6}/128 dev eth0
route add default via ${gateway.ipv4}
route add default via ${gateway.ipv6}
`;
}
