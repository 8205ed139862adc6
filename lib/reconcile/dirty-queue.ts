/**
 * What is to be compared, in turns: all of it at once where that is little, which is the rule; otherwise in slices between which others have their
 * say, critical Services first. What comes meanwhile overtakes what waits.
 */
import { addDirtyEntry, type DirtyObjects, noDirtyObjects, touchedServices } from '../plan/dirty.ts';
import { entryObject, serviceObject } from '../plan/object-id.ts';
import type { Planner } from '../plan/planner.ts';
import { localTwins, setIdOf } from '../plan/sets.ts';
import { type KernelState, type ServiceId, type SetName, serviceKeyOf } from '../plan/state.ts';
import { bindingObject, vipKinds } from '../plan/vip-binding.ts';
import type { ServicePortId } from '../plan/wanted.ts';
import { isClean, markWithDependents, mergeDirty, type ObjectScope, scopeOfKey } from './object-scope.ts';
import { isCriticalPort, PortSlices } from './port-slices.ts';
import { RemovalSlices } from './removal-slices.ts';

export interface TurnLimits {
  /** Writes of one turn, about. */
  readonly operations: number;
  /** So many virtual services that are missing, or have another number of destinations, are written in slices. */
  readonly services: number;
}

/** Some milliseconds. */
const defaultLimits: TurnLimits = { operations: 2000, services: 500 };

export interface Turn {
  readonly scope: DirtyObjects | 'all';
  /** Nothing is removed before everything is in that is wanted. */
  readonly additionsOnly: boolean;
}

/** More than one turn can take. */
interface Backlog {
  readonly ports: PortSlices;
  removals: RemovalSlices | undefined;
  /** What is compared once all ports have had their turn; grows by what comes meanwhile. */
  readonly objects: DirtyObjects;
  readonly additionsOnly: boolean;
}

export class DirtyQueue {
  readonly #planner: Planner;
  readonly #applied: KernelState;
  readonly #limits: TurnLimits;
  /** Everything, to begin with: what changes until then is not collected. */
  #all = true;
  #dirty = noDirtyObjects();
  #backlog: Backlog | undefined;

  constructor(planner: Planner, applied: KernelState, limits: TurnLimits = defaultLimits) {
    this.#planner = planner;
    this.#applied = applied;
    this.#limits = limits;
  }

  get isEmpty(): boolean {
    return !this.#all && this.#backlog === undefined && isClean(this.#dirty);
  }

