/** What we last wrote, or found and adopted: updated from each kernel answer, one operation at a time, and from reads. */

import type { Operation } from '../operations.ts';
import type { Change } from '../plan/change.ts';
import { isAddressKey, objectOf } from '../plan/object-id.ts';
import { sameService } from '../plan/same.ts';
import type { DestinationId, KernelState, ServiceId, ServiceNode, SetName } from '../plan/state.ts';
import { destinationId, serviceId } from '../plan/state.ts';
import { isVipRoute } from '../plan/vip-binding.ts';
import type { AddressServiceKey, Destination, IpAddress, SetEntry, VirtualService } from '../types.ts';

interface AppliedNode extends ServiceNode {
  readonly destinations: Map<DestinationId, Destination>;
}

const none: ReadonlySet<DestinationId> = new Set();

export class AppliedState implements KernelState {
  readonly #link: string;
  readonly #services = new Map<ServiceId, AppliedNode>();
  readonly #sets = new Map<SetName, Set<SetEntry>>();
  readonly #addresses = new Set<IpAddress>();
  readonly #routes = new Set<IpAddress>();
  readonly #weightless = new Map<ServiceId, Set<DestinationId>>();
  /** Virtual services whose making was sent and not answered: they may be there. */
  readonly #attempted = new Map<ServiceId, ServiceNode['service']>();
  #destinations = 0;

  /** @param link Name of the VIP device; addresses of other links are nobody's business here. */
  constructor(link: string) {
    this.#link = link;
  }

  get services(): ReadonlyMap<ServiceId, ServiceNode> {
    return this.#services;
  }

  get sets(): ReadonlyMap<SetName, ReadonlySet<SetEntry>> {
    return this.#sets;
  }

  get addresses(): ReadonlySet<IpAddress> {
    return this.#addresses;
  }

  get routes(): ReadonlySet<IpAddress> {
    return this.#routes;
  }

  /** Destinations of all services together. */
  get destinations(): number {
    return this.#destinations;
  }

  /** Services that have destinations of weight 0: where to look for what drains. */
  get weightless(): ReadonlyMap<ServiceId, ReadonlySet<DestinationId>> {
    return this.#weightless;
  }

  weightlessOf(id: ServiceId): ReadonlySet<DestinationId> {
    return this.#weightless.get(id) ?? none;
  }

  /** A virtual service that a read shows is one that this process wrote, or found and adopted. */
  wrote(id: ServiceId, found: ServiceNode['service']): boolean {
    const attempted = this.#attempted.get(id);
    return this.#services.has(id) || (attempted !== undefined && sameService(attempted, found));
  }

  /** Takes in an operation that was sent, and that may have been carried out or not. */
  learnUnknown(operation: Operation): void {
    if (operation.verb !== 'create-service') return;
    const { service } = operation;
    const { key } = service;
    if (!('fwmark' in key)) this.#attempted.set(serviceId(key), { ...service, key });
  }

