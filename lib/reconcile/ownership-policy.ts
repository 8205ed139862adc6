/** Which virtual services may be taken for ours, and which must stay whatever happens (behaviour.md 6.6). */
import { type Cidr, cidrContains, parseCidr } from '../address.ts';
import type { IpAddress } from '../types.ts';
import type { ReconcileInit } from './protocol.ts';

export class OwnershipPolicy {
  /** A wanted virtual service that somebody else made and that differs is overwritten. */
  readonly takesOver: boolean;
  readonly #all: boolean;
  readonly #excluded: readonly Cidr[];

  constructor(init: Pick<ReconcileInit, 'takeOver' | 'ownership' | 'excludeCIDRs'>) {
    this.#all = init.ownership === 'all';
    this.takesOver = init.takeOver || this.#all;
    this.#excluded = init.excludeCIDRs.map(parseCidr).filter((cidr): cidr is Cidr => cidr !== undefined);
  }

  /** A virtual service of this address counts as ours, whoever made it. */
  claims(address: IpAddress): boolean {
    return this.#all && !this.keeps(address);
  }

  /** A virtual service of this address is never removed. It is written, and its destinations drain, like any other. */
  keeps(address: IpAddress): boolean {
    return this.#excluded.some((cidr) => cidrContains(cidr, address));
  }
}
