/**
 * One round over everything that the kernel holds of ours, in small pieces of work with changes let through in between. Nothing that a dump shows
 * is believed where it is news: a dump that goes on while others write is old, and may skip what is there. What differs is read again on
 * its own, at once, and only what differs then is drift. So nothing has to be remembered of what was written meanwhile.
 *
 * The order is that of what relies on what: the static part, sets, virtual services, bindings; destinations come last, as they take longest.
 * The kernel cannot be asked for one address, so where addresses or routes differ, all of them are read again, in one go.
 */
import { familyOf } from '../address.ts';
import { type KernelSession, readAll } from '../kernel/session.ts';
import { isAddressKey } from '../plan/object-id.ts';
import { sameDestination, sameService } from '../plan/same.ts';
import { setSpecs } from '../plan/sets.ts';
import {
  destinationId,
  type KernelState,
  type ServiceId,
  type ServiceNode,
  type SetName,
  serviceId,
} from '../plan/state.ts';
import { type VipKind, vipKinds } from '../plan/vip-binding.ts';
import type {
  AddressServiceKey,
  DestinationState,
  IpAddress,
  ServiceState,
  SetEntry,
  SetSpec,
  SetState,
} from '../types.ts';
import type { AppliedState } from './applied.ts';
import { readBindings, readBindingsInSlices } from './binding-reads.ts';
import { bindingDrift, type Drift, entryDrift, serviceDrift } from './drift.ts';
import type { ForeignServices } from './foreign.ts';
import { type ObjectScope, scopeOfKey } from './object-scope.ts';
import {
  asksForTimeouts,
  fwmarkText,
  holdsEntriesOf,
  type Observed,
  probeId,
  probeKey,
  type ReadInit,
  readService,
  readSetStates,
  type StaticRead,
  vipLink,
} from './observed.ts';
import { holdsEntry, readEntries } from './read-back.ts';

/** What a piece of work costs, in entries of a set looked at: about a microsecond each. */
const cost = { one: 1, service: 2, message: 8, destinationsOf: 16 } as const;
/** So many steps over something in memory go together. */
const stride = 256;
/** A set of so many entries is read in one go: what it shows holds. A larger one is read slice by slice. */
const smallSet = 1024;
/** Destinations of one virtual service that are read before others have their turn. */
const largeSlice = 512;
/** A slice-by-slice reading is given up so often for a write, before the set is read in one go after all. */
const maxRestarts = 3;

export interface AuditParts {
  readonly init: ReadInit;
  readonly session: KernelSession;
  readonly desired: KernelState;
  readonly applied: AppliedState;
  readonly foreign: ForeignServices;
  /** Somebody else did this. */
  note(drift: Drift): void;
  /** Not as it is wanted, perhaps: to be compared. */
  mark(scope: ObjectScope): void;
  /** Puts the static part right, as it was read just now. */
  mendStatics(read: StaticRead): void;
  /** The node's addresses are others than was believed, or may be. */
  isNews(nodeAddresses: Observed['nodeAddresses']): boolean;
  /** All links and addresses, as they were read just now. */
  tookAddresses(read: Pick<Observed, 'link' | 'nodeAddresses'>): void;
}

export class AuditRound {
  readonly #parts: AuditParts;
  readonly #work: Generator<number, void>;
  #isPaced = false;
  /** A dump of a set that is not read to its end: as long as there is one, the kernel neither destroys nor swaps that set. */
  #openSet: { close(): void } | undefined;

  constructor(parts: AuditParts) {
    this.#parts = parts;
    this.#work = this.#round();
  }

  /** What is left may be spread over the audit's period: nothing is open, and each piece is one message or two. */
  get isPaced(): boolean {
    return this.#isPaced;
  }

  /** Works off about so many pieces; true: the round is over. Throws what the session throws; then the round is over, too. */
  slice(budget: number): boolean {
    for (let spent = 0; spent < budget; ) {
      const step = this.#work.next();
      if (step.done === true) return true;
      spent += step.value;
    }
    return false;
  }

  /** Something is about to be written: a set that has to grow must not be held open. */
  release(): void {
    this.#openSet?.close();
    this.#openSet = undefined;
  }

