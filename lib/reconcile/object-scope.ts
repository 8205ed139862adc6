/** Where in the kernel an operation writes: what has to be read again, or compared again, when it went wrong. */
import { familyOf } from '../address.ts';
import type { Operation } from '../operations.ts';
import { addDirtyDestinations, addDirtyEntry, type DirtyObjects } from '../plan/dirty.ts';
import { entryObject, type ObjectId, serviceObject } from '../plan/object-id.ts';
import type { Planner } from '../plan/planner.ts';
import {
  boundSetOf,
  isRangeSet,
  nodePortSets,
  serviceOfTuple,
  setIdOf,
  setName,
  tupleEntry,
  tupleSetIds,
} from '../plan/sets.ts';
import { type KernelState, type ServiceId, type SetName, serviceId, serviceKeyOf } from '../plan/state.ts';
import { bindingObject, vipKinds } from '../plan/vip-binding.ts';
import type { AddressServiceKey, IpAddress, IpFamily, Protocol, ServiceKey, SetEntry } from '../types.ts';

/** A destination belongs to its service; `static`: the link or a set itself. */
export type ObjectScope =
  | {
      readonly kind: 'service';
      readonly service: ServiceId;
      readonly address: IpAddress;
      readonly protocol: Protocol;
      readonly port: number;
    }
  | { readonly kind: 'entry'; readonly set: SetName; readonly entry: SetEntry }
  /** A VIP, however it is bound. */
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'static' };

export function scopeOf(operation: Operation): ObjectScope {
  switch (operation.verb) {
    case 'create-service':
    case 'update-service':
    case 'ensure-service':
      return scopeOfKey(operation.service.key);
    case 'remove-service':
    case 'zero-service':
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
    case 'remove-destination':
      return scopeOfKey(operation.key);
    case 'add-entry':
    case 'remove-entry':
      return { kind: 'entry', set: operation.set.name, entry: operation.entry };
    case 'add-address':
      return { kind: 'address', address: operation.address.address };
    case 'remove-address':
      return { kind: 'address', address: operation.address };
    case 'add-local-route':
    case 'remove-local-route':
      return { kind: 'address', address: operation.route.address };
    default:
      return { kind: 'static' };
  }
}

export function scopeOfKey(key: ServiceKey): ObjectScope {
  return 'fwmark' in key ? { kind: 'static' } : { kind: 'service', service: serviceId(key), ...key };
}

/**
 * Adds the object and all that may have been withheld because of it: a virtual service that cannot be written takes its tuple, its
 * destinations and the binding of its address along (plan/withheld.ts), and so gives them back when it can. What nobody asks for any more is
 * known to the applied state alone.
 */
export function markWithDependents(
  dirty: DirtyObjects,
  scope: ObjectScope,
  planner: Planner,
  applied: KernelState,
): void {
  switch (scope.kind) {
    case 'service': {
      dirty.services.add(scope.service);
      markAddress(dirty, scope.address);
      const { protocol, port } = scope;
      markGuards(dirty, tupleEntry(scope.address, protocol, port), familyOf(scope.address), applied);
      markTuples(dirty, scope);
      markNodePort(dirty, scope);
      markPorts(dirty, planner, serviceObject(scope.service));
      return;
    }
    case 'entry':
      addDirtyEntry(dirty, scope.set, scope.entry);
      markFrontend(dirty, scope.set, scope.entry, applied);
      markRanges(dirty, scope.set, scope.entry, applied);
      markPorts(dirty, planner, entryObject(scope.set, scope.entry));
      markPortsOfRange(dirty, scope.set, scope.entry, planner);
      return;
    case 'address':
      markAddress(dirty, scope.address);
      for (const kind of vipKinds) markPorts(dirty, planner, bindingObject(kind, scope.address));
      return;
    case 'static':
      return;
  }
}

function markGuards(dirty: DirtyObjects, tuple: SetEntry, family: IpFamily, applied: KernelState): void {
  const firewall = setName('LOAD-BALANCER-FW', family);
  addDirtyEntry(dirty, firewall, tuple);
  markRanges(dirty, firewall, tuple, applied);
}

