/** One pass of the data plane: compare desired with applied, write, take in what happened, and compare again what that changed. */
import { toErrorRecord } from '../errors.ts';
import type { KernelSession } from '../kernel/session.ts';
import { difference } from '../plan/difference.ts';
import { type DirtyObjects, noDirtyObjects } from '../plan/dirty.ts';
import type { ObjectId } from '../plan/object-id.ts';
import type { Planner } from '../plan/planner.ts';
import { setSpecs } from '../plan/sets.ts';
import type { KernelState, ServiceId, SetName } from '../plan/state.ts';
import type { IpFamily, SetRef } from '../types.ts';
import type { AppliedState } from './applied.ts';
import type { ForeignServices } from './foreign.ts';
import { isClean, markWithDependents, mergeDirty, type ObjectScope, scopeOfKey } from './object-scope.ts';
import { readBack, vipLink } from './observed.ts';
import type { ReconcileEvent } from './protocol.ts';
import type { RetryQueue } from './retry-queue.ts';
import type { Tally } from './tally.ts';
import type { Writer } from './writer.ts';

/** A pass compares again after each thing that shook it; what still moves after so many rounds waits for the next pass. */
const maxRounds = 8;
/** The kernel as a whole, among the objects that wait for their next try. */
export const kernelObject = 'kernel';

export interface PassParts {
  readonly families: readonly IpFamily[];
  readonly session: KernelSession;
  readonly planner: Planner;
  readonly applied: AppliedState;
  readonly foreign: ForeignServices;
  readonly retries: RetryQueue;
  readonly writer: Writer;
}

export interface PassRequest {
  readonly scope: DirtyObjects | 'all';
  readonly mayRemove: boolean;
  readonly nowMs: number;
  readonly tally: Tally;
  readonly events: ReconcileEvent[];
  /** See `DifferenceOptions.closed`. */
  readonly closed: ReadonlySet<IpFamily>;
  /** See `DifferenceOptions.unruled`. */
  readonly unruled: ReadonlySet<ServiceId>;
  /** See `StaticChanges.broken`. */
  readonly broken: ReadonlyMap<SetName, string>;
  nowMicros(): number;
  /** The kernel does not have these: what has to be compared for it. */
  lackSchedulers(names: ReadonlySet<string>): DirtyObjects;
}

export class DataPlane {
  readonly #parts: PassParts;
  readonly #refs: ReadonlyMap<SetName, SetRef>;
  /** What happened to these is not known; they are read before anything is written. */
  #suspects: ObjectScope[] = [];

