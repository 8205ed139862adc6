/**
 * The sum of what all service ports want, with the owners of every kernel object. Replacing one service port costs what that port
 * wants, and what its rivals want where a virtual service goes from one to another by it; what a service port takes in in place (live-port.ts)
 * costs that alone.
 */
import type { IpAddress, IpFamily, SetEntry } from '../types.ts';
import { DestinationList } from './destination-list.ts';
import { addDirtyDestinations, addDirtyEntry, type DirtyObjects, noDirtyObjects } from './dirty.ts';
import { LivePort, type LivePortListener, noLoopBack, type PortLists } from './live-port.ts';
import { OwnedSet } from './owned-set.ts';
import { boundSetOf, setIds, setName } from './sets.ts';
import {
  type DestinationId,
  type ServiceId,
  type ServiceNode,
  type SetName,
  serviceFamily,
  serviceId,
} from './state.ts';
import type { FrontendKind, ServicePortId, WantedEntry, WantedPort, WantedService, WantedState } from './wanted.ts';

const precedence: Readonly<Record<FrontendKind, number>> = {
  'cluster-ip': 0,
  'load-balancer': 1,
  'external-ip': 2,
  'node-port': 3,
  'left-over': 4,
};

/** behaviour.md 2.10: frontend kind, then the older Service, then its name, then the port name. A total order. */
function compareClaims(a: WantedService, b: WantedService): number {
  return (
    precedence[a.kind] - precedence[b.kind] ||
    compare(a.port.createdMs || Number.POSITIVE_INFINITY, b.port.createdMs || Number.POSITIVE_INFINITY) ||
    compare(a.port.service, b.port.service) ||
    compare(a.port.portName, b.port.portName) ||
    compare(a.port.id, b.port.id)
  );
}

/** By the same service port, for the same kind of frontend. */
function isSameClaim(a: WantedService | undefined, b: WantedService | undefined): boolean {
  return a?.port.id === b?.port.id && a?.kind === b?.kind;
}

/** In the place of a service port's name. */
function leftOverId(service: ServiceId): ServicePortId {
  return `${leftOverPrefix}${service}`;
}

/** So many are compared with each other sooner than sorted. */
const fewServices = 16;

const leftOverPrefix = 'left-over ';

/** Of one that is to lose all its destinations. */
function noLists(): PortLists {
  const empty = new DestinationList();
  const lists = { cluster: empty, local: empty, external: empty, nodePort: empty };
  return { ...lists, forward: 'masquerade', serving: undefined, loopBack: noLoopBack, warnings: [] };
}

