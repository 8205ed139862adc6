/** The answer to `status`: counts, and what is not applied. Costs what is not in order; everything, while all is to be compared. */
import { type DirtyObjects, noDirtyObjects } from '../plan/dirty.ts';
import type { ObjectId } from '../plan/object-id.ts';
import { vipKinds } from '../plan/vip-binding.ts';
import type { ServicePortId } from '../plan/wanted.ts';
import type { ObjectState, RecorderUse, StateCounts, StatusAnswer } from './answers.ts';
import { factsOf, type ObjectName, objectId, objectName } from './object-facts.ts';
import { markWithDependents, mergeDirty, scopeOfKey } from './object-scope.ts';
import type { ObjectStatuses } from './object-status.ts';

type Unapplied = Exclude<ObjectState, 'applied' | 'absent' | 'foreign'>;
const order: readonly Unapplied[] = ['failing', 'contested', 'pending', 'draining'];

export interface SummaryInput {
  readonly statuses: ObjectStatuses;
  readonly revision: number;
  readonly complete: boolean;
  readonly recorder: RecorderUse;
  /** How much is listed. */
  readonly limit: number;
}

export function statusSummary({ statuses, limit, ...rest }: SummaryInput): StatusAnswer {
  const { planner, applied, foreign, waitsFor } = statuses.parts;
  const found = new Map<Unapplied, ObjectId[]>(order.map((state) => [state, []]));
  const ports = new Set<ServicePortId>();
  let thereToo = 0;
  const note = (object: ObjectId, state: Unapplied): void => {
    found.get(state)?.push(object);
    for (const port of planner.wantedBy(object)) ports.add(port);
  };
  for (const object of staticFailures(statuses)) note(object, 'failing');
  for (const name of suspects(statuses)) {
    const state = statuses.state(name);
    if (state === 'applied' || state === 'absent' || state === 'foreign') continue;
    note(objectId(name), state);
    // Contested by name only: what somebody else has made is not among what we hold.
    if (factsOf(name, planner.desired, applied).isThere) thereToo += 1;
  }
  const all = [...found.values()].flat();
  const { holds, total } = holdings(statuses);
  const counts: StateCounts = {
    applied: total - thereToo,
    pending: found.get('pending')?.length ?? 0,
    failing: found.get('failing')?.length ?? 0,
    draining: found.get('draining')?.length ?? 0,
    contested: found.get('contested')?.length ?? 0,
    foreign: foreign.count - foreign.contested,
  };
  const waiting = waitsFor();
  return {
    ...rest,
    ...(waiting === undefined ? {} : { waitsFor: waiting }),
    holds,
    servicePorts: { total: planner.ports.size, notApplied: ports.size },
    objects: counts,
    notApplied: all.slice(0, limit).map((object) => statuses.of(object)),
    omitted: Math.max(0, all.length - limit),
  };
}

function holdings({ parts: { applied } }: ObjectStatuses): {
  readonly holds: StatusAnswer['holds'];
  readonly total: number;
} {
  let entries = 0;
  for (const set of applied.sets.values()) entries += set.size;
  const holds = {
    services: applied.services.size,
    destinations: applied.destinations,
    entries,
    addresses: applied.addresses.size + applied.routes.size,
  };
  return { holds, total: holds.services + holds.destinations + holds.entries + holds.addresses };
}

/** The link, sets, rules and the kernel as a whole, where they fail. */
function staticFailures({ parts: { retries, rules, broken } }: ObjectStatuses): Set<ObjectId> {
  const failing = [...retries.entries(), ...rules.failing].map(([object]) => object);
  const sets = [...broken().keys()].map((set) => `set ${set}`);
  return new Set([...failing.filter((object) => objectName(object) === undefined), ...sets]);
}

/** Every object that may be in another state than applied, each once. */
function* suspects(statuses: ObjectStatuses): IterableIterator<ObjectName> {
  const { planner, applied, drains } = statuses.parts;
  const { desired } = planner;
  const scope = dirtyScope(statuses);
  const services = scope === 'all' ? new Set([...desired.services.keys(), ...applied.services.keys()]) : scope.services;
  const drained = new Set<ObjectId>();
  for (const service of services) {
    yield { kind: 'service', service };
    const wanted = desired.services.get(service)?.destinations;
    const there = applied.services.get(service)?.destinations;
    for (const destination of new Set([...(wanted?.keys() ?? []), ...(there?.keys() ?? [])])) {
      yield { kind: 'destination', service, destination };
    }
  }
  for (const [service, destination] of drains.all()) {
    const name: ObjectName = { kind: 'destination', service, destination };
    if (!services.has(service) && !drained.has(objectId(name))) yield name;
    drained.add(objectId(name));
  }
  for (const service of planner.leftOvers) if (!services.has(service)) yield { kind: 'service', service };
  const sets = scope === 'all' ? new Set([...desired.sets.keys(), ...applied.sets.keys()]) : scope.entries.keys();
  for (const set of sets) {
    const entries =
      scope === 'all'
        ? new Set([...(desired.sets.get(set) ?? []), ...(applied.sets.get(set) ?? [])])
        : (scope.entries.get(set) ?? []);
    for (const entry of entries) yield { kind: 'entry', set, entry };
  }
  for (const vip of vipKinds) {
    const addresses = scope === 'all' ? new Set([...desired[vip], ...applied[vip]]) : scope.addresses;
    for (const address of addresses) yield { kind: 'binding', vip, address };
  }
}

/** What waits to be compared, what failed with all that waits for it, and what must not be written. */
function dirtyScope({ parts }: ObjectStatuses): DirtyObjects | 'all' {
  const { planner, applied, retries, rules, foreign, dirty, broken, contests } = parts;
  if (dirty.waiting === 'all' || parts.waitsFor() !== undefined || rules.unproven.size > 0) return 'all';
  const scope = noDirtyObjects();
  mergeDirty(scope, dirty.waiting);
  for (const [, retry] of retries.entries()) markWithDependents(scope, retry.scope, planner, applied);
  for (const object of contests.held) {
    const contest = contests.get(object);
    if (contest !== undefined) markWithDependents(scope, contest.scope, planner, applied);
  }
  for (const service of [...rules.missing, ...foreign.contestedServices]) {
    const key = planner.desired.services.get(service)?.service.key;
    if (key !== undefined) markWithDependents(scope, scopeOfKey(key), planner, applied);
  }
  for (const set of broken().keys()) {
    const entries = new Set([...(scope.entries.get(set) ?? []), ...(planner.desired.sets.get(set) ?? [])]);
    scope.entries.set(set, entries);
  }
  return scope;
}
