/** Drift: what others did to objects of ours, counted, explained, and remembered for as long as somebody may be fighting over it. */
import {
  addressObject,
  destinationObject,
  entryObject,
  type ObjectId,
  routeObject,
  serviceObject,
} from '../plan/object-id.ts';
import { sameDestination, sameService } from '../plan/same.ts';
import type { KernelState, ServiceId, ServiceNode, SetName } from '../plan/state.ts';
import { type VipKind, vipRoute } from '../plan/vip-binding.ts';
import type { Destination, IpAddress, SetEntry } from '../types.ts';
import type { Contests } from './contests.ts';
import { type ObjectScope, scopeOfKey } from './object-scope.ts';
import type { DriftCounts, ReconcileEvent } from './protocol.ts';
import type { Tally } from './tally.ts';

/** Events of each kind in one round at most; the counts go on. */
const maxEvents = 100;

export interface Drift {
  readonly object: ObjectId;
  readonly scope: ObjectScope;
  /** It was gone; it was there and nobody wants it; it was another than is wanted. */
  readonly kind: keyof DriftCounts;
  /** How it was found. */
  readonly found: string;
}

export interface DriftContext {
  readonly nowMs: number;
  readonly tally: Tally;
  /** To whoever listens. */
  tell(event: ReconcileEvent): void;
  /** Somebody asked for a full pass: what is contested is put right once more. */
  readonly isAsked: boolean;
}

export class DriftLog {
  readonly #contests: Contests;
  readonly #desired: KernelState;
  #events = 0;
  #contested = 0;

  constructor(contests: Contests, desired: KernelState) {
    this.#contests = contests;
    this.#desired = desired;
  }

  /** A new round: events are counted anew. */
  begin(nowMs: number): void {
    this.#events = 0;
    this.#contested = 0;
    this.#contests.forgetOld(nowMs);
  }

  note(drift: Drift, { nowMs, tally, tell, isAsked }: DriftContext): void {
    const { object, scope, kind, found } = drift;
    tally.drift[kind] += 1;
    this.#events += 1;
    if (this.#events <= maxEvents) tell({ kind: 'drift', object, message: `${object}: ${found}` });
    if (scope.kind === 'static') return;
    const contest = this.#contests.found(drift, { nowMs, isAsked, desired: this.#desired });
    if (contest === undefined) return;
    if (contest.event !== undefined) {
      this.#contested += 1;
      if (this.#contested <= maxEvents) tell(contest.event);
    }
    if (contest.failure !== undefined) tally.failures.push(contest.failure);
  }
}

/**
 * What of a virtual service is neither as it was believed to be nor as it is wanted.
 *
 * @param before As it was believed to be; undefined: it was not there, or it was not ours.
 * @param now As it is; undefined: it is not there.
 */
export function serviceDrift(
  id: ServiceId,
  before: ServiceNode | undefined,
  now: ServiceNode | undefined,
  desired: KernelState,
): Drift[] {
  const key = (now ?? before)?.service.key;
  if (key === undefined) return [];
  const scope = scopeOfKey(key);
  const wanted = desired.services.get(id);
  const object = serviceObject(id);
  if (now === undefined) return wanted === undefined ? [] : [{ object, scope, ...missing }];
  if (before === undefined) return wanted === undefined ? [{ object, scope, ...extra }] : [];
  const drifts: Drift[] = [];
  if (wanted !== undefined && !sameService(before.service, now.service) && !sameService(wanted.service, now.service)) {
    drifts.push({ object, scope, kind: 'changed', found: differences(now.service, wanted.service) });
  }
  for (const [name, destination] of now.destinations) {
    const known = before.destinations.get(name);
    if (known !== undefined && sameDestination(known, destination)) continue;
    const asked = wanted?.destinations.get(name);
    if (asked !== undefined && sameDestination(asked, destination)) continue;
    const what = destinationObject(id, name);
    if (asked === undefined && (known !== undefined || destination.weight === 0)) continue;
    if (asked === undefined) drifts.push({ object: what, scope, ...extra });
    else drifts.push({ object: what, scope, kind: 'changed', found: differences(destination, asked) });
  }
  for (const name of before.destinations.keys()) {
    if (now.destinations.has(name) || wanted?.destinations.has(name) !== true) continue;
    drifts.push({ object: destinationObject(id, name), scope, ...missing });
  }
  return drifts;
}

export function entryDrift(set: SetName, entry: SetEntry, isThere: boolean, desired: KernelState): Drift[] {
  if (desired.sets.get(set)?.has(entry) === isThere) return [];
  const scope = { kind: 'entry', set, entry } as const;
  return [{ object: entryObject(set, entry), scope, ...(isThere ? extra : missing) }];
}

export function bindingDrift(kind: VipKind, address: IpAddress, isThere: boolean, desired: KernelState): Drift[] {
  if (desired[kind].has(address) === isThere) return [];
  const scope = { kind: 'address', address } as const;
  const object = kind === 'addresses' ? addressObject(address) : routeObject(vipRoute(address));
  return [{ object, scope, ...(isThere ? extra : missing) }];
}

const missing = { kind: 'missing', found: 'somebody removed it' } as const;
const extra = { kind: 'extra', found: 'somebody added it, and nobody wants it' } as const;

/** `weight is 5 and should be 1` */
function differences<T extends Destination | ServiceNode['service']>(is: T, wanted: T): string {
  const before = new Map(Object.entries(wanted));
  const now = new Map(Object.entries(is));
  const names = [...new Set([...before.keys(), ...now.keys()])].filter((name) => name !== 'key');
  const told = names
    .filter((name) => JSON.stringify(now.get(name)) !== JSON.stringify(before.get(name)))
    .map((name) => `${name} is ${text(now.get(name))} and should be ${text(before.get(name))}`);
  return told.length === 0 ? 'it was made anew' : told.join(', ');
}

function text(value: unknown): string {
  return value === undefined ? 'not set' : String(value);
}
