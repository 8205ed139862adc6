/**
 * Very many service ports in slices of a bounded number of writes, critical Services first. A slice holds all that its ports want, what is there
 * for the same virtual services, and every other port of the same VIPs: so it can be compared and written on its own in the orders of design.md.
 */
import { isCritical } from '../critical-services.ts';
import { addDirtyEntry, type DirtyObjects, noDirtyObjects } from '../plan/dirty.ts';
import { serviceObject } from '../plan/object-id.ts';
import { exemptionsOf } from '../plan/phases.ts';
import type { Planner } from '../plan/planner.ts';
import { boundSetOf } from '../plan/sets.ts';
import type { KernelState } from '../plan/state.ts';
import type { ServicePortId, WantedPort } from '../plan/wanted.ts';
import type { AddressServiceKey } from '../types.ts';
import { markWithDependents, scopeOfKey } from './object-scope.ts';

/** Ports by name; those that come while their slices are being made get their turn as well. */
export interface PortNames {
  keys(): IterableIterator<ServicePortId>;
}

export class PortSlices {
  readonly #planner: Planner;
  readonly #applied: KernelState;
  /** Whose turn comes before that of the rest. */
  #first: readonly ServicePortId[];
  /** How many of them have had it. */
  #done = 0;
  readonly #rest: IterableIterator<ServicePortId>;
  #next: ServicePortId | undefined;
  #onlyFirst: boolean;
  /** Ports that have had their turn with others. */
  readonly #taken = new Set<ServicePortId>();

  constructor(planner: Planner, applied: KernelState, ports: PortNames) {
    this.#planner = planner;
    this.#applied = applied;
    this.#first = [...ports.keys()].filter((id) => isCriticalPort(planner.ports.get(id)));
    this.#onlyFirst = this.#first.length > 0;
    this.#rest = ports.keys();
    this.#next = this.#rest.next().value;
  }

  get isOver(): boolean {
    return this.#done === this.#first.length && this.#next === undefined;
  }

  /** These come next. */
  overtake(ports: Iterable<ServicePortId>): void {
    this.#first = [...this.#first.slice(this.#done), ...ports];
    this.#done = 0;
    for (const id of ports) this.#taken.delete(id);
  }

  /** What is to be compared next: about so many writes at the most, where one port, or those of one VIP, do not take more. */
  next(operations: number): DirtyObjects {
    const slice = noDirtyObjects();
    let left = operations;
    // The critical ones alone: their answer is waited for.
    const isOver = (): boolean => left <= 0 || (this.#onlyFirst && this.#done === this.#first.length);
    for (let id = this.#take(); id !== undefined; id = isOver() ? undefined : this.#take())
      left -= this.#add(slice, id);
    if (this.#done === this.#first.length) this.#onlyFirst = false;
    return slice;
  }

  #take(): ServicePortId | undefined {
    const first = this.#first[this.#done];
    if (first !== undefined) {
      this.#done += 1;
      return first;
    }
    const next = this.#next;
    if (next !== undefined) this.#next = this.#rest.next().value;
    return next;
  }

  /** With all that share a VIP or a virtual service with it. Returns how many writes they may come to. */
  #add(slice: DirtyObjects, id: ServicePortId): number {
    if (this.#taken.has(id)) return 0;
    let operations = 0;
    const ports = new Set([id]);
    for (const at of ports) {
      const port = this.#planner.ports.get(at);
      if (port === undefined) continue;
      operations += this.#mark(slice, port);
      for (const other of this.#others(port)) ports.add(other);
    }
    if (ports.size > 1) for (const at of ports) this.#taken.add(at);
    return operations;
  }

  #others({ virtualServices, addresses }: WantedPort): ServicePortId[] {
    const others = addresses.flatMap((address) => this.#planner.sharersOf(address));
    for (const wanted of virtualServices) {
      const isAlone =
        this.#planner.desired.services.get(wanted.id) === wanted && !this.#applied.services.has(wanted.id);
      if (!isAlone) others.push(...this.#planner.wantedBy(serviceObject(wanted.id)));
    }
    return others;
  }

  #mark(slice: DirtyObjects, { virtualServices, entries, addresses }: WantedPort): number {
    let operations = entries.length + 2 * addresses.length;
    for (const { id, service, destinations } of virtualServices) {
      operations += 1 + destinations.size;
      slice.services.add(id);
      if (this.#applied.services.has(id)) this.#markWhatIsThere(slice, service.key);
    }
    for (const { set, entry } of entries) addDirtyEntry(slice, set, entry);
    for (const address of addresses) {
      slice.addresses.add(address);
      addDirtyEntry(slice, boundSetOf(address), address);
    }
    return operations;
  }

  /** What may be there for the virtual service, and is not wanted any more. */
  #markWhatIsThere(slice: DirtyObjects, key: AddressServiceKey): void {
    markWithDependents(slice, scopeOfKey(key), this.#planner, this.#applied);
    for (const [set, entry] of exemptionsOf(key)) addDirtyEntry(slice, set, entry);
  }
}

export function isCriticalPort(port: WantedPort | undefined): boolean {
  return port !== undefined && isCritical(port.service, clusterPortsOf(port));
}

function* clusterPortsOf({ virtualServices }: WantedPort): IterableIterator<AddressServiceKey> {
  for (const { kind, service } of virtualServices) if (kind === 'cluster-ip') yield service.key;
}
