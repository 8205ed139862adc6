/** What to write so that `applied` becomes `desired`, in the order of design.md. */
import { familyOf, parseAddress } from '../address.ts';
import type { Operation } from '../operations.ts';
import type { Destination, IpAddress, IpFamily, SetEntry, SetRef } from '../types.ts';
import type { DirtyObjects } from './dirty.ts';
import { destinationObject, entryObject, type ObjectId, serviceObject } from './object-id.ts';
import { additionPhase, type Phase, phaseOrder, removalPhase } from './phases.ts';
import { sameDestination, sameService } from './same.ts';
import { boundSetOf, type SetId, serviceOfTuple, setIdOf, setName, tupleEntry, tupleSetIds } from './sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, type SetName, serviceFamily } from './state.ts';
import { bindingObject, bindOperation, isBound, unbindOperation, type VipKind, vipKinds } from './vip-binding.ts';
import { Withheld } from './withheld.ts';

export interface Change {
  readonly operation: Operation;
  readonly object: ObjectId;
}

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
    for (const id of union(desired.services.keys(), applied.services.keys())) round.service(id);
    for (const [set, entries] of desired.sets) {
      for (const entry of union(entries, applied.sets.get(set) ?? [])) round.entry(set, entry);
    }
    const bound = vipKinds.flatMap((kind) => [...desired[kind], ...applied[kind]]);
    for (const address of new Set(bound)) round.address(address);
  } else {
    for (const id of scope.services) round.service(id);
    for (const [set, entries] of scope.entries) for (const entry of entries) round.entry(set, entry);
    for (const address of scope.addresses) round.address(address);
  }
  return round.changes();
}

