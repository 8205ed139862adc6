/** How each kernel object stands, and why: worked out when somebody asks, from what the reconciler keeps anyway. */
import { familyOf, parseAddress } from '../address.ts';
import type { DirtyObjects } from '../plan/dirty.ts';
import { entryObject, type ObjectId, serviceObject } from '../plan/object-id.ts';
import type { Planner } from '../plan/planner.ts';
import { boundSetOf, serviceOfTuple, setIdOf, setName, tupleEntry, tupleSetIds } from '../plan/sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, type SetName, serviceFamily } from '../plan/state.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import type { ObjectContest, ObjectFailure, ObjectState, ObjectStatus, ToDate } from './answers.ts';
import type { AppliedState } from './applied.ts';
import type { Contest, Contests } from './contests.ts';
import type { Draining } from './drain.ts';
import type { Drains } from './drains.ts';
import type { ForeignServices } from './foreign.ts';
import { contentOf, factsOf, type ObjectName, objectId, objectName } from './object-facts.ts';
import { kernelObject } from './pass.ts';
import type { Retry, RetryQueue } from './retry-queue.ts';
import type { RulesLane } from './rules-lane.ts';

/** What the reconciler knows of what is not in order. */
export interface StatusParts {
  readonly planner: Planner;
  readonly applied: AppliedState;
  readonly foreign: ForeignServices;
  readonly retries: RetryQueue;
  readonly drains: Drains;
  readonly rules: RulesLane;
  readonly contests: Pick<Contests, 'held' | 'get'>;
  readonly dirty: { readonly waiting: DirtyObjects | 'all' };
  /** See `StaticChanges.broken`. */
  broken(): ReadonlyMap<SetName, string>;
  /** Why nothing of the data plane is written now; undefined = it is. */
  waitsFor(): string | undefined;
}

const inNextPass = 'is compared in the next pass';

export class ObjectStatuses {
  readonly parts: StatusParts;

  readonly toDate: ToDate;

  constructor(parts: StatusParts, toDate: ToDate) {
    this.parts = parts;
    this.toDate = toDate;
  }

  /** Just the state: what is counted. */
  state(name: ObjectName): ObjectState {
    const { planner, applied, foreign, retries, drains, contests } = this.parts;
    const { isWanted, agrees, isThere } = factsOf(name, planner.desired, applied);
    if (name.kind === 'service') {
      if (foreign.get(name.service) !== undefined) return isWanted ? 'contested' : 'foreign';
      if (drains.kept(name.service) !== undefined) return 'draining';
    }
    const object = objectId(name);
    if (!agrees && contests.held.has(object)) return 'contested';
    if (retries.get(object) !== undefined) return 'failing';
    if (name.kind === 'destination' && drains.get(name.service, name.destination) !== undefined) return 'draining';
    if (!agrees) return 'pending';
    return isThere ? 'applied' : 'absent';
  }

  of(object: ObjectId): ObjectStatus {
    const name = objectName(object);
    return name === undefined ? this.#staticStatus(object) : this.named(name);
  }

  named(name: ObjectName): ObjectStatus {
    const { planner, applied, foreign } = this.parts;
    const object = objectId(name);
    const state = this.state(name);
    const retry = this.parts.retries.get(object);
    const theirs = name.kind === 'service' ? foreign.get(name.service) : undefined;
    const wanted = contentOf(name, planner.desired);
    const there = theirs === undefined ? contentOf(name, applied) : contentOf(name, onlyService(theirs));
    const drain = this.#drain(name);
    const contest = this.parts.contests.get(object);
    const why = this.#why(name, state, retry, drain);
    return {
      object,
      state,
      ...(why === undefined ? {} : { why }),
      ...(wanted === undefined ? {} : { wanted }),
      ...(there === undefined ? {} : { applied: there }),
      wantedBy: planner.wantedBy(object),
      ...(retry === undefined || state !== 'failing' ? {} : { failure: failureOf(retry, this.toDate) }),
      ...(drain === undefined || state !== 'draining'
        ? {}
        : { drain: { since: this.toDate(drain.sinceMs), until: this.toDate(drain.untilMs) } }),
      ...(contest === undefined ? {} : { contest: contestOf(contest, this.toDate) }),
    };
  }

