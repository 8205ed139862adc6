/** What a proxier, ours or kube-proxy in IPVS mode, has left in the kernel, read through the async client. Reads only. */
import { ProxierError } from '../errors.ts';
import type { KernelClient } from '../kernel/index.ts';
import { isAddressKey } from '../plan/object-id.ts';
import { setSpecs } from '../plan/sets.ts';
import { type SetName, serviceId } from '../plan/state.ts';
import { isVipRoute, vipRouteProtocol } from '../plan/vip-binding.ts';
import type { AddressServiceKey, IpAddress, LinkState, LocalRouteState, SetEntry, SetState } from '../types.ts';
import { nodeAddresses } from './node-addresses.ts';
import { holdsEntriesOf, probeKey, vipLink } from './observed.ts';

export interface Traces {
  /** Every virtual service there is, whoever made it; those of firewall marks as text. */
  readonly services: readonly AddressServiceKey[];
  readonly fwmarks: readonly string[];
  /** The throw-away virtual service of a scheduler probe that died half-way. */
  readonly isProbeLeft: boolean;
  /** Sets with our names, of whatever type. */
  readonly sets: readonly SetState[];
  /** The entries of those of the right type. */
  readonly entries: ReadonlyMap<SetName, ReadonlySet<SetEntry>>;
  readonly link: LinkState | undefined;
  /** On the VIP device. */
  readonly boundAddresses: ReadonlySet<IpAddress>;
  /** Local routes with our protocol number. */
  readonly routes: readonly LocalRouteState[];
  /** Addresses of the other interfaces. */
  readonly interfaceAddresses: ReadonlySet<IpAddress>;
  /** Parts of the kernel that are not there, so that nothing can be left in them. */
  readonly absent: readonly string[];
}

const families = ['IPv4', 'IPv6'] as const;
const specs = new Map(families.flatMap((family) => setSpecs(family).map((spec) => [spec.name, spec] as const)));

/** The bitmaps for SCTP of kube-proxy before 1.15. */
const legacySets: ReadonlySet<SetName> = new Set([
  'KUBE-NODE-PORT-SCTP',
  'KUBE-NODE-PORT-LOCAL-SCTP',
  'KUBE-6-NODE-PORT-SCTP',
  'KUBE-6-NODE-PORT-LOCAL-SCTP',
]);

/** Throws what the kernel refuses, ERR_PERMISSION above all: a kernel that can be read in part only is not known. */
export async function readTraces(kernel: KernelClient): Promise<Traces> {
  const absent: string[] = [];
  const services = await present('ip_vs', absent, () => kernel.ipvs.list());
  const addressed = services.flatMap(({ key }) => (isAddressKey(key) ? [key] : []));
  const probe = addressed.find((key) => serviceId(key) === serviceId(probeKey));
  const isProbeLeft = probe !== undefined && (await kernel.ipvs.destinations(probe)).length === 0;
  const sets = await present('ip_set', absent, () => kernel.ipset.list());
  const ours = sets.filter(({ name }) => specs.has(name) || legacySets.has(name));
  const entries = new Map<SetName, ReadonlySet<SetEntry>>();
  for (const set of ours) {
    const spec = specs.get(set.name);
    if (spec !== undefined && holdsEntriesOf(set, spec)) {
      entries.set(set.name, new Set(await kernel.ipset.entries(set.name)));
    }
  }
  const [links, addresses, routes] = await Promise.all([
    kernel.route.links(),
    kernel.route.addresses(),
    kernel.route.localRoutes({ protocol: vipRouteProtocol }),
  ]);
  return {
    services: addressed.filter((key) => key !== probe || !isProbeLeft),
    fwmarks: services.flatMap(({ key }) => (isAddressKey(key) ? [] : [`fwmark ${key.fwmark} ${key.family}`])),
    isProbeLeft,
    sets: ours,
    entries,
    link: links.find(({ name }) => name === vipLink),
    boundAddresses: new Set(addresses.filter(({ link }) => link === vipLink).map(({ address }) => address)),
    routes: routes.filter(isVipRoute),
    interfaceAddresses: new Set(nodeAddresses(addresses, vipLink)),
    absent,
  };
}

async function present<T>(part: string, absent: string[], read: () => Promise<T[]>): Promise<T[]> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof ProxierError) || error.code !== 'ERR_KERNEL_UNSUPPORTED') throw error;
    absent.push(part);
    return [];
  }
}