function union<T>(a: Iterable<T>, b: Iterable<T>): Set<T> {
  const all = new Set(a);
  for (const member of b) all.add(member);
  return all;
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
  readonly #byPhase: ReadonlyMap<Phase, Change[]> = new Map(phaseOrder.map((phase) => [phase, []]));

  constructor(desired: KernelState, applied: KernelState, options: DifferenceOptions) {
    this.#desired = desired;
    this.#applied = applied;
    this.#options = options;
    const { untouchable, hold = new Set(), unruled = new Set() } = options;
    this.#withheld = new Withheld(desired, applied, { untouchable, hold, unruled });
  }

  changes(): Change[] {
    return [...this.#byPhase.values()].flat();
  }

  service(id: ServiceId): void {
    const wanted = this.#desired.services.get(id);
    const known = this.#applied.services.get(id);
    if (this.#withheld.service(id)) return;
    const object = serviceObject(id);
    const appearsOrGoes = wanted === undefined || known === undefined;
    if (appearsOrGoes && this.#isClosed(wanted ?? known)) return;
    if (wanted === undefined) {
      if (known === undefined || !this.#mayRemove(known) || this.#holdsTuple(known)) return;
      const phase = this.#comesToBeBound(known.service.key.address)
        ? 'clear virtual service'
        : 'remove virtual service';
      this.#add(phase, object, { verb: 'remove-service', key: known.service.key });
      return;
    }
    if (known === undefined) {
      this.#add('write virtual service', object, { verb: 'create-service', service: wanted.service });
    } else if (!sameService(wanted.service, known.service)) {
      this.#add('write virtual service', object, { verb: 'update-service', service: wanted.service });
    }
    this.#destinations(id, wanted, known);
  }

  entry(set: SetName, entry: SetEntry): void {
    const isWanted = this.#desired.sets.get(set)?.has(entry) ?? false;
    const isThere = this.#applied.sets.get(set)?.has(entry) ?? false;
    if (isWanted === isThere) return;
    const { mayRemove, setRef } = this.#options;
    const object = entryObject(set, entry);
    if (isWanted) {
      const phase = additionPhase(set, entry, this.#applied);
      // Remote destinations that are not wanted any more would lose their SNAT: they cannot be drained yet.
      if (phase === 'add exemption' && (!mayRemove || this.#withheld.drain(entry))) return;
      if (this.#isClosedSet(set) && !this.#qualifies(set, entry, phase, this.#applied)) return;
      if (this.#withheld.addition(set, entry)) return;
      this.#add(phase, object, { verb: 'add-entry', set: setRef(set), entry });
      return;
    }
    if (!mayRemove || !this.#desired.sets.has(set) || this.#withheld.removal(set, entry)) return;
    if (this.#isHeldBoundEntry(set, entry)) return;
    // What becomes exempt from SNAT loses the entry that asks for it.
    if (setIdOf(set)?.id === 'EXTERNAL-IP' && this.#withheld.drain(entry)) return;
    const phase = this.#removalPhase(set, entry);
    if (this.#isClosedSet(set) && !this.#qualifies(set, entry, phase, this.#desired)) return;
    this.#add(phase, object, { verb: 'remove-entry', set: setRef(set), entry });
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
    if (this.#options.closed?.has(familyOf(address)) === true) return;
    const missing = vipKinds.filter((kind) => this.#desired[kind].has(address) && !this.#applied[kind].has(address));
    if (missing.some((kind) => !this.#bind(kind, address))) return;
    if (!this.#options.mayRemove || !this.#desired.sets.has(boundSetOf(address))) return;
    for (const kind of vipKinds) {
      if (this.#desired[kind].has(address) || !this.#applied[kind].has(address)) continue;
      const operation = unbindOperation(kind, this.#options.link, address);
      this.#add('unbind address', bindingObject(kind, address), operation);
    }
  }

  /** False: it has to wait. */
  #bind(kind: VipKind, address: IpAddress): boolean {
    const object = bindingObject(kind, address);
    if (this.#withheld.isHeld(object) || this.#withheld.binding(address)) return false;
    this.#add('bind address', object, bindOperation(kind, this.#options.link, address));
    return true;
  }

  #destinations(service: ServiceId, wanted: ServiceNode, known: ServiceNode | undefined): void {
    const { key } = wanted.service;
    for (const [id, destination] of wanted.destinations) {
      const before = known?.destinations.get(id);
      const object = destinationObject(service, id);
      const begins = destination.weight > 0 && (before === undefined || before.weight === 0);
      if (begins && this.#withheld.newDestinations(service)) continue;
      if (before === undefined) {
        this.#add('write destination', object, { verb: 'create-destination', key, destination });
      } else if (!sameDestination(destination, before)) {
        this.#add('write destination', object, { verb: 'update-destination', key, destination });
      }
    }
    if (known === undefined || !this.#options.mayRemove) return;
    for (const [id, destination] of known.destinations) {
      if (!wanted.destinations.has(id)) this.#drain(service, wanted, id, destination);
    }
  }

  /** UDP and SCTP are deleted at once: a UDP flow with weight 0 would stay where it is for ever (behaviour.md 2.8, 2.9). */
  #drain(service: ServiceId, node: ServiceNode, id: string, destination: Destination): void {
    const { key } = node.service;
    const object = destinationObject(service, id);
    if (key.protocol !== 'tcp') {
      this.#add('drain destination', object, { verb: 'remove-destination', key, destination });
    } else if (destination.weight !== 0) {
      const drained = { ...destination, weight: 0 };
      this.#add('drain destination', object, { verb: 'update-destination', key, destination: drained });
    }
  }

  #isClosed(node: ServiceNode | undefined): boolean {
    return node !== undefined && this.#options.closed?.has(serviceFamily(node.service.key)) === true;
  }

  #isClosedSet(set: SetName): boolean {
    const family = setIdOf(set)?.family;
    return family !== undefined && this.#options.closed?.has(family) === true;
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

  #removalPhase(set: SetName, entry: SetEntry): Phase {
    const phase = removalPhase(set, entry, this.#desired, (address) => this.#staysBound(address));
    const isTuple = phase === 'remove tuple of bound address';
    if (!isTuple && phase !== 'remove firewall entry' && phase !== 'remove source range') return phase;
    // One of another set is in its place: it goes as on an address that is bound.
    if (isTuple && this.#desired.services.has(serviceOfTuple(entry) ?? '')) return phase;
    const address = parseAddress(entry.slice(0, entry.indexOf(',')));
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
    if (!this.#staysBound(key.address)) return false;
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    return tupleSetIds.some((id) => {
      const set = setName(id, serviceFamily(key));
      return this.#applied.sets.get(set)?.has(tuple) === true && this.#withheld.isHeld(entryObject(set, tuple));
    });
  }

  #add(phase: Phase, object: ObjectId, operation: Operation): void {
    if (!this.#withheld.isHeld(object)) this.#byPhase.get(phase)?.push({ operation, object });
  }
}