function compare<T extends string | number>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export class DesiredState implements WantedState, LivePortListener {
  readonly addresses: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly routes: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly sets: ReadonlyMap<SetName, OwnedSet<SetEntry>>;
  /** The winner of each. */
  readonly #services = new Map<ServiceId, WantedService>();
  /** Where there is more than one claim: all of them, the winner first. */
  readonly #rivals = new Map<ServiceId, readonly WantedService[]>();
  readonly #ports = new Map<ServicePortId, LivePort>();
  /** In the place of a service port, for each virtual service that is kept. */
  readonly #leftOverPorts = new Map<ServicePortId, LivePort>();
  readonly #outFilters = new Set<ServiceId>();
  #changedOutFilters = new Set<ServiceId>();
  /** The one of the two above that VIPs go to. */
  readonly #bound: OwnedSet<IpAddress>;
  /** Virtual services that nobody wants any more and that stay for their connections. */
  readonly #leftOvers = new Set<ServiceId>();
  /** Drain time-outs of their own that virtual services had when they were last wanted. */
  readonly #lastDrainTimeouts = new Map<ServiceId, number>();
  #dirty: DirtyObjects = noDirtyObjects();

  constructor(families: readonly IpFamily[], vipBinding: 'address' | 'local-route') {
    this.#bound = vipBinding === 'address' ? this.addresses : this.routes;
    this.sets = new Map(
      families.flatMap((family) => setIds.map((id) => [setName(id, family), new OwnedSet<SetEntry>()] as const)),
    );
  }

  get services(): ReadonlyMap<ServiceId, WantedService> {
    return this.#services;
  }

  get ports(): ReadonlyMap<ServicePortId, LivePort> {
    return this.#ports;
  }

  /** What changed since the last call. */
  takeDirty(): DirtyObjects {
    const dirty = this.#dirty;
    this.#dirty = noDirtyObjects();
    return dirty;
  }

  /** Virtual services that need a rule in KUBE-IPVS-OUT-FILTER: the kernel object is iptables', not one of the state's. */
  get outFilters(): ReadonlySet<ServiceId> {
    return this.#outFilters;
  }

  /** Those that came to need one, or ceased to, since the last call. */
  takeOutFilters(): ReadonlySet<ServiceId> {
    const changed = this.#changedOutFilters;
    this.#changedOutFilters = new Set();
    return changed;
  }

  /** Those that the owners of the entry have won. */
  *candidatesOf(set: SetName, entry: SetEntry): IterableIterator<WantedService> {
    for (const owner of this.sets.get(set)?.ownersOf(entry) ?? []) {
      for (const wanted of this.#portOf(owner)?.virtualServices ?? []) {
        if (this.#services.get(wanted.id) === wanted) yield wanted;
      }
    }
  }

  /** Who wants this virtual service, the winner first. */
  claimantsOf(service: ServiceId): readonly ServicePortId[] {
    const claims = this.#claimsOf(service);
    return claims.length === 1 ? claims.map(({ port }) => port.id) : [...new Set(claims.map(({ port }) => port.id))];
  }

  /** Puts `next` in the place of what the service port wanted; returns the ports whose standing may have changed by that. */
  replace(id: ServicePortId, next: LivePort | undefined): ReadonlySet<ServicePortId> {
    if (next !== undefined && !this.#ports.has(id) && this.#isUnrivalled(next)) {
      this.#enter(next);
      return new Set([id]);
    }
    const parties = this.#replace(id, next);
    for (const { id: service } of next?.virtualServices ?? []) {
      this.letGo(service);
      parties.delete(leftOverId(service));
    }
    return parties;
  }

  /** A destination of a service port's came, went or changed. Nothing to do for one whose virtual service is another one's. */
  destinationsChanged(service: WantedService, names: readonly DestinationId[]): void {
    if (this.#services.get(service.id) === service) addDirtyDestinations(this.#dirty, service.id, names);
  }

  loopBackChanged({ id, family }: WantedPort, entry: SetEntry, isWanted: boolean): void {
    this.#settleLoopBack(id, family, entry, isWanted);
  }

  get leftOvers(): ReadonlySet<ServiceId> {
    return this.#leftOvers;
  }

  /**
   * Keeps a virtual service that nobody wants any more, without destinations, and what makes it reachable: until {@link letGo}, or until
   * somebody wants it.
   */
  keep(
    { service }: ServiceNode,
    entries: readonly Omit<WantedEntry, 'follows'>[],
    addresses: readonly IpAddress[],
  ): void {
    const name = serviceId(service.key);
    const id = leftOverId(name);
    const family = serviceFamily(service.key);
    const { protocol } = service.key;
    const drainTimeoutMs = this.#lastDrainTimeouts.get(name);
    const port = new LivePort({ id, family, service: id, portName: '', protocol, createdMs: 0, drainTimeoutMs });
    const lists = noLists();
    port.fill(
      {
        virtualServices: [{ id: name, kind: 'left-over', service, destinations: lists.cluster, port }],
        entries: entries.map((entry) => ({ ...entry, follows: [name] })),
        addresses,
        outFilters: [],
        warnings: [],
      },
      lists,
    );
    this.#leftOvers.add(name);
    this.#replace(id, port);
  }

  /** The virtual service goes, with all that was kept for it. */
  letGo(service: ServiceId): void {
    if (this.#leftOvers.delete(service)) this.#replace(leftOverId(service), undefined);
    this.#lastDrainTimeouts.delete(service);
  }

  /** The drain time-out of the virtual service's own, as it is wanted or was when it was last. Undefined = the option. */
  drainTimeoutOf(service: ServiceId): number | undefined {
    const wanted = this.#services.get(service);
    return wanted === undefined ? this.#lastDrainTimeouts.get(service) : wanted.port.drainTimeoutMs;
  }

  #portOf(id: ServicePortId): LivePort | undefined {
    return this.#ports.get(id) ?? this.#leftOverPorts.get(id);
  }

  #claimsOf(service: ServiceId): readonly WantedService[] {
    const only = this.#services.get(service);
    return this.#rivals.get(service) ?? (only === undefined ? [] : [only]);
  }

  /** Nobody claims what it claims, itself included. */
  #isUnrivalled({ virtualServices }: LivePort): boolean {
    if (virtualServices.length > fewServices) return false;
    for (let index = 0; index < virtualServices.length; index += 1) {
      const id = virtualServices[index]?.id ?? '';
      if (this.#services.has(id)) return false;
      for (let other = 0; other < index; other += 1) if (virtualServices[other]?.id === id) return false;
    }
    return true;
  }

  /** The common case of {@link #replace}, without its questions. */
  #enter(port: LivePort): void {
    const { id, family } = port;
    this.#ports.set(id, port);
    for (const wanted of port.virtualServices) {
      this.#services.set(wanted.id, wanted);
      this.#dirty.services.add(wanted.id);
      this.#lastDrainTimeouts.delete(wanted.id);
    }
    for (const { set, entry } of port.fixedEntries) {
      if (this.sets.get(set)?.acquire(entry, id)) addDirtyEntry(this.#dirty, set, entry);
    }
    for (const entry of port.loopBack) this.#settleLoopBack(id, family, entry, true);
    if (port.addresses.length > 0) this.#settleAddresses(id, undefined, port);
    if (port.outFilters.length > 0) this.#settleOutFilters(port.outFilters);
  }

  #replace(id: ServicePortId, next: LivePort | undefined): Set<ServicePortId> {
    const prior = this.#portOf(id);
    const touched = new Set<ServiceId>();
    for (const { id: service } of prior?.virtualServices ?? []) touched.add(service);
    for (const { id: service } of next?.virtualServices ?? []) touched.add(service);
    const ports = id.startsWith(leftOverPrefix) ? this.#leftOverPorts : this.#ports;
    if (next === undefined) ports.delete(id);
    else ports.set(id, next);
    const parties = new Set([id]);
    for (const service of this.#claim(touched, id, next)) {
      for (const party of this.claimantsOf(service)) parties.add(party);
    }
    for (const party of parties) {
      const wanted = this.#portOf(party);
      const gone = party === id ? prior : undefined;
      this.#settleEntries(party, gone?.fixedEntries ?? [], wanted?.fixedEntries ?? []);
      this.#settleAddresses(party, gone, wanted);
    }
    for (const entry of next?.loopBack ?? []) this.#settleLoopBack(id, next?.family, entry, true);
    for (const entry of prior?.loopBack ?? []) {
      if (next?.loopBack.has(entry) !== true) this.#settleLoopBack(id, prior?.family, entry, false);
    }
    this.#settleOutFilters(touched);
    return parties;
  }

  /** `namespace/name` of a service port's Service. */
  serviceOf(id: ServicePortId): string {
    return this.#portOf(id)?.service ?? id;
  }

  /** Virtual services a port wants and another one has: what it is to be warned about. */
  losses(id: ServicePortId): readonly string[] {
    if (this.#rivals.size === 0) return [];
    const wanted = this.#portOf(id)?.virtualServices ?? [];
    return wanted.flatMap((service) => {
      const winner = this.#services.get(service.id);
      if (winner === undefined || winner.port.id === id) return [];
      return [
        `${service.kind} ${service.id} of ${id} is served for ${winner.port.id} (${winner.kind}), which comes first`,
      ];
    });
  }

  /** Returns the virtual services that have another winner now: those who want one of the others stand as they stood. */
  #claim(touched: ReadonlySet<ServiceId>, id: ServicePortId, next: LivePort | undefined): readonly ServiceId[] {
    const exchanged: ServiceId[] = [];
    const mine = new Map<ServiceId, WantedService[]>();
    for (const wanted of next?.virtualServices ?? []) {
      const claims = mine.get(wanted.id);
      if (claims === undefined) mine.set(wanted.id, [wanted]);
      else claims.push(wanted);
    }
    for (const service of touched) {
      const before = this.#services.get(service);
      const others = this.#claimsOf(service).filter(({ port }) => port.id !== id);
      const claims = others.concat(mine.get(service) ?? []).sort(compareClaims);
      const winner = claims[0];
      if (!isSameClaim(before, winner)) exchanged.push(service);
      this.#dirty.services.add(service);
      if (claims.length > 1) this.#rivals.set(service, claims);
      else this.#rivals.delete(service);
      if (winner === undefined) {
        const drainTimeoutMs = before?.port.drainTimeoutMs;
        if (drainTimeoutMs !== undefined) this.#lastDrainTimeouts.set(service, drainTimeoutMs);
        this.#services.delete(service);
      } else {
        this.#services.set(service, winner);
      }
    }
    return exchanged;
  }

  /** An entry of KUBE-LOOP-BACK is wanted by all who have the endpoint, whoever serves the virtual services. */
  #settleLoopBack(id: ServicePortId, family: IpFamily | undefined, entry: SetEntry, isWanted: boolean): void {
    if (family === undefined) return;
    const name = setName('LOOP-BACK', family);
    const set = this.sets.get(name);
    if (isWanted ? set?.acquire(entry, id) : set?.release(entry, id)) addDirtyEntry(this.#dirty, name, entry);
  }

  /** Takes the entries that are due now, then lets go of the rest: one that stays is never seen to go. */
  #settleEntries(id: ServicePortId, prior: readonly WantedEntry[], next: readonly WantedEntry[]): void {
    const kept = new Set<string>();
    for (const { set, entry, follows, kind } of next) {
      if (follows !== undefined && !follows.some((service) => this.#hasWon(service, id, kind))) continue;
      kept.add(`${set} ${entry}`);
      if (this.sets.get(set)?.acquire(entry, id)) addDirtyEntry(this.#dirty, set, entry);
    }
    for (const entries of prior === next ? [next] : [prior, next]) {
      for (const { set, entry } of entries) {
        if (kept.has(`${set} ${entry}`)) continue;
        if (this.sets.get(set)?.release(entry, id)) addDirtyEntry(this.#dirty, set, entry);
      }
    }
  }

  /** KUBE-IPVS-IPS lists the bound addresses, no more and no fewer. An address is bound for those who are served on it. */
  #settleAddresses(id: ServicePortId, prior: WantedPort | undefined, next: WantedPort | undefined): void {
    for (const address of next?.addresses ?? [])
      if (this.#isServedOn(address, id, next)) this.#acquireAddress(address, id);
    for (const port of prior === next ? [next] : [prior, next]) {
      for (const address of port?.addresses ?? []) {
        if (next?.addresses.includes(address) !== true || !this.#isServedOn(address, id, next))
          this.#releaseAddress(address, id);
      }
    }
  }

  #isServedOn(address: IpAddress, id: ServicePortId, port: WantedPort | undefined): boolean {
    for (const { id: service, kind, service: wanted } of port?.virtualServices ?? []) {
      if (kind !== 'node-port' && wanted.key.address === address && this.#hasWon(service, id, kind)) return true;
    }
    return false;
  }

  #acquireAddress(address: IpAddress, id: ServicePortId): void {
    if (this.#bound.acquire(address, id)) this.#dirty.addresses.add(address);
    const set = boundSetOf(address);
    if (this.sets.get(set)?.acquire(address, id)) addDirtyEntry(this.#dirty, set, address);
  }

  #releaseAddress(address: IpAddress, id: ServicePortId): void {
    if (this.#bound.release(address, id)) this.#dirty.addresses.add(address);
    const set = boundSetOf(address);
    if (this.sets.get(set)?.release(address, id)) addDirtyEntry(this.#dirty, set, address);
  }

  #settleOutFilters(services: Iterable<ServiceId>): void {
    for (const service of services) {
      const winner = this.#services.get(service);
      const isDue = winner?.kind === 'load-balancer' && winner.port.outFilters.includes(service);
      if (isDue === this.#outFilters.has(service)) continue;
      this.#changedOutFilters.add(service);
      if (isDue) this.#outFilters.add(service);
      else this.#outFilters.delete(service);
    }
  }

  /** As that kind of frontend. */
  #hasWon(service: ServiceId, id: ServicePortId, kind: FrontendKind | undefined): boolean {
    const winner = this.#services.get(service);
    return winner?.port.id === id && (kind === undefined || winner.kind === kind);
  }
}