  #drain(name: ObjectName): Pick<Draining, 'sinceMs' | 'untilMs'> | undefined {
    const { drains } = this.parts;
    if (name.kind === 'service') return drains.kept(name.service);
    return name.kind === 'destination' ? drains.get(name.service, name.destination) : undefined;
  }

  #staticStatus(object: ObjectId): ObjectStatus {
    const { retries, rules, broken } = this.parts;
    const retry = retries.get(object) ?? new Map(rules.failing).get(object);
    if (retry !== undefined) {
      return { object, state: 'failing', why: whyFailing(retry), wantedBy: [], failure: failureOf(retry, this.toDate) };
    }
    const why = object.startsWith('set ') ? broken().get(object.slice(4)) : undefined;
    return why === undefined
      ? { object, state: 'applied', wantedBy: [] }
      : { object, state: 'failing', why, wantedBy: [] };
  }

  #why(
    name: ObjectName,
    state: ObjectState,
    retry: Retry | undefined,
    drain: Pick<Draining, 'sinceMs' | 'untilMs'> | undefined,
  ): string | undefined {
    switch (state) {
      case 'applied':
      case 'absent':
        return undefined;
      case 'failing':
        return retry === undefined ? undefined : whyFailing(retry);
      case 'foreign':
        return 'somebody else has made it, and no Service wants it';
      case 'contested':
        return name.kind === 'service' && this.parts.foreign.get(name.service) !== undefined
          ? 'somebody else has made a virtual service of that name that differs: remove it, or start with takeOver'
          : 'somebody else keeps rewriting it: find out who does that, and stop one of the two';
      case 'draining':
        return name.kind === 'service' && drain !== undefined
          ? 'no Service wants it any more; it is kept for the open connections of its destinations'
          : 'not wanted any more: weight 0, no new connections; it goes when its connections have ended';
      case 'pending':
        return this.#whyPending(name);
    }
  }

  #whyPending(name: ObjectName): string {
    const { applied, foreign, retries, rules, broken, planner } = this.parts;
    const waitsFor = this.parts.waitsFor();
    if (waitsFor !== undefined) return `waits for ${waitsFor}`;
    const kernel = retries.get(kernelObject);
    if (kernel !== undefined) return `waits for the kernel as a whole: ${whyFailing(kernel)}`;
    const set = name.kind === 'entry' ? broken().get(name.set) : undefined;
    if (set !== undefined) return `the set is not to be used: ${set}`;
    if (this.#isDirty(name)) return inNextPass;
    const family = this.#familyOf(name);
    if (family !== undefined && rules.unproven.has(family)) {
      const failed = new Map(rules.failing).get(`rules ${family}`);
      return `waits for the iptables rules of ${family}${failed === undefined ? '' : `: ${whyFailing(failed)}`}`;
    }
    const { isWanted } = factsOf(name, planner.desired, applied);
    for (const service of this.#servicesOf(name)) {
      if (rules.missing.has(service)) return `waits for the rule of ${service} in KUBE-IPVS-OUT-FILTER`;
      if (foreign.untouchable.has(service)) return `waits for virtual service ${service}, which is somebody else's`;
      const blocker = this.#blockerOf(service, objectId(name));
      if (blocker !== undefined) {
        const isRefused = retries.get(blocker) !== undefined;
        return `waits for ${blocker}, which ${isRefused ? 'was refused' : 'somebody else keeps rewriting'}`;
      }
      const address = addressOf(service);
      if (!isWanted && address !== undefined && foreign.policy.keeps(address)) {
        return 'nobody wants it; it stays, since excludeCIDRs has its address';
      }
    }
    return inNextPass;
  }

  #isDirty(name: ObjectName): boolean {
    const { waiting } = this.parts.dirty;
    if (waiting === 'all') return true;
    switch (name.kind) {
      case 'service':
        return waiting.services.has(name.service);
      case 'destination':
        return (
          waiting.services.has(name.service) || waiting.destinations.get(name.service)?.has(name.destination) === true
        );
      case 'entry':
        return waiting.entries.get(name.set)?.has(name.entry) === true;
      case 'binding':
        return waiting.addresses.has(name.address);
    }
  }

  /** The virtual services that it belongs to, as far as somebody wants it or its name says so. */
  #servicesOf(name: ObjectName): readonly ServiceId[] {
    if (name.kind === 'service' || name.kind === 'destination') return [name.service];
    const tupled = name.kind === 'entry' ? serviceOfTuple(name.entry) : undefined;
    const known = name.kind === 'entry' ? setIdOf(name.set)?.id : undefined;
    if (tupled !== undefined && known !== 'LOOP-BACK') return [tupled];
    const { planner } = this.parts;
    const ports = planner.wantedBy(objectId(name)).flatMap((id) => planner.ports.get(id) ?? []);
    const bound = name.kind === 'binding' ? name.address : known === 'IPVS-IPS' ? parseAddress(name.entry) : undefined;
    return ports.flatMap(({ virtualServices }) =>
      virtualServices
        .filter(({ service: { key } }) => bound === undefined || key.address === bound)
        .map(({ id }) => id),
    );
  }

  /** What failed of what the virtual service cannot do without. */
  #blockerOf(service: ServiceId, self: ObjectId): ObjectId | undefined {
    const { planner, applied, retries, contests } = this.parts;
    const key = (planner.desired.services.get(service) ?? applied.services.get(service))?.service.key;
    if (key === undefined) return undefined;
    const family = serviceFamily(key);
    const tuple = tupleEntry(key.address, key.protocol, key.port);
    const own = serviceObject(service);
    const parts = [
      own,
      ...(['LOAD-BALANCER-FW', ...tupleSetIds] as const).map((id) => entryObject(setName(id, family), tuple)),
      entryObject(boundSetOf(key.address), key.address),
    ];
    const isHeld = (object: ObjectId): boolean => retries.get(object) !== undefined || contests.held.has(object);
    const failed = parts.find((object) => object !== self && isHeld(object));
    if (failed !== undefined) return failed;
    for (const object of retries.ofService(service)) if (object !== self) return object;
    return undefined;
  }

  #familyOf(name: ObjectName): IpFamily | undefined {
    if (name.kind === 'entry') return setIdOf(name.set)?.family;
    const address = name.kind === 'binding' ? name.address : addressOf(name.service);
    return address === undefined ? undefined : familyOf(address);
  }
}