  /** Gives the round up. */
  end(): void {
    this.release();
    this.#work.return();
  }

  *#round(): Generator<number, void> {
    const setStates = yield* this.#statics();
    // What protects comes before what exposes: KUBE-IPVS-IPS is the last of the sets.
    for (const spec of this.#specs().reverse()) {
      const state = setStates.get(spec.name);
      const isRight = state !== undefined && holdsEntriesOf(state, spec);
      if (isRight) yield* this.#set(spec.name, state.entries);
      else if (this.#parts.applied.sets.has(spec.name)) yield* this.#set(spec.name, 0);
    }
    yield* this.#services();
    yield* this.#bindings();
    this.#isPaced = true;
    yield* this.#destinations();
  }

  #specs(): SetSpec[] {
    return this.#parts.init.families.flatMap((family) => setSpecs(family));
  }

  /** What follows from it may be much, and waits for its turn. */
  *#statics(): Generator<number, ReadonlyMap<SetName, SetState>> {
    const { init, session, applied, isNews } = this.#parts;
    const where = { session, families: init.families, applied, isNews };
    const isMuch = applied.addresses.size + applied.routes.size > smallSet;
    const asBelieved = isMuch ? yield* readBindingsInSlices(where) : undefined;
    const read = asBelieved ?? readBindings(where);
    const { link, routes } = read;
    const setStates = readSetStates(session, init.families);
    for (const spec of this.#specs()) {
      const state = setStates.get(spec.name);
      if (!applied.sets.has(spec.name) || (state !== undefined && holdsEntriesOf(state, spec))) continue;
      applied.forgetSet(spec.name);
      this.#noteStatic(`set ${spec.name}`, state === undefined ? 'missing' : 'changed');
    }
    if (link === undefined) this.#noteStatic(`link ${vipLink}`, 'missing');
    // What went with its link is one drift.
    if (asBelieved === undefined) {
      this.#tookBindings('addresses', read.addresses, link === undefined);
      this.#tookBindings('routes', routes, false);
    }
    this.#parts.tookAddresses(read);
    const isProbeLeft = session.service(probeKey) !== undefined && readAll(session.destinations(probeKey)).length === 0;
    this.#parts.mendStatics({
      link,
      setStates,
      isProbeLeft,
      ...(asksForTimeouts(init.ipvsTimeouts) ? { timeouts: session.timeouts() } : {}),
    });
    yield cost.message * 4 + (asBelieved === undefined ? read.addresses.size + routes.size : 0);
    return setStates;
  }

  #noteStatic(object: string, kind: 'missing' | 'changed'): void {
    const found = kind === 'missing' ? 'somebody removed it' : 'somebody made another one in its place';
    this.#parts.note({ object, scope: { kind: 'static' }, kind, found });
  }

  *#set(name: SetName, size: number): Generator<number, void> {
    const { session, applied } = this.#parts;
    const isNets = name.endsWith('-SOURCE-CIDR');
    const isRead = !isNets && size > smallSet && (yield* this.#largeSet(name));
    if (!isRead) {
      const entries = readEntries(session, name);
      // Gone since its header was read: the next round makes it.
      if (entries === undefined) return;
      this.#compareEntries(name, new Set(entries));
      yield cost.message + entries.length;
    }
    let steps = 0;
    const there = applied.sets.get(name);
    for (const entry of this.#parts.desired.sets.get(name) ?? []) {
      if (there?.has(entry) !== true) this.#parts.mark({ kind: 'entry', set: name, entry });
      else if (++steps % stride !== 0) continue;
      yield stride / 8;
    }
    for (const entry of applied.sets.get(name) ?? []) {
      if (this.#parts.desired.sets.get(name)?.has(entry) !== true)
        this.#parts.mark({ kind: 'entry', set: name, entry });
      else if (++steps % stride !== 0) continue;
      yield stride / 8;
    }
  }

  /** A read in one go is right as it is. */
  #compareEntries(name: SetName, there: ReadonlySet<SetEntry>): void {
    const known = this.#parts.applied.sets.get(name) ?? new Set<SetEntry>();
    for (const entry of there) if (!known.has(entry)) this.#tookEntry(name, entry, true);
    for (const entry of known) if (!there.has(entry)) this.#tookEntry(name, entry, false);
  }

  /** False: a write came in between each time. */
  *#largeSet(name: SetName): Generator<number, boolean> {
    const { session, applied } = this.#parts;
    for (let restarts = 0; restarts < maxRestarts; restarts += 1) {
      const cursor = session.entries(name);
      this.#openSet = cursor;
      const seen = new Set<SetEntry>();
      try {
        for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
          for (const entry of slice) {
            seen.add(entry);
            if (applied.sets.get(name)?.has(entry) !== true) yield* this.#verifyEntry(name, entry);
          }
          yield slice.length;
          if (this.#openSet !== cursor) break;
        }
        if (this.#openSet !== cursor) continue;
      } finally {
        cursor.close();
        this.#openSet = undefined;
      }
      let steps = 0;
      for (const entry of applied.sets.get(name) ?? []) {
        const isNew = !seen.has(entry);
        // What is added again comes again at the end.
        seen.add(entry);
        if (isNew) yield* this.#verifyEntry(name, entry);
        else if (++steps % stride === 0) yield stride / 8;
      }
      return true;
    }
    return false;
  }

  *#verifyEntry(name: SetName, entry: SetEntry): Generator<number, void> {
    const isThere = holdsEntry(this.#parts.session, name, entry) === true;
    if (isThere !== (this.#parts.applied.sets.get(name)?.has(entry) === true)) this.#tookEntry(name, entry, isThere);
    yield cost.message;
  }

  #tookEntry(name: SetName, entry: SetEntry, isThere: boolean): void {
    const { applied, desired } = this.#parts;
    applied.putEntry(name, entry, isThere);
    this.#changed({ kind: 'entry', set: name, entry }, entryDrift(name, entry, isThere, desired));
  }

  /** The list of virtual services, without their destinations. */
  *#services(): Generator<number, void> {
    const { session, applied, foreign, desired, init } = this.#parts;
    const seen = new Set<ServiceId>();
    const fwmarks: string[] = [];
    const cursor = session.services();
    try {
      for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
        for (const service of slice) {
          const { key } = service;
          if (!isAddressKey(key)) {
            if (init.families.includes(key.family)) fwmarks.push(fwmarkText(key));
            continue;
          }
          const id = serviceId(key);
          if (!init.families.includes(familyOf(key.address)) || id === probeId) continue;
          seen.add(id);
          if (this.#isNews(id, { ...service, key })) yield* this.#verifyService(id, key);
        }
        yield slice.length * cost.service;
      }
    } finally {
      cursor.close();
    }
    foreign.putFwmarks(fwmarks);
    const gone = function* (ids: Iterable<ServiceId>, keyOf: (id: ServiceId) => AddressServiceKey | undefined) {
      let steps = 0;
      for (const id of ids) {
        const key = seen.has(id) ? undefined : keyOf(id);
        // What is made anew comes again at the end.
        seen.add(id);
        if (key !== undefined) yield key;
        else if (++steps % stride === 0) yield undefined;
      }
    };
    for (const key of gone(applied.services.keys(), (id) => applied.services.get(id)?.service.key)) {
      if (key === undefined) yield stride / 8;
      else yield* this.#verifyService(serviceId(key), key);
    }
    for (const key of gone(foreign.ids(), (id) => foreign.get(id)?.service.key)) {
      if (key === undefined) yield stride / 8;
      else yield* this.#verifyService(serviceId(key), key);
    }
    let steps = 0;
    for (const [id, { service }] of desired.services) {
      if (!applied.services.has(id) && foreign.get(id) === undefined) this.#parts.mark(scopeOfKey(service.key));
      else if (++steps % stride !== 0) continue;
      yield stride / 8;
    }
  }

  /** One of somebody else's that is wanted is looked at each time: it may be as it should be by now. */
  #isNews(id: ServiceId, service: ServiceState & { readonly key: AddressServiceKey }): boolean {
    const { applied, foreign, desired } = this.#parts;
    const known = applied.services.get(id) ?? foreign.get(id);
    if (known === undefined || !sameService(known.service, service)) return true;
    return !applied.services.has(id) && desired.services.has(id);
  }

  *#verifyService(id: ServiceId, key: AddressServiceKey): Generator<number, void> {
    const { session, applied, foreign, desired } = this.#parts;
    const before = applied.services.get(id);
    const now = readService(session, key);
    foreign.sort(id, now, applied);
    const isOurs = before !== undefined || foreign.policy.claims(key.address);
    this.#changed(scopeOfKey(key), isOurs ? serviceDrift(id, before, applied.services.get(id), desired) : []);
    yield 2 * cost.message + (now?.destinations.size ?? 0);
  }

  *#bindings(): Generator<number, void> {
    const { applied, desired } = this.#parts;
    let steps = 0;
    for (const kind of vipKinds) {
      const pairs = [
        [desired[kind], applied[kind]],
        [applied[kind], desired[kind]],
      ] as const;
      for (const [these, those] of pairs) {
        for (const address of these) {
          if (!those.has(address)) this.#parts.mark({ kind: 'address', address });
          else if (++steps % stride !== 0) continue;
          yield stride / 8;
        }
      }
    }
  }

  #tookBindings(kind: VipKind, there: ReadonlySet<IpAddress>, isLinkLost: boolean): void {
    const { applied, desired, note } = this.#parts;
    const known = applied[kind];
    const moved = [...[...known].filter((one) => !there.has(one)), ...[...there].filter((one) => !known.has(one))];
    for (const address of moved) {
      const isThere = there.has(address);
      if (kind === 'addresses') applied.putAddress(address, isThere);
      else applied.putRoute(address, isThere);
      for (const drift of isLinkLost ? [] : bindingDrift(kind, address, isThere, desired)) note(drift);
    }
  }

  *#destinations(): Generator<number, void> {
    const { applied, desired } = this.#parts;
    // What comes meanwhile is new, and the next round's.
    let left = applied.services.size;
    for (const id of applied.services.keys()) {
      left -= 1;
      if (left < 0) return;
      const node = applied.services.get(id);
      if (node === undefined) continue;
      const { key } = node.service;
      const states = yield* this.#destinationsOf(key);
      const now = applied.services.get(id);
      if (now === undefined) continue;
      if (!areThose(states, now)) yield* this.#verifyService(id, key);
      else if (!isAsWanted(now, desired.services.get(id))) this.#parts.mark(scopeOfKey(key));
      yield cost.destinationsOf + Math.min(states.length, largeSlice);
    }
  }

  /** Those of many are read slice by slice. */
  *#destinationsOf(key: AddressServiceKey): Generator<number, readonly DestinationState[]> {
    const states: DestinationState[] = [];
    const cursor = this.#parts.session.destinations(key);
    let told = 0;
    try {
      for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
        for (const state of slice) states.push(state);
        const more = states.length - told;
        if (more < largeSlice) continue;
        told = states.length;
        yield more;
      }
    } finally {
      cursor.close();
    }
    return states;
  }

  #changed(scope: ObjectScope, drifts: readonly Drift[]): void {
    for (const drift of drifts) this.#parts.note(drift);
    this.#parts.mark(scope);
  }
}

function areThose(states: readonly DestinationState[], { destinations }: ServiceNode): boolean {
  if (states.length !== destinations.size) return false;
  for (const state of states) {
    const known = destinations.get(destinationId(state));
    if (known === undefined || !sameDestination(known, state)) return false;
  }
  return true;
}

/** What drains is as it should be. */
function isAsWanted({ service, destinations }: ServiceNode, wanted: ServiceNode | undefined): boolean {
  if (wanted === undefined || !sameService(service, wanted.service)) return false;
  let asked = 0;
  for (const [id, destination] of destinations) {
    const other = wanted.destinations.get(id);
    if (other === undefined) {
      if (destination.weight !== 0) return false;
      continue;
    }
    asked += 1;
    if (!sameDestination(destination, other)) return false;
  }
  return asked === wanted.destinations.size;
}
