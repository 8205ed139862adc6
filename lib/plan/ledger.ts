/**
 * Whose is a virtual service? The kernel is the ledger (design.md): there is no state file, so what we once wrote beside a virtual
 * service tells that it is ours.
 */
import { familyOf } from '../address.ts';
import type { IpAddress, ServiceKey, SetEntry } from '../types.ts';
import { isAddressKey } from './object-id.ts';
import { nodePortSets, setName, tupleEntry, tupleSetIds } from './sets.ts';
import type { SetName } from './state.ts';

/** What a read of the kernel shows. */
export interface Ledger {
  readonly sets: ReadonlyMap<SetName, ReadonlySet<SetEntry>>;
  /** Addresses on the VIP device, and those of local routes with our protocol number. */
  readonly vipAddresses: ReadonlySet<IpAddress>;
  /** Addresses on the other interfaces of the node, now. */
  readonly interfaceAddresses: ReadonlySet<IpAddress>;
}

export type Ownership = 'ours' | 'foreign';

/**
 * Ours: its tuple is in one of our tuple sets, or its address is bound on our device, or it is a node port service: its port in a
 * node port set and its address on an interface. Everything else is foreign, fwmark services always.
 */
export function ownershipOf(key: ServiceKey, ledger: Ledger): Ownership {
  if (!isAddressKey(key)) return 'foreign';
  if (ledger.vipAddresses.has(key.address)) return 'ours';
  const family = familyOf(key.address);
  const tuple = tupleEntry(key.address, key.protocol, key.port);
  const inSet = (id: (typeof tupleSetIds)[number], entry: SetEntry): boolean =>
    ledger.sets.get(setName(id, family))?.has(entry) ?? false;
  if (tupleSetIds.some((id) => inSet(id, tuple))) return 'ours';
  const { all, local } = nodePortSets(key.protocol);
  const entry = key.protocol === 'sctp' ? tuple : String(key.port);
  const isNodePort = inSet(all, entry) || inSet(local, entry);
  return isNodePort && ledger.interfaceAddresses.has(key.address) ? 'ours' : 'foreign';
}