  /** Takes in a write that the kernel carried out. */
  learn({ operation, service, destination }: Pick<Change, 'operation' | 'service' | 'destination'>): void {
    switch (operation.verb) {
      case 'create-service':
      case 'update-service':
      case 'ensure-service':
        if (isByAddress(operation.service))
          this.#putService(service ?? serviceId(operation.service.key), operation.service);
        return;
      case 'remove-service':
        if (isAddressKey(operation.key)) this.forgetService(service ?? serviceId(operation.key));
        return;
      case 'create-destination':
      case 'update-destination':
      case 'ensure-destination':
        if (!isAddressKey(operation.key)) return;
        this.#putDestination(
          service ?? serviceId(operation.key),
          destination ?? destinationId(operation.destination),
          operation.destination,
        );
        return;
      case 'remove-destination':
        if (!isAddressKey(operation.key)) return;
        this.forgetDestination(
          service ?? serviceId(operation.key),
          destination ?? destinationId(operation.destination),
        );
        return;
      case 'add-entry':
        this.#set(operation.set.name).add(operation.entry);
        return;
      case 'remove-entry':
        this.#set(operation.set.name).delete(operation.entry);
        return;
      case 'add-address':
        if (operation.address.link === this.#link) this.#addresses.add(operation.address.address);
        return;
      case 'remove-address':
        if (operation.link === this.#link) this.#addresses.delete(operation.address);
        return;
      case 'add-local-route':
        if (isVipRoute(operation.route)) this.#routes.add(operation.route.address);
        return;
      case 'remove-local-route':
        if (isVipRoute(operation.route)) this.#routes.delete(operation.route.address);
        return;
      case 'create-set':
      case 'ensure-set':
        this.#set(operation.set.name);
        return;
      case 'remove-set':
        this.#sets.delete(operation.name);
        return;
      case 'ensure-link':
      case 'set-timeouts':
        return;
      default:
        throw new TypeError(`the applied state cannot follow ${operation.verb} of ${objectOf(operation)}`);
    }
  }

  /** As read from the kernel, in the place of what was believed. */
  putService(id: ServiceId, node: ServiceNode): void {
    this.forgetService(id);
    this.#services.set(id, { service: node.service, destinations: new Map() });
    for (const [name, destination] of node.destinations) this.#putDestination(id, name, destination);
  }

  forgetService(id: ServiceId): void {
    this.#destinations -= this.#services.get(id)?.destinations.size ?? 0;
    this.#services.delete(id);
    this.#weightless.delete(id);
    this.#attempted.delete(id);
  }

  forgetDestination(id: ServiceId, destination: DestinationId): void {
    if (this.#services.get(id)?.destinations.delete(destination)) this.#destinations -= 1;
    this.#unmark(id, destination);
  }

  putSet(name: SetName, entries: Iterable<SetEntry>): void {
    this.#sets.set(name, new Set(entries));
  }

  forgetSet(name: SetName): void {
    this.#sets.delete(name);
  }

  /** One entry, as it was read. */
  putEntry(name: SetName, entry: SetEntry, isThere: boolean): void {
    if (isThere) this.#set(name).add(entry);
    else this.#sets.get(name)?.delete(entry);
  }

  putAddresses(addresses: Iterable<IpAddress>): void {
    this.#addresses.clear();
    for (const address of addresses) this.#addresses.add(address);
  }

  /** As somebody else has left it. */
  putAddress(address: IpAddress, isThere: boolean): void {
    if (isThere) this.#addresses.add(address);
    else this.#addresses.delete(address);
  }

  putRoutes(routes: Iterable<IpAddress>): void {
    this.#routes.clear();
    for (const address of routes) this.#routes.add(address);
  }

  putRoute(address: IpAddress, isThere: boolean): void {
    if (isThere) this.#routes.add(address);
    else this.#routes.delete(address);
  }

  #set(name: SetName): Set<SetEntry> {
    const set = this.#sets.get(name) ?? new Set<SetEntry>();
    this.#sets.set(name, set);
    return set;
  }

  #putService(id: ServiceId, service: VirtualService<AddressServiceKey>): void {
    const destinations = this.#services.get(id)?.destinations ?? new Map<DestinationId, Destination>();
    this.#services.set(id, { service, destinations });
    if (this.#attempted.size > 0) this.#attempted.delete(id);
  }

  #putDestination(id: ServiceId, name: DestinationId, destination: Destination): void {
    const destinations = this.#services.get(id)?.destinations;
    if (destinations === undefined) return;
    const before = destinations.size;
    destinations.set(name, destination);
    this.#destinations += destinations.size - before;
    if (destination.weight !== 0) {
      if (this.#weightless.size > 0) this.#unmark(id, name);
      return;
    }
    const marked = this.#weightless.get(id) ?? new Set<DestinationId>();
    this.#weightless.set(id, marked.add(name));
  }

  #unmark(id: ServiceId, destination: DestinationId): void {
    const marked = this.#weightless.get(id);
    marked?.delete(destination);
    if (marked?.size === 0) this.#weightless.delete(id);
  }
}

function isByAddress(service: VirtualService): service is VirtualService<AddressServiceKey> {
  return isAddressKey(service.key);
}
