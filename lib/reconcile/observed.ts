/** A read of the kernel: the tables of the families that are proxied, as plain state. */
import { familyOf, parseAddress } from '../address.ts';
import { type Cursor, type KernelSession, readAll } from '../kernel/session.ts';
import { isAddressKey } from '../plan/object-id.ts';
import { setSpecs } from '../plan/sets.ts';
import {
  type DestinationId,
  destinationId,
  type ServiceId,
  type ServiceNode,
  type SetName,
  serviceId,
} from '../plan/state.ts';
import { isVipRoute, vipRouteProtocol } from '../plan/vip-binding.ts';
import type {
  AddressServiceKey,
  Destination,
  DestinationState,
  FwmarkServiceKey,
  IpAddress,
  IpFamily,
  IpvsTableOptions,
  IpvsTimeouts,
  LinkAddressState,
  LinkState,
  LocalRouteState,
  SetEntry,
  SetState,
} from '../types.ts';
import { isNodeAddress, nodeAddresses } from './node-addresses.ts';
import type { ReconcileInit } from './protocol.ts';

/** kube-proxy's name of the VIP device. */
export const vipLink = 'kube-ipvs0';

/** Asks for a scheduler (behaviour.md 5.1); the address is of TEST-NET-2, which is nobody's. */
export const probeKey: AddressServiceKey = { protocol: 'tcp', address: probeAddress(), port: 20_000 };
export const probeId: ServiceId = serviceId(probeKey);

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

/** What {@link Observed} says of what is there whatever the Services are. */
export type StaticRead = Pick<Observed, 'isProbeLeft' | 'setStates' | 'link' | 'timeouts'>;

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

export type ReadInit = Pick<ReconcileInit, 'families' | 'ipvsTimeouts'>;

/** The whole of {@link readingKernel} in one go, thresholds of destinations included. */
export function readKernel(session: KernelSession, init: ReadInit): Observed {
  const reading = readingKernel(session, init, { thresholds: true });
  for (;;) {
    const step = reading.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Reads the kernel slice by slice: between two of them others may have their turn. Throws what the session throws: a kernel that can be read
 * in part only is not known. Without `thresholds` those of destinations are not read, which is several times as fast; the audit reads them.
 */
export function* readingKernel(
  session: KernelSession,
  { families, ipvsTimeouts }: ReadInit,
  options: IpvsTableOptions = {},
): Generator<void, Observed> {
  const services = new Map<ServiceId, ServiceNode>();
  const fwmarks: string[] = [];
  yield* eachSlice(session.servicesWithDestinations(options), ({ destinations, ...service }) => {
    const { key } = service;
    if (!isAddressKey(key)) {
      if (families.includes(key.family)) fwmarks.push(fwmarkText(key));
    } else if (families.includes(familyOf(key.address))) {
      services.set(serviceId(key), { service: { ...service, key }, destinations: destinationMap(destinations) });
    }
  });
  const isProbeLeft = services.get(probeId)?.destinations.size === 0;
  if (isProbeLeft) services.delete(probeId);
  const setStates = readSetStates(session, families);
  const sets = new Map<SetName, ReadonlySet<SetEntry>>();
  for (const spec of families.flatMap((family) => setSpecs(family))) {
    const state = setStates.get(spec.name);
    if (state === undefined || !holdsEntriesOf(state, spec)) continue;
    const entries = new Set<SetEntry>();
    sets.set(spec.name, entries);
    if (state.entries > 0) yield* eachSlice(session.entries(spec.name), (entry) => entries.add(entry));
  }
  const addresses = readAddresses(session, families);
  yield;
  return {
    services,
    isProbeLeft,
    fwmarks,
    setStates,
    sets,
    ...addresses,
    routes: new Set(boundRoutes(session, families)),
    ...(asksForTimeouts(ipvsTimeouts) ? { timeouts: session.timeouts() } : {}),
  };
}

function* eachSlice<T>(cursor: Cursor<T>, take: (one: T) => void): Generator<void, void> {
  try {
    for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
      for (const one of slice) take(one);
      yield;
    }
  } finally {
    cursor.close();
  }
}

/** `fwmark 5 IPv4` */
export function fwmarkText({ fwmark, family }: FwmarkServiceKey): string {
  return `fwmark ${fwmark} ${family}`;
}

/** The headers of our sets that are there. */
export function readSetStates(session: KernelSession, families: readonly IpFamily[]): Map<SetName, SetState> {
  const names = new Set(families.flatMap((family) => setSpecs(family)).map(({ name }) => name));
  const states = new Map<SetName, SetState>();
  for (const set of readAll(session.sets())) if (names.has(set.name)) states.set(set.name, set);
  return states;
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
  return { link, ...sortedAddresses(readAll(session.addresses()), families) };
}

export function sortedAddresses(
  addresses: readonly LinkAddressState[],
  families: readonly IpFamily[],
): Pick<Observed, 'addresses' | 'nodeAddresses'> {
  return {
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

/** Undefined when there is no such virtual service. */
export function readService(session: KernelSession, key: AddressServiceKey): ServiceNode | undefined {
  const service = session.service(key);
  if (service === undefined) return undefined;
  const states = readAll(session.destinations(key));
  return { service: { ...service, key }, destinations: destinationMap(states) };
}

export function destinationMap(states: readonly DestinationState[]): Map<DestinationId, Destination> {
  const destinations = new Map<DestinationId, Destination>();
  for (const state of states) destinations.set(destinationId(state), withoutCounts(state));
  return destinations;
}

function withoutCounts(state: DestinationState): Destination {
  const { address, port, weight, forward, upperThreshold, lowerThreshold, tunnel } = state;
  if (upperThreshold === undefined && lowerThreshold === undefined && tunnel === undefined) {
    return { address, port, weight, forward };
  }
  return {
    address,
    port,
    weight,
    forward,
    ...(upperThreshold === undefined ? {} : { upperThreshold }),
    ...(lowerThreshold === undefined ? {} : { lowerThreshold }),
    ...(tunnel === undefined ? {} : { tunnel }),
  };
}

/** IPv6 link-local and loopback addresses on the device are never counted nor removed. */
export function boundAddresses(
  addresses: readonly { readonly link: string; readonly address: IpAddress }[],
  families: readonly IpFamily[],
): IpAddress[] {
  return addresses
    .filter(({ link, address }) => link === vipLink && families.includes(familyOf(address)) && isNodeAddress(address))
    .map(({ address }) => address);
}

export function boundRoutes(session: KernelSession, families: readonly IpFamily[]): IpAddress[] {
  return vipsOf(readAll(session.localRoutes({ protocol: vipRouteProtocol })), families);
}

export function vipsOf(routes: readonly LocalRouteState[], families: readonly IpFamily[]): IpAddress[] {
  return routes
    .filter((route) => isVipRoute(route) && families.includes(familyOf(route.address)))
    .map(({ address }) => address);
}
