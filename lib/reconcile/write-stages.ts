/** Where a writer stops and looks at the answers before it goes on: later writes rely on earlier ones having worked. */
import type { Operation, Verb } from '../operations.ts';
import type { Change } from '../plan/change.ts';
import { guardSetIds, isRangeSet, localTwins, nodePortIds, setIdOf, tupleSetIds } from '../plan/sets.ts';
import type { SetName } from '../plan/state.ts';
import { unboundBy } from '../plan/vip-binding.ts';

/**
 * As end positions: after addresses have been unbound that are left to the node (what protects them goes next), after exemptions from SNAT have ended (back ends come that need it), after the virtual services (one may turn out to be
 * somebody else's, whom our source ranges must not restrict), after their source ranges, after node ports, and after tuples that take the place of
 * exempt ones (back ends come that need the SNAT), before anything is exempt from SNAT (what needed it has drained by then), between the tuples
 * that come and those that go (they may be of the same virtual service), before addresses are bound (they must be protected by then), before
 * what is bound in the other way is unbound (it may be the same VIPs), before virtual services are removed (a VIP that cannot be unbound, or a
 * tuple that stays, would let their packets to ports of the host), before tuples that an exempt one stood beside, before the entries that tell whose a virtual service is are removed, before
 * source ranges are (no firewall entry refers to them by then).
 */
export function stageEnds(changes: readonly Change[]): number[] {
  const at = landmarks(changes);
  const ends = [
    at.firstOtherThanUnbinding,
    at.firstOtherThanRemoval,
    at.firstGuard,
    at.firstOpening,
    at.lastNodePort + 1,
    at.lastDrain >= 0 && at.lastSnatEnd > at.lastDrain ? at.lastDrain + 1 : 0,
    at.lastTuple < at.lastTupleRemoval ? at.lastTuple + 1 : 0,
    at.firstBinding,
    at.firstBinding < 0 ? -1 : at.firstBindingIsAddress ? at.firstRouteRemoval : at.firstAddressRemoval,
    at.lastBeforeServiceRemoval + 1,
    at.endsExempt ? at.lastTuple + 1 : 0,
    at.lastEnding + 1,
    at.firstQualifiedRemoval,
    at.firstRangeRemoval,
    changes.length,
  ].filter((end) => end > 0);
  return [...new Set(ends)].sort((a, b) => a - b);
}

/** Positions of what the stages lie between; -1 = there is none. */
interface Landmarks {
  firstOtherThanUnbinding: number;
  /** Of entries, or of addresses. */
  firstOtherThanRemoval: number;
  firstGuard: number;
  /** What lets somebody through: a destination that takes connections, or an entry that restricts nobody. */
  firstOpening: number;
  lastDrain: number;
  /** What it speaks of keeps its clients' addresses from then on. */
  lastSnatEnd: number;
  lastNodePort: number;
  lastTuple: number;
  lastTupleRemoval: number;
  /** The tuple of a frontend that is exempt from SNAT goes. */
  endsExempt: boolean;
  /** A tuple goes after that: it may be what was exempt. */
  firstQualifiedRemoval: number;
  firstBinding: number;
  firstBindingIsAddress: boolean;
  /** After that. */
  firstRouteRemoval: number;
  firstAddressRemoval: number;
  /** The last write that removes no virtual service, and the last one of those that comes before one that does. */
  lastOther: number;
  lastBeforeServiceRemoval: number;
  /** A virtual service or a binding goes. */
  lastEnding: number;
  firstRangeRemoval: number;
}

function landmarks(changes: readonly Change[]): Landmarks {
  const at: Landmarks = {
    firstOtherThanUnbinding: -1,
    firstOtherThanRemoval: -1,
    firstGuard: -1,
    firstOpening: -1,
    lastDrain: -1,
    lastSnatEnd: -1,
    lastNodePort: -1,
    lastTuple: -1,
    lastTupleRemoval: -1,
    endsExempt: false,
    firstQualifiedRemoval: -1,
    firstBinding: -1,
    firstBindingIsAddress: false,
    firstRouteRemoval: -1,
    firstAddressRemoval: -1,
    lastOther: -1,
    lastBeforeServiceRemoval: -1,
    lastEnding: -1,
    firstRangeRemoval: -1,
  };
  for (const [index, { operation }] of changes.entries()) note(at, operation, index);
  return at;
}

function note(at: Landmarks, operation: Operation, index: number): void {
  if (unboundBy(operation) === undefined) {
    if (at.firstOtherThanUnbinding < 0) at.firstOtherThanUnbinding = index;
    if (operation.verb !== 'remove-entry' && at.firstOtherThanRemoval < 0) at.firstOtherThanRemoval = index;
  }
  if (operation.verb !== 'remove-service') at.lastOther = index;
  switch (operation.verb) {
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
    case 'remove-destination':
      if (drains(operation)) at.lastDrain = index;
      else if (at.firstOpening < 0) at.firstOpening = index;
      return;
    case 'add-entry':
      noteAddition(at, operation.set.name, index);
      return;
    case 'remove-entry':
      noteRemoval(at, operation.set.name, index);
      return;
    case 'add-address':
    case 'add-local-route':
      if (at.firstBinding >= 0) return;
      at.firstBinding = index;
      at.firstBindingIsAddress = operation.verb === 'add-address';
      return;
    case 'remove-address':
      if (at.firstBinding >= 0 && at.firstAddressRemoval < 0) at.firstAddressRemoval = index;
      at.lastEnding = index;
      return;
    case 'remove-local-route':
      if (at.firstBinding >= 0 && at.firstRouteRemoval < 0) at.firstRouteRemoval = index;
      at.lastEnding = index;
      return;
    case 'remove-service':
      at.lastBeforeServiceRemoval = at.lastOther;
      at.lastEnding = index;
      return;
    default:
      return;
  }
}

function noteAddition(at: Landmarks, set: SetName, index: number): void {
  const id = setIdOf(set)?.id;
  if (id !== undefined && guardSetIds.includes(id)) {
    if (at.firstGuard < 0) at.firstGuard = index;
  } else if (at.firstOpening < 0) {
    at.firstOpening = index;
  }
  if (id === undefined) return;
  if (tupleSetIds.includes(id)) at.lastTuple = index;
  if (nodePortIds.has(id)) at.lastNodePort = index;
  if (id === 'EXTERNAL-IP-LOCAL' || localTwins.has(id)) at.lastSnatEnd = index;
}

function noteRemoval(at: Landmarks, set: SetName, index: number): void {
  const id = setIdOf(set)?.id;
  if (id === undefined) return;
  if (tupleSetIds.includes(id)) {
    at.lastTupleRemoval = index;
    const isQualified = at.endsExempt && id !== 'EXTERNAL-IP-LOCAL';
    if (isQualified && at.firstQualifiedRemoval < 0) at.firstQualifiedRemoval = index;
  }
  if (id === 'EXTERNAL-IP') at.lastSnatEnd = index;
  if (id === 'EXTERNAL-IP-LOCAL') at.endsExempt = true;
  if (isRangeSet(id) && at.firstRangeRemoval < 0) at.firstRangeRemoval = index;
}

/** A VIP was bound, or unbound. */
export function binds(verb: Verb): boolean {
  return bindingVerbs.has(verb);
}

const bindingVerbs: ReadonlySet<Verb> = new Set<Verb>([
  'add-address',
  'add-local-route',
  'remove-address',
  'remove-local-route',
]);

/** A destination that is to get no new connections. */
export function drains(operation: Operation): boolean {
  if (operation.verb === 'remove-destination') return true;
  return operation.verb === 'update-destination' && operation.destination.weight === 0;
}
