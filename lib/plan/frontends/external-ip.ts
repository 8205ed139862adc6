/** The external IPs of a service port: a virtual service on each, bound unless an interface of this node has the address (behaviour.md 2.2). */
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { IpAddress } from '../../types.ts';
import type { PortLists } from '../live-port.ts';
import { setName, tupleEntry } from '../sets.ts';
import type { WantedEntry, WantedPort, WantedService } from '../wanted.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';
import { refusal, vipsOf } from './vip.ts';

export function externalIpFrontend(
  port: ServicePortSpec,
  lists: PortLists,
  context: FrontendContext,
  owner: WantedPort,
): Frontend {
  if (port.body.externalIPs.length === 0) return noFrontend;
  const virtualServices: WantedService[] = [];
  const entries: WantedEntry[] = [];
  const addresses: IpAddress[] = [];
  const warnings: string[] = [];
  // One or the other, never both: the first asks for source translation.
  const isExempt = port.body.externalPolicyLocal || lists.forward !== 'masquerade';
  const set = setName(isExempt ? 'EXTERNAL-IP-LOCAL' : 'EXTERNAL-IP', port.family);
  for (const address of vipsOf(port, port.body.externalIPs)) {
    const reason = context.isAllowedExternalIP(address)
      ? refusal('external IP', address, context)
      : `external IP ${address} is in none of allowedExternalIPs: it is not served`;
    if (reason !== undefined) {
      warnings.push(reason);
      continue;
    }
    const wanted = wantedService('external-ip', port, address, port.port, lists.external, context, owner);
    virtualServices.push(wanted);
    const entry = tupleEntry(address, port.protocol, port.port);
    entries.push({ set, entry, follows: [wanted.id], kind: 'external-ip' });
    if (!context.isInterfaceAddress(address)) addresses.push(address);
  }
  return { virtualServices, entries, addresses, outFilters: [], warnings };
}