/**
 * The node port that goes on for as long as the firewall entry of the VIP that takes its place is not there; the address that is not bound while
 * it has a tuple which nobody wants; the virtual service that stays for as long as its tuple does, with what restricts it; the other tuples of a
 * VIP, which stay for as long as it is exempt from SNAT.
 */
function markFrontend(dirty: DirtyObjects, set: SetName, entry: SetEntry, applied: KernelState): void {
  const id = setIdOf(set)?.id;
  const key = serviceKeyOf(serviceOfTuple(entry) ?? '');
  if (id === undefined || key === undefined) return;
  if (id === 'LOAD-BALANCER-FW') markNodePort(dirty, key);
  if (!tupleSetIds.includes(id)) return;
  markAddress(dirty, key.address);
  dirty.services.add(serviceId(key));
  markGuards(dirty, entry, familyOf(key.address), applied);
  if (id === 'EXTERNAL-IP-LOCAL') markTuples(dirty, key);
}

function markTuples(dirty: DirtyObjects, { address, protocol, port }: AddressServiceKey): void {
  for (const id of tupleSetIds) {
    addDirtyEntry(dirty, setName(id, familyOf(address)), tupleEntry(address, protocol, port));
  }
}

function markNodePort(dirty: DirtyObjects, { address, protocol, port }: AddressServiceKey): void {
  const entry = protocol === 'sctp' ? tupleEntry(address, protocol, port) : String(port);
  addDirtyEntry(dirty, setName(nodePortSets(protocol).all, familyOf(address)), entry);
}

/** The source ranges that are there for a firewall entry. */
function markRanges(dirty: DirtyObjects, set: SetName, tuple: SetEntry, applied: KernelState): void {
  const known = setIdOf(set);
  if (known?.id !== 'LOAD-BALANCER-FW' || !applied.sets.get(set)?.has(tuple)) return;
  for (const id of ['LOAD-BALANCER-SOURCE-IP', 'LOAD-BALANCER-SOURCE-CIDR'] as const) {
    const ranges = setName(id, known.family);
    for (const entry of applied.sets.get(ranges) ?? []) {
      if (entry.startsWith(`${tuple},`)) addDirtyEntry(dirty, ranges, entry);
    }
  }
}

function markAddress(dirty: DirtyObjects, address: IpAddress): void {
  dirty.addresses.add(address);
  addDirtyEntry(dirty, boundSetOf(address), address);
}

/** Who comes to the place of a range that cannot be removed waits for it. */
function markPortsOfRange(dirty: DirtyObjects, set: SetName, entry: SetEntry, planner: Planner): void {
  const id = setIdOf(set)?.id;
  const service = serviceOfTuple(entry);
  if (id !== undefined && isRangeSet(id) && service !== undefined) markPorts(dirty, planner, serviceObject(service));
}

/** Everything that the service ports want that want this object. */
function markPorts(dirty: DirtyObjects, planner: Planner, object: ObjectId): void {
  for (const id of planner.wantedBy(object)) {
    const port = planner.ports.get(id);
    for (const { id: service } of port?.virtualServices ?? []) dirty.services.add(service);
    for (const { set, entry } of port?.entries ?? []) addDirtyEntry(dirty, set, entry);
    for (const address of port?.addresses ?? []) markAddress(dirty, address);
  }
}

/** Merges `more` into `dirty`. */
export function mergeDirty(dirty: DirtyObjects, more: DirtyObjects): void {
  for (const service of more.services) dirty.services.add(service);
  for (const [service, names] of more.destinations) addDirtyDestinations(dirty, service, names);
  for (const address of more.addresses) dirty.addresses.add(address);
  for (const [set, entries] of more.entries) for (const entry of entries) addDirtyEntry(dirty, set, entry);
}

export function isClean(dirty: DirtyObjects): boolean {
  return (
    dirty.services.size === 0 && dirty.destinations.size === 0 && dirty.addresses.size === 0 && dirty.entries.size === 0
  );
}
