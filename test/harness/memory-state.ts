/** A kernel as strict plain data: what `plan` believes an operation does. Anything a real kernel would refuse throws. */
import assert from 'node:assert/strict';
import type { Operation } from '../../lib/operations.ts';
import { isAddressKey } from '../../lib/plan/object-id.ts';
import {
  type DestinationId,
  destinationId,
  type KernelState,
  type ServiceId,
  type SetName,
  serviceId,
} from '../../lib/plan/state.ts';
import type {
  AddressServiceKey,
  Destination,
  IpAddress,
  ServiceKey,
  SetEntry,
  SetRef,
  VirtualService,
} from '../../lib/types.ts';

interface MutableNode {
  service: VirtualService<AddressServiceKey>;
  readonly destinations: Map<DestinationId, Destination>;
}

export class MemoryState implements KernelState {
  readonly services: Map<ServiceId, MutableNode> = new Map();
  readonly sets: Map<SetName, Set<SetEntry>> = new Map();
  readonly addresses: Set<IpAddress> = new Set();
  readonly routes: Set<IpAddress> = new Set();

  /** A copy of any state. */
  static of(state: KernelState): MemoryState {
    const copy = new MemoryState();
    for (const [id, { service, destinations }] of state.services) {
      copy.services.set(id, { service, destinations: new Map(destinations) });
    }
    for (const [set, entries] of state.sets) copy.sets.set(set, new Set(entries));
    for (const address of state.addresses) copy.addresses.add(address);
    for (const address of state.routes) copy.routes.add(address);
    return copy;
  }

  /** Deletes what drains, as the drain tick does in the end: weight 0 and not wanted. */
  finishDrains(desired: KernelState): void {
    for (const [service, { destinations }] of this.services) {
      const wanted = desired.services.get(service)?.destinations;
      for (const [id, { weight }] of destinations) if (weight === 0 && !wanted?.has(id)) destinations.delete(id);
    }
  }

  apply(operation: Operation): void {
    switch (operation.verb) {
      case 'create-service': {
        const service = addressed(operation.service);
        assert.ok(!this.services.has(serviceId(service.key)), `EEXIST ${serviceId(service.key)}`);
        this.services.set(serviceId(service.key), { service, destinations: new Map() });
        break;
      }
      case 'update-service': {
        const service = addressed(operation.service);
        this.#node(service.key).service = service;
        break;
      }
      case 'remove-service':
        this.#node(operation.key);
        this.services.delete(serviceId(addressKey(operation.key)));
        break;
      case 'create-destination':
      case 'update-destination': {
        const { destinations } = this.#node(operation.key);
        const id = destinationId(operation.destination);
        assert.equal(destinations.has(id), operation.verb === 'update-destination', `${operation.verb} ${id}`);
        destinations.set(id, operation.destination);
        break;
      }
      case 'remove-destination':
        assert.ok(this.#node(operation.key).destinations.delete(destinationId(operation.destination)), 'ENOENT');
        break;
      case 'add-entry':
        this.#entries(operation.set).add(operation.entry);
        break;
      case 'remove-entry':
        assert.ok(this.#entries(operation.set).delete(operation.entry), `no ${operation.entry}`);
        break;
      case 'add-address':
        this.addresses.add(operation.address.address);
        break;
      case 'remove-address':
        assert.ok(this.addresses.delete(operation.address), `no ${operation.address}`);
        break;
      case 'add-local-route':
        this.routes.add(operation.route.address);
        break;
      case 'remove-local-route':
        assert.ok(this.routes.delete(operation.route.address), `no route to ${operation.route.address}`);
        break;
      default:
        assert.fail(`a difference has no ${operation.verb}`);
    }
  }

  #node(key: ServiceKey): MutableNode {
    const id = serviceId(addressKey(key));
    const node = this.services.get(id);
    if (node === undefined) assert.fail(`ESRCH ${id}`);
    return node;
  }

  #entries(set: SetRef): Set<SetEntry> {
    const entries = this.sets.get(set.name) ?? new Set();
    this.sets.set(set.name, entries);
    return entries;
  }
}

function addressed(service: VirtualService): VirtualService<AddressServiceKey> {
  return { ...service, key: addressKey(service.key) };
}

function addressKey(key: ServiceKey): AddressServiceKey {
  if (!isAddressKey(key)) assert.fail('a firewall mark is never ours');
  return key;
}
