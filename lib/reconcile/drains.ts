/** Everything that ends slowly: destinations, virtual services, and endpoints that somebody asked to drain. */
import type { KernelSession } from '../kernel/session.ts';
import { type DirtyObjects, noDirtyObjects, touchedServices } from '../plan/dirty.ts';
import type { Planner } from '../plan/planner.ts';
import type { DestinationId, KernelState, ServiceId } from '../plan/state.ts';
import type { AppliedState } from './applied.ts';
import { type Draining, DrainQueue } from './drain.ts';
import { EndpointDrains } from './endpoint-drains.ts';
import { type KeepOptions, LeftOvers } from './left-overs.ts';
import type { OwnershipPolicy } from './ownership-policy.ts';
import type { DataPlane } from './pass.ts';
import type { EndpointDrain, EndpointDrainState, ReconcileEvent, ReconcileInit } from './protocol.ts';
import type { Tally } from './tally.ts';
import type { Writer } from './writer.ts';

export interface CheckParts {
  readonly session: KernelSession;
  readonly writer: Writer;
  readonly plane: DataPlane;
}

export interface CheckOptions {
  readonly nowMs: number;
  readonly tally: Tally;
  readonly events: ReconcileEvent[];
}

export class Drains {
  readonly #planner: Planner;
  readonly #applied: AppliedState;
  readonly #timeoutMs: number;
  readonly #queue = new DrainQueue((...drain) => this.#deadlineOf(...drain));
  readonly #leftOvers: LeftOvers;
  readonly #endpoints = new EndpointDrains();
  /** The counts are to be read for those that are waited for though nothing drains: their writes are refused. */
  #retryMs: number | undefined;

  constructor(planner: Planner, applied: AppliedState, init: ReconcileInit, policy: OwnershipPolicy) {
    this.#planner = planner;
    this.#applied = applied;
    this.#timeoutMs = init.drainTimeoutMs;
    this.#leftOvers = new LeftOvers(planner, applied, { ...init, keeps: (address) => policy.keeps(address) });
  }

  /** Destinations that drain. */
  get size(): number {
    return this.#queue.size;
  }

  /** See {@link DrainQueue.get}. */
  get(service: ServiceId, destination: DestinationId): Draining | undefined {
    return this.#queue.get(service, destination);
  }

  /** See {@link DrainQueue.all}. */
  all(): IterableIterator<readonly [ServiceId, DestinationId]> {
    return this.#queue.all();
  }

  /** Since when a virtual service is kept for its connections, and until when at the latest; undefined = it is not. */
  kept(service: ServiceId): Pick<Draining, 'sinceMs' | 'untilMs'> | undefined {
    return this.#leftOvers.get(service);
  }

  /** When {@link check} is to be called next; undefined = nothing drains. */
  get nextMs(): number | undefined {
    const times = [this.#queue.nextMs, this.#leftOvers.nextMs, this.#retryMs].filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Endpoints that are to be taken out; the planner takes note. */
  replace(endpoints: readonly EndpointDrain[], nowMs: number): void {
    this.#endpoints.replace(endpoints, nowMs);
    this.#planner.exclude(this.#endpoints.held);
  }

  /** See {@link LeftOvers.preview}. */
  preview(applied: KernelState): KernelState {
    return this.#leftOvers.preview(applied);
  }

  /** Before a complete pass. `scope` grows by what is kept, and so must not be removed. */
  prepare(scope: DirtyObjects | 'all', options: KeepOptions): void {
    if (this.#endpoints.release(this.#planner.takeUnlisted())) this.#planner.exclude(this.#endpoints.held);
    this.#endpoints.begin(this.#applied, this.#planner.desired);
    this.#leftOvers.keep(scope, options);
  }

  /** After writes, with what was compared for them. What is to be compared because it is kept no longer. */
  observe(nowMs: number, scope: DirtyObjects | 'all'): readonly DirtyObjects[] {
    const released = this.#leftOvers.release(nowMs);
    this.#queue.observe(this.#applied, this.#planner.desired, nowMs, scope === 'all' ? 'all' : touchedServices(scope));
    this.#endpoints.observe(this.#applied, this.#planner.desired);
    this.#retryMs = this.#endpoints.isWaiting ? (this.#retryMs ?? nowMs + retryIntervalMs) : undefined;
    return released;
  }

  /** Reads the counts and deletes what is idle or overdue. What is to be compared after that, as with {@link observe}. */
  check({ session, writer, plane }: CheckParts, { nowMs, tally, events }: CheckOptions): readonly DirtyObjects[] {
    const ripe = this.#queue.check(session, this.#applied, nowMs);
    const { refused, suspects } = writer.write(
      ripe.map(({ change }) => change),
      { nowMs, tally, suspected: new Set(ripe.map(({ change }) => change.object)) },
    );
    plane.suspect(suspects);
    for (const { change, event } of ripe) {
      if (refused.has(change.object)) continue;
      events.push(event);
      this.#endpoints.note(event);
    }
    this.#endpoints.observe(this.#applied, this.#planner.desired);
    this.#endpoints.expire((...drain) => this.#deadlineOf(...drain), nowMs);
    this.#retryMs = undefined;
    return this.observe(nowMs, noDirtyObjects());
  }

  /** Endpoint drains that have come on since the last call. */
  takeChanges(): readonly EndpointDrainState[] {
    return this.#endpoints.takeChanges();
  }

  #deadlineOf(service: ServiceId, destination: DestinationId, sinceMs: number): number {
    const known = this.#applied.services.get(service)?.destinations.get(destination);
    const asked = known === undefined ? undefined : this.#endpoints.deadlineOf(known);
    return asked ?? sinceMs + (this.#planner.drainTimeoutOf(service) ?? this.#timeoutMs);
  }
}

const retryIntervalMs = 1000;
