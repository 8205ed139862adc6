/**
 * What must wait because of something else: a virtual service that is not ours, or that could not be written, takes what belongs to it
 * along. Otherwise a tuple would appear without its virtual service, and since tuples are the ledger, the next start would take
 * somebody else's virtual service for ours.
 */
import type { IpAddress, IpFamily, SetEntry } from '../types.ts';
import { servicesOfEntry } from './entry-services.ts';
import { entryObject, type ObjectId } from './object-id.ts';
import { isTupleSet } from './phases.ts';
import {
  boundSetOf,
  guardSetIds,
  hasTuple,
  isRangeSet,
  localTwins,
  nodePortIds,
  type SetId,
  serviceOfTuple,
  setIdOf,
  setName,
  tupleEntry,
  tupleSetIds,
} from './sets.ts';
import { type KernelState, type ServiceId, type SetName, serviceFamily, serviceKeyOf } from './state.ts';

export interface WithheldOptions {
  /** See `DifferenceOptions`. */
  readonly untouchable: ReadonlySet<ServiceId>;
  readonly hold: ReadonlySet<ObjectId>;
  readonly unruled: ReadonlySet<ServiceId>;
}

export class Withheld {
  readonly #desired: KernelState;
  readonly #applied: KernelState;
  readonly #untouchable: ReadonlySet<ServiceId>;
  readonly #hold: ReadonlySet<ObjectId>;
  /** Virtual services of ours that cannot be, this round: absent and in back-off, or without their tuple. */
  readonly #blocked = new Set<ServiceId>();
  /** Those of them that lack what restricts who may reach them: they get nothing, not even where they are. */
  readonly #unguarded = new Set<ServiceId>();
  /** Those of the unguarded that are there, as node ports: they go on as they are, with what marks their packets for SNAT. */
  readonly #lasting = new Set<ServiceId>();
  /** Nobody wants them any more, and they could not be removed. */
  readonly #leftOver = new Set<ServiceId>();
  /** VIPs with a tuple that has no virtual service, and that is to stay so in this round: bound, they would let its packets to a port of the host. */
  readonly #leaky = new Set<IpAddress>();
  /** They keep clients' addresses for as long as an entry cannot be removed: no back end may come that needs SNAT. */
  readonly #exempt = new Set<ServiceId>();

