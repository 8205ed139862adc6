/**
 * The sum of what all service ports want, with the owners of every kernel object. Replacing one service port costs what that port
 * wants, and what its rivals want where a virtual service goes from one to another by it.
 */
import type { IpAddress, IpFamily, SetEntry } from '../types.ts';
import { addDirtyEntry, type DirtyObjects, noDirtyObjects } from './dirty.ts';
import { OwnedSet } from './owned-set.ts';
import { boundSetOf, setIds, setName } from './sets.ts';
import { type ServiceId, type ServiceNode, type SetName, serviceFamily, serviceId } from './state.ts';
import type { FrontendKind, ServicePortId, WantedEntry, WantedPort, WantedService, WantedState } from './wanted.ts';

/** A service port as a party to conflicts. */
export interface Claimant {
  readonly id: ServicePortId;
  /** `namespace/name` */
  readonly service: string;
  readonly portName: string;
  /** 0 = unknown: younger than all that are known. */
  readonly createdMs: number;
  readonly wanted: WantedPort;
}

interface Claim {
  readonly by: Claimant;
  readonly wanted: WantedService;
}

const precedence: Readonly<Record<FrontendKind, number>> = {
  'cluster-ip': 0,
  'load-balancer': 1,
  'external-ip': 2,
  'node-port': 3,
  'left-over': 4,
};

/** behaviour.md 2.10: frontend kind, then the older Service, then its name, then the port name. A total order. */
function compareClaims(a: Claim, b: Claim): number {
  return (
    precedence[a.wanted.kind] - precedence[b.wanted.kind] ||
    compare(a.by.createdMs || Number.POSITIVE_INFINITY, b.by.createdMs || Number.POSITIVE_INFINITY) ||
    compare(a.by.service, b.by.service) ||
    compare(a.by.portName, b.by.portName) ||
    compare(a.by.id, b.by.id)
  );
}

/** By the same service port, for the same kind of frontend. */
function isSameClaim(a: Claim | undefined, b: Claim | undefined): boolean {
  return a?.by.id === b?.by.id && a?.wanted.kind === b?.wanted.kind;
}

/** In the place of a service port's name. */
function leftOverId(service: ServiceId): ServicePortId {
  return `left-over ${service}`;
}

const none: WantedService['destinations'] = new Map();