  constructor(parts: PassParts) {
    this.#parts = parts;
    this.#refs = new Map(
      parts.families
        .flatMap((family) => setSpecs(family))
        .map(({ name, type, family }) => [name, { name, type, family }]),
    );
  }

  /**
   * What has to be compared again at the next pass: nothing, unless the kernel could not be read or did not come to rest. `kernelObject`
   * waits for its next try then, and the pass with it.
   */
  run(request: PassRequest): DirtyObjects | 'all' {
    const { retries } = this.#parts;
    const { nowMs } = request;
    const due = retries.due(nowMs);
    const refused = new Set<ObjectId>();
    const suspected = new Set<ObjectId>();
    let scope = request.scope;
    for (const { scope: where } of due) scope = this.#widen(scope, where);
    for (let round = 0; round < maxRounds; round += 1) {
      const complete = this.#round(scope, request, suspected, refused);
      if (complete === undefined) return scope;
      if (!complete) continue;
      for (const { object } of due) if (!refused.has(object)) retries.cleared(object);
      return noDirtyObjects();
    }
    const message = `${maxRounds} times in a row something was not as the kernel had answered: somebody else writes to the same tables, or answers are lost`;
    const failure = retries.failed(
      kernelObject,
      { kind: 'static' },
      'compare',
      { code: 'ERR_NETLINK', message },
      nowMs,
    );
    request.tally.failures.push(failure);
    return scope;
  }

  /** What happened to these is not known. */
  suspect(scopes: readonly ObjectScope[]): void {
    this.#suspects.push(...scopes);
  }

  /** Forgets what was to be read back: everything has been read. */
  trust(): void {
    this.#suspects = [];
  }

  /** True: all was tried; false: another round is needed; undefined: the kernel cannot be read. */
  #round(
    scope: DirtyObjects | 'all',
    request: PassRequest,
    suspected: Set<ObjectId>,
    refused: Set<ObjectId>,
  ): boolean | undefined {
    const { planner, applied, foreign, retries, writer } = this.#parts;
    const { nowMs, tally, mayRemove, closed, unruled, broken } = request;
    const startMicros = request.nowMicros();
    if (!this.#readSuspects(scope, request)) return undefined;
    const { events, adopted } = foreign.settle(scope === 'all' ? 'all' : scope.services, planner.desired, applied);
    request.events.push(...events);
    for (const id of adopted) this.#widenByService(scope, id);
    const changes = difference(planner.desired, applied, scope, {
      mayRemove,
      setRef: (name) => this.#setRef(name),
      link: vipLink,
      untouchable: foreign.untouchable,
      keeps: (address) => foreign.policy.keeps(address),
      hold: retries.held(nowMs),
      closed,
      unruled,
    }).filter(({ operation }) => !('set' in operation && broken.has(operation.set.name)));
    tally.planMicros += request.nowMicros() - startMicros;
    const outcome = writer.write(changes, { nowMs, tally, suspected });
    for (const object of outcome.refused) refused.add(object);
    if (outcome.unknownSchedulers.size > 0) {
      const projected = request.lackSchedulers(outcome.unknownSchedulers);
      if (scope !== 'all') mergeDirty(scope, projected);
    }
    this.#suspects.push(...outcome.suspects);
    // What surprised may be gone with all that belonged to it.
    for (const suspect of outcome.suspects) this.#widen(scope, suspect);
    return outcome.complete;
  }

  #readSuspects(scope: DirtyObjects | 'all', request: PassRequest): boolean {
    if (this.#suspects.length === 0) return true;
    const { session, families, applied, foreign, retries } = this.#parts;
    try {
      const services = readBack(session, this.#suspects, families, applied);
      for (const [id, node] of services) foreign.sort(id, node, applied);
    } catch (error) {
      const failure = retries.failed(kernelObject, { kind: 'static' }, 'read', toErrorRecord(error), request.nowMs);
      request.tally.failures.push(failure);
      return false;
    }
    for (const suspect of this.#suspects) this.#widen(scope, suspect);
    this.#suspects = [];
    retries.cleared(kernelObject);
    return true;
  }

  #widen(scope: DirtyObjects | 'all', where: ObjectScope): DirtyObjects | 'all' {
    if (scope !== 'all') markWithDependents(scope, where, this.#parts.planner, this.#parts.applied);
    return scope;
  }

  #widenByService(scope: DirtyObjects | 'all', id: ServiceId): void {
    const node = this.#parts.applied.services.get(id);
    if (node !== undefined) this.#widen(scope, scopeOfKey(node.service.key));
  }

  #setRef(name: SetName): SetRef {
    const ref = this.#refs.get(name);
    if (ref === undefined) throw new RangeError(`${name} is not a set of ours`);
    return ref;
  }
}

/** Collects what is to be compared at the next pass. */
export class DirtyQueue {
  readonly #planner: Planner;
  readonly #applied: KernelState;
  #all = false;
  #dirty = noDirtyObjects();

  constructor(planner: Planner, applied: KernelState) {
    this.#planner = planner;
    this.#applied = applied;
  }

  get isEmpty(): boolean {
    return !this.#all && isClean(this.#dirty);
  }

  /** What waits to be compared; not to be changed. */
  get waiting(): DirtyObjects | 'all' {
    return this.#all ? 'all' : this.#dirty;
  }

  add(more: DirtyObjects | 'all'): void {
    if (more === 'all') this.#all = true;
    else mergeDirty(this.#dirty, more);
  }

  /** An object that could not be written, and what waited for it. */
  addWithDependents(scope: ObjectScope): void {
    markWithDependents(this.#dirty, scope, this.#planner, this.#applied);
  }

  /** Wanted virtual services that waited for something, with all that waited with them. */
  addReleased(services: readonly ServiceId[]): void {
    for (const id of services) {
      const key = this.#planner.desired.services.get(id)?.service.key;
      if (key !== undefined) this.addWithDependents(scopeOfKey(key));
    }
  }

  take(): DirtyObjects | 'all' {
    const taken = this.#all ? 'all' : this.#dirty;
    this.#all = false;
    this.#dirty = noDirtyObjects();
    return taken;
  }
}
