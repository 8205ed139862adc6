/**
 * Tracked UDP connections that lead to endpoints that are gone (behaviour.md 2.8): a client that keeps its source port would be sent there for
 * as long as it talks. A lane of its own beside the passes: a cleaning reads the kernel's list in slices, a few at each tick, so that
 * changes go on in between; there is one at a time, what changes meanwhile is for the next one, and that begins a second later. It holds a
 * slice, and the names of the virtual services that changed.
 *
 * Removed is a connection whose original destination is a virtual service of ours that changed, and whose answers come from no endpoint that
 * serves now; of a virtual service that is gone, every connection that was translated. Those of a virtual service without any serving
 * endpoint stay, and those that direct routing or a tunnel leaves untranslated. TCP and SCTP, other addresses and other conntrack zones are nobody's business here.
 */
import { familyOf, parseAddress } from '../address.ts';
import { ProxierError } from '../errors.ts';
import { ConnectionRemoval } from '../kernel/remove-connections.ts';
import type { Cursor, KernelSession } from '../kernel/session.ts';
import type { DirtyObjects } from '../plan/dirty.ts';
import {
  type DestinationId,
  destinationId,
  type KernelState,
  type ServiceId,
  type ServiceNode,
  serviceId,
} from '../plan/state.ts';
import type { WantedState } from '../plan/wanted.ts';
import type { Connection, ConnectionFilter, IpAddress } from '../types.ts';
import type { UdpCleaning } from './protocol.ts';

/** From the end of a cleaning to the next. */
const intervalMs = 1000;
/** Of one tick. A slice is some hundred connections: together about a millisecond. */
const slicesAtOnce = 2;
/** Cleanings in a row that may fail before what they were to clean is given up. */
const maxAttempts = 5;

/** What virtual services are looked at against. */
export interface ConntrackView {
  readonly desired: WantedState;
  readonly applied: KernelState;
  /** Virtual services of others. */
  readonly untouchable: ReadonlySet<ServiceId>;
}

interface Cleaning {
  readonly services: ReadonlySet<ServiceId>;
  /** What is still to be listed. */
  readonly filters: ConnectionFilter[];
  readonly removal: ConnectionRemoval;
  cursor: Cursor<Connection> | undefined;
}

export class ConntrackLane {
  readonly #view: ConntrackView;
  /** Changed, as far as is known without the kernel; with the destinations that did, where the rest is as it was. */
  readonly #noted = new Map<ServiceId, ReadonlySet<DestinationId> | 'all'>();
  /** Changed, and the kernel has the change: connections that are made now are right. */
  readonly #pending = new Set<ServiceId>();
  #cleaning: Cleaning | undefined;
  #endedMs = Number.NEGATIVE_INFINITY;
  #attempts = 0;
  #trouble: string | undefined;

  constructor(view: ConntrackView) {
    this.#view = view;
  }

  /** Virtual services that may have changed. */
  note(services: Iterable<ServiceId>): void {
    for (const id of services) if (id.startsWith('udp ')) this.#noted.set(id, 'all');
  }

  noteChanges({ services, destinations }: DirtyObjects): void {
    this.note(services);
    for (const [id, names] of destinations) {
      const known = this.#noted.get(id);
      if (known === 'all' || !id.startsWith('udp ')) continue;
      this.#noted.set(id, known === undefined ? new Set(names) : new Set([...known, ...names]));
    }
  }

  /** After writes: which of the changes are in the kernel by now. */
  observe(): void {
    const { desired, applied, untouchable } = this.#view;
    for (const [id, names] of this.#noted) {
      const wanted = desired.services.get(id);
      const known = applied.services.get(id);
      const isOurs = !untouchable.has(id);
      const isWritten =
        wanted === undefined ? known === undefined : known !== undefined && isLeft(known, wanted, names);
      if (isOurs && !isWritten) continue;
      this.#noted.delete(id);
      if (isOurs) this.#pending.add(id);
    }
  }

  /** When {@link step} is to be called next; undefined = there is nothing to clean. */
  nextMs(nowMs: number): number | undefined {
    if (this.#cleaning !== undefined) return nowMs;
    return this.#pending.size === 0 ? undefined : Math.max(nowMs, this.#endedMs + intervalMs);
  }

  /** Goes on with the cleaning, or begins one. What it came to, once it has ended and has found something. */
  step(session: KernelSession, nowMs: number): UdpCleaning | undefined {
    this.#cleaning ??= this.#begin();
    const cleaning = this.#cleaning;
    try {
      for (let slices = 0; slices < slicesAtOnce; slices += 1) {
        cleaning.cursor ??= nextCursor(session, cleaning.filters);
        if (cleaning.cursor === undefined) return this.#end(cleaning, nowMs);
        const slice = cleaning.cursor.next();
        if (slice === undefined) cleaning.cursor = undefined;
        else remove(session, cleaning.removal, slice);
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof ProxierError)) throw error;
      this.#failed(cleaning, error, nowMs);
      return undefined;
    }
  }