  constructor(desired: KernelState, applied: KernelState, { untouchable, hold, unruled }: WithheldOptions) {
    this.#desired = desired;
    this.#applied = applied;
    this.#untouchable = untouchable;
    this.#hold = hold;
    for (const object of hold) this.#block(object);
    for (const service of unruled) this.#shut(service);
    for (const service of this.#blocked) this.#leak(service);
  }

  isHeld(object: ObjectId): boolean {
    return this.#hold.has(object);
  }

  /** The virtual service must not be written, nor its destinations. */
  service(id: ServiceId): boolean {
    if (this.#untouchable.has(id) || this.#unguarded.has(id)) return true;
    return this.#blocked.has(id) && !this.#exists(id);
  }

  /** No destination may begin to take connections. */
  newDestinations(id: ServiceId): boolean {
    return this.#exempt.has(id);
  }

  /** The entry speaks of virtual services that are all blocked. */
  addition(set: SetName, entry: SetEntry): boolean {
    if (this.#blocked.size === 0 && this.#untouchable.size === 0) return false;
    const known = setIdOf(set);
    if (known === undefined || known.id === 'LOOP-BACK' || known.id === 'HEALTH-CHECK-NODE-PORT') return false;
    const service = serviceOfTuple(entry);
    if (service !== undefined) return this.service(service);
    const services = servicesOfEntry(this.#desired, set, entry);
    return services.length > 0 && services.every((id) => this.#untouchable.has(id) || this.#blocked.has(id));
  }

  /**
   * Nothing on the address can be served, or nothing protects it: KUBE-IPVS-IPS does not have it and cannot get it now; or it has a tuple without a
   * virtual service.
   */
  binding(address: IpAddress): boolean {
    if (this.#leaky.has(address)) return true;
    const set = boundSetOf(address);
    const isProtected = this.#applied.sets.get(set)?.has(address) ?? false;
    return this.addition(set, address) || (!isProtected && this.#hold.has(entryObject(set, address)));
  }

  /**
   * The virtual service should be gone and could not be removed: its tuple or node port says that it is ours, and its source ranges go on
   * restricting it. Or it stays, and its new tuple could not be added: without any it would be refused. Or a firewall entry could not be
   * removed: the ranges that it refers to stay. Or a tuple could not be: what it keeps there goes on being restricted. Or a node port is to become
   * a VIP that has to wait: it goes on as a node port.
   */
  removal(set: SetName, entry: SetEntry): boolean {
    const known = setIdOf(set);
    if (known === undefined || (this.#hold.size === 0 && this.#lasting.size === 0)) return false;
    const { id, family } = known;
    const service = serviceOfTuple(entry);
    if (service !== undefined) {
      const isGuard = guardSetIds.includes(id);
      if ((isTupleSet(id) || isGuard || id === 'NODE-PORT-SCTP-HASH') && this.#leftOver.has(service)) return true;
      if (id === 'NODE-PORT-SCTP-HASH') return this.#lasting.has(service);
      if (isTupleSet(id)) return this.#hasHeldTuple(family, entry) || this.#hasHeldExemption(id, family, entry);
      if (!isGuard) return false;
      return (
        this.#hasStuckTuple(service, family) || (id !== 'LOAD-BALANCER-FW' && this.#hasHeldFirewall(family, entry))
      );
    }
    if (id !== 'NODE-PORT-TCP' && id !== 'NODE-PORT-UDP') return false;
    const start = `${id === 'NODE-PORT-UDP' ? 'udp' : 'tcp'} ${family === 'IPv6' ? '[' : ''}`;
    const isOf = (name: ServiceId): boolean => name.startsWith(start) && name.endsWith(`:${entry}`);
    return some(this.#lasting, isOf) || some(this.#leftOver, (name) => isOf(name) && this.#exists(name));
  }

  /** A destination of a virtual service that the entry speaks of could not be drained yet. */
  drain(entry: SetEntry): boolean {
    const service = serviceOfTuple(entry);
    const end = `:${entry}`;
    return some(this.#hold, (object) => {
      const [kind, protocol = '', name = ''] = object.split(' ');
      return kind === 'destination' && (service === undefined ? name.endsWith(end) : service === `${protocol} ${name}`);
    });
  }

  #hasHeldTuple(family: IpFamily, entry: SetEntry): boolean {
    return tupleSetIds.some((id) => {
      const set = setName(id, family);
      return this.#desired.sets.get(set)?.has(entry) === true && this.#hold.has(entryObject(set, entry));
    });
  }

  /** The tuple of a virtual service that nobody wants any more could not be removed. */
  #hasStuckTuple(service: ServiceId, family: IpFamily): boolean {
    const key = this.#desired.services.has(service) ? undefined : this.#applied.services.get(service)?.service.key;
    if (key === undefined) return false;
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    return tupleSetIds.some((id) => {
      const set = setName(id, family);
      return this.#applied.sets.get(set)?.has(tuple) === true && this.#hold.has(entryObject(set, tuple));
    });
  }

  /** Without this one the external IP would be exempt from SNAT. */
  #hasHeldExemption(id: SetId, family: IpFamily, entry: SetEntry): boolean {
    const set = setName('EXTERNAL-IP-LOCAL', family);
    if (id === 'EXTERNAL-IP-LOCAL' || this.#desired.sets.get(set)?.has(entry) === true) return false;
    return this.#applied.sets.get(set)?.has(entry) === true && this.#hold.has(entryObject(set, entry));
  }

  #hasHeldFirewall(family: IpFamily, entry: SetEntry): boolean {
    const set = setName('LOAD-BALANCER-FW', family);
    const tuple = entry.split(',').slice(0, 2).join();
    return this.#applied.sets.get(set)?.has(tuple) === true && this.#hold.has(entryObject(set, tuple));
  }

  /** Not to be reached, unless it is already: what is there keeps being served. */
  #shut(id: ServiceId): void {
    const key = this.#desired.services.get(id)?.service.key;
    if (key === undefined) return;
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    if (this.#exists(id) && hasTuple(this.#applied.sets, serviceFamily(key), tuple)) return;
    this.#blocked.add(id);
    this.#unguarded.add(id);
    if (this.#exists(id)) this.#lasting.add(id);
  }

  #leak(id: ServiceId): void {
    const key = this.#exists(id) ? undefined : serviceKeyOf(id);
    if (key === undefined) return;
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    if (hasTuple(this.#applied.sets, serviceFamily(key), tuple)) this.#leaky.add(key.address);
  }

  /** Nothing marks the packets of these node ports for SNAT: without a back end they are refused. */
  #shutNodePort(set: SetName, id: SetId, entry: SetEntry): void {
    for (const service of this.#servicesOf(set, id, entry)) {
      if ((this.#applied.services.get(service)?.destinations.size ?? 0) > 0) continue;
      this.#blocked.add(service);
      this.#unguarded.add(service);
    }
  }

  #keepExempt(set: SetName, id: SetId, entry: SetEntry): void {
    if (this.#desired.sets.get(set)?.has(entry)) return;
    for (const service of this.#servicesOf(set, localTwins.get(id) ?? id, entry)) this.#exempt.add(service);
  }

  /** The wanted virtual services that an entry of this set, a tuple or a node port, speaks of. */
  #servicesOf(set: SetName, id: SetId, entry: SetEntry): ServiceId[] {
    const named = serviceOfTuple(entry);
    if (named === undefined) return servicesOfEntry(this.#desired, set, entry);
    const isOne = !nodePortIds.has(id) || !this.#hasWantedTuple(setIdOf(set)?.family, entry);
    return isOne && this.#desired.services.has(named) ? [named] : [];
  }

  #hasWantedTuple(family: IpFamily | undefined, tuple: SetEntry): boolean {
    return family !== undefined && hasTuple(this.#desired.sets, family, tuple);
  }

  #exists(service: ServiceId): boolean {
    return this.#applied.services.has(service);
  }

  #block(object: ObjectId): void {
    const [kind, first = '', ...rest] = object.split(' ');
    const name = rest.join(' ');
    if (kind === 'service') {
      const service = `${first} ${name}`;
      if (!this.#exists(service)) this.#blocked.add(service);
      if (!this.#desired.services.has(service)) this.#leftOver.add(service);
    } else if (kind === 'entry') {
      const known = setIdOf(first)?.id;
      const service = serviceOfTuple(name);
      if (known === undefined) return;
      if (this.#applied.sets.get(first)?.has(name)) {
        if (isTupleSet(known) && service !== undefined && !this.#desired.services.has(service)) this.#leak(service);
        if (known === 'EXTERNAL-IP-LOCAL' || localTwins.has(known)) this.#keepExempt(first, known, name);
        // A range that cannot be removed would let in those whom its new owner keeps out.
        if (isRangeSet(known) && service !== undefined && !this.#desired.sets.get(first)?.has(name))
          this.#shut(service);
        return;
      }
      if (nodePortIds.has(known)) this.#shutNodePort(first, known, name);
      if (service === undefined) return;
      if (isTupleSet(known)) {
        this.#blocked.add(service);
        // The one it has may be exempt from SNAT.
        this.#exempt.add(service);
      } else if (known === 'LOAD-BALANCER-FW') this.#shut(service);
    }
  }
}

function some<T>(members: Iterable<T>, test: (member: T) => boolean): boolean {
  for (const member of members) if (test(member)) return true;
  return false;
}
