/** The fake kernel's links, addresses and local routes, and what each command does to them: net/ipv4/devinet.c, net/ipv6/addrconf.c. */
import { cidrContains, familyOf, fullPrefix, parseCidr } from '../address.ts';
import type { RouteOperation } from '../operations.ts';
import type {
  AddressScope,
  IpAddress,
  LinkAddress,
  LinkAddressState,
  LinkState,
  LocalRoute,
  LocalRouteState,
} from '../types.ts';
import type { ErrnoName } from './fake-errors.ts';

export interface FakeRoutes {
  readonly links: Map<string, LinkState>;
  readonly addresses: Map<string, LinkAddressState>;
  readonly localRoutes: Map<string, LocalRouteState>;
  addLink(name: string, kind: string, up: boolean): LinkState;
  removeLink(name: string): void;
}

type Refusal = ErrnoName | undefined;

/** RTPROT_KERNEL: the routes that come with addresses. */
const kernelsOwn = 2;

export function applyToRoutes(tables: FakeRoutes, operation: RouteOperation): Refusal {
  switch (operation.verb) {
    case 'ensure-link': {
      const link = tables.links.get(operation.name);
      if (link === undefined) tables.addLink(operation.name, 'dummy', false);
      return link === undefined || link.kind === 'dummy' ? undefined : 'EEXIST';
    }
    case 'remove-link': {
      const link = tables.links.get(operation.name);
      if (link === undefined) return 'ENODEV';
      if (link.kind !== 'dummy') return 'EINVAL';
      tables.removeLink(operation.name);
      return undefined;
    }
    case 'add-address':
    case 'ensure-address':
      return writeAddress(tables, operation.address, operation.verb === 'ensure-address');
    case 'remove-address':
      return removeAddress(tables, operation.link, operation.address, operation.prefixLength);
    case 'add-local-route':
      return addRoute(tables, operation.route);
    case 'remove-local-route':
      return removeRoute(tables, operation.route);
  }
}

/** An IPv4 address can be there by several prefix lengths, an IPv6 one only once. */
function writeAddress(tables: FakeRoutes, wanted: LinkAddress, replace: boolean): Refusal {
  const link = tables.links.get(wanted.link);
  if (link === undefined) return 'ENODEV';
  const { address, prefixLength } = wanted;
  const four = familyOf(address) === 'IPv4';
  const plain = `${wanted.link} ${address}`;
  const at = findAddress(tables, wanted.link, address, four ? prefixLength : undefined);
  const existing = at === undefined ? undefined : tables.addresses.get(at);
  if (at !== undefined && existing !== undefined) {
    if (!replace) return 'EEXIST';
    tables.addresses.set(at, changedAddress(existing, wanted));
    return undefined;
  }
  const refused = four ? refuseIPv4(tables, wanted) : refuseIPv6(wanted);
  if (refused !== undefined) return refused;
  // The kernel takes this for no address, and says nothing.
  if (address === '0.0.0.0') return undefined;
  const key = tables.addresses.has(plain) ? `${plain}/${prefixLength}` : plain;
  tables.addresses.set(key, newAddress(wanted, link.index));
  return undefined;
}

function findAddress(tables: FakeRoutes, link: string, address: string, prefixLength?: number): string | undefined {
  for (const key of [`${link} ${address}`, `${link} ${address}/${prefixLength}`]) {
    const found = tables.addresses.get(key);
    if (found !== undefined && (prefixLength === undefined || found.prefixLength === prefixLength)) return key;
  }
  return undefined;
}

/** Addresses of one subnet have one scope. */
function refuseIPv4(tables: FakeRoutes, wanted: LinkAddress): Refusal {
  const { scope = 'global' } = wanted;
  for (const [, other] of sameSubnet(tables, wanted)) if (other.scope !== scope) return 'EINVAL';
  return undefined;
}

function refuseIPv6({ link, address }: LinkAddress): Refusal {
  return /^ff|^::$/.test(address) || (address === '::1' && link !== 'lo') ? 'EADDRNOTAVAIL' : undefined;
}

