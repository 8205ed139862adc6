/**
 * Reads of links, addresses and routes, for the audit. The kernel cannot be asked for one of them alone, so what a list shows otherwise than it was
 * believed to be is read in one go, and only that is believed. Where everything is as it was believed to be, slices are enough.
 */
import { NetlinkError } from '../errors.ts';
import { type Cursor, type KernelSession, readAll } from '../kernel/session.ts';
import { vipRouteProtocol } from '../plan/vip-binding.ts';
import type { IpAddress, IpFamily, LinkAddressState } from '../types.ts';
import type { AppliedState } from './applied.ts';
import {
  boundAddresses,
  boundRoutes,
  type Observed,
  readAddresses,
  sortedAddresses,
  vipLink,
  vipsOf,
} from './observed.ts';

export type BindingRead = Pick<Observed, 'link' | 'addresses' | 'nodeAddresses' | 'routes'>;

export interface BindingParts {
  readonly session: KernelSession;
  readonly families: readonly IpFamily[];
  readonly applied: Pick<AppliedState, 'addresses' | 'routes'>;
  /** The node's addresses are others than was believed, or may be. */
  isNews(nodeAddresses: readonly IpAddress[]): boolean;
}

/** What a look at one address or route costs, in entries of a set. */
const work = 2;
/** So many comparisons in memory go together. */
const stride = 256;
/** A list that changes while it is read is begun again so often, before all is read in one go. */
const maxTries = 3;

export function readBindings({ session, families }: Pick<BindingParts, 'session' | 'families'>): BindingRead {
  return { ...readAddresses(session, families), routes: new Set(boundRoutes(session, families)) };
}

/** Slice by slice; undefined: something may be otherwise than it is believed to be. The result is what is believed. */
export function* readBindingsInSlices(parts: BindingParts): Generator<number, BindingRead | undefined> {
  for (let tries = 0; tries < maxTries; tries += 1) {
    try {
      return yield* oneReading(parts);
    } catch (error) {
      if (!(error instanceof NetlinkError) || error.errnoName !== 'EINTR') throw error;
    }
  }
  return undefined;
}

function* oneReading({ session, families, applied, isNews }: BindingParts): Generator<number, BindingRead | undefined> {
  const before = { addresses: new Set(applied.addresses), routes: new Set(applied.routes) };
  const bound = new Set<IpAddress>();
  const others: LinkAddressState[] = [];
  yield* eachSlice(session.addresses({ inSlices: true }), (states) => {
    for (const address of boundAddresses(states, families)) bound.add(address);
    others.push(...states.filter(({ link }) => link !== vipLink));
  });
  const routed = new Set<IpAddress>();
  yield* eachSlice(session.localRoutes({ protocol: vipRouteProtocol }, { inSlices: true }), (routes) => {
    for (const address of vipsOf(routes, families)) routed.add(address);
  });
  const agree = yield* agreement(bound, before.addresses, applied.addresses);
  if (!agree || !(yield* agreement(routed, before.routes, applied.routes))) return undefined;
  const { nodeAddresses } = sortedAddresses(others, families);
  const link = readAll(session.links()).find(({ name }) => name === vipLink);
  if (link === undefined || isNews(nodeAddresses)) return undefined;
  return { link, addresses: applied.addresses, nodeAddresses, routes: applied.routes };
}

function* eachSlice<T>(cursor: Cursor<T>, take: (slice: readonly T[]) => void): Generator<number, void> {
  try {
    for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
      take(slice);
      yield slice.length * work;
    }
  } finally {
    cursor.close();
  }
}

/** What we wrote meanwhile is the next round's. */
function* agreement(
  there: ReadonlySet<IpAddress>,
  before: ReadonlySet<IpAddress>,
  now: ReadonlySet<IpAddress>,
): Generator<number, boolean> {
  let steps = 0;
  for (const one of there) {
    if (!now.has(one) && !before.has(one)) return false;
    if (++steps % stride === 0) yield stride / 8;
  }
  for (const one of now) {
    if (before.has(one) && !there.has(one)) return false;
    if (++steps % stride === 0) yield stride / 8;
  }
  return true;
}