  /** Objects that wait for their turn, about. */
  get size(): number {
    const { desired } = this.#planner;
    const waiting = this.#backlog === undefined ? 0 : sizeOf(this.#backlog.objects);
    const missing = desired.services.size - this.#applied.services.size;
    const isAll = this.#all || this.#backlog?.additionsOnly === true;
    return sizeOf(this.#dirty) + waiting + (isAll ? Math.max(1, missing) : 0);
  }

  /** What waits to be compared, for who asks; not to be changed. */
  get waiting(): DirtyObjects | 'all' {
    const backlog = this.#backlog;
    if (this.#all || backlog?.additionsOnly === true) return 'all';
    if (backlog === undefined) return this.#dirty;
    const waiting = noDirtyObjects();
    mergeDirty(waiting, backlog.objects);
    mergeDirty(waiting, this.#dirty);
    return waiting;
  }

  /** The next turn only adds: very much is missing, and it is not all in yet. */
  get isAdding(): boolean {
    if (this.#all) this.#startAll();
    return this.#backlog?.additionsOnly === true && !this.#backlog.ports.isOver;
  }

  add(more: DirtyObjects | 'all'): void {
    if (more === 'all') this.#addAll();
    else if (!this.#all) mergeDirty(this.#dirty, more);
  }

  /** An object that could not be written, and what waited for it. */
  addWithDependents(scope: ObjectScope): void {
    if (!this.#all) markWithDependents(this.#dirty, scope, this.#planner, this.#applied);
  }

  /**
   * Virtual services that waited for something, with all that waited with them: also those that nobody wants any more, for others may want
   * the address that was not bound because of them.
   */
  addReleased(services: readonly ServiceId[]): void {
    for (const id of services) {
      const key = serviceKeyOf(id);
      if (key !== undefined) this.addWithDependents(scopeOfKey(key));
    }
  }

  take(): Turn {
    if (this.#all) {
      this.#startAll();
      if (this.#all) return this.#takeAll();
    }
    this.#settleAdditions();
    if (this.#backlog === undefined) {
      const isMuch = sizeOf(this.#dirty) > this.#limits.operations;
      if (!isMuch && !this.#hasCritical(this.#dirty)) return { scope: this.#takeDirty(), additionsOnly: false };
      this.#defer();
    } else {
      this.#overtake(this.#backlog);
    }
    return this.#takeSlice();
  }

  /** Everything is compared in slices when very much is missing. */
  #startAll(): void {
    if (!this.#isBulk()) return;
    const { desired, ports } = this.#planner;
    this.#all = false;
    this.#backlog = {
      ports: new PortSlices(this.#planner, this.#applied, ports),
      removals: undefined,
      objects: everythingIn(this.#applied, desired),
      additionsOnly: true,
    };
  }

  #addAll(): void {
    this.#all = true;
    this.#dirty = noDirtyObjects();
    this.#backlog = undefined;
  }

  #takeAll(): Turn {
    this.#all = false;
    return { scope: 'all', additionsOnly: false };
  }

  #takeDirty(): DirtyObjects {
    const dirty = this.#dirty;
    this.#dirty = noDirtyObjects();
    return dirty;
  }

  /** Everything is in: what was there before, and what came meanwhile, is compared to be removed. */
  #settleAdditions(): void {
    const backlog = this.#backlog;
    if (backlog === undefined || !backlog.additionsOnly || !backlog.ports.isOver) return;
    this.#backlog = undefined;
    mergeDirty(this.#dirty, backlog.objects);
    for (const set of this.#planner.desired.sets.keys()) if (isExemption(set)) this.#addMissing(set);
  }

  /** What exempts from SNAT is not simply added: something may have to drain before. */
  #addMissing(set: SetName): void {
    const there = this.#applied.sets.get(set);
    for (const entry of this.#planner.desired.sets.get(set) ?? []) {
      if (there?.has(entry) !== true) addDirtyEntry(this.#dirty, set, entry);
    }
  }

  /** Among others, for which it should not wait. */
  #hasCritical(dirty: DirtyObjects): boolean {
    if (dirty.services.size + dirty.destinations.size < 2) return false;
    const ids = [...touchedServices(dirty)].flatMap((id) => this.#planner.wantedBy(serviceObject(id)));
    const ports = ids.map((id) => isCriticalPort(this.#planner.ports.get(id)));
    return ports.includes(true) && ports.includes(false);
  }

  #defer(): void {
    const objects = this.#takeDirty();
    const names = this.#portsOf(objects);
    const ports = new PortSlices(this.#planner, this.#applied, names);
    this.#backlog = { ports, removals: undefined, objects, additionsOnly: false };
  }

  #overtake({ ports, objects }: Backlog): void {
    if (isClean(this.#dirty)) return;
    const dirty = this.#takeDirty();
    ports.overtake(this.#portsOf(dirty));
    mergeDirty(objects, dirty);
  }

  #takeSlice(): Turn {
    const backlog = this.#backlog;
    if (backlog === undefined) return { scope: this.#takeDirty(), additionsOnly: false };
    const { ports, objects, additionsOnly } = backlog;
    if (!ports.isOver) {
      const scope = ports.next(this.#limits.operations);
      // What is compared for all it can come to needs no other turn.
      if (!additionsOnly) this.#settle(objects, scope);
      return { scope, additionsOnly };
    }
    backlog.removals ??= new RemovalSlices(this.#planner, this.#applied, touchedServices(objects));
    if (!backlog.removals.isOver) {
      const scope = backlog.removals.next(Math.ceil(this.#limits.operations / 4));
      this.#settle(objects, scope);
      return { scope, additionsOnly: false };
    }
    this.#backlog = undefined;
    return { scope: objects, additionsOnly: false };
  }

  /** With the last of the objects the backlog is over: what comes next is compared as if it had never been. */
  #settle(objects: DirtyObjects, compared: DirtyObjects): void {
    subtract(objects, compared);
    if (isClean(objects)) this.#backlog = undefined;
  }

  /** The ports that want one of these. */
  #portsOf(dirty: DirtyObjects): ReadonlySet<ServicePortId> {
    const ports = new Set<ServicePortId>();
    const note = (id: ServicePortId): void => void ports.add(id);
    for (const id of touchedServices(dirty)) this.#planner.wantedBy(serviceObject(id)).forEach(note);
    for (const address of dirty.addresses) {
      for (const kind of vipKinds) this.#planner.wantedBy(bindingObject(kind, address)).forEach(note);
    }
    for (const [set, ofSet] of dirty.entries) {
      for (const entry of ofSet) this.#planner.wantedBy(entryObject(set, entry)).forEach(note);
    }
    return ports;
  }

  #isBulk(): boolean {
    let missing = 0;
    for (const [id, { destinations }] of this.#planner.desired.services) {
      if (this.#applied.services.get(id)?.destinations.size !== destinations.size) missing += 1;
      if (missing >= this.#limits.services) return true;
    }
    return false;
  }
}

function sizeOf({ services, destinations, entries, addresses }: DirtyObjects): number {
  let size = services.size + addresses.size;
  for (const names of destinations.values()) size += names.size;
  for (const ofSet of entries.values()) size += ofSet.size;
  return size;
}

/** Of the sets, those that are `ours`. */
function everythingIn(state: KernelState, ours: KernelState): DirtyObjects {
  const entries = [...state.sets].filter(([set, ofSet]) => ofSet.size > 0 && ours.sets.has(set));
  return {
    services: new Set(state.services.keys()),
    destinations: new Map(),
    addresses: new Set(vipKinds.flatMap((kind) => [...state[kind]])),
    entries: new Map(entries.map(([set, ofSet]) => [set, new Set(ofSet)])),
  };
}

function isExemption(set: SetName): boolean {
  const id = setIdOf(set)?.id;
  return id !== undefined && (id === 'EXTERNAL-IP-LOCAL' || localTwins.has(id));
}

function subtract(from: DirtyObjects, { services, entries, addresses }: DirtyObjects): void {
  for (const id of services) {
    from.services.delete(id);
    from.destinations.delete(id);
  }
  for (const address of addresses) from.addresses.delete(address);
  for (const [set, ofSet] of entries) {
    const left = from.entries.get(set);
    for (const entry of ofSet) left?.delete(entry);
    if (left?.size === 0) from.entries.delete(set);
  }
}
