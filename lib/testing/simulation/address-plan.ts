/**
 * Where the addresses of a simulated cluster are. They are real enough to be routed, and cannot be mixed up with each other:
 *
 * | what | IPv4 | IPv6 |
 * |---|---|---|
 * | nodes | 192.168.0.0/16, from 192.168.1.1 | fd00:192:168::/64 |
 * | pods | 10.128.0.0/9, a part of it for each node | fd00:10:N::/64 for node N, counted from 1 |
 * | cluster IPs | 10.96.0.0/12 | fd00:96::/64 |
 * | load balancers | 198.18.0.0/16 | 2001:db8:1::/64 |
 * | external IPs | 198.19.0.0/16 | 2001:db8:2::/64 |
 */
import type { IpFamily } from '../../types.ts';

/** Numbers within each range start at 1. */
export type AddressRange = 'node' | 'cluster' | 'loadBalancer' | 'external';

const ranges: Readonly<Record<AddressRange, { readonly v4: number; readonly v6: string }>> = {
  node: { v4: 0xc0a80100, v6: 'fd00:192:168::' },
  cluster: { v4: 0x0a600000, v6: 'fd00:96::' },
  loadBalancer: { v4: 0xc6120000, v6: '2001:db8:1::' },
  external: { v4: 0xc6130000, v6: '2001:db8:2::' },
};

/** How many addresses each range has in IPv4, the smaller family. */
export const rangeSizes: Readonly<Record<AddressRange, number>> = {
  node: 0xfd00,
  cluster: 2 ** 20 - 2,
  loadBalancer: 2 ** 16 - 2,
  external: 2 ** 16 - 2,
};

const POD_BITS = 23;
const POD_BASE = 0x0a800000;

export function addressIn(range: AddressRange, family: IpFamily, number: number): string {
  const { v4, v6 } = ranges[range];
  return family === 'IPv4' ? ipv4Text(v4 + number) : ipv6Text(v6, number);
}

/** The pod addresses of a cluster: each node has a CIDR of the same size, at most a /16. */
export class PodAddresses {
  readonly #hostBits: number;

  constructor(nodes: number) {
    this.#hostBits = Math.min(16, POD_BITS - (32 - Math.clz32(nodes - 1)));
  }

  /** How many pods a node can hold; they are numbered from 1. */
  get perNode(): number {
    return 2 ** this.#hostBits - 2;
  }

  /** @param node Counted from 0. */
  address(family: IpFamily, node: number, pod: number): string {
    if (family === 'IPv6') return ipv6Text(nodePrefix(node), pod);
    return ipv4Text(POD_BASE + node * 2 ** this.#hostBits + pod);
  }

  cidr(family: IpFamily, node: number): string {
    if (family === 'IPv6') return `${nodePrefix(node)}/64`;
    return `${this.address(family, node, 0)}/${32 - this.#hostBits}`;
  }
}

function nodePrefix(node: number): string {
  return `fd00:10:${(node + 1).toString(16)}::`;
}

function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** In RFC 5952's form, for a prefix that ends in `::` and a number from 0 to 2^32 - 1. */
function ipv6Text(prefix: string, number: number): string {
  const high = Math.floor(number / 2 ** 16);
  const low = (number & 0xffff).toString(16);
  if (number === 0) return prefix;
  return high === 0 ? `${prefix}${low}` : `${prefix}${high.toString(16)}:${low}`;
}
