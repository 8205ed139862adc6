/** Identity of one kernel object, as reports and plans print it. */
import type { Operation } from '../operations.ts';
import type { AddressServiceKey, DestinationKey, IpAddress, LocalRoute, ServiceKey, SetEntry } from '../types.ts';
import { destinationId, type ServiceId, type SetName, serviceId } from './state.ts';

/**
 * `service tcp 10.96.0.10:80`, `destination tcp 10.96.0.10:80 10.244.1.5:8080`, `entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80`,
 * `address 10.96.0.10`, `route 10.96.0.10/32`, and for the static part `set KUBE-CLUSTER-IP`, `link kube-ipvs0`.
 */
export type ObjectId = string;

export function serviceObject(id: ServiceId): ObjectId {
  return `service ${id}`;
}

export function destinationObject(service: ServiceId, destination: string): ObjectId {
  return `destination ${service} ${destination}`;
}

export function entryObject(set: SetName, entry: SetEntry): ObjectId {
  return `entry ${set} ${entry}`;
}

export function addressObject(address: IpAddress): ObjectId {
  return `address ${address}`;
}

export function routeObject(route: Pick<LocalRoute, 'address' | 'prefixLength'>): ObjectId {
  return `route ${route.address}/${route.prefixLength}`;
}

/** The object an operation writes. */
export function objectOf(operation: Operation): ObjectId {
  switch (operation.verb) {
    case 'create-service':
    case 'update-service':
    case 'ensure-service':
      return serviceObject(keyText(operation.service.key));
    case 'remove-service':
    case 'zero-service':
      return serviceObject(keyText(operation.key));
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
    case 'remove-destination':
      return destinationOf(operation.key, operation.destination);
    case 'zero-services':
    case 'flush-services':
      return 'services';
    case 'set-timeouts':
      return 'timeouts';
    case 'create-set':
    case 'ensure-set':
      return `set ${operation.set.name}`;
    case 'remove-set':
    case 'flush-set':
    case 'rename-set':
    case 'swap-sets':
      return `set ${operation.name}`;
    case 'add-entry':
    case 'remove-entry':
      return entryObject(operation.set.name, operation.entry);
    case 'ensure-link':
    case 'remove-link':
      return `link ${operation.name}`;
    case 'add-address':
    case 'ensure-address':
      return addressObject(operation.address.address);
    case 'remove-address':
      return addressObject(operation.address);
    case 'add-local-route':
    case 'remove-local-route':
      return routeObject(operation.route);
    case 'remove-connection':
      return `connection ${operation.tuple.source} ${operation.tuple.destination}`;
  }
}

function destinationOf(key: ServiceKey, destination: DestinationKey): ObjectId {
  return destinationObject(keyText(key), destinationId(destination));
}

function keyText(key: ServiceKey): string {
  return isAddressKey(key) ? serviceId(key) : `fwmark ${key.fwmark} ${key.family}`;
}

export function isAddressKey(key: ServiceKey): key is AddressServiceKey {
  return !('fwmark' in key);
}
