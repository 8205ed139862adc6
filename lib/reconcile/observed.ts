/** A read of the kernel: the tables of the families that are proxied, as plain state. */
import { familyOf, parseAddress } from '../address.ts';
import { NetlinkError } from '../errors.ts';
import { type KernelSession, readAll } from '../kernel/session.ts';
import { isAddressKey } from '../plan/object-id.ts';
import { setSpecs } from '../plan/sets.ts';
import { destinationId, type ServiceId, type ServiceNode, type SetName, serviceId } from '../plan/state.ts';
import { isVipRoute, vipRouteProtocol } from '../plan/vip-binding.ts';
import type {
  AddressServiceKey,
  Destination,
  DestinationState,
  IpAddress,
  IpFamily,
  IpvsTimeouts,
  LinkState,
  SetEntry,
  SetState,
  VirtualService,
} from '../types.ts';
import type { AppliedState } from './applied.ts';
import { isNodeAddress, nodeAddresses } from './node-addresses.ts';
import type { ObjectScope } from './object-scope.ts';
import type { ReconcileInit } from './protocol.ts';

/** kube-proxy's name of the VIP device. */
export const vipLink = 'kube-ipvs0';

/** Asks for a scheduler (behaviour.md 5.1); the address is of TEST-NET-2, which is nobody's. */
export const probeKey: AddressServiceKey = { protocol: 'tcp', address: probeAddress(), port: 20_000 };
const probeId = serviceId(probeKey);

function probeAddress(): IpAddress {
  const address = parseAddress('198.51.100.0');
  if (address === undefined) throw new TypeError('unreachable: a literal address');
  return address;
}

export interface Observed {
  readonly services: ReadonlyMap<ServiceId, ServiceNode>;
  /** The throw-away virtual service of a scheduler probe is there: one that died half-way left it. */
  readonly isProbeLeft: boolean;
  /** `fwmark 5 IPv4` */
  readonly fwmarks: readonly string[];
  /** The headers of our sets that are there, right or wrong. */
  readonly setStates: ReadonlyMap<SetName, SetState>;
  /** The entries of those of them that are of the right type and family. */
  readonly sets: ReadonlyMap<SetName, ReadonlySet<SetEntry>>;
  /** The VIP device, undefined when there is none. */
  readonly link: LinkState | undefined;
  /** On the VIP device. */
  readonly addresses: ReadonlySet<IpAddress>;
  /** VIPs that a local route of ours binds. */
  readonly routes: ReadonlySet<IpAddress>;
  /** Undefined where nobody asks for any. */
  readonly timeouts?: IpvsTimeouts;
  /** On the other interfaces, see `nodeAddresses`. */
  readonly nodeAddresses: readonly IpAddress[];
}

export const emptyObserved: Observed = {
  services: new Map(),
  isProbeLeft: false,
  fwmarks: [],
  setStates: new Map(),
  sets: new Map(),
  link: undefined,
  addresses: new Set(),
  routes: new Set(),
  nodeAddresses: [],
};

/** Throws what the session throws: a kernel that can be read in part only is not known. */
export function readKernel(
  session: KernelSession,
  { families, ipvsTimeouts }: Pick<ReconcileInit, 'families' | 'ipvsTimeouts'>,
): Observed {
  const services = new Map<ServiceId, ServiceNode>();
  const fwmarks: string[] = [];
  for (const service of readAll(session.services())) {
    const { key } = service;
    if (!isAddressKey(key)) {
      if (families.includes(key.family)) fwmarks.push(`fwmark ${key.fwmark} ${key.family}`);
    } else if (families.includes(familyOf(key.address))) {
      services.set(serviceId(key), readNode(session, { ...service, key }));
    }
  }
  const isProbeLeft = services.get(probeId)?.destinations.size === 0;
  if (isProbeLeft) services.delete(probeId);
  const specs = families.flatMap((family) => setSpecs(family));
  const names = new Set(specs.map(({ name }) => name));
  const setStates = new Map<SetName, SetState>();
  for (const set of readAll(session.sets())) if (names.has(set.name)) setStates.set(set.name, set);
  const sets = new Map<SetName, ReadonlySet<SetEntry>>();
  for (const spec of specs) {
    const state = setStates.get(spec.name);
    if (state !== undefined && holdsEntriesOf(state, spec))
      sets.set(spec.name, new Set(readAll(session.entries(spec.name))));
  }
  return {
    services,
    isProbeLeft,
    fwmarks,
    setStates,
    sets,
    ...readAddresses(session, families),
    routes: new Set(boundRoutes(session, families)),
    ...(asksForTimeouts(ipvsTimeouts) ? { timeouts: session.timeouts() } : {}),
  };
}

