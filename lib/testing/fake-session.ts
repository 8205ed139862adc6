/**
 * A session with the fake kernel. Its batches run as with the addon (`kernel/batch-run.ts`), and what a read asks for is checked as it is there
 * (by the encoders): only what answers is another.
 */
import { ProxierError } from '../errors.ts';
import { Batch } from '../kernel/batch.ts';
import { type BatchReads, BatchRun } from '../kernel/batch-run.ts';
import { checkedName } from '../kernel/check.ts';
import { decodeOperation } from '../kernel/decode.ts';
import { encodeConnectionFilter } from '../kernel/encode-conntrack.ts';
import { encodeServiceKey } from '../kernel/encode-ipvs.ts';
import { ownerOf } from '../kernel/encode-route.ts';
import { RecordReader } from '../kernel/record-reader.ts';
import { RecordWriter } from '../kernel/record-writer.ts';
import {
  type RemoveConnectionsOptions,
  type RemovedConnections,
  removeConnections,
} from '../kernel/remove-connections.ts';
import type { BatchOptions, BatchResult, Cursor, KernelSession, Monitor } from '../kernel/session.ts';
import type {
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
import { matchesFilter } from './fake-connections.ts';
import { fakeFailure } from './fake-errors.ts';
import { keyText, measured, serviceWithDestinations } from './fake-ipvs.ts';
import type { FakeKernel, FakeRead } from './fake-kernel.ts';
import { FakeMonitor } from './fake-monitor.ts';
import { allLocalRoutes } from './fake-routes.ts';
import { fakeSetState, testEntry } from './fake-sets.ts';
import type { FakeTables } from './fake-tables.ts';

const sliceSize = 64;

export class FakeSession implements KernelSession {
  readonly #kernel: FakeKernel;
  #closed = false;

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  run(batch: Batch, options: BatchOptions = {}): BatchResult {
    this.#check();
    const stats = new Int32Array(3);
    let slow = 0;
    const reads: BatchReads = {
      sets: () => slices(this.#sets()),
      entries: (name) => slices(this.#entries(name)),
      localRoutes: () => slices(allLocalRoutes(this.#tables)),
    };
    const run = new BatchRun(
      batch,
      (records, length, count) => {
        const results = new Int32Array(count);
        const reader = new RecordReader(records, length);
        for (let index = 0; reader.next(); index++) {
          const { code, micros } = this.#kernel.meet(decodeOperation(reader));
          results[index] = code;
          slow += micros;
        }
        stats.set([count, count === 0 ? 0 : 1, 0]);
        return { results, texts: undefined };
      },
      stats,
      reads,
      options,
    );
    // What the run measured of its own reads is the time of this machine.
    return { ...run.result(), kernelMicros: slow };
  }

  services(options: IpvsReadOptions = {}): Cursor<ServiceState> {
    return this.#dump('services', 'IPVS_CMD_GET_SERVICE', 'all services', () =>
      [...this.#tables.services.values()].map(({ service }) => measured(service, options)),
    );
  }

  service(key: ServiceKey, options: IpvsReadOptions = {}): ServiceState | undefined {
    encodeServiceKey(new RecordWriter(), key);
    this.#read('services', 'IPVS_CMD_GET_SERVICE', keyText(key));
    const found = this.#tables.services.get(keyText(key));
    return found === undefined ? undefined : measured(found.service, options);
  }

  destinations(service: ServiceKey, options: IpvsReadOptions = {}): Cursor<DestinationState> {
    encodeServiceKey(new RecordWriter(), service);
    return this.#dump('destinations', 'IPVS_CMD_GET_DEST', keyText(service), () =>
      [...(this.#tables.services.get(keyText(service))?.destinations.values() ?? [])].map((destination) =>
        measured(destination, options),
      ),
    );
  }

  servicesWithDestinations(options: IpvsTableOptions = {}): Cursor<VirtualServiceWithDestinations> {
    this.#read('destinations', 'IPVS_CMD_GET_DEST', 'all services');
    return this.#dump('services', 'IPVS_CMD_GET_SERVICE', 'all services', () =>
      [...this.#tables.services.values()].map((service) => serviceWithDestinations(service, options)),
    );
  }

  timeouts(): IpvsTimeouts {
    this.#read('services', 'IPVS_CMD_GET_CONFIG', 'time-outs');
    return this.#tables.timeouts;
  }

  info(): IpvsInfo {
    this.#read('services', 'IPVS_CMD_GET_INFO', 'version');
    return { version: '1.2.1', connectionTableSize: 4096 };
  }

  sets(): Cursor<SetState> {
    return this.#dump('sets', 'IPSET_CMD_LIST', 'all sets', () => this.#sets());
  }

  entries(name: string): Cursor<SetEntry> {
    checkedName('name', name, 31);
    return this.#dump('entries', 'IPSET_CMD_LIST', name, () => this.#entries(name));
  }

  testEntry(set: SetRef, entry: SetEntry): boolean {
    const object = `${set.name} ${entry}`;
    this.#read('entries', 'IPSET_CMD_TEST', object);
    // In canonical form, or refused as the batch would refuse it.
    const [operation] = new Batch().addEntry(set, entry);
    if (operation?.verb !== 'add-entry') throw new RangeError('unreachable: the batch holds what was put there');
    const held = testEntry(this.#tables.sets, set, operation.entry);
    if (typeof held === 'boolean') return held;
    throw fakeFailure(held, 'IPSET_CMD_TEST', object);
  }

  links(): Cursor<LinkState> {
    return this.#dump('links', 'RTM_GETLINK', 'links', () => [...this.#tables.links.values()]);
  }

  addresses(): Cursor<LinkAddressState> {
    return this.#dump('addresses', 'RTM_GETADDR', 'addresses', () => [...this.#tables.addresses.values()]);
  }

  localRoutes(filter: LocalRouteFilter = {}): Cursor<LocalRouteState> {
    const protocol = ownerOf(filter) === 0 ? undefined : filter.protocol;
    return this.#dump('localRoutes', 'RTM_GETROUTE', 'local routes', () =>
      allLocalRoutes(this.#tables).filter((route) => protocol === undefined || route.protocol === protocol),
    );
  }

  openMonitor(groups: readonly ChangeGroup[]): Monitor {
    this.#check();
    const monitor = new FakeMonitor(this.#tables, groups, () => unwatch());
    const unwatch = this.#kernel.watch(monitor);
    return monitor;
  }

  connections(filter: ConnectionFilter = {}): Cursor<Connection> {
    encodeConnectionFilter(new RecordWriter(), filter);
    return this.#dump('connections', 'IPCTNL_MSG_CT_GET', 'connections', () =>
      [...this.#tables.connections].filter((connection) => matchesFilter(connection, filter)),
    );
  }

  removeConnections(
    filter: ConnectionFilter,
    predicate: (connection: Connection) => boolean,
    options: RemoveConnectionsOptions = {},
  ): RemovedConnections {
    return removeConnections(this, filter, predicate, options);
  }

  close(): void {
    this.#closed = true;
  }

  get #tables(): FakeTables {
    return this.#kernel.outside;
  }

  #sets(): SetState[] {
    return [...this.#tables.sets.values()].map((set) => fakeSetState(set));
  }

  #entries(name: string): SetEntry[] {
    const set = this.#tables.sets.get(name);
    if (set === undefined) throw fakeFailure('ENOENT', 'IPSET_CMD_LIST', name);
    return [...set.entries];
  }

  #check(): void {
    if (this.#closed) throw new ProxierError('ERR_CLOSED', 'the kernel session is closed');
  }

  #read(read: FakeRead, command: string, object: string): void {
    this.#check();
    this.#kernel.read(read, command, object);
  }

  #dump<T>(read: FakeRead, command: string, object: string, list: () => readonly T[]): Cursor<T> {
    this.#read(read, command, object);
    const cursor = slices(list());
    return {
      next: () => {
        this.#check();
        return cursor.next();
      },
      close: cursor.close,
    };
  }
}

function slices<T>(all: readonly T[]): Cursor<T> {
  let position = 0;
  return {
    next: () => {
      if (position >= all.length) return undefined;
      const slice = all.slice(position, position + sliceSize);
      position += sliceSize;
      return slice;
    },
    close: () => {
      position = all.length;
    },
  };
}
