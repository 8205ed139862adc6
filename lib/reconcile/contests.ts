/**
 * Objects of ours that somebody else keeps writing. Found wrong three times, one is contested: told with its history, and left as the other has
 * made it for a minute, then, each time it is found wrong again, for twice as long, so that two who want different things do not take turns
 * for ever. It ends when something else is wanted of the object, or when it has stayed right.
 *
 * What is missing is told in the same way, and put back each time all the same: nobody has another wish for it, a table that was flushed three times
 * is no quarrel over each of its objects, and to wait would leave Services dead.
 */
import type { DirtyObjects } from '../plan/dirty.ts';
import { type ObjectId, serviceObject } from '../plan/object-id.ts';
import { sameDestination, sameService } from '../plan/same.ts';
import type { KernelState, ServiceNode } from '../plan/state.ts';
import type { Destination } from '../types.ts';
import type { Drift } from './drift.ts';
import type { ObjectScope } from './object-scope.ts';
import type { ContestFinding, ReconcileEvent, SyncFailure } from './protocol.ts';
import { scopeKey, scopeKeysOf } from './retry-queue.ts';

/** Found wrong so often, it is no accident. */
const patience = 3;
const firstDelayMs = 60_000;
const lastDelayMs = 1_800_000;
/** What stays right for so long, or for as long as it was last left alone, is nobody's quarrel any more. */
const calmMs = 600_000;
const maxHistory = 10;

/** What is wanted of one object: undefined = nothing. */
type Wish = ServiceNode['service'] | Destination | true | undefined;

/** An object that was found wrong too often. */
export interface Contest {
  readonly scope: ObjectScope;
  /** The last ones, oldest first. */
  readonly findings: readonly { readonly atMs: number; readonly found: string }[];
  /** How often it was found wrong. */
  readonly count: number;
  /** Left alone until then; undefined: it is not. */
  readonly heldUntilMs: number | undefined;
}

interface Story extends Contest {
  readonly wish: Wish;
  readonly findings: { readonly atMs: number; readonly found: string }[];
  count: number;
  delayMs: number;
  heldUntilMs: number | undefined;
  forgetMs: number;
}

export interface Finding {
  readonly nowMs: number;
  /** By a full pass that somebody asked for: it is mended all the same. */
  readonly isAsked: boolean;
  readonly desired: KernelState;
}

export class Contests {
  readonly #stories = new Map<ObjectId, Story>();
  readonly #byScope = new Map<string, Set<ObjectId>>();
  readonly #held = new Set<ObjectId>();
  /** Undefined: to be computed. */
  #nextMs: number | undefined;

  /** How many objects are left alone now. */
  get size(): number {
    return this.#held.size;
  }