/** Others on the same link whose prefix is the same: the first is the primary address, and the others go with it. */
function sameSubnet(
  tables: FakeRoutes,
  { link, address, prefixLength }: Pick<LinkAddress, 'link' | 'address' | 'prefixLength'>,
): [string, LinkAddressState][] {
  const { addresses } = tables;
  // A VIP is a subnet of its own, and there may be ten thousand.
  if (prefixLength === fullPrefix(familyOf(address))) {
    const key = findAddress(tables, link, address, prefixLength);
    const state = key === undefined ? undefined : addresses.get(key);
    return key === undefined || state === undefined ? [] : [[key, state]];
  }
  const subnet = parseCidr(`${address}/${prefixLength}`);
  return [...addresses].filter(
    ([, other]) =>
      other.link === link &&
      other.prefixLength === prefixLength &&
      subnet !== undefined &&
      cidrContains(subnet, other.address),
  );
}

function removeAddress(tables: FakeRoutes, link: string, address: IpAddress, prefixLength: number): Refusal {
  if (!tables.links.has(link)) return 'ENODEV';
  const key = findAddress(tables, link, address, prefixLength);
  if (key === undefined) return 'EADDRNOTAVAIL';
  if (familyOf(address) === 'IPv4') {
    const subnet = sameSubnet(tables, { link, address, prefixLength });
    // net.ipv4.conf.*.promote_secondaries is 0.
    if (subnet[0]?.[0] === key) for (const [other] of subnet) tables.addresses.delete(other);
  }
  tables.addresses.delete(key);
  if (familyOf(address) === 'IPv6') forgetSource(tables, link, address);
  else forgetRoutesWithoutIPv4(tables, link);
  return undefined;
}

/** With its last IPv4 address a link stops speaking IPv4, and all routes over it go (fib_disable_ip). */
function forgetRoutesWithoutIPv4({ addresses, localRoutes }: FakeRoutes, link: string): void {
  if ([...addresses.values()].some((other) => other.link === link && familyOf(other.address) === 'IPv4')) return;
  for (const [key, route] of localRoutes) {
    if (route.link === link && familyOf(route.address) === 'IPv4') localRoutes.delete(key);
  }
}

/** Of IPv6 routes on the link: the source that is no address any more. */
function forgetSource(tables: FakeRoutes, link: string, address: IpAddress): void {
  if ([...tables.addresses.values()].some((other) => other.address === address)) return;
  for (const [key, route] of tables.localRoutes) {
    if (route.link !== link || route.source !== address) continue;
    const { source: _source, ...rest } = route;
    tables.localRoutes.set(key, rest);
  }
}

function addRoute(tables: FakeRoutes, route: LocalRoute): Refusal {
  const link = tables.links.get(route.link ?? 'lo');
  if (link === undefined) return 'ENODEV';
  const { source } = route;
  if (familyOf(route.address) === 'IPv6') {
    if (!link.up) return 'ENETDOWN';
    if (source !== undefined && !mayBeSource(tables, source, link.name)) return 'EINVAL';
    // The same to the kernel, whoever's it is: next hops are compared, and nothing else.
    if (routesTo(tables, route, link.name).length > 0) return 'EEXIST';
  } else {
    if (source !== undefined && source !== route.address && !isLocal(tables, source)) return 'EINVAL';
    const same = routesTo(tables, route, link.name).some(
      ([, other]) => other.protocol === route.protocol && other.source === source,
    );
    if (same) return 'EEXIST';
  }
  tables.localRoutes.set(routeKey({ ...route, link: link.name }), { ...route, link: link.name, linkIndex: link.index });
  return undefined;
}

/** Addresses of a wide scope are those of the host, the others those of their link (ipv6_chk_addr). */
function mayBeSource({ addresses }: FakeRoutes, source: IpAddress, link: string): boolean {
  return [...addresses.values()].some(
    (one) => one.address === source && (one.link === link || one.scope === 'global' || one.scope === 'site'),
  );
}

