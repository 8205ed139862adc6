/**
 * What the conformance cases run on: a session with a kernel, fake or real, and the hands of others on it. They keep to names and numbers of
 * their own, and `clear` removes those.
 */
import assert from 'node:assert/strict';
import { parseAddress } from '../../../lib/address.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { type BatchOptions, type BatchResult, type KernelSession, readAll } from '../../../lib/kernel/session.ts';
import type {
  AddressServiceKey,
  Connection,
  Destination,
  IpAddress,
  LinkAddressState,
  LocalRouteState,
  ServiceKey,
  SetEntry,
  SetState,
  VirtualService,
  VirtualServiceWithDestinations,
} from '../../../lib/types.ts';
import { roundedSeconds } from '../arbitrary-kernel.ts';

export interface Bed {
  readonly session: KernelSession;
  /** A rule that names the set; the function takes it away. */
  refer(set: string): Promise<() => Promise<void>>;
  /** A UDP connection that the kernel tracks, with {@link MARK}. */
  connect(from: IpAddress, to: IpAddress, port: number): Promise<void>;
  close(): void;
}

export type OpenBed = () => Promise<Bed> | Bed;

/** rtm_protocol of the routes of these tests. */
export const OWNER = 177;
export const OTHER_OWNER = 178;
/** Mark of their connections. */
export const MARK = 0xc0f;
const SET_PREFIX = 'CF-';
const LINKS = ['cf0', 'cf1'] as const;

export function ip(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

export function tcp(address: string, port: number): AddressServiceKey {
  return { protocol: 'tcp', address: ip(address), port };
}

export function service(key: ServiceKey, more: Partial<VirtualService> = {}): VirtualService {
  return { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0, ...more };
}

export function to(address: string, port: number, more: Partial<Destination> = {}): Destination {
  return { address: ip(address), port, weight: 1, forward: 'masquerade', ...more };
}

/** `applied`, `unknown`, or the name of the errno, for each operation. */
export function outcomes(batch: Batch, { failures }: BatchResult): string[] {
  const all = Array.from({ length: batch.size }, () => 'applied');
  for (const { index, outcome, error } of failures) all[index] = outcome === 'unknown' ? outcome : error.errnoName;
  return all;
}

/** Runs the batch; `expected` holds an outcome for each operation. */
export function check(
  session: KernelSession,
  batch: Batch,
  expected: readonly string[],
  options?: BatchOptions,
): BatchResult {
  const result = session.run(batch, options);
  const lines = batch.toString().trimEnd().split('\n');
  const told = (all: readonly string[]): string[] => all.map((outcome, index) => `${lines[index] ?? ''} # ${outcome}`);
  assert.deepEqual(told(outcomes(batch, result)), told(expected));
  assert.equal(result.applied, expected.filter((outcome) => outcome === 'applied').length);
  return result;
}

/** As often as there are operations. */
export function allApplied(session: KernelSession, batch: Batch): BatchResult {
  return check(
    session,
    batch,
    Array.from({ length: batch.size }, () => 'applied'),
  );
}

/** Everything of these tests, in an order of its own, and without what no two kernels have alike. */
export interface State {
  readonly services: readonly VirtualServiceWithDestinations[];
  readonly timeouts: object;
  readonly sets: readonly (Omit<SetState, 'revision' | 'memoryBytes'> & { readonly list: readonly SetEntry[] })[];
  readonly links: readonly object[];
  readonly addresses: readonly Omit<LinkAddressState, 'linkIndex' | 'tentative'>[];
  readonly routes: readonly Omit<LocalRouteState, 'linkIndex'>[];
  readonly connections: readonly object[];
}

export function stateOf(session: KernelSession): State {
  return {
    services: sorted(
      readAll(session.servicesWithDestinations({ thresholds: true })).map((one) => ({
        ...one,
        destinations: sorted(one.destinations),
      })),
    ),
    timeouts: session.timeouts(),
    sets: sorted(
      ownSets(session).map(({ revision: _revision, memoryBytes: _bytes, ...set }) => ({
        ...set,
        list: entriesOf(session, set.name),
      })),
    ),
    links: sorted(ownLinks(session).map(({ name, kind, up }) => ({ name, kind, up }))),
    addresses: sorted(
      readAll(session.addresses())
        .filter(({ link }) => isOwnLink(link))
        .map(plainAddress),
    ),
    routes: sorted(
      [OWNER, OTHER_OWNER]
        .flatMap((protocol) => readAll(session.localRoutes({ protocol })))
        .map(({ linkIndex: _index, ...route }) => route),
    ),
    connections: sorted(ownConnections(session).map(({ original, reply, zone }) => ({ original, reply, zone }))),
  };
}

/** Sorted, and time-outs to the next hundred thousand seconds: the kernel's clock goes on. */
export function entriesOf(session: KernelSession, set: string): SetEntry[] {
  return readAll(session.entries(set))
    .map((entry) => entry.replace(/ timeout (\d+)/, (_all, left) => ` timeout ${roundedSeconds(Number(left))}`))
    .sort();
}

function plainAddress(state: LinkAddressState): Omit<LinkAddressState, 'linkIndex' | 'tentative'> {
  const { linkIndex: _index, tentative: _tentative, validSeconds, preferredSeconds, ...rest } = state;
  return {
    ...rest,
    ...(validSeconds === undefined ? {} : { validSeconds: roundedSeconds(validSeconds) }),
    ...(preferredSeconds === undefined ? {} : { preferredSeconds: roundedSeconds(preferredSeconds) }),
  };
}

export function sorted<T>(all: readonly T[]): T[] {
  return all
    .map((one): [string, T] => [canonical(one), one])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, one]) => one);
}

/** JSON with the keys in order, whatever order they were put there. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, one: unknown) => {
    if (typeof one === 'bigint') return String(one);
    return typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one;
  });
}

function ownSets(session: KernelSession): SetState[] {
  return readAll(session.sets()).filter(({ name }) => name.startsWith(SET_PREFIX));
}

function ownLinks(session: KernelSession): { name: string; kind: string; up: boolean }[] {
  return readAll(session.links()).filter(({ name }) => isOwnLink(name));
}

function isOwnLink(name: string): boolean {
  return LINKS.some((own) => own === name);
}

function ownConnections(session: KernelSession): Connection[] {
  return readAll(session.connections({ mark: { value: MARK, mask: 0xffffffff } }));
}

/** Nothing of these tests is left, and IPVS is empty. */
export function clear(session: KernelSession): void {
  const batch = new Batch().flushServices().setTimeouts({ tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 });
  for (const { name } of ownSets(session)) batch.removeSet(name);
  for (const protocol of [OWNER, OTHER_OWNER]) {
    for (const route of readAll(session.localRoutes({ protocol }))) batch.removeLocalRoute(route);
  }
  for (const name of LINKS) batch.removeLink(name);
  for (const { original, zone, id } of ownConnections(session)) batch.removeConnection(original, { zone, id });
  allApplied(session, batch);
}
