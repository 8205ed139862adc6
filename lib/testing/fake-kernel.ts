/**
 * A kernel in memory with the manners of the real one: the same verbs, the same errno for the same mistake, an answer per operation.
 * Faults are injected per operation or per read, and `outside` is the hand of somebody else on the same tables.
 */
import type { NetlinkErrorDetails } from '../errors.ts';
import { ProxierError } from '../errors.ts';
import { type Batch, operationText } from '../kernel/batch.ts';
import type { BatchResult, Cursor, KernelSession, OperationFailure } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import type { DestinationState, LinkAddressState, LinkState, ServiceKey, SetState, VirtualService } from '../types.ts';
import { addressText, ipsetText, ipvsText } from './fake-dump.ts';
import { type ErrnoName, fakeError, fakeFailure } from './fake-errors.ts';
import { FakeTables, keyText } from './fake-tables.ts';

/** What happens instead of the operation: an errno; or no answer is seen, after the kernel did it (`lost`) or did not (`dropped`). */
export type Fault = ErrnoName | 'lost' | 'dropped';

/** What a session can dump. */
export type FakeRead = 'services' | 'destinations' | 'sets' | 'entries' | 'links' | 'addresses';

export interface FakeKernelOptions {
  /** Kernel with ip_vs, ip_set, the dummy link. Default true. */
  readonly ipvs?: boolean;
  readonly ipset?: boolean;
  readonly dummy?: boolean;
  /** The process has CAP_NET_ADMIN. Default true. */
  readonly permitted?: boolean;
}

interface Plot {
  readonly predicate: (operation: Operation) => boolean;
  readonly fault: Fault;
  times: number;
}

const sliceSize = 64;

export class FakeKernel {
  /** Every operation that reached the kernel, in the notation people know, with its fate when it failed. */
  readonly log: string[] = [];
  /** Called after each operation, whatever became of it: where to check what must hold at every moment. */
  afterEach: ((operation: Operation) => void) | undefined;
  readonly #options: FakeKernelOptions;
  #tables = new FakeTables();
  #plots: Plot[] = [];
  #readFaults: { read: FakeRead; errno: ErrnoName; times: number }[] = [];

  constructor(options: FakeKernelOptions = {}) {
    this.#options = options;
    this.#tables.addLink('lo', '', true);
  }

  /** The tables themselves: read them, or change them as somebody else would. */
  get outside(): FakeTables {
    return this.#tables;
  }

  session(): KernelSession {
    return new FakeSession(this);
  }

  /** The next `times` operations that the predicate accepts meet the fault. */
  failNext(predicate: (operation: Operation) => boolean, fault: Fault, times: number = 1): void {
    this.#plots.push({ predicate, fault, times });
  }

  /** The next `times` dumps of this kind fail. */
  failRead(read: FakeRead, errno: ErrnoName, times: number = 1): void {
    this.#readFaults.push({ read, errno, times });
  }

  /** Faults that nobody met are forgotten. */
  heal(): void {
    this.#plots = [];
    this.#readFaults = [];
  }