  /** What stands in the way, by object. */
  warnings(): ReadonlyMap<string, string> {
    return new Map(this.#trouble === undefined ? [] : [['conntrack', this.#trouble]]);
  }

  #begin(): Cleaning {
    const { desired } = this.#view;
    const services = new Set<ServiceId>();
    for (const id of this.#pending) if (desired.services.get(id)?.port.serving?.size !== 0) services.add(id);
    this.#pending.clear();
    const removal = new ConnectionRemoval((connection) => this.#isStale(connection, services), {});
    return { services, filters: filtersFor(services), removal, cursor: undefined };
  }

  /** By what is wanted at this moment: an endpoint that came while the list was read is a live one. */
  #isStale({ original, reply, zone }: Connection, services: ReadonlySet<ServiceId>): boolean {
    if (original.protocol !== 'udp' || zone !== 0) return false;
    const { destination: address, destinationPort: port } = original;
    const id = serviceId({ protocol: 'udp', address, port });
    if (!services.has(id)) return false;
    const wanted = this.#view.desired.services.get(id);
    const isTranslated = reply.source !== address || reply.sourcePort !== port;
    if (wanted === undefined) return isTranslated;
    const { serving } = wanted.port;
    // Who forwards directly or by a tunnel translates nothing: which endpoint such a connection has is not in the list.
    if (!isTranslated && [...wanted.destinations.values()].some(({ forward }) => forward !== 'masquerade'))
      return false;
    if (serving === undefined || serving.size === 0) return false;
    return !serving.has(destinationId({ address: reply.source, port: reply.sourcePort }));
  }

  #end({ removal, services }: Cleaning, nowMs: number): UdpCleaning | undefined {
    this.#cleaning = undefined;
    this.#endedMs = nowMs;
    this.#attempts = 0;
    if (services.size > 0) this.#trouble = undefined;
    const { examined, removed, failed } = removal.result();
    return removed + failed === 0 ? undefined : { examined, removed, failed };
  }

  #failed({ cursor, services }: Cleaning, error: ProxierError, nowMs: number): void {
    cursor?.close();
    this.#cleaning = undefined;
    this.#endedMs = nowMs;
    this.#attempts += 1;
    const isHopeless = error.code === 'ERR_KERNEL_UNSUPPORTED' || error.code === 'ERR_PERMISSION';
    if (!isHopeless && this.#attempts < maxAttempts) {
      for (const id of services) this.#pending.add(id);
      return;
    }
    this.#attempts = 0;
    this.#trouble = `connections of UDP Services to endpoints that are gone are not removed, so that clients that keep their source port may wait for them to expire: ${error.message}`;
  }
}

/** None of these destinations is there that is not wanted. */
function isLeft(known: ServiceNode, wanted: ServiceNode, names: ReadonlySet<DestinationId> | 'all'): boolean {
  for (const name of names === 'all' ? known.destinations.keys() : names) {
    if (known.destinations.has(name) && !wanted.destinations.has(name)) return false;
  }
  return true;
}

function nextCursor(session: KernelSession, filters: ConnectionFilter[]): Cursor<Connection> | undefined {
  const filter = filters.shift();
  return filter === undefined ? undefined : session.connections(filter);
}

function remove(session: KernelSession, removal: ConnectionRemoval, slice: readonly Connection[]): void {
  const batch = removal.batch(slice);
  if (batch.size > 0) removal.count(batch, session.run(batch).failures);
}

/** One virtual service is asked for by its name; for more the table is walked once in each family. */
function filtersFor(services: ReadonlySet<ServiceId>): ConnectionFilter[] {
  const keys = [...services].map(destinationOf);
  const [first] = keys;
  if (keys.length === 1 && first !== undefined) {
    const { address, port } = first;
    const family = familyOf(address);
    return [{ family, protocol: 'udp', originalDestination: address, originalDestinationPort: port }];
  }
  const families = new Set(keys.map(({ address }) => familyOf(address)));
  return [...families].map((family) => ({ family, protocol: 'udp' }));
}

/** `udp 10.96.0.10:53`, `udp [fd00::10]:53` */
function destinationOf(service: ServiceId): { readonly address: IpAddress; readonly port: number } {
  const [, text = '', port = ''] = /^udp \[?([^\]]+)\]?:(\d+)$/.exec(service) ?? [];
  const address = parseAddress(text);
  if (address === undefined) throw new RangeError(`unreachable: ${service} is no virtual service of UDP`);
  return { address, port: Number(port) };
}