function compare<T extends string | number>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export class DesiredState implements WantedState {
  readonly addresses: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly routes: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly sets: ReadonlyMap<SetName, OwnedSet<SetEntry>>;
  readonly #services = new Map<ServiceId, WantedService>();
  readonly #claims = new Map<ServiceId, Claim[]>();
  readonly #claimants = new Map<ServicePortId, Claimant>();
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

  /** Who wants this virtual service, the winner first. */
  claimantsOf(service: ServiceId): readonly ServicePortId[] {
    return [...new Set(this.#claims.get(service)?.map(({ by }) => by.id))];
  }

  /** Puts `next` in the place of what the service port wanted; returns the ports whose standing may have changed by that. */
  replace(id: ServicePortId, next: Claimant | undefined): ReadonlySet<ServicePortId> {
    const parties = this.#replace(id, next);
    for (const { id: service } of next?.wanted.virtualServices ?? []) {
      this.letGo(service);
      parties.delete(leftOverId(service));
    }
    return parties;
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
    const drainTimeoutMs = this.#lastDrainTimeouts.get(name);
    const wanted: WantedPort = {
      id,
      family: serviceFamily(service.key),
      virtualServices: [
        {
          id: name,
          kind: 'left-over',
          service,
          destinations: none,
          ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
        },
      ],
      entries: entries.map((entry) => ({ ...entry, follows: [name] })),
      addresses,
      outFilters: [],
      hash: 0,
      warnings: [],
    };
    this.#leftOvers.add(name);
    this.#replace(id, { id, service: id, portName: '', createdMs: 0, wanted });
  }

  /** The virtual service goes, with all that was kept for it. */
  letGo(service: ServiceId): void {
    if (this.#leftOvers.delete(service)) this.#replace(leftOverId(service), undefined);
    this.#lastDrainTimeouts.delete(service);
  }

  /** The drain time-out of the virtual service's own, as it is wanted or was when it was last. Undefined = the option. */
  drainTimeoutOf(service: ServiceId): number | undefined {
    const wanted = this.#services.get(service);
    return wanted === undefined ? this.#lastDrainTimeouts.get(service) : wanted.drainTimeoutMs;
  }

  #replace(id: ServicePortId, next: Claimant | undefined): Set<ServicePortId> {
    const prior = this.#claimants.get(id);
    const touched = new Set<ServiceId>();
    for (const { id: service } of prior?.wanted.virtualServices ?? []) touched.add(service);
    for (const { id: service } of next?.wanted.virtualServices ?? []) touched.add(service);
    if (next === undefined) this.#claimants.delete(id);
    else this.#claimants.set(id, next);
    const parties = new Set([id]);
    for (const service of this.#claim(touched, id, next)) {
      for (const party of this.claimantsOf(service)) parties.add(party);
    }
    for (const party of parties) {
      const wanted = this.#claimants.get(party)?.wanted;
      const gone = party === id ? prior?.wanted : undefined;
      this.#settleEntries(party, gone?.entries ?? [], wanted?.entries ?? []);
      this.#settleAddresses(party, gone, wanted);
    }
    this.#settleOutFilters(touched);
    return parties;
  }

  /** `namespace/name` of a service port's Service. */
  serviceOf(id: ServicePortId): string {
    return this.#claimants.get(id)?.service ?? id;
  }

  /** Virtual services a port wants and another one has: what it is to be warned about. */
  losses(id: ServicePortId): readonly string[] {
    const wanted = this.#claimants.get(id)?.wanted.virtualServices ?? [];
    return wanted.flatMap((service) => {
      const winner = this.#claims.get(service.id)?.[0];
      if (winner === undefined || winner.by.id === id) return [];
      return [
        `${service.kind} ${service.id} of ${id} is served for ${winner.by.id} (${winner.wanted.kind}), which comes first`,
      ];
    });
  }

  /** Returns the virtual services that have another winner now: those who want one of the others stand as they stood. */
  #claim(touched: ReadonlySet<ServiceId>, id: ServicePortId, next: Claimant | undefined): readonly ServiceId[] {
    const exchanged: ServiceId[] = [];
    const mine = new Map<ServiceId, Claim[]>();
    for (const claim of next?.wanted.virtualServices.map((wanted) => ({ by: next, wanted })) ?? []) {
      const claims = mine.get(claim.wanted.id);
      if (claims === undefined) mine.set(claim.wanted.id, [claim]);
      else claims.push(claim);
    }
    for (const service of touched) {
      const others = this.#claims.get(service)?.filter(({ by }) => by.id !== id) ?? [];
      const claims = others.concat(mine.get(service) ?? []).sort(compareClaims);
      const winner = claims[0];
      if (!isSameClaim(this.#claims.get(service)?.[0], winner)) exchanged.push(service);
      this.#dirty.services.add(service);
      if (winner === undefined) {
        const drainTimeoutMs = this.#services.get(service)?.drainTimeoutMs;
        if (drainTimeoutMs !== undefined) this.#lastDrainTimeouts.set(service, drainTimeoutMs);
        this.#claims.delete(service);
        this.#services.delete(service);
      } else {
        this.#claims.set(service, claims);
        this.#services.set(service, winner.wanted);
      }
    }
    return exchanged;
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
    const served = new Set<IpAddress>();
    for (const { id: service, kind, service: wanted } of next?.virtualServices ?? []) {
      if (kind !== 'node-port' && this.#hasWon(service, id, kind)) served.add(wanted.key.address);
    }
    const due = new Set(next?.addresses.filter((address) => served.has(address)));
    for (const address of due) this.#acquireAddress(address, id);
    for (const { addresses } of [prior, next].filter((side) => side !== undefined)) {
      for (const address of addresses) if (!due.has(address)) this.#releaseAddress(address, id);
    }
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
      const winner = this.#claims.get(service)?.[0];
      const isDue = winner?.wanted.kind === 'load-balancer' && winner.by.wanted.outFilters.includes(service);
      if (isDue === this.#outFilters.has(service)) continue;
      this.#changedOutFilters.add(service);
      if (isDue) this.#outFilters.add(service);
      else this.#outFilters.delete(service);
    }
  }

  /** As that kind of frontend. */
  #hasWon(service: ServiceId, id: ServicePortId, kind: FrontendKind | undefined): boolean {
    const winner = this.#claims.get(service)?.[0];
    return winner?.by.id === id && (kind === undefined || winner.wanted.kind === kind);
  }
}