  /** Same tables, own life: no faults, empty log. */
  clone(): FakeKernel {
    const copy = new FakeKernel(this.#options);
    copy.#tables = this.#tables.clone();
    return copy;
  }

  /** `ipvsadm -Sn`, `ipset save` and `ip addr` in one text. */
  dump(): string {
    return [ipvsText(this.#tables), ipsetText(this.#tables), addressText(this.#tables)].join('\n');
  }

  /** Connection counts of a destination, as `ipvsadm -Ln` shows them. */
  setConnections(service: string, destination: string, active: number, inactive: number): void {
    const destinations = this.#tables.services.get(service)?.destinations;
    const state = destinations?.get(destination);
    if (destinations === undefined || state === undefined) throw new RangeError(`no ${service} -> ${destination}`);
    destinations.set(destination, { ...state, activeConnections: active, inactiveConnections: inactive });
  }

  /** One operation as the kernel meets it; undefined = done. */
  meet(
    operation: Operation,
  ): { readonly outcome: 'failed' | 'unknown'; readonly error: NetlinkErrorDetails } | undefined {
    const text = operationText(operation);
    const refused = this.#refused(operation);
    const fault = refused ?? this.#fault(operation);
    if (fault === 'lost' || fault === 'dropped') {
      if (fault === 'lost') this.#tables.apply(operation);
      this.log.push(`${text} # ${fault}`);
      return { outcome: 'unknown', error: fakeError('ENOBUFS', operation.verb, text) };
    }
    const error = fault === undefined ? this.#tables.apply(operation) : fakeError(fault, operation.verb, text);
    this.log.push(error === undefined ? text : `${text} # ${error.errnoName}`);
    return error === undefined ? undefined : { outcome: 'failed', error };
  }

  /** Throws what a dump of this kind would. */
  read(read: FakeRead): void {
    const { ipvs = true, ipset = true, permitted = true } = this.#options;
    const ofIpvs = read === 'services' || read === 'destinations';
    const ofIpset = read === 'sets' || read === 'entries';
    if ((ofIpvs || ofIpset) && !permitted) throw fakeFailure(fakeError('EPERM', read, 'dump'));
    if ((ofIpvs && !ipvs) || (ofIpset && !ipset)) throw fakeFailure(fakeError('EOPNOTSUPP', read, 'dump'));
    const fault = this.#readFaults.find((candidate) => candidate.read === read && candidate.times > 0);
    if (fault === undefined) return;
    fault.times -= 1;
    throw fakeFailure(fakeError(fault.errno, read, 'dump'));
  }

  #refused(operation: Operation): ErrnoName | undefined {
    const { dummy = true, permitted = true } = this.#options;
    if (!permitted) return 'EPERM';
    return operation.verb === 'ensure-link' && !dummy ? 'EOPNOTSUPP' : undefined;
  }

  #fault(operation: Operation): Fault | undefined {
    const plot = this.#plots.find((candidate) => candidate.times > 0 && candidate.predicate(operation));
    if (plot === undefined) return undefined;
    plot.times -= 1;
    return plot.fault;
  }
}

class FakeSession implements KernelSession {
  readonly #kernel: FakeKernel;
  #closed = false;

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
  }

  run(batch: Batch): BatchResult {
    this.#check();
    const failures: OperationFailure[] = [];
    let index = 0;
    for (const operation of batch) {
      const met = this.#kernel.meet(operation);
      this.#kernel.afterEach?.(operation);
      if (met !== undefined) failures.push({ index, operation: operationText(operation), ...met });
      index += 1;
    }
    const roundTrips = index === 0 ? 0 : 1;
    return { applied: index - failures.length, failures, messages: index, roundTrips, kernelMicros: 0 };
  }

  services(): Cursor<VirtualService> {
    return this.#dump('services', () => [...this.#tables.services.values()].map(({ service }) => service));
  }

  destinations(service: ServiceKey): Cursor<DestinationState> {
    return this.#dump('destinations', () => [
      ...(this.#tables.services.get(keyText(service))?.destinations.values() ?? []),
    ]);
  }

  sets(): Cursor<SetState> {
    return this.#dump('sets', () => [...this.#tables.sets.values()].map((set) => this.#tables.setState(set)));
  }

  entries(name: string): Cursor<string> {
    return this.#dump('entries', () => {
      const set = this.#tables.sets.get(name);
      if (set === undefined) throw fakeFailure(fakeError('ENOENT', 'IPSET_CMD_LIST', name));
      return [...set.entries];
    });
  }

  links(): Cursor<LinkState> {
    return this.#dump('links', () => [...this.#tables.links.values()]);
  }

  addresses(): Cursor<LinkAddressState> {
    return this.#dump('addresses', () => [...this.#tables.addresses.values()]);
  }

  close(): void {
    this.#closed = true;
  }

  get #tables(): FakeTables {
    return this.#kernel.outside;
  }

  #check(): void {
    if (this.#closed) throw new ProxierError('ERR_CLOSED', 'the session is closed');
  }

  #dump<T>(read: FakeRead, list: () => readonly T[]): Cursor<T> {
    this.#check();
    this.#kernel.read(read);
    const all = list();
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
}
