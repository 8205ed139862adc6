/** What to write so that `applied` becomes `desired`, in the order of design.md. */
import { familyOf, parseAddress } from '../address.ts';
import type { Operation } from '../operations.ts';
import type { Destination, IpAddress, IpFamily, SetEntry, SetRef } from '../types.ts';
import { type Change, PlannedChange } from './change.ts';
import type { DirtyObjects } from './dirty.ts';
import { entryObject, type ObjectId } from './object-id.ts';
import {
  additionPhase,
  becomesNodePort,
  endsExemption,
  type Phase,
  phaseCount,
  phaseRank,
  qualifiesOthers,
  removalPhase,
} from './phases.ts';
import { sameDestination, sameService } from './same.ts';
import { boundSetOf, type SetId, serviceOfTuple, setIdOf, setName, tupleEntry, tupleSetIds } from './sets.ts';
import {
  type DestinationId,
  type KernelState,
  type ServiceId,
  type ServiceNode,
  type SetName,
  serviceFamily,
} from './state.ts';
import {
  bindingObject,
  bindOperation,
  isBound,
  unbindOperation,
  unboundBy,
  type VipKind,
  vipKinds,
} from './vip-binding.ts';
import { Withheld } from './withheld.ts';

export type { Change } from './change.ts';

export interface DifferenceOptions {
  /** False until every source has synced: things are added and updated, nothing is removed, nothing unwanted is drained. */
  readonly mayRemove: boolean;
  /** What the kernel needs to know to encode an entry of this set. */
  setRef(name: SetName): SetRef;
  /** The VIP device. */
  readonly link: string;
  /** Virtual services of others (foreign, contested): left alone with all that belongs to them. */
  readonly untouchable: ReadonlySet<ServiceId>;
  /** A virtual service of this address is never removed. Its destinations follow, its entries and its binding go. */
  keeps?(address: IpAddress): boolean;
  /** Objects in back-off: left out of this round, with what must not be there without them. */
  readonly hold?: ReadonlySet<ObjectId>;
  /**
   * Families whose static rules are not known to be in place: no frontend of theirs appears and none is taken away; the destinations of
   * those that are there follow, with what qualifies them.
   */
  readonly closed?: ReadonlySet<IpFamily>;
  /** Virtual services that need a rule of KUBE-IPVS-OUT-FILTER which is not there: those that do not exist yet wait for it. */
  readonly unruled?: ReadonlySet<ServiceId>;
}

/**
 * The writes that turn `applied` into `desired`, looking only at the objects in `scope`. Families without sets in `desired` are
 * somebody else's. A TCP destination that is no longer wanted is set to weight 0 and stays; whoever drains deletes it.
 */
export function difference(
  desired: KernelState,
  applied: KernelState,
  scope: DirtyObjects | 'all',
  options: DifferenceOptions,
): Change[] {
  const round = new Round(desired, applied, options);
  if (scope === 'all') {
    for (const id of desired.services.keys()) round.service(id);
    for (const id of applied.services.keys()) if (!desired.services.has(id)) round.service(id);
    for (const [set, entries] of desired.sets) {
      for (const entry of entries) round.entry(set, entry);
      for (const entry of applied.sets.get(set) ?? []) if (!entries.has(entry)) round.entry(set, entry);
    }
    for (const state of [desired, applied]) {
      for (const kind of vipKinds) {
        // Once, however often it is there.
        for (const address of state[kind])
          if (firstNote(address, desired, applied) === state[kind]) round.address(address);
      }
    }
  } else {
    for (const id of scope.services) round.service(id);
    for (const [id, names] of scope.destinations) if (!scope.services.has(id)) round.destinations(id, names);
    for (const [set, entries] of scope.entries) for (const entry of entries) round.entry(set, entry);
    for (const address of scope.addresses) round.address(address);
  }
  return round.changes();
}

/** Where a VIP's binding is noted first. */
function firstNote(address: IpAddress, ...states: readonly KernelState[]): ReadonlySet<IpAddress> | undefined {
  for (const state of states) for (const kind of vipKinds) if (state[kind].has(address)) return state[kind];
  return undefined;
}

/** An external IP is in one of them; which one says whether it gets SNAT. */
const movesBetween: ReadonlyMap<SetId, SetId> = new Map([
  ['EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'],
  ['EXTERNAL-IP-LOCAL', 'EXTERNAL-IP'],
]);

