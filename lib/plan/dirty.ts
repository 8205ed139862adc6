/** Kernel objects whose wanted content may have changed: what the difference has to look at. */
import type { IpAddress, SetEntry } from '../types.ts';
import type { DestinationId, ServiceId, SetName } from './state.ts';

/** Objects named here may turn out to be the same; objects not named are. */
export interface DirtyObjects {
  /** With all their destinations. */
  readonly services: Set<ServiceId>;
  /** Destinations of virtual services that are themselves as they were, and need not be in `services`. */
  readonly destinations: Map<ServiceId, Set<DestinationId>>;
  readonly entries: Map<SetName, Set<SetEntry>>;
  readonly addresses: Set<IpAddress>;
}

export function noDirtyObjects(): DirtyObjects {
  return { services: new Set(), destinations: new Map(), entries: new Map(), addresses: new Set() };
}

export function addDirtyEntry(dirty: DirtyObjects, set: SetName, entry: SetEntry): void {
  const entries = dirty.entries.get(set);
  if (entries === undefined) dirty.entries.set(set, new Set([entry]));
  else entries.add(entry);
}

/** @param names None: what the virtual service's connections may lead to has changed, and no destination. */
export function addDirtyDestinations(dirty: DirtyObjects, service: ServiceId, names: Iterable<DestinationId>): void {
  if (dirty.services.has(service)) return;
  const known = dirty.destinations.get(service);
  if (known === undefined) dirty.destinations.set(service, new Set(names));
  else for (const name of names) known.add(name);
}

/** Virtual services of which something may have changed. */
export function* touchedServices({ services, destinations }: DirtyObjects): IterableIterator<ServiceId> {
  yield* services;
  for (const service of destinations.keys()) if (!services.has(service)) yield service;
}
