/**
 * TCP destinations that are no longer wanted: they have weight 0 and keep their connections until those end, or until their time is
 * up. What drains is not remembered anywhere but in the kernel: weight 0 and not wanted, so a restart goes on where it was, with a
 * new deadline.
 */
import { type KernelSession, readAll } from '../kernel/session.ts';
import type { Change } from '../plan/change.ts';
import { destinationObject } from '../plan/object-id.ts';
import { type DestinationId, destinationId, type KernelState, type ServiceId } from '../plan/state.ts';
import type { AppliedState } from './applied.ts';
import type { ReconcileEvent } from './protocol.ts';

/** Connection counts are read this often while something drains. */
const intervalMs = 1000;
/** Virtual services read by one check: together some milliseconds. When more drain, other requests are let through in between. */
const servicesAtOnce = 128;

export type DrainedEvent = Extract<ReconcileEvent, { kind: 'drained' }>;

/** When the time is up of this destination of this virtual service, which has drained since then, as things are now. */
export type DrainDeadline = (service: ServiceId, destination: DestinationId, sinceMs: number) => number;

/** A destination that drains. */
export interface Draining {
  readonly service: ServiceId;
  readonly destination: DestinationId;
  readonly sinceMs: number;
  /** It is deleted then though it has connections. */
  readonly untilMs: number;
}

export class DrainQueue {
  readonly #deadlineOf: DrainDeadline;
  /** Since when. The deadline follows from it, so that a time-out that changes counts for what drains already. */
  readonly #since = new Map<ServiceId, Map<DestinationId, number>>();
  #size = 0;
  #nextMs: number | undefined;
  /** When all had been read the last time. */
  #checkedMs = Number.NEGATIVE_INFINITY;
  /** Those that are still to be read this time. */
  #left: ServiceId[] = [];

  /** @param deadlineOf From then on a destination is deleted even if connections remain. */
  constructor(deadlineOf: DrainDeadline) {
    this.#deadlineOf = deadlineOf;
  }

  get size(): number {
    return this.#size;
  }

  /** When the counts are to be read next; undefined = nothing drains. */
  get nextMs(): number | undefined {
    return this.#nextMs;
  }

  /** Undefined = it does not drain. */
  get(service: ServiceId, destination: DestinationId): Draining | undefined {
    const sinceMs = this.#since.get(service)?.get(destination);
    if (sinceMs === undefined) return undefined;
    return { service, destination, sinceMs, untilMs: this.#deadlineOf(service, destination, sinceMs) };
  }

  /** All that drain, by virtual service. */
  *all(): IterableIterator<readonly [ServiceId, DestinationId]> {
    for (const [service, since] of this.#since) for (const destination of since.keys()) yield [service, destination];
  }

  /**
   * Notes what drains now and forgets what does no longer. Looks at what was compared and at what drains already, for weight 0 may be what is
   * wanted of very many destinations.
   *
   * @param compared Virtual services that may have come to drain since the last call.
   */
  observe(applied: AppliedState, desired: KernelState, nowMs: number, compared: Iterable<ServiceId> | 'all'): void {
    this.#size = 0;
    for (const [service, since] of this.#since) {
      for (const destination of since.keys()) {
        if (!drains(service, destination, applied, desired)) since.delete(destination);
      }
      if (since.size === 0) this.#since.delete(service);
    }
    let nextMs = this.#nextMs ?? nowMs + intervalMs;
    const suspects = compared === 'all' ? applied.weightless.keys() : new Set([...this.#since.keys(), ...compared]);
    for (const service of suspects) {
      for (const destination of applied.weightlessOf(service)) {
        if (!drains(service, destination, applied, desired)) continue;
        const since = this.#since.get(service) ?? new Map<DestinationId, number>();
        this.#since.set(service, since);
        const sinceMs = since.get(destination) ?? nowMs;
        since.set(destination, sinceMs);
        this.#size += 1;
        const deadlineMs = this.#deadlineOf(service, destination, sinceMs);
        // One that was due at the last check, and is still there, was refused and has its turn with the next.
        if (deadlineMs > this.#checkedMs) nextMs = Math.min(nextMs, deadlineMs);
      }
    }
    this.#nextMs = this.#size === 0 ? undefined : nextMs;
  }

  /**
   * Reads the connection counts of the services concerned, once each, and returns what can be deleted with the event to send for
   * it. With many of them it takes several calls, and the next is due at once. A service that cannot be read waits for the next time.
   */
  check(session: KernelSession, applied: AppliedState, nowMs: number): { change: Change; event: DrainedEvent }[] {
    if (this.#left.length === 0) this.#left = [...this.#since.keys()];
    const services = this.#left.splice(0, servicesAtOnce);
    const isOver = this.#left.length === 0;
    this.#nextMs = isOver ? nowMs + intervalMs : nowMs;
    if (isOver) this.#checkedMs = nowMs;
    const ripe: { change: Change; event: DrainedEvent }[] = [];
    for (const service of services) {
      const sinces = this.#since.get(service);
      const key = applied.services.get(service)?.service.key;
      if (sinces === undefined || key === undefined) continue;
      const connections = new Map<DestinationId, number>();
      try {
        for (const state of readAll(session.destinations(key))) {
          connections.set(destinationId(state), state.activeConnections + state.inactiveConnections);
        }
      } catch {
        continue;
      }
      for (const [destination, sinceMs] of sinces) {
        const known = applied.services.get(service)?.destinations.get(destination);
        const count = connections.get(destination);
        if (count === undefined) applied.forgetDestination(service, destination);
        if (known === undefined || count === undefined) continue;
        if (count > 0 && nowMs < this.#deadlineOf(service, destination, sinceMs)) continue;
        const { address, port } = known;
        ripe.push({
          change: {
            object: destinationObject(service, destination),
            operation: { verb: 'remove-destination', key, destination: { address, port } },
          },
          event: { kind: 'drained', service, destination, reason: count === 0 ? 'idle' : 'deadline' },
        });
      }
    }
    return ripe;
  }
}

/** Weight 0, TCP, and the service is wanted but not with this destination. */
function drains(service: ServiceId, destination: DestinationId, applied: AppliedState, desired: KernelState): boolean {
  const node = applied.services.get(service);
  if (node?.service.key.protocol !== 'tcp' || node.destinations.get(destination)?.weight !== 0) return false;
  const wanted = desired.services.get(service);
  return wanted !== undefined && !wanted.destinations.has(destination);
}