  /** When the next of them is to be tried again; undefined = there is none. */
  get nextMs(): number | undefined {
    if (this.#held.size === 0) return undefined;
    this.#nextMs ??= Math.min(...this.#heldTimes());
    return this.#nextMs;
  }

  /** Objects that are to be left alone for now. */
  get held(): ReadonlySet<ObjectId> {
    return this.#held;
  }

  /** The quarrel over an object; undefined = there is none, or it is none yet. */
  get(object: ObjectId): Contest | undefined {
    const story = this.#stories.get(object);
    return story !== undefined && story.count >= patience ? story : undefined;
  }

  /** Notes that an object was found wrong. What is to be said when it is contested. */
  found(
    { object, scope, kind, found }: Drift,
    { nowMs, isAsked, desired }: Finding,
  ): { readonly event?: ReconcileEvent; readonly failure?: SyncFailure } | undefined {
    if (kind === 'missing') this.#letGo(object, scope);
    const story = this.#storyOf(object, scope, wishOf(object, scope, desired));
    story.findings.push({ atMs: nowMs, found });
    if (story.findings.length > maxHistory) story.findings.shift();
    story.count += 1;
    story.forgetMs = nowMs + calmMs;
    if (story.count < patience) return undefined;
    const message = `${object} was found wrong ${story.count} times: somebody else writes it, too`;
    if (kind === 'missing') {
      const told = `${message}. It is put back each time; find out who removes it`;
      return { event: this.#event(object, story, nowMs, told) };
    }
    const isNew = story.count === patience;
    if (isAsked) return isNew ? { event: this.#event(object, story, nowMs, message) } : undefined;
    story.delayMs = story.delayMs === 0 ? firstDelayMs : Math.min(lastDelayMs, 2 * story.delayMs);
    story.heldUntilMs = nowMs + story.delayMs;
    story.forgetMs = story.heldUntilMs + Math.max(calmMs, story.delayMs);
    this.#held.add(object);
    this.#nextMs = undefined;
    const told = `${message}. It is left as it is for ${story.delayMs / 1000} s; find out who does that, and stop one of the two`;
    return {
      event: this.#event(object, story, nowMs, told),
      failure: {
        object,
        operation: 'mend',
        error: { code: 'ERR_NETLINK', message: told },
        attempts: story.count,
        retryInMs: story.delayMs,
      },
    };
  }

  /** Those that have been left alone for long enough, from now on to be compared. */
  release(nowMs: number): ObjectScope[] {
    const scopes: ObjectScope[] = [];
    this.#nextMs = undefined;
    for (const object of this.#held) {
      const story = this.#stories.get(object);
      if (story?.heldUntilMs === undefined || story.heldUntilMs > nowMs) continue;
      this.#held.delete(object);
      story.heldUntilMs = undefined;
      scopes.push(story.scope);
    }
    return scopes;
  }

  /** Leaves nothing alone any more. */
  hurry(): ObjectScope[] {
    return this.release(Number.POSITIVE_INFINITY);
  }

  /** Something else may be wanted of these: where it is, the quarrel is over. Returns what is to be compared. */
  forget(dirty: DirtyObjects, desired: KernelState): ObjectScope[] {
    const scopes: ObjectScope[] = [];
    if (this.#stories.size === 0) return scopes;
    for (const key of scopeKeysOf(dirty)) {
      for (const object of this.#byScope.get(key) ?? []) {
        const story = this.#stories.get(object);
        if (story === undefined || sameWish(story.wish, wishOf(object, story.scope, desired))) continue;
        if (this.#held.has(object)) scopes.push(story.scope);
        this.#drop(object, story);
      }
    }
    return scopes;
  }

  /** Forgets what has stayed right. */
  forgetOld(nowMs: number): void {
    for (const [object, story] of this.#stories) if (story.forgetMs <= nowMs) this.#drop(object, story);
  }

  *#heldTimes(): Generator<number> {
    for (const object of this.#held) yield this.#stories.get(object)?.heldUntilMs ?? Number.POSITIVE_INFINITY;
  }

  #storyOf(object: ObjectId, scope: ObjectScope, wish: Wish): Story {
    const known = this.#stories.get(object);
    if (known !== undefined) return known;
    const story: Story = { scope, wish, findings: [], count: 0, delayMs: 0, heldUntilMs: undefined, forgetMs: 0 };
    this.#stories.set(object, story);
    const key = scopeKey(scope);
    this.#byScope.set(key, (this.#byScope.get(key) ?? new Set<ObjectId>()).add(object));
    return story;
  }

  /** What is missing is put back at once, a virtual service with all its destinations. */
  #letGo(object: ObjectId, scope: ObjectScope): void {
    const isService = scope.kind === 'service' && object === serviceObject(scope.service);
    for (const held of isService ? (this.#byScope.get(scopeKey(scope)) ?? []) : [object]) {
      const story = this.#stories.get(held);
      if (story === undefined || !this.#held.delete(held)) continue;
      story.heldUntilMs = undefined;
      this.#nextMs = undefined;
    }
  }

  #drop(object: ObjectId, { scope }: Story): void {
    this.#stories.delete(object);
    if (this.#held.delete(object)) this.#nextMs = undefined;
    const group = this.#byScope.get(scopeKey(scope));
    group?.delete(object);
    if (group?.size === 0) this.#byScope.delete(scopeKey(scope));
  }

  #event(object: ObjectId, { scope, findings }: Story, nowMs: number, message: string): ReconcileEvent {
    const history = findings.map(({ atMs, found }): ContestFinding => ({ agoMs: nowMs - atMs, found }));
    const service = scope.kind === 'service' ? scope.service : object;
    return { kind: 'contested', service, object, message, history };
  }
}

function wishOf(object: ObjectId, scope: ObjectScope, desired: KernelState): Wish {
  switch (scope.kind) {
    case 'service': {
      const wanted = desired.services.get(scope.service);
      return object.startsWith('service ')
        ? wanted?.service
        : wanted?.destinations.get(object.slice(object.lastIndexOf(' ') + 1));
    }
    case 'entry':
      return desired.sets.get(scope.set)?.has(scope.entry) === true || undefined;
    case 'address':
      return desired[object.startsWith('route ') ? 'routes' : 'addresses'].has(scope.address) || undefined;
    case 'static':
      return undefined;
  }
}

function sameWish(a: Wish, b: Wish): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return a === b;
  if ('key' in a) return 'key' in b && sameService(a, b);
  return !('key' in b) && sameDestination(a, b);
}
