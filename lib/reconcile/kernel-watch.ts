/**
 * What the kernel tells of links and addresses between two reads of it. It costs a receive that does not wait, and nothing is read again
 * unless something came or went by another hand: our own writes on the VIP device are told apart by what was applied.
 */
import { familyOf, fullPrefix } from '../address.ts';
import type { KernelSession, Monitor } from '../kernel/session.ts';
import type { ChangeEvent, IpAddress, IpFamily, LinkAddressState, LinkState } from '../types.ts';
import type { AppliedState } from './applied.ts';
import { isNodeAddress } from './node-addresses.ts';
import { vipLink } from './observed.ts';

/** The kernel is asked what has changed this often, besides at each pass. */
const intervalMs = 1000;

/** What is not as it was believed to be. */
export interface Seen {
  /** VIPs whose address on the VIP device came (true) or went. */
  readonly vips: ReadonlyMap<IpAddress, boolean>;
  /** The node's addresses, or more of the VIP device's than was told, may be others: read them. */
  readonly addressesChanged: boolean;
  /** The VIP device, or lo with the routes on it, is another: only a read of everything knows what went with it. */
  readonly linkLost: boolean;
}

/** What is believed of the kernel. */
export interface Beliefs {
  readonly applied: Pick<AppliedState, 'addresses'>;
  /** On the other interfaces. */
  readonly nodeAddresses: ReadonlySet<IpAddress>;
}

export class KernelWatch {
  readonly #families: readonly IpFamily[];
  readonly #hasRoutes: boolean;
  #monitor: Monitor | undefined;
  #nextMs: number | undefined;
  readonly #vips = new Map<IpAddress, boolean>();
  #addressesChanged = false;
  #linkLost = false;
  /** Something was told that did not arrive: nobody knows what. */
  #overflowed = false;
  /** Then everything concerned is read again, but not more often than all {@link intervalMs}, however long the storm lasts. */
  #overflowDueMs = Number.NEGATIVE_INFINITY;
  #vipLinkIndex: number | undefined;

  /** @param hasRoutes VIPs are bound by local routes, which go with their link. */
  constructor(families: readonly IpFamily[], hasRoutes: boolean) {
    this.#families = families;
    this.#hasRoutes = hasRoutes;
  }

  /** When to ask next; undefined: there is nothing to ask. */
  get nextMs(): number | undefined {
    return this.#nextMs;
  }

  /** Listens from now on, if it does not yet. Throws what the session throws. */
  open(session: KernelSession, nowMs: number): void {
    if (this.#monitor !== undefined) return;
    this.#monitor = session.openMonitor(['link', 'address']);
    this.#nextMs = nowMs + intervalMs;
  }

  /** Everything is about to be read: what was told before that does not matter. */
  forget(): void {
    this.#drain();
    this.#reset();
    this.#overflowed = false;
  }

  /** The VIP device as a read of everything found it. */
  sawLink(link: LinkState | undefined): void {
    this.#vipLinkIndex = link?.index;
  }

  /** What has been told since the last time, as far as it is news. */
  take(beliefs: Beliefs, nowMs: number): Seen {
    this.collect(beliefs);
    if (this.#monitor !== undefined) this.#nextMs = nowMs + intervalMs;
    if (this.#overflowed && nowMs >= this.#overflowDueMs) {
      this.#overflowed = false;
      this.#overflowDueMs = nowMs + intervalMs;
      this.#addressesChanged = true;
      this.#linkLost ||= this.#hasRoutes;
    }
    const seen = { vips: new Map(this.#vips), addressesChanged: this.#addressesChanged, linkLost: this.#linkLost };
    this.#reset();
    return seen;
  }

  /** Takes in what has been told, so that the socket does not overflow while much is written. */
  collect({ applied, nodeAddresses }: Beliefs): void {
    for (const event of this.#drain()) this.#takeEvent(event, nodeAddresses);
    for (const [vip, isThere] of this.#vips) if (applied.addresses.has(vip) === isThere) this.#vips.delete(vip);
  }

  close(): void {
    this.#monitor?.close();
    this.#monitor = undefined;
    this.#nextMs = undefined;
  }

  /** A monitor that fails is as good as one that overflowed; the next full pass opens another. */
  #drain(): readonly ChangeEvent[] {
    try {
      return this.#monitor?.drain() ?? [];
    } catch {
      this.close();
      return [{ kind: 'lost' }];
    }
  }

  #reset(): void {
    this.#vips.clear();
    this.#addressesChanged = false;
    this.#linkLost = false;
  }

  #takeEvent(event: ChangeEvent, nodeAddresses: ReadonlySet<IpAddress>): void {
    switch (event.kind) {
      case 'lost':
        this.#overflowed = true;
        return;
      case 'link':
        this.#takeLink(event.change, event.link);
        return;
      case 'address':
        this.#takeAddress(event.change === 'set', event.address, nodeAddresses);
    }
  }

  /** One that was made in the place of the VIP device has its name, and none of its addresses. */
  #takeLink(change: 'set' | 'removed', link: LinkState): void {
    if (link.name === vipLink && change === 'set') {
      this.#linkLost ||= this.#vipLinkIndex !== undefined && this.#vipLinkIndex !== link.index;
      this.#vipLinkIndex = link.index;
    } else if (link.name === vipLink || link.index === this.#vipLinkIndex) {
      this.#linkLost = true;
      this.#vipLinkIndex = undefined;
    } else if (link.name === 'lo' && this.#hasRoutes) {
      this.#linkLost = true;
    }
  }

  /** An address that is refreshed, as router advertisements do it, or that another interface has as well, is no news. */
  #takeAddress(isThere: boolean, state: LinkAddressState, nodeAddresses: ReadonlySet<IpAddress>): void {
    const { link, address, prefixLength } = state;
    const family = familyOf(address);
    if (!this.#families.includes(family) || !isNodeAddress(address)) return;
    if (link !== vipLink) this.#addressesChanged ||= nodeAddresses.has(address) !== isThere;
    else if (prefixLength === fullPrefix(family)) this.#vips.set(address, isThere);
  }
}
