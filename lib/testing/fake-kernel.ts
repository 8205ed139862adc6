/**
 * A kernel in memory with the manners of the real one: the same verbs, the same errno for the same mistake, an answer per operation.
 * Faults are injected per operation or per read, and `outside` is the hand of somebody else on the same tables.
 */

import { RunCode } from '../kernel/binding.ts';
import type { KernelSession } from '../kernel/session.ts';
import { operationText } from '../kernel/text.ts';
import type { Operation, Verb } from '../operations.ts';
import { addressText, ipsetText, ipvsText, routeText } from './fake-dump.ts';
import { type ErrnoName, errnoOf, fakeFailure } from './fake-errors.ts';
import type { FakeMonitor } from './fake-monitor.ts';
import { FakeSession } from './fake-session.ts';
import { FakeTables } from './fake-tables.ts';

/**
 * What happens instead of the operation: an errno; or no answer is seen, after the kernel did it (`lost`) or did not (`dropped`).
 * `slowMicros`: it is done, and took so long; nothing waits, `BatchResult.kernelMicros` says it.
 */
export type Fault = ErrnoName | 'lost' | 'dropped' | { readonly slowMicros: number };

/** What a session can read. `services` stands for the single service, the time-outs and the version too, `entries` for a test. */
export type FakeRead =
  | 'services'
  | 'destinations'
  | 'sets'
  | 'entries'
  | 'links'
  | 'addresses'
  | 'localRoutes'
  | 'connections';

export interface FakeKernelOptions {
  /** Kernel with ip_vs, ip_set, the dummy link, nf_conntrack_netlink. Default true. */
  readonly ipvs?: boolean;
  readonly ipset?: boolean;
  readonly dummy?: boolean;
  readonly conntrack?: boolean;
  /** The process has CAP_NET_ADMIN. Default true. */
  readonly permitted?: boolean;
}

/** Result of an operation as the addon gives it: 0, an errno, or a `RunCode`; and how long it took. */
export interface Met {
  readonly code: number;
  readonly micros: number;
}

interface Plot {
  readonly predicate: (operation: Operation) => boolean;
  readonly fault: Fault;
  times: number;
}

type Subsystem = 'ipvs' | 'ipset' | 'conntrack' | 'route';

const subsystemOfRead: Readonly<Record<FakeRead, Subsystem>> = {
  services: 'ipvs',
  destinations: 'ipvs',
  sets: 'ipset',
  entries: 'ipset',
  links: 'route',
  addresses: 'route',
  localRoutes: 'route',
  connections: 'conntrack',
};

export class FakeKernel {
  /**
   * Every message that reached the kernel, in the notation people know, with its fate when it failed. An `ensure` of something that is there
   * is two of them: `ipvsadm -A … # EEXIST`, `ipvsadm -E …`.
   */
  readonly log: string[] = [];
  /** Called after each of these messages, whatever became of it: where to check what must hold at every moment. */
  afterEach: ((operation: Operation) => void) | undefined;
  readonly #options: FakeKernelOptions;
  readonly #monitors: Set<FakeMonitor> = new Set();
  #tables = new FakeTables();
  #isIpvsLoaded = true;
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

  /** The next `times` messages that the predicate accepts meet the fault. */
  failNext(predicate: (operation: Operation) => boolean, fault: Fault, times: number = 1): void {
    this.#plots.push({ predicate, fault, times });
  }

  /** The next `times` reads of this kind fail. Those that a session makes for itself, to enlarge a set, do not. */
  failRead(read: FakeRead, errno: ErrnoName, times: number = 1): void {
    this.#readFaults.push({ read, errno, times });
  }

  /** Faults that nobody met are forgotten. */
  heal(): void {
    this.#plots = [];
    this.#readFaults = [];
  }

