/** The virtual services that stand behind an entry which does not name its own: a bound address, a node port. */
import type { AddressServiceKey, SetEntry } from '../types.ts';
import { hasTuple, localTwins, nodePortSets, setIdOf, setName, tupleEntry } from './sets.ts';
import { type KernelState, type ServiceId, type SetName, serviceFamily, serviceId } from './state.ts';

/**
 * Of KUBE-IPVS-IPS: those that are reached by their tuple on the address. Of a node port set: those that need no tuple, on any address of the
 * node. Costs what its owners want where the state knows them (`KernelState.candidatesOf`).
 */
export function servicesOfEntry(state: KernelState, set: SetName, entry: SetEntry): ServiceId[] {
  const known = setIdOf(set);
  if (known === undefined) return [];
  const { family } = known;
  const id = localTwins.get(known.id) ?? known.id;
  const isOf = (key: AddressServiceKey): boolean => {
    if (serviceFamily(key) !== family) return false;
    const { address, protocol, port } = key;
    const isNodePort = id !== 'IPVS-IPS';
    if (isNodePort ? entry !== String(port) || nodePortSets(protocol).all !== id : entry !== address) return false;
    return hasTuple(state.sets, family, tupleEntry(address, protocol, port)) !== isNodePort;
  };
  const found: ServiceId[] = [];
  for (const { service } of state.candidatesOf?.(setName(id, family), entry) ?? state.services.values()) {
    if (isOf(service.key)) found.push(serviceId(service.key));
  }
  return found;
}
