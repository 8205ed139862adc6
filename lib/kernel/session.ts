/**
 * A kernel session: the synchronous face of netlink, implemented by the addon (`linux-session.ts`) and by the fake kernel of
 * `testing`. It blocks its thread for the time the kernel takes (microseconds an operation), so servers use it on a worker.
 */
import type { NetlinkErrorDetails } from '../errors.ts';
import type {
  ChangeEvent,
  ChangeGroup,
  Connection,
  ConnectionFilter,
  DestinationState,
  IpvsInfo,
  IpvsReadOptions,
  IpvsTableOptions,
  IpvsTimeouts,
  LinkAddressState,
  LinkState,
  LocalRouteFilter,
  LocalRouteState,
  ServiceKey,
  ServiceState,
  SetEntry,
  SetRef,
  SetState,
  VirtualServiceWithDestinations,
} from '../types.ts';
import type { Batch } from './batch.ts';
import type { RemoveConnectionsOptions, RemovedConnections } from './remove-connections.ts';

export interface OperationFailure {
  /** Position in the batch. */
  readonly index: number;
  /** The operation in the notation people know, e.g. `ipvsadm -a -t 10.96.0.10:80 -r …`. */
  readonly operation: string;
  /** `failed`: the kernel said no. `unknown`: no answer was seen; read back before believing either way. */
  readonly outcome: 'failed' | 'unknown';
  readonly error: NetlinkErrorDetails;
}

/** A set that an addition found full, and that was made larger: a larger one was filled and swapped in, under the same name and rules. */
export interface GrownSet {
  readonly name: string;
  /** `maxElements` before and after. */
  readonly from: number;
  readonly to: number;
}

export interface BatchOptions {
  /** Make a hash set larger that an addition finds full, and repeat the addition. Default true. */
  readonly growSets?: boolean;
}

export interface BatchResult {
  /** Operations the kernel carried out (or found already so, for the idempotent verbs). */
  readonly applied: number;
  /** In rising order of index. Everything not listed was applied. */
  readonly failures: readonly OperationFailure[];
  /** Netlink messages sent, and send+receive rounds made. */
  readonly messages: number;
  readonly roundTrips: number;
  /** Time inside the addon, first send to last answer, in microseconds. */
  readonly kernelMicros: number;
  /** Sets that grew; absent = none. */
  readonly grownSets?: readonly GrownSet[];
}

/** A dump in progress. A slice is what one receive brought; undefined = the end. Closing early is allowed, closing twice harmless. */
export interface Cursor<T> {
  next(): readonly T[] | undefined;
  close(): void;
}

/** A subscription to what changes. Nothing waits in it: `drain` gives what has come since the last time. */
export interface Monitor {
  /** In the kernel's order; empty when nothing changed. A `lost` event: the socket overflowed, list again. */
  drain(): readonly ChangeEvent[];
  /** Closing twice is harmless. */
  close(): void;
}

/** Reads everything a cursor has left, and closes it. */
export function readAll<T>(cursor: Cursor<T>): T[] {
  const all: T[] = [];
  try {
    for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) all.push(...slice);
  } finally {
    cursor.close();
  }
  return all;
}

export interface ListOptions {
  /**
   * False (default): the list is read to its end before the first slice is given, and again when it changed meanwhile. True: one receive at a
   * time, and EINTR from `next` where the kernel says that it changed meanwhile.
   */
  readonly inSlices?: boolean;
}

/** All methods throw `NetlinkError` for a failure of the call as a whole, `ProxierError` ERR_CLOSED after `close`. */
export interface KernelSession {
  /** Applies the operations in order, each with its own outcome; a failing one does not stop the others. */
  run(batch: Batch, options?: BatchOptions): BatchResult;
  /** A dump goes on by number of service: one that comes or goes meanwhile may make it repeat or skip another. */
  services(options?: IpvsReadOptions): Cursor<ServiceState>;
  /** Undefined when there is no such service. */
  service(service: ServiceKey, options?: IpvsReadOptions): ServiceState | undefined;
  /** Empty for a service that does not exist: the kernel does not tell the difference. May repeat or skip as `services` does. */
  destinations(service: ServiceKey, options?: IpvsReadOptions): Cursor<DestinationState>;
  /**
   * Everything at once, the fastest way that has what is asked for. A service that exists all the time is reported exactly once, whatever
   * comes and goes beside it.
   */
  servicesWithDestinations(options?: IpvsTableOptions): Cursor<VirtualServiceWithDestinations>;
  timeouts(): IpvsTimeouts;
  info(): IpvsInfo;
  /** Set headers, no entries. */
  sets(): Cursor<SetState>;
  /** Entries of one set in canonical text; ENOENT when there is no such set. */
  entries(set: string): Cursor<SetEntry>;
  /**
   * Whether the set holds the entry (IPSET_CMD_TEST), by the kernel's own rules: an address within a net of a hash:net set is held, one
   * under `nomatch` is not. An entry that the set could not hold is not held. ENOENT when there is no such set.
   */
  testEntry(set: SetRef, entry: SetEntry): boolean;
  links(): Cursor<LinkState>;
  addresses(options?: ListOptions): Cursor<LinkAddressState>;
  /** Routes of type local in the table local (RTM_GETROUTE), those of one owner or all. */
  localRoutes(filter?: LocalRouteFilter, options?: ListOptions): Cursor<LocalRouteState>;
  /** Changes from now on. List after opening it, and nothing is missed. */
  openMonitor(groups: readonly ChangeGroup[]): Monitor;
  /**
   * Tracked connections (IPCTNL_MSG_CT_GET) of TCP, UDP, SCTP and ICMP. The kernel filters since Linux 5.8, else the session does. A table
   * that grows meanwhile may show one twice, or not.
   */
  connections(filter?: ConnectionFilter): Cursor<Connection>;
  /**
   * Removes the connections of the filter that the predicate takes too, in constant memory: a slice at a time, by tuple and id. What the
   * kernel refuses is counted and told, and does not stop it.
   */
  removeConnections(
    filter: ConnectionFilter,
    predicate: (connection: Connection) => boolean,
    options?: RemoveConnectionsOptions,
  ): RemovedConnections;
  close(): void;
}