function removeRoute(tables: FakeRoutes, route: LocalRoute): Refusal {
  const link = tables.links.get(route.link ?? 'lo');
  if (link === undefined) return 'ENODEV';
  const four = familyOf(route.address) === 'IPv4';
  const found = routesTo(tables, route, link.name).find(
    ([, other]) =>
      other.protocol === route.protocol && (!four || route.source === undefined || other.source === route.source),
  );
  return found !== undefined && tables.localRoutes.delete(found[0]) ? undefined : 'ESRCH';
}

function routesTo({ localRoutes }: FakeRoutes, route: LocalRoute, link: string): [string, LocalRouteState][] {
  const found: [string, LocalRouteState][] = [];
  // Without a list of them all: each of very many is looked for when it is added.
  for (const entry of localRoutes) {
    const [, other] = entry;
    if (other.address === route.address && other.prefixLength === route.prefixLength && other.link === link)
      found.push(entry);
  }
  return found;
}

function routeKey({ address, prefixLength, link, protocol, source }: LocalRoute): string {
  const suffix = source === undefined ? '' : ` src ${source}`;
  return `${address}/${prefixLength} dev ${link} proto ${protocol}${suffix}`;
}

/** The routes that addresses bring, and those that were added. */
export function allLocalRoutes(tables: FakeRoutes): LocalRouteState[] {
  const own = new Map<string, LocalRouteState>();
  for (const { address, link, linkIndex } of tables.addresses.values()) {
    const family = familyOf(address);
    const source = family === 'IPv4' ? { source: address } : {};
    own.set(`${link} ${address}`, {
      ...{ address, prefixLength: fullPrefix(family), link, linkIndex, protocol: kernelsOwn },
      ...source,
    });
  }
  return [...own.values(), ...tables.localRoutes.values()];
}

function isLocal(tables: FakeRoutes, address: IpAddress): boolean {
  return allLocalRoutes(tables).some((route) => {
    const cidr = parseCidr(`${route.address}/${route.prefixLength}`);
    return cidr !== undefined && cidrContains(cidr, address);
  });
}

function lifetimes(address: LinkAddress): Pick<LinkAddressState, 'deprecated' | 'validSeconds' | 'preferredSeconds'> {
  const { validSeconds, deprecated = false } = address;
  const preferredSeconds = deprecated ? 0 : (address.preferredSeconds ?? validSeconds);
  return {
    deprecated: preferredSeconds === 0,
    ...(validSeconds === undefined ? {} : { validSeconds }),
    ...(preferredSeconds === undefined ? {} : { preferredSeconds }),
  };
}

function flags(address: LinkAddress): Pick<LinkAddressState, 'noDad' | 'noPrefixRoute'> {
  const vip = familyOf(address.address) === 'IPv6' && address.prefixLength === 128;
  return { noDad: address.noDad ?? vip, noPrefixRoute: address.noPrefixRoute ?? vip };
}

function newAddress(wanted: LinkAddress, linkIndex: number): LinkAddressState {
  const { link, address, prefixLength } = wanted;
  const scope = scopeOf(wanted);
  const rest = { tentative: false, dadFailed: false };
  return { link, linkIndex, address, prefixLength, scope, ...lifetimes(wanted), ...flags(wanted), ...rest };
}

/** IPv6 addresses have the scope of their bits (ipv6_addr_type). */
function scopeOf({ address, scope = 'global' }: LinkAddress): AddressScope {
  if (familyOf(address) === 'IPv4') return scope;
  if (address === '::1') return 'host';
  if (/^fe[89ab].:/.test(address)) return 'link';
  return /^fe[c-f].:/.test(address) ? 'site' : 'global';
}

/** What NLM_F_REPLACE changes: the lifetimes, and of an IPv6 address the flags. */
function changedAddress(existing: LinkAddressState, wanted: LinkAddress): LinkAddressState {
  const { validSeconds: _valid, preferredSeconds: _preferred, ...kept } = existing;
  const changed = familyOf(wanted.address) === 'IPv6' ? flags(wanted) : {};
  return { ...kept, ...lifetimes(wanted), ...changed };
}