/** `tcp [fd00::10]:53` → fd00::10 */
export function addressOf(service: ServiceId): IpAddress | undefined {
  const name = service.slice(service.indexOf(' ') + 1);
  return parseAddress(name.slice(0, name.lastIndexOf(':')).replace(/^\[|\]$/g, ''));
}

function whyFailing({ error }: Retry): string {
  return error.message;
}

function failureOf({ operation, error, attempts, sinceMs, dueMs }: Retry, toDate: ToDate): ObjectFailure {
  const errno = error.netlink?.errnoName;
  return {
    operation,
    code: error.code,
    ...(errno === undefined ? {} : { errno }),
    message: error.message,
    attempts,
    since: toDate(sinceMs),
    nextTry: toDate(dueMs),
  };
}

function contestOf({ count, heldUntilMs, findings }: Contest, toDate: ToDate): ObjectContest {
  return {
    times: count,
    ...(heldUntilMs === undefined ? {} : { until: toDate(heldUntilMs) }),
    history: findings.map(({ atMs, found }) => ({ at: toDate(atMs), found })),
  };
}

const nothing: ReadonlySet<never> = new Set();

function onlyService(node: ServiceNode): KernelState {
  const { key } = node.service;
  const host = key.address.includes(':') ? `[${key.address}]` : key.address;
  return {
    services: new Map([[`${key.protocol} ${host}:${key.port}`, node]]),
    sets: new Map(),
    addresses: nothing,
    routes: nothing,
  };
}
