/** What a fake kernel holds on our behalf, as the state that plan and the window checks know. A live view, made anew for each look. */
import { isAddressKey } from '../../lib/plan/object-id.ts';
import type { KernelState, ServiceId, ServiceNode, SetName } from '../../lib/plan/state.ts';
import { isVipRoute } from '../../lib/plan/vip-binding.ts';
import type { FakeKernel } from '../../lib/testing/fake-kernel.ts';
import type { IpAddress, SetEntry } from '../../lib/types.ts';

const vipLink = 'kube-ipvs0';

export function fakeKernelState({ outside }: FakeKernel): KernelState {
  const services = new Map<ServiceId, ServiceNode>();
  for (const [id, { service, destinations }] of outside.services) {
    const { key } = service;
    if (isAddressKey(key)) services.set(id, { service: { ...service, key }, destinations });
  }
  const sets = new Map<SetName, ReadonlySet<SetEntry>>();
  for (const [name, { entries }] of outside.sets) sets.set(name, entries);
  const addresses = new Set<IpAddress>();
  for (const { link, address } of outside.addresses.values()) if (link === vipLink) addresses.add(address);
  const routes = new Set<IpAddress>();
  for (const route of outside.localRoutes.values()) if (isVipRoute(route)) routes.add(route.address);
  return { services, sets, addresses, routes };
}

/** Addresses of the node's own interfaces. */
export function interfaceAddresses({ outside }: FakeKernel): ReadonlySet<IpAddress> {
  const own = [...outside.addresses.values()].filter(({ link }) => link !== vipLink);
  return new Set(own.map(({ address }) => address));
}