/** One that is 0 is left as it is. */
export function asksForTimeouts({ tcpSeconds, tcpFinSeconds, udpSeconds }: IpvsTimeouts): boolean {
  return tcpSeconds > 0 || tcpFinSeconds > 0 || udpSeconds > 0;
}

/** The part of {@link readKernel} that the kernel tells changes of. */
export function readAddresses(
  session: KernelSession,
  families: readonly IpFamily[],
): Pick<Observed, 'link' | 'addresses' | 'nodeAddresses'> {
  const link = readAll(session.links()).find(({ name }) => name === vipLink);
  const addresses = readAll(session.addresses());
  return {
    link,
    addresses: new Set(boundAddresses(addresses, families)),
    nodeAddresses: nodeAddresses(addresses, vipLink).filter((address) => families.includes(familyOf(address))),
  };
}

/** The set takes the entries that `wanted` is to take, whatever its size. */
export function holdsEntriesOf(
  state: Pick<SetState, 'type' | 'family'>,
  wanted: Pick<SetState, 'type' | 'family'>,
): boolean {
  return state.type === wanted.type && (wanted.type === 'bitmap:port' || state.family === wanted.family);
}

/**
 * Reads the objects of these scopes again, and nothing else: what is believed of entries and addresses is replaced by what is there. The
 * virtual services among them are returned, undefined for one that is not there: whose they are is not for a read to say.
 */
export function readBack(
  session: KernelSession,
  scopes: Iterable<ObjectScope>,
  families: readonly IpFamily[],
  applied: AppliedState,
): ReadonlyMap<ServiceId, ServiceNode | undefined> {
  const services = new Set<ServiceId>();
  const sets = new Set<SetName>();
  let addresses = false;
  for (const scope of scopes) {
    if (scope.kind === 'service') services.add(scope.service);
    if (scope.kind === 'entry') sets.add(scope.set);
    if (scope.kind === 'address') addresses = true;
  }
  const found = new Map<ServiceId, ServiceNode | undefined>([...services].map((id) => [id, undefined]));
  if (services.size > 0) {
    for (const service of readAll(session.services())) {
      const { key } = service;
      if (!isAddressKey(key) || !services.has(serviceId(key))) continue;
      found.set(serviceId(key), readNode(session, { ...service, key }));
    }
  }
  for (const name of sets) {
    const entries = readEntries(session, name);
    if (entries === undefined) applied.forgetSet(name);
    else applied.putSet(name, entries);
  }
  if (addresses) {
    applied.putAddresses(boundAddresses(readAll(session.addresses()), families));
    applied.putRoutes(boundRoutes(session, families));
  }
  return found;
}

function readEntries(session: KernelSession, name: SetName): readonly SetEntry[] | undefined {
  try {
    return readAll(session.entries(name));
  } catch (error) {
    if (error instanceof NetlinkError && error.errnoName === 'ENOENT') return undefined;
    throw error;
  }
}

function readNode(session: KernelSession, service: VirtualService<AddressServiceKey>): ServiceNode {
  const destinations = readAll(session.destinations(service.key));
  return { service, destinations: new Map(destinations.map((state) => [destinationId(state), withoutCounts(state)])) };
}

function withoutCounts(state: DestinationState): Destination {
  const { activeConnections, inactiveConnections, persistentConnections, ...destination } = state;
  return destination;
}

/** IPv6 link-local and loopback addresses on the device are never counted nor removed. */
function boundAddresses(
  addresses: readonly { readonly link: string; readonly address: IpAddress }[],
  families: readonly IpFamily[],
): IpAddress[] {
  return addresses
    .filter(({ link, address }) => link === vipLink && families.includes(familyOf(address)) && isNodeAddress(address))
    .map(({ address }) => address);
}

function boundRoutes(session: KernelSession, families: readonly IpFamily[]): IpAddress[] {
  return readAll(session.localRoutes({ protocol: vipRouteProtocol }))
    .filter((route) => isVipRoute(route) && families.includes(familyOf(route.address)))
    .map(({ address }) => address);
}
