/**
 * Follows what others do to addresses between two full reads of the kernel: a VIP that somebody unbound is known to be gone, and the
 * node's addresses are read again when one came or went. What cannot be read stays as it is believed to be.
 */
import { toErrorRecord } from '../errors.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { IpAddress } from '../types.ts';
import type { AppliedState } from './applied.ts';
import { type Beliefs, KernelWatch } from './kernel-watch.ts';
import { type Observed, readAddresses } from './observed.ts';
import type { ReconcileInit } from './protocol.ts';
import type { RetryQueue } from './retry-queue.ts';
import type { Tally } from './tally.ts';

/** The addresses as a whole, among the objects that wait for their next try. */
const addressesObject = 'addresses';

export interface Followed {
  /** Only a read of everything can tell what has changed. */
  readonly isLost: boolean;
  /** VIPs that are bound, or not bound, by another hand: to be compared. */
  readonly vips: readonly IpAddress[];
  /** The node's, when they were read again. */
  readonly nodeAddresses?: readonly IpAddress[];
}

export class AddressFollower {
  readonly #init: Pick<ReconcileInit, 'families'>;
  readonly #applied: AppliedState;
  readonly #retries: RetryQueue;
  readonly #watch: KernelWatch;
  #nodeAddresses: ReadonlySet<IpAddress> = new Set();
  /** The addresses may be others than we know; they are to be read. */
  #isStale = false;

  constructor(init: Pick<ReconcileInit, 'families' | 'vipBinding'>, applied: AppliedState, retries: RetryQueue) {
    this.#init = init;
    this.#applied = applied;
    this.#retries = retries;
    this.#watch = new KernelWatch(init.families, init.vipBinding === 'local-route');
  }

  /** When to ask next; undefined: there is nobody to ask. */
  get nextMs(): number | undefined {
    return this.#watch.nextMs;
  }

  /**
   * Everything is about to be read. Returns what is to be said, by object: where the kernel does not tell of changes, only full reads see
   * what others do.
   */
  beforeRead(session: KernelSession, nowMs: number): ReadonlyMap<string, string> {
    try {
      this.#watch.open(session, nowMs);
      this.#watch.forget();
      return new Map();
    } catch (error) {
      const { message } = toErrorRecord(error);
      return new Map([
        ['addresses', `the kernel does not tell when they change, so node ports follow late: ${message}`],
      ]);
    }
  }

  /** The node's addresses are others than was believed, or may be. */
  isNews(nodeAddresses: readonly IpAddress[]): boolean {
    const known = this.#nodeAddresses;
    return this.#isStale || known.size !== nodeAddresses.length || nodeAddresses.some((one) => !known.has(one));
  }

  /** Everything was read. */
  afterRead({ link, nodeAddresses }: Pick<Observed, 'link' | 'nodeAddresses'>): void {
    this.#watch.sawLink(link);
    this.#nodeAddresses = new Set(nodeAddresses);
    this.#isStale = false;
    this.#retries.cleared(addressesObject);
  }

  /** VIPs were bound or unbound by us: takes in what the kernel tells of it before there is too much of it. */
  collect(): void {
    this.#watch.collect(this.#beliefs);
  }

  /** Takes in what was told since the last time, and brings the applied state up to date. */
  follow(session: KernelSession, nowMs: number, tally: Tally): Followed {
    const { vips, addressesChanged, linkLost } = this.#watch.take(this.#beliefs, nowMs);
    if (linkLost) return { isLost: true, vips: [] };
    for (const [vip, isThere] of vips) this.#applied.putAddress(vip, isThere);
    this.#isStale ||= addressesChanged;
    const dueMs = this.#retries.dueMs(addressesObject) ?? nowMs;
    if (!this.#isStale || dueMs > nowMs) return { isLost: false, vips: [...vips.keys()] };
    try {
      const read = readAddresses(session, this.#init.families);
      if (read.link === undefined) return { isLost: true, vips: [] };
      const before = new Set(this.#applied.addresses);
      this.#applied.putAddresses(read.addresses);
      const moved = [...before, ...read.addresses].filter((vip) => before.has(vip) !== read.addresses.has(vip));
      this.afterRead(read);
      return { isLost: false, vips: [...vips.keys(), ...moved], nodeAddresses: read.nodeAddresses };
    } catch (error) {
      const failure = this.#retries.failed(addressesObject, { kind: 'static' }, 'read', toErrorRecord(error), nowMs);
      tally.failures.push(failure);
      return { isLost: false, vips: [...vips.keys()] };
    }
  }

  close(): void {
    this.#watch.close();
  }

  get #beliefs(): Beliefs {
    return { applied: this.#applied, nodeAddresses: this.#nodeAddresses };
  }
}