class Round {
  readonly #desired: KernelState;
  readonly #applied: KernelState;
  readonly #options: DifferenceOptions;
  readonly #withheld: Withheld;
  /** By the rank of their phase. */
  readonly #changes: (Change[] | undefined)[] = new Array(phaseCount);
  readonly #holds: boolean;
  /** Addresses of the node that are VIPs no more, and where a node port takes the place of an exempt external IP. */
  readonly #leftToNode = new Set<string>();
  /** The last virtual service that this was asked of: they come one after the other. */
  #lastServing: { readonly service: ServiceId; readonly keeps: boolean } | undefined;

  constructor(desired: KernelState, applied: KernelState, options: DifferenceOptions) {
    this.#desired = desired;
    this.#applied = applied;
    this.#options = options;
    const { untouchable, hold = new Set(), unruled = new Set() } = options;
    this.#withheld = new Withheld(desired, applied, { untouchable, hold, unruled });
    this.#holds = hold.size > 0;
  }

  changes(): Change[] {
    if (this.#leftToNode.size > 0) this.#leaveToNode();
    const all: Change[] = [];
    for (const changes of this.#changes) for (const change of changes ?? []) all.push(change);
    return all;
  }

  service(id: ServiceId): void {
    const wanted = this.#desired.services.get(id);
    const known = this.#applied.services.get(id);
    if (this.#withheld.service(id)) return;
    const appearsOrGoes = wanted === undefined || known === undefined;
    if (appearsOrGoes && this.#isClosed(wanted ?? known)) return;
    if (wanted === undefined) {
      if (known === undefined || !this.#mayRemove(known) || this.#holdsTuple(known)) return;
      const phase = this.#comesToBeBound(known.service.key.address)
        ? 'clear virtual service'
        : 'remove virtual service';
      this.#add(phase, { verb: 'remove-service', key: known.service.key }, id);
      return;
    }
    if (known === undefined) {
      this.#add('write virtual service', { verb: 'create-service', service: wanted.service }, id);
    } else if (!sameService(wanted.service, known.service)) {
      this.#add('write virtual service', { verb: 'update-service', service: wanted.service }, id);
    }
    if (!this.#awaitsSnat(wanted, known)) this.#destinations(id, wanted, known);
  }

  entry(set: SetName, entry: SetEntry): void {
    const isWanted = this.#desired.sets.get(set)?.has(entry) ?? false;
    const isThere = this.#applied.sets.get(set)?.has(entry) ?? false;
    if (isWanted === isThere) return;
    const { mayRemove, setRef } = this.#options;
    if (isWanted) {
      const phase = additionPhase(set, entry, this.#applied);
      // Remote destinations that are not wanted any more would lose their SNAT: they cannot be drained yet.
      if (phase === 'add exemption' && (!mayRemove || this.#withheld.drain(entry))) return;
      if (this.#isClosedSet(set) && !this.#qualifies(set, entry, phase, this.#applied)) return;
      if (this.#withheld.addition(set, entry)) return;
      this.#add(phase, { verb: 'add-entry', set: setRef(set), entry });
      return;
    }
    if (!mayRemove || !this.#desired.sets.has(set) || this.#withheld.removal(set, entry)) return;
    if (this.#isHeldBoundEntry(set, entry)) return;
    // What becomes exempt from SNAT loses the entry that asks for it.
    if (setIdOf(set)?.id === 'EXTERNAL-IP' && this.#withheld.drain(entry)) return;
    const phase = this.#removalPhase(set, entry);
    if (this.#isClosedSet(set) && !this.#qualifies(set, entry, phase, this.#desired)) return;
    this.#add(phase, { verb: 'remove-entry', set: setRef(set), entry });
  }

  /** The entry brings or takes no frontend: it says how one that is there treats its packets. `beside`: where a tuple that moves has to be. */
  #qualifies(set: SetName, entry: SetEntry, phase: Phase, beside: KernelState): boolean {
    const known = setIdOf(set);
    if (known === undefined) return true;
    const other = movesBetween.get(known.id);
    if (other !== undefined) return beside.sets.get(setName(other, known.family))?.has(entry) === true;
    const isHairpin = known.id === 'LOOP-BACK' && beside === this.#applied;
    return isHairpin || phase === 'add exemption' || phase === 'remove exemption';
  }

  /** A VIP that is to be bound in another way than it is gets the new binding first, and keeps the old one for as long as it has no other. */
  address(address: IpAddress): void {
    const { closed } = this.#options;
    if (closed !== undefined && closed.size > 0 && closed.has(familyOf(address))) return;
    for (const kind of vipKinds) {
      const isMissing = this.#desired[kind].has(address) && !this.#applied[kind].has(address);
      if (isMissing && !this.#bind(kind, address)) return;
    }
    if (!this.#options.mayRemove || !this.#desired.sets.has(boundSetOf(address))) return;
    for (const kind of vipKinds) {
      if (this.#desired[kind].has(address) || !this.#applied[kind].has(address)) continue;
      this.#add('unbind address', unbindOperation(kind, this.#options.link, address));
    }
  }

  /** False: it has to wait. */
  #bind(kind: VipKind, address: IpAddress): boolean {
    if (this.#holds && this.#withheld.isHeld(bindingObject(kind, address))) return false;
    if (this.#withheld.binding(address)) return false;
    this.#add('bind address', bindOperation(kind, this.#options.link, address));
    return true;
  }

  /** Destinations might need the SNAT that they would be exempt from until something may be removed. */
  #awaitsSnat({ service }: ServiceNode, known: ServiceNode | undefined): boolean {
    if (known === undefined || this.#options.mayRemove) return false;
    return endsExemption(service.key, this.#desired, this.#applied);
  }

  /** Of a virtual service that is itself as it was: these alone. */
  destinations(id: ServiceId, names: Iterable<DestinationId>): void {
    const wanted = this.#desired.services.get(id);
    const known = this.#applied.services.get(id);
    if (wanted === undefined || known === undefined) this.service(id);
    else if (!this.#withheld.service(id) && !this.#awaitsSnat(wanted, known)) {
      for (const name of names) this.#destination(id, wanted, known, name);
    }
  }

  #destinations(service: ServiceId, wanted: ServiceNode, known: ServiceNode | undefined): void {
    for (const id of wanted.destinations.keys()) this.#destination(service, wanted, known, id);
    for (const id of known?.destinations.keys() ?? []) {
      if (!wanted.destinations.has(id)) this.#destination(service, wanted, known, id);
    }
  }

  #destination(service: ServiceId, node: ServiceNode, known: ServiceNode | undefined, id: DestinationId): void {
    const { key } = node.service;
    const wanted = node.destinations.get(id);
    const before = known?.destinations.get(id);
    if (wanted === undefined) {
      if (before !== undefined && this.#options.mayRemove) this.#drain(service, node, id, before);
      return;
    }
    const begins = wanted.weight > 0 && (before === undefined || before.weight === 0);
    if (begins && this.#withheld.newDestinations(service)) return;
    if (before === undefined) {
      this.#add('write destination', { verb: 'create-destination', key, destination: wanted }, service, id);
    } else if (!sameDestination(wanted, before)) {
      this.#add('write destination', { verb: 'update-destination', key, destination: wanted }, service, id);
    }
  }

  /** UDP and SCTP are deleted at once: a UDP flow with weight 0 would stay where it is for ever (behaviour.md 2.8, 2.9). */
  #drain(service: ServiceId, node: ServiceNode, id: string, destination: Destination): void {
    const { key } = node.service;
    const phase = this.#keepsServing(service, node) ? 'drain dead destination' : 'drain destination';
    if (key.protocol !== 'tcp') {
      this.#add(phase, { verb: 'remove-destination', key, destination }, service, id);
    } else if (destination.weight !== 0) {
      const drained = { ...destination, weight: 0 };
      this.#add(phase, { verb: 'update-destination', key, destination: drained }, service, id);
    }
  }

  /** Some destination takes connections, and goes on to. */
  #keepsServing(service: ServiceId, node: ServiceNode): boolean {
    if (this.#lastServing?.service === service) return this.#lastServing.keeps;
    const known = this.#applied.services.get(service)?.destinations;
    const keeps = some(node.destinations, ([id, { weight }]) => weight > 0 && (known?.get(id)?.weight ?? 0) > 0);
    this.#lastServing = { service, keeps };
    return keeps;
  }

  #isClosed(node: ServiceNode | undefined): boolean {
    const { closed } = this.#options;
    if (closed === undefined || closed.size === 0) return false;
    return node !== undefined && closed.has(serviceFamily(node.service.key));
  }

  #isClosedSet(set: SetName): boolean {
    const { closed } = this.#options;
    if (closed === undefined || closed.size === 0) return false;
    const family = setIdOf(set)?.family;
    return family !== undefined && closed.has(family);
  }

  #mayRemove({ service }: ServiceNode): boolean {
    const { address } = service.key;
    const isProxied = this.#desired.sets.has(boundSetOf(address));
    return this.#options.mayRemove && isProxied && this.#options.keeps?.(address) !== true;
  }

  /** While a VIP cannot be unbound it stays protected. */
  #isHeldBoundEntry(set: SetName, entry: SetEntry): boolean {
    const address = set.endsWith('IPVS-IPS') ? parseAddress(entry) : undefined;
    return address !== undefined && this.#isHeldBinding(address);
  }

  /** These addresses are unbound and no longer protected before anything else happens. */
  #leaveToNode(): void {
    const isDue = ({ operation }: Change): boolean => {
      if (operation.verb === 'remove-entry') return this.#leftToNode.has(operation.entry);
      const address = unboundBy(operation);
      return address !== undefined && this.#leftToNode.has(address);
    };
    this.#advance('unbind address', 'unbind node address', isDue);
    this.#advance('remove bound entry', 'remove bound entry of node address', isDue);
  }

  #advance(from: Phase, to: Phase, isDue: (change: Change) => boolean): void {
    const changes = this.#changes[phaseRank(from)] ?? [];
    this.#changes[phaseRank(to)] = changes.filter(isDue);
    this.#changes[phaseRank(from)] = changes.filter((change) => !isDue(change));
  }

  #removalPhase(set: SetName, entry: SetEntry): Phase {
    if (qualifiesOthers(set, entry, this.#applied)) return 'remove exemption';
    const phase = removalPhase(set, entry, this.#desired, (address) => this.#staysBound(address));
    const isTuple = phase === 'remove tuple of bound address';
    const isExemption = phase === 'remove exemption';
    if (!isTuple && !isExemption && phase !== 'remove firewall entry' && phase !== 'remove source range') return phase;
    // One of another set is in its place: it goes as on an address that is bound.
    if (isTuple && this.#desired.services.has(serviceOfTuple(entry) ?? '')) return phase;
    const address = parseAddress(entry.slice(0, entry.indexOf(',')));
    if (isExemption) {
      const isVip = address === undefined || this.#staysBound(address);
      if (!isVip && becomesNodePort(set, entry, this.#desired)) this.#leftToNode.add(address);
      return phase;
    }
    return address !== undefined && this.#comesToBeBound(address) ? 'clear entry' : phase;
  }

  /** No packet for it comes in yet. */
  #comesToBeBound(address: IpAddress): boolean {
    return isBound(this.#desired, address) && !isBound(this.#applied, address);
  }

  /** It is bound, and cannot be unbound now. */
  #isHeldBinding(address: IpAddress): boolean {
    return vipKinds.some(
      (kind) => this.#applied[kind].has(address) && this.#withheld.isHeld(bindingObject(kind, address)),
    );
  }

  /** After this round packets for it still come in here. */
  #staysBound(address: IpAddress): boolean {
    return isBound(this.#desired, address) || this.#isHeldBinding(address);
  }

  /** A virtual service whose tuple cannot be removed stays while its address is bound: the tuple alone would let packets to a port of the host. */
  #holdsTuple({ service: { key } }: ServiceNode): boolean {
    if (!this.#holds || !this.#staysBound(key.address)) return false;
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    return tupleSetIds.some((id) => {
      const set = setName(id, serviceFamily(key));
      return this.#applied.sets.get(set)?.has(tuple) === true && this.#withheld.isHeld(entryObject(set, tuple));
    });
  }

  #add(phase: Phase, operation: Operation, service?: ServiceId, destination?: DestinationId): void {
    const change = new PlannedChange(operation, service, destination);
    if (this.#holds && this.#withheld.isHeld(change.object)) return;
    const rank = phaseRank(phase);
    const changes = this.#changes[rank];
    if (changes === undefined) this.#changes[rank] = [change];
    else changes.push(change);
  }
}

function some<T>(members: Iterable<T>, test: (member: T) => boolean): boolean {
  for (const member of members) if (test(member)) return true;
  return false;
}
