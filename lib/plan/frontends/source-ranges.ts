/** loadBalancerSourceRanges: who may reach a load balancer IP (behaviour.md 2.5). Node ports, cluster IPs and external IPs are not covered. */
import { type Cidr, cidrContains, fullPrefix, parseCidr } from '../../address.ts';
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { IpAddress, IpFamily, SetEntry } from '../../types.ts';
import type { FrontendContext } from './frontend.ts';

export interface SourceRanges {
  /** In the notation of a hash:ip,port,net entry, each once. Empty = nobody. */
  readonly nets: readonly SetEntry[];
  /** This node is in one of them. */
  readonly holdsNode: boolean;
}

/** Undefined = everybody. A list without anything usable denies: what a user wrote to close a VIP must not open it. */
export function sourceRangesOf(port: ServicePortSpec, context: FrontendContext): SourceRanges | undefined {
  const { sourceRanges, hasSourceRanges } = port.body;
  if (!hasSourceRanges) return undefined;
  const read = readings.get(sourceRanges) ?? readRanges(sourceRanges);
  const ours = read.byFamily[port.family];
  if (ours.length === 0 && read.isAny && context.sourceRangesOfOtherFamily === 'allow') return undefined;
  const nodeIP = context.nodeIP(port.family);
  const last = read.last.get(port.family);
  if (last !== undefined && last.nodeIP === nodeIP) return last.ranges;
  const ranges: SourceRanges = {
    nets: [...new Set(ours.flatMap(netEntries))],
    holdsNode: ours.some((cidr) => cidr.prefixLength === 0 || (nodeIP !== undefined && cidrContains(cidr, nodeIP))),
  };
  read.last.set(port.family, { nodeIP, ranges });
  return ranges;
}

interface Reading {
  readonly isAny: boolean;
  readonly byFamily: Readonly<Record<IpFamily, readonly Cidr[]>>;
  /** What it came to, for the node's IP as it was then. */
  readonly last: Map<IpFamily, { readonly nodeIP: IpAddress | undefined; readonly ranges: SourceRanges }>;
}

/** By the list of a Service, which stays the same object while endpoints come and go: reading a long one costs more than all the rest. */
const readings = new WeakMap<readonly string[], Reading>();

function readRanges(list: readonly string[]): Reading {
  const all = list.map(parseCidr).filter((cidr) => cidr !== undefined);
  const of = (family: IpFamily): readonly Cidr[] => all.filter((cidr) => cidr.family === family);
  const reading: Reading = {
    isAny: all.length > 0,
    byFamily: { IPv4: of('IPv4'), IPv6: of('IPv6') },
    last: new Map(),
  };
  readings.set(list, reading);
  return reading;
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
