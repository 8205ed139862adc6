/**
 * Endpoints that somebody asked to drain although the records list them (`handle.drain`): which destinations each of them had, and what
 * became of those. The planner keeps the endpoints out; their destinations drain as all others do.
 */
import type { EndpointRef } from '../model/exclusions.ts';
import type { DestinationId, KernelState, ServiceId } from '../plan/state.ts';
import type { DestinationKey } from '../types.ts';
import type { DrainedEvent } from './drain.ts';
import type { EndpointDrain, EndpointDrainState } from './protocol.ts';

interface Watched {
  readonly endpoint: EndpointDrain;
  readonly sinceMs: number;
  held: boolean;
  /** Its destinations have been looked for. */
  begun: boolean;
  /** Of `service destination`, each with what is known of its end. */
  readonly open: Map<string, { readonly service: ServiceId; readonly destination: DestinationId }>;
  destinations: number;
  idle: number;
  overdue: number;
  atOnce: number;
  /** As last told. */
  told: string;
}

export class EndpointDrains {
  readonly #watched = new Map<number, Watched>();
  /** Why destinations were deleted, until the next look. */
  readonly #reasons = new Map<string, DrainedEvent['reason']>();

  /** Those that are to be kept out. */
  get held(): EndpointRef[] {
    return [...this.#watched.values()].flatMap(({ held, endpoint }) => (held ? [endpoint] : []));
  }

  /** Puts these in the place of what was asked for before. One that is known goes on as it was. */
  replace(endpoints: readonly EndpointDrain[], nowMs: number): void {
    const ids = new Set(endpoints.map(({ id }) => id));
    for (const id of this.#watched.keys()) if (!ids.has(id)) this.#watched.delete(id);
    for (const endpoint of endpoints) {
      if (this.#watched.has(endpoint.id)) continue;
      const counts = { destinations: 0, idle: 0, overdue: 0, atOnce: 0 };
      const { held } = endpoint;
      this.#watched.set(endpoint.id, {
        endpoint,
        sinceMs: nowMs,
        held,
        begun: false,
        open: new Map(),
        ...counts,
        told: '',
      });
    }
  }

  /** The records do not list these (any more). True when one was held. */
  release(unlisted: readonly EndpointRef[]): boolean {
    let any = false;
    for (const watched of this.#watched.values()) {
      const { address, port } = watched.endpoint;
      if (!watched.held || !unlisted.some((ref) => ref.address === address && ref.port === port)) continue;
      watched.held = false;
      any = true;
    }
    return any;
  }

  /** Before a pass: looks, once for each, for the destinations that it is to lose. */
  begin(applied: KernelState, desired: KernelState): void {
    const fresh = [...this.#watched.values()].filter(({ begun }) => !begun);
    if (fresh.length === 0) return;
    for (const [service, { destinations }] of applied.services) {
      for (const [destination, known] of destinations) {
        if (desired.services.get(service)?.destinations.has(destination)) continue;
        for (const { endpoint, open } of fresh) {
          if (matches(endpoint, known)) open.set(`${service} ${destination}`, { service, destination });
        }
      }
    }
    for (const watched of fresh) {
      watched.begun = true;
      watched.destinations = watched.open.size;
    }
  }

  /**
   * What those who asked have set in the place of the Services' time-outs, counted from when they asked; the earliest of several. One that the
   * records do not list any more, and that is over, says nothing: the address may be another pod's.
   */
  deadlineOf(destination: DestinationKey): number | undefined {
    let deadlineMs: number | undefined;
    for (const { endpoint, sinceMs, held, begun, open } of this.#watched.values()) {
      if (endpoint.timeoutMs === undefined || !matches(endpoint, destination)) continue;
      if (!held && begun && open.size === 0) continue;
      deadlineMs = Math.min(deadlineMs ?? Number.POSITIVE_INFINITY, sinceMs + endpoint.timeoutMs);
    }
    return deadlineMs;
  }

  /** Why a destination was deleted. */
  note({ service, destination, reason }: DrainedEvent): void {
    if (this.#watched.size > 0) this.#reasons.set(`${service} ${destination}`, reason);
  }

  /** After writes: counts the destinations that are gone, and forgets those that are wanted again. */
  observe(applied: KernelState, desired: KernelState): void {
    for (const watched of this.#watched.values()) {
      for (const [key, { service, destination }] of watched.open) {
        const isWanted = desired.services.get(service)?.destinations.has(destination);
        if (!isWanted && applied.services.get(service)?.destinations.has(destination)) continue;
        watched.open.delete(key);
        if (isWanted) watched.destinations -= 1;
        else count(watched, this.#reasons.get(key));
      }
    }
    this.#reasons.clear();
  }

  /** After the counts were read: what should be gone by now and could not be deleted is not waited for. */
  expire(deadlineOf: (service: ServiceId, destination: DestinationId, sinceMs: number) => number, nowMs: number): void {
    for (const watched of this.#watched.values()) {
      for (const [key, { service, destination }] of watched.open) {
        if (nowMs < deadlineOf(service, destination, watched.sinceMs)) continue;
        watched.open.delete(key);
        watched.overdue += 1;
      }
    }
  }

  /** Some destination is waited for. */
  get isWaiting(): boolean {
    for (const { open } of this.#watched.values()) if (open.size > 0) return true;
    return false;
  }

  /** Those whose state is another than at the last call. */
  takeChanges(): EndpointDrainState[] {
    const changes: EndpointDrainState[] = [];
    for (const watched of this.#watched.values()) {
      const { begun, endpoint, held, destinations, idle, overdue, atOnce, open } = watched;
      const text = `${held} ${destinations} ${idle} ${overdue} ${atOnce} ${open.size}`;
      if (!begun || text === watched.told) continue;
      watched.told = text;
      changes.push({ id: endpoint.id, held, destinations, idle, overdue, atOnce, open: open.size });
    }
    return changes;
  }
}

function count(watched: Watched, reason: DrainedEvent['reason'] | undefined): void {
  if (reason === 'idle') watched.idle += 1;
  else if (reason === 'deadline') watched.overdue += 1;
  else watched.atOnce += 1;
}

function matches({ address, port }: EndpointRef, destination: DestinationKey): boolean {
  return address === destination.address && (port === undefined || port === destination.port);
}