  /** `rmmod ip_vs`: its table is gone, and who speaks to it hears that there is no such thing. */
  unloadIpvs(): void {
    this.#isIpvsLoaded = false;
    this.#tables.services.clear();
    this.#tables.timeouts = new FakeTables().timeouts;
  }

  /** `modprobe ip_vs`: empty. Harmless when it is there. */
  loadIpvs(): void {
    this.#isIpvsLoaded = true;
  }

  /** Same tables, own life: no faults, empty log. */
  clone(): FakeKernel {
    const copy = new FakeKernel(this.#options);
    copy.#tables = this.#tables.clone();
    return copy;
  }

  /** `ipvsadm -Sn`, `ipset save`, `ip addr` and the local routes that were added, in one text. */
  dump(): string {
    const tables = this.#tables;
    const routes = routeText(tables);
    const sections = [ipvsText(tables), ipsetText(tables), addressText(tables)];
    return [...sections, ...(routes === '' ? [] : [routes])].join('\n');
  }

  /** Connection counts of a destination, as `ipvsadm -Ln` shows them. */
  setConnections(service: string, destination: string, active: number, inactive: number): void {
    const destinations = this.#tables.services.get(service)?.destinations;
    const state = destinations?.get(destination);
    if (destinations === undefined || state === undefined) throw new RangeError(`no ${service} -> ${destination}`);
    destinations.set(destination, { ...state, activeConnections: active, inactiveConnections: inactive });
  }

  /** One operation as the kernel meets it. Used by its sessions. */
  meet(operation: Operation): Met {
    const met = this.#meet(operation);
    for (const monitor of this.#monitors) monitor.look(operation);
    this.afterEach?.(operation);
    return met;
  }

  /** Tells the monitor of every change from now on; the function ends that. */
  watch(monitor: FakeMonitor): () => void {
    this.#monitors.add(monitor);
    return () => this.#monitors.delete(monitor);
  }

  /** Throws what a read of this kind would. */
  read(read: FakeRead, command: string, object: string): void {
    const subsystem = subsystemOfRead[read];
    const { permitted = true } = this.#options;
    // Anybody may look at links, addresses and routes.
    if (!permitted && subsystem !== 'route') throw fakeFailure('EPERM', command, object);
    if (this.#isAbsent(subsystem)) throw fakeFailure('absent', command, object);
    const fault = this.#readFaults.find((candidate) => candidate.read === read && candidate.times > 0);
    if (fault === undefined) return;
    fault.times -= 1;
    throw fakeFailure(fault.errno, command, object);
  }

  #meet(operation: Operation): Met {
    const text = operationText(operation);
    if (this.#isAbsent(subsystemOf(operation.verb))) {
      this.log.push(`${text} # absent`);
      return { code: RunCode.absent, micros: 0 };
    }
    const fault = this.#refused(operation) ?? this.#fault(operation);
    if (fault === 'lost' || fault === 'dropped') {
      if (fault === 'lost') this.#tables.apply(operation);
      this.log.push(`${text} # ${fault}`);
      return { code: RunCode.unknown, micros: 0 };
    }
    const micros = typeof fault === 'object' ? fault.slowMicros : 0;
    const refusal = typeof fault === 'string' ? fault : this.#tables.apply(operation);
    this.log.push(refusal === undefined ? text : `${text} # ${refusal}`);
    return { code: refusal === undefined ? 0 : errnoOf(refusal), micros };
  }

  #isAbsent(subsystem: Subsystem): boolean {
    if (subsystem === 'ipvs' && !this.#isIpvsLoaded) return true;
    return subsystem !== 'route' && this.#options[subsystem] === false;
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

function subsystemOf(verb: Verb): Subsystem {
  if (verb === 'remove-connection') return 'conntrack';
  if (verb.endsWith('-link') || verb.endsWith('-address') || verb.endsWith('-local-route')) return 'route';
  return verb.includes('-set') && !verb.startsWith('set-') ? 'ipset' : verb.endsWith('-entry') ? 'ipset' : 'ipvs';
}
