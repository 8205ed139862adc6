/** Kernel objects whose wanted content may have changed: what the difference has to look at. */
import type { IpAddress, SetEntry } from '../types.ts';
import type { ServiceId, SetName } from './state.ts';

/** Objects named here may turn out to be the same; objects not named are. Destinations go with their service. */
export interface DirtyObjects {
  readonly services: Set<ServiceId>;
  readonly entries: Map<SetName, Set<SetEntry>>;
  readonly addresses: Set<IpAddress>;
}

export function noDirtyObjects(): DirtyObjects {
  return { services: new Set(), entries: new Map(), addresses: new Set() };
}

export function addDirtyEntry(dirty: DirtyObjects, set: SetName, entry: SetEntry): void {
  const entries = dirty.entries.get(set);
  if (entries === undefined) dirty.entries.set(set, new Set([entry]));
  else entries.add(entry);
}
