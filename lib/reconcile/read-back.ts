/**
 * Reads of single objects: what a write left unknown, and what the audit suspects. One object costs one or two messages, whatever there is
 * beside it. A batch that was lost leaves a thousand suspects behind: where they are a good part of a table, one dump of it is cheaper.
 */
import { NetlinkError } from '../errors.ts';
import { type KernelSession, readAll } from '../kernel/session.ts';
import { isAddressKey } from '../plan/object-id.ts';
import { setIdOf, setType } from '../plan/sets.ts';
import { type ServiceId, type ServiceNode, type SetName, serviceId } from '../plan/state.ts';
import type { AddressServiceKey, IpAddress, IpFamily, SetEntry } from '../types.ts';
import type { AppliedState } from './applied.ts';
import type { ObjectScope } from './object-scope.ts';
import { boundAddresses, boundRoutes, destinationMap, readService } from './observed.ts';

/** So many objects of one table are read one by one in any case. */
const fewObjects = 64;
/** Beyond that a dump is cheaper once they are this part of the table. */
const goodPart = 1 / 4;

/** Undefined when there is no such set. A set of networks is asked by its list: a test would find an entry within a wider one. */
export function holdsEntry(session: KernelSession, name: SetName, entry: SetEntry): boolean | undefined {
  const known = setIdOf(name);
  if (known === undefined) throw new RangeError(`${name} is not a set of ours`);
  const { id, family } = known;
  const type = setType(id);
  try {
    if (type === 'hash:ip,port,net') return readAll(session.entries(name)).includes(entry);
    return session.testEntry({ name, type, family }, entry);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Undefined when there is no such set. */
export function readEntries(session: KernelSession, name: SetName): readonly SetEntry[] | undefined {
  try {
    return readAll(session.entries(name));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof NetlinkError && error.errnoName === 'ENOENT';
}

/**
 * Reads the objects of these scopes again, and believes nothing of what else is seen on the way: what is believed of these entries and
 * addresses is replaced by what is there. The virtual services among them are returned, undefined for one that is not there: whose
 * they are is not for a read to say.
 */
export function readBack(
  session: KernelSession,
  scopes: Iterable<ObjectScope>,
  families: readonly IpFamily[],
  applied: AppliedState,
): ReadonlyMap<ServiceId, ServiceNode | undefined> {
  const services = new Map<ServiceId, AddressServiceKey>();
  const entries = new Map<SetName, Set<SetEntry>>();
  const addresses = new Set<IpAddress>();
  for (const scope of scopes) {
    if (scope.kind === 'service') {
      const { protocol, address, port } = scope;
      services.set(scope.service, { protocol, address, port });
    } else if (scope.kind === 'entry') {
      entries.set(scope.set, (entries.get(scope.set) ?? new Set<SetEntry>()).add(scope.entry));
    } else if (scope.kind === 'address') {
      addresses.add(scope.address);
    }
  }
  for (const [name, asked] of entries) readBackEntries(session, name, asked, applied);
  if (addresses.size > 0) readBackAddresses(session, addresses, families, applied);
  return areMany(services.size, applied.services.size)
    ? servicesByDump(session, services)
    : new Map([...services].map(([id, key]) => [id, readService(session, key)]));
}

function areMany(asked: number, known: number): boolean {
  return asked > fewObjects && asked > known * goodPart;
}

function servicesByDump(
  session: KernelSession,
  asked: ReadonlyMap<ServiceId, AddressServiceKey>,
): Map<ServiceId, ServiceNode | undefined> {
  const found = new Map<ServiceId, ServiceNode | undefined>([...asked.keys()].map((id) => [id, undefined]));
  for (const { destinations, ...service } of readAll(session.servicesWithDestinations({ thresholds: true }))) {
    const { key } = service;
    if (!isAddressKey(key) || !found.has(serviceId(key))) continue;
    found.set(serviceId(key), { service: { ...service, key }, destinations: destinationMap(destinations) });
  }
  return found;
}

function readBackEntries(
  session: KernelSession,
  name: SetName,
  asked: ReadonlySet<SetEntry>,
  applied: AppliedState,
): void {
  const known = setIdOf(name);
  const isNets = known !== undefined && setType(known.id) === 'hash:ip,port,net';
  if (isNets || areMany(asked.size, applied.sets.get(name)?.size ?? 0)) {
    const there = readEntries(session, name);
    if (there === undefined) applied.forgetSet(name);
    else applied.putSet(name, there);
    return;
  }
  for (const entry of asked) {
    const isThere = holdsEntry(session, name, entry);
    if (isThere === undefined) {
      applied.forgetSet(name);
      return;
    }
    applied.putEntry(name, entry, isThere);
  }
}

/** The kernel cannot be asked for one address or route of the local table: they are looked for in one list. */
function readBackAddresses(
  session: KernelSession,
  asked: ReadonlySet<IpAddress>,
  families: readonly IpFamily[],
  applied: AppliedState,
): void {
  const addresses = new Set(boundAddresses(readAll(session.addresses()), families));
  const routes = new Set(boundRoutes(session, families));
  for (const address of asked) {
    applied.putAddress(address, addresses.has(address));
    applied.putRoute(address, routes.has(address));
  }
}
