/** What the kernel holds of IPVS, and whose it is. Reads only. */
import type { KernelClient } from '../kernel/index.ts';
import { type Ownership, ownershipOf } from '../plan/ledger.ts';
import type {
  DestinationState,
  IpAddress,
  LinkAddressState,
  ServiceKey,
  SetEntry,
  SetState,
  VirtualService,
} from '../types.ts';

export interface ServiceStatus extends VirtualService {
  readonly destinations: readonly DestinationState[];
  readonly owner: Ownership;
}

export interface KernelStatus {
  /** Sorted as people look for them: by address, then protocol and port; firewall marks last. */
  readonly services: readonly ServiceStatus[];
  readonly sets: readonly SetState[];
  /** On the VIP device. */
  readonly boundAddresses: readonly IpAddress[];
}

const VIP_DEVICE = 'kube-ipvs0';

/** @throws ProxierError when the kernel has no IPVS or no ip_set, or without CAP_NET_ADMIN. */
export async function readStatus(kernel: KernelClient): Promise<KernelStatus> {
  const services = await kernel.ipvs.listWithDestinations();
  const sets = (await kernel.ipset.list()).filter(({ name }) => name.startsWith('KUBE-'));
  const entries = new Map<string, ReadonlySet<SetEntry>>();
  for (const { name } of sets) entries.set(name, new Set(await kernel.ipset.entries(name)));
  const addresses = await kernel.route.addresses();
  const on = (wanted: (address: LinkAddressState) => boolean): Set<IpAddress> =>
    new Set(addresses.filter(wanted).map(({ address }) => address));
  const ledger = {
    sets: entries,
    vipAddresses: on(({ link }) => link === VIP_DEVICE),
    interfaceAddresses: on(({ link }) => link !== VIP_DEVICE),
  };
  return {
    services: services
      .map((service) => ({ ...service, owner: ownershipOf(service.key, ledger) }))
      .sort((one, other) => collator.compare(sortText(one.key), sortText(other.key))),
    sets,
    boundAddresses: [...ledger.vipAddresses].sort(collator.compare),
  };
}

const collator = new Intl.Collator('en', { numeric: true });

function sortText(key: ServiceKey): string {
  if ('fwmark' in key) return `~${key.fwmark}`;
  return `${key.address.includes(':') ? 'v6' : 'v4'} ${key.address} ${key.protocol} ${key.port}`;
}
