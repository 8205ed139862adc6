/**
 * The order of writes within one round (design.md, 'Promises'). Additions come before removals: what moves from one Service, set or
 * list to another is then never missing in between, and a failure half-way leaves more rather than less. The one removal that goes
 * first takes an exemption from SNAT away, because the destinations that follow may need the SNAT.
 */
import { familyOf, parseAddress } from '../address.ts';
import type { AddressServiceKey, IpAddress, SetEntry } from '../types.ts';
import {
  hasTuple,
  localTwins,
  nodePortSets,
  type SetId,
  serviceOfTuple,
  setIdOf,
  setName,
  tupleEntry,
  tupleSetIds,
} from './sets.ts';
import type { KernelState, SetName } from './state.ts';

export const phaseOrder = [
  // An address of the node that is no VIP any more, on which an exempt external IP goes on as a node port: packets come in all the same, and while
  // the address is protected the tuple that is its exemption cannot go without their being refused.
  'unbind node address',
  'remove bound entry of node address',
  // A service that becomes policy Cluster: its exemption ends before remote destinations come. (Between KUBE-EXTERNAL-IP-LOCAL and
  // KUBE-EXTERNAL-IP it is the second entry that asks for SNAT: to have both is to have SNAT, so that one is added like any tuple.)
  'remove exemption',
  // Dead endpoints of a service that has others to serve: packets go nowhere for as long as they stay.
  'drain dead destination',
  // Adding a frontend. Empty virtual services refuse; nobody is let through yet.
  'write virtual service',
  'add source range',
  'add firewall entry',
  // Exemptions of a new frontend go in before the SNAT entry they qualify.
  'add new exemption',
  'add tuple',
  'write destination',
  // Within a service that would have none left, new destinations before old ones drain.
  'drain destination',
  // A service that becomes policy Local: it is exempt once no remote destination takes new connections.
  'add exemption',
  // What an earlier process left on an address that is not bound yet goes before packets for it come in.
  'clear virtual service',
  'clear entry',
  // The address becomes protected, then reachable.
  'add bound entry',
  'bind address',
  // Removing a VIP begins by making it unreachable.
  'unbind address',
  // Removing a port of a VIP that stays: without its tuple it is refused, so no host daemon answers once the service is gone.
  'remove tuple of bound address',
  'remove virtual service',
  'remove bound entry',
  // Everything that served the virtual service goes after it.
  'remove tuple',
  'remove firewall entry',
  'remove source range',
] as const;

export type Phase = (typeof phaseOrder)[number];

export const phaseCount: number = phaseOrder.length;
const ranks: ReadonlyMap<Phase, number> = new Map(phaseOrder.map((phase, rank) => [phase, rank]));

/** Its place in the order. */
export function phaseRank(phase: Phase): number {
  return ranks.get(phase) ?? 0;
}

export function additionPhase(set: SetName, entry: SetEntry, applied: KernelState): Phase {
  const known = setIdOf(set);
  if (known === undefined) return 'add tuple';
  switch (known.id) {
    case 'IPVS-IPS':
      return 'add bound entry';
    case 'LOAD-BALANCER-FW':
      return 'add firewall entry';
    case 'LOAD-BALANCER-SOURCE-IP':
    case 'LOAD-BALANCER-SOURCE-CIDR':
      return 'add source range';
    // Both: the tuple of a frontend that is exempt.
    case 'EXTERNAL-IP-LOCAL':
      return isServed(entry, applied) ? 'add exemption' : 'add tuple';
    default: {
      const twin = localTwins.get(known.id);
      if (twin === undefined) return 'add tuple';
      const isQualified = applied.sets.get(setName(twin, known.family))?.has(entry) === true;
      return isQualified || isServed(entry, applied) ? 'add exemption' : 'add new exemption';
    }
  }
}

/** @param staysBound Whether packets for the address still come in after this round. */
export function removalPhase(
  set: SetName,
  entry: SetEntry,
  desired: KernelState,
  staysBound: (address: IpAddress) => boolean,
): Phase {
  const known = setIdOf(set);
  if (known === undefined) return 'remove tuple';
  switch (known.id) {
    case 'IPVS-IPS':
      return 'remove bound entry';
    case 'LOAD-BALANCER-FW':
      return 'remove firewall entry';
    case 'LOAD-BALANCER-SOURCE-IP':
    case 'LOAD-BALANCER-SOURCE-CIDR':
      return 'remove source range';
    // The virtual service stays, as one that may have remote destinations.
    case 'LOAD-BALANCER-LOCAL':
      return isWanted(entry, desired) ? 'remove exemption' : 'remove tuple';
    default: {
      const twin = localTwins.get(known.id);
      if (twin !== undefined && desired.sets.get(setName(twin, known.family))?.has(entry)) return 'remove exemption';
      if (becomesNodePort(set, entry, desired)) return 'remove exemption';
      return isTupleSet(known.id) && isBoundTuple(entry, staysBound) ? 'remove tuple of bound address' : 'remove tuple';
    }
  }
}

/**
 * An exempt external IP that is in another tuple set, too, as when a process died on the way from one to the other: without the other first its
 * back ends would be reached without SNAT.
 */
export function qualifiesOthers(set: SetName, entry: SetEntry, applied: KernelState): boolean {
  const known = setIdOf(set);
  if (known?.id !== 'EXTERNAL-IP-LOCAL') return false;
  return tupleSetIds.some((id) => id !== known.id && applied.sets.get(setName(id, known.family))?.has(entry) === true);
}

/** The exempt external IP needs no tuple as a node port, and SNAT. */
export function becomesNodePort(set: SetName, entry: SetEntry, desired: KernelState): boolean {
  const known = setIdOf(set);
  return known?.id === 'EXTERNAL-IP-LOCAL' && isWanted(entry, desired) && !hasTuple(desired.sets, known.family, entry);
}

/** Something that exempts traffic to the virtual service from SNAT is there, and is to go. */
export function endsExemption(key: AddressServiceKey, desired: KernelState, applied: KernelState): boolean {
  return exemptionsOf(key).some(
    ([set, entry]) => applied.sets.get(set)?.has(entry) === true && desired.sets.get(set)?.has(entry) !== true,
  );
}

/** The sets that may exempt traffic to the virtual service from SNAT, with its entry in each. */
export function exemptionsOf({ address, protocol, port }: AddressServiceKey): [SetName, SetEntry][] {
  const family = familyOf(address);
  const tuple = tupleEntry(address, protocol, port);
  return [
    [setName('EXTERNAL-IP-LOCAL', family), tuple],
    [setName('LOAD-BALANCER-LOCAL', family), tuple],
    [setName(nodePortSets(protocol).local, family), protocol === 'sctp' ? tuple : String(port)],
  ];
}

export function isTupleSet(id: SetId): boolean {
  return tupleSetIds.includes(id);
}

/** There are connections to it, which may need their SNAT. */
function isServed(tuple: SetEntry, applied: KernelState): boolean {
  const service = applied.services.get(serviceOfTuple(tuple) ?? '');
  return service !== undefined && service.destinations.size > 0;
}

function isWanted(tuple: SetEntry, desired: KernelState): boolean {
  return desired.services.has(serviceOfTuple(tuple) ?? '');
}

function isBoundTuple(tuple: SetEntry, staysBound: (address: IpAddress) => boolean): boolean {
  const address = parseAddress(tuple.slice(0, tuple.indexOf(',')));
  return address !== undefined && staysBound(address);
}
