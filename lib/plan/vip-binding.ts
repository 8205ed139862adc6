/**
 * How this host comes to take packets for a VIP: an address on the VIP device, as kube-proxy does it, or a local route without any
 * address. Either way the routing table says that the VIP is here, and IPVS gets the packet (docs/vip-binding.md has what differs).
 */
import { familyOf, fullPrefix } from '../address.ts';
import type { Operation } from '../operations.ts';
import type { IpAddress, LinkAddress, LocalRoute } from '../types.ts';
import { addressObject, type ObjectId, routeObject } from './object-id.ts';
import type { KernelState } from './state.ts';

/**
 * rtm_protocol of our local routes, the mark by which we know them again: free in iproute2's rt_protos and in the kernel's
 * rtnetlink.h. `ip route show table local proto 155` lists them.
 */
export const vipRouteProtocol = 155;

/** Where a VIP's binding is noted in a {@link KernelState}. A VIP is wanted in one of them; on the way from one to the other it has both. */
export type VipKind = 'addresses' | 'routes';
export const vipKinds: readonly VipKind[] = ['addresses', 'routes'];

/** Never chosen as a source address by itself (behaviour.md 2.3). */
export function vipAddress(link: string, address: IpAddress): LinkAddress {
  const family = familyOf(address);
  const prefixLength = fullPrefix(family);
  return family === 'IPv4'
    ? { link, address, prefixLength, scope: 'host' }
    : { link, address, prefixLength, deprecated: true };
}

/** On lo, the one link that is up everywhere: IPv6 takes no route over a link that is down, as the VIP device is. */
export function vipRoute(address: IpAddress): LocalRoute {
  return { link: 'lo', address, prefixLength: fullPrefix(familyOf(address)), protocol: vipRouteProtocol };
}

/** The route is one that {@link vipRoute} makes. */
export function isVipRoute({ link = 'lo', address, prefixLength, protocol }: LocalRoute): boolean {
  return protocol === vipRouteProtocol && link === 'lo' && prefixLength === fullPrefix(familyOf(address));
}

export function isBound(state: KernelState, address: IpAddress): boolean {
  return vipKinds.some((kind) => state[kind].has(address));
}

export function bindingObject(kind: VipKind, address: IpAddress): ObjectId {
  return kind === 'addresses' ? addressObject(address) : routeObject(vipRoute(address));
}

/** @param link The VIP device. */
export function bindOperation(kind: VipKind, link: string, address: IpAddress): Operation {
  return kind === 'addresses'
    ? { verb: 'add-address', address: vipAddress(link, address) }
    : { verb: 'add-local-route', route: vipRoute(address) };
}

export function unbindOperation(kind: VipKind, link: string, address: IpAddress): Operation {
  return kind === 'addresses'
    ? { verb: 'remove-address', link, address, prefixLength: fullPrefix(familyOf(address)) }
    : { verb: 'remove-local-route', route: vipRoute(address) };
}

/** The VIP that a write of {@link unbindOperation} unbinds; undefined: it is another write. */
export function unboundBy(operation: Operation): IpAddress | undefined {
  if (operation.verb === 'remove-address') return operation.address;
  return operation.verb === 'remove-local-route' ? operation.route.address : undefined;
}
