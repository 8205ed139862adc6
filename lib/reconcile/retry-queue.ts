/** Objects whose write failed: each waits on its own, 100 ms doubling to 60 s, until it succeeds or is asked to be something else. */
import type { ErrorRecord } from '../errors.ts';
import { type DirtyObjects, touchedServices } from '../plan/dirty.ts';
import type { ObjectId } from '../plan/object-id.ts';
import type { ServiceId } from '../plan/state.ts';
import type { ObjectScope } from './object-scope.ts';
import type { SyncFailure } from './protocol.ts';

const firstDelayMs = 100;
const lastDelayMs = 60_000;
/** A delay is shortened by up to this part, so that what failed together is not retried together for ever. */
const jitter = 0.25;

/** An object that waits for its next try. */
export interface Retry {
  readonly scope: ObjectScope;
  readonly attempts: number;
  readonly dueMs: number;
  /** Of the first of these attempts. */
  readonly sinceMs: number;
  /** Of the last one. */
  readonly operation: string;
  readonly error: ErrorRecord;
}

export class RetryQueue {
  readonly #random: () => number;
  readonly #retries = new Map<ObjectId, Retry>();
  readonly #byScope = new Map<string, Set<ObjectId>>();

  /** @param random 0 (included) to 1 (excluded), as `Math.random`. */
  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#retries.size;
  }

  /** When the next object is due; undefined = nothing waits. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs } of this.#retries.values()) next = next === undefined ? dueMs : Math.min(next, dueMs);
    return next;
  }

  /** Undefined = it does not wait. */
  get(object: ObjectId): Retry | undefined {
    return this.#retries.get(object);
  }

  /** What waits of a virtual service: itself, its destinations. */
  ofService(service: ServiceId): Iterable<ObjectId> {
    return this.#byScope.get(`service ${service}`) ?? [];
  }

  entries(): IterableIterator<[ObjectId, Retry]> {
    return this.#retries.entries();
  }

  /** When this object is due; undefined = it does not wait. */
  dueMs(object: ObjectId): number | undefined {
    return this.#retries.get(object)?.dueMs;
  }

  /** Notes one more failure of the object. */
  failed(object: ObjectId, scope: ObjectScope, operation: string, error: ErrorRecord, nowMs: number): SyncFailure {
    const before = this.#retries.get(object);
    const attempts = (before?.attempts ?? 0) + 1;
    const fullMs = Math.min(lastDelayMs, firstDelayMs * 2 ** Math.min(attempts - 1, 16));
    const retryInMs = Math.round(fullMs * (1 - jitter * this.#random()));
    const sinceMs = before?.sinceMs ?? nowMs;
    this.#retries.set(object, { scope, attempts, dueMs: nowMs + retryInMs, sinceMs, operation, error });
    const group = this.#byScope.get(scopeKey(scope)) ?? new Set<ObjectId>();
    this.#byScope.set(scopeKey(scope), group.add(object));
    return { object, operation, error, attempts, retryInMs };
  }

  cleared(object: ObjectId): void {
    const retry = this.#retries.get(object);
    if (retry === undefined) return;
    this.#retries.delete(object);
    const group = this.#byScope.get(scopeKey(retry.scope));
    group?.delete(object);
    if (group?.size === 0) this.#byScope.delete(scopeKey(retry.scope));
  }

  /** What was asked of these objects has changed: their failures are history. Returns where those were. */
  forget(dirty: DirtyObjects): ObjectScope[] {
    if (this.#retries.size === 0) return [];
    return [...scopeKeysOf(dirty)].flatMap((key) => this.#forgetScope(key));
  }

  /** Makes everything due now. */
  hurry(): void {
    for (const [object, retry] of this.#retries)
      this.#retries.set(object, { ...retry, dueMs: Number.NEGATIVE_INFINITY });
  }

  /** The objects whose time has come. They stay in the queue until they succeed. */
  due(nowMs: number): { readonly object: ObjectId; readonly scope: ObjectScope }[] {
    const due: { object: ObjectId; scope: ObjectScope }[] = [];
    for (const [object, { dueMs, scope }] of this.#retries) if (dueMs <= nowMs) due.push({ object, scope });
    return due;
  }

  /** Objects that are to be left alone for now. */
  held(nowMs: number): ReadonlySet<ObjectId> {
    const held = new Set<ObjectId>();
    for (const [object, { dueMs }] of this.#retries) if (dueMs > nowMs) held.add(object);
    return held;
  }

  #forgetScope(key: string): ObjectScope[] {
    const scopes: ObjectScope[] = [];
    for (const object of this.#byScope.get(key) ?? []) {
      const retry = this.#retries.get(object);
      if (retry !== undefined) scopes.push(retry.scope);
      this.#retries.delete(object);
    }
    this.#byScope.delete(key);
    return scopes;
  }
}

/** One text for each place that can be dirty. */
export function scopeKey(scope: ObjectScope): string {
  switch (scope.kind) {
    case 'service':
      return `service ${scope.service}`;
    case 'entry':
      return `entry ${scope.set} ${scope.entry}`;
    case 'address':
      return `address ${scope.address}`;
    case 'static':
      return 'static';
  }
}

export function* scopeKeysOf(dirty: DirtyObjects): Generator<string> {
  const { addresses, entries } = dirty;
  for (const service of touchedServices(dirty)) yield `service ${service}`;
  for (const address of addresses) yield `address ${address}`;
  for (const [set, members] of entries) for (const entry of members) yield `entry ${set} ${entry}`;
}
