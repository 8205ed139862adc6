/**
 * The sum of what all service ports want, with the owners of every kernel object. Replacing one service port costs what that port
 * wants, and what its rivals want where two ports want the same virtual service.
 */
import type { IpAddress, IpFamily, SetEntry } from '../types.ts';
import { addDirtyEntry, type DirtyObjects, noDirtyObjects } from './dirty.ts';
import { OwnedSet } from './owned-set.ts';
import { boundSetOf, setIds, setName } from './sets.ts';
import type { KernelState, ServiceId, ServiceNode, SetName } from './state.ts';
import type { FrontendKind, ServicePortId, WantedEntry, WantedPort, WantedService } from './wanted.ts';

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

function compare<T extends string | number>(a: T, b: T): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export class DesiredState implements KernelState {
  readonly addresses: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly routes: OwnedSet<IpAddress> = new OwnedSet<IpAddress>();
  readonly sets: ReadonlyMap<SetName, OwnedSet<SetEntry>>;
  readonly #services = new Map<ServiceId, ServiceNode>();
  readonly #claims = new Map<ServiceId, Claim[]>();
  readonly #claimants = new Map<ServicePortId, Claimant>();
  readonly #outFilters = new Set<ServiceId>();
  #changedOutFilters = new Set<ServiceId>();
  /** The one of the two above that VIPs go to. */
  readonly #bound: OwnedSet<IpAddress>;
  #dirty: DirtyObjects = noDirtyObjects();

  constructor(families: readonly IpFamily[], vipBinding: 'address' | 'local-route') {
    this.#bound = vipBinding === 'address' ? this.addresses : this.routes;
    this.sets = new Map(
      families.flatMap((family) => setIds.map((id) => [setName(id, family), new OwnedSet<SetEntry>()] as const)),
    );
  }

  get services(): ReadonlyMap<ServiceId, ServiceNode> {
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
    const prior = this.#claimants.get(id);
    const touched = new Set<ServiceId>();
    for (const { id: service } of prior?.wanted.virtualServices ?? []) touched.add(service);
    for (const { id: service } of next?.wanted.virtualServices ?? []) touched.add(service);
    const parties = new Set([id]);
    for (const service of touched) for (const party of this.claimantsOf(service)) parties.add(party);

    if (next === undefined) this.#claimants.delete(id);
    else this.#claimants.set(id, next);
    this.#claim(touched, id, next);
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

  #claim(touched: ReadonlySet<ServiceId>, id: ServicePortId, next: Claimant | undefined): void {
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
      this.#dirty.services.add(service);
      if (winner === undefined) {
        this.#claims.delete(service);
        this.#services.delete(service);
      } else {
        this.#claims.set(service, claims);
        this.#services.set(service, winner.wanted);
      }
    }
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
