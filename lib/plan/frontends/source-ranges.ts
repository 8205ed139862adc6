/** loadBalancerSourceRanges: who may reach a load balancer IP (behaviour.md 2.5). Node ports, cluster IPs and external IPs are not covered. */
import { type Cidr, cidrContains, fullPrefix, parseCidr } from '../../address.ts';
import type { ServicePort } from '../../model/service-port.ts';
import type { IpFamily, SetEntry } from '../../types.ts';
import type { FrontendContext } from './frontend.ts';

export interface SourceRanges {
  /** In the notation of a hash:ip,port,net entry, each once. Empty = nobody. */
  readonly nets: readonly SetEntry[];
  /** This node is in one of them. */
  readonly holdsNode: boolean;
}

/** Undefined = everybody. A list without anything usable denies: what a user wrote to close a VIP must not open it. */
export function sourceRangesOf(port: ServicePort, context: FrontendContext): SourceRanges | undefined {
  const { sourceRanges, hasSourceRanges } = port.body;
  if (!hasSourceRanges) return undefined;
  const all = sourceRanges.map(parseCidr).filter((cidr) => cidr !== undefined);
  const ours = all.filter(({ family }) => family === port.family);
  if (ours.length === 0 && all.length > 0 && context.sourceRangesOfOtherFamily === 'allow') return undefined;
  const nodeIP = context.nodeIP(port.family);
  return {
    nets: [...new Set(ours.flatMap(netEntries))],
    holdsNode: ours.some((cidr) => cidr.prefixLength === 0 || (nodeIP !== undefined && cidrContains(cidr, nodeIP))),
  };
}

const halves: Readonly<Record<IpFamily, readonly SetEntry[]>> = {
  IPv4: ['0.0.0.0/1', '128.0.0.0/1'],
  IPv6: ['::/1', '8000::/1'],
};

/** The kernel stores no net of length 0, and lists one of full length without its mask. */
function netEntries({ family, address, prefixLength, text }: Cidr): readonly SetEntry[] {
  if (prefixLength === 0) return halves[family];
  return [prefixLength === fullPrefix(family) ? address : text];
}
