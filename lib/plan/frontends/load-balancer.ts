/** The load balancer IPs of a service port: a virtual service on each, and who may reach it (behaviour.md 2.2, 2.5). */
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { IpAddress } from '../../types.ts';
import type { PortLists } from '../live-port.ts';
import { type SetId, setName, tupleEntry } from '../sets.ts';
import type { ServiceId } from '../state.ts';
import type { WantedEntry, WantedPort, WantedService } from '../wanted.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';
import { sourceRangesOf } from './source-ranges.ts';
import { refusal, vipsOf } from './vip.ts';

export function loadBalancerFrontend(
  port: ServicePortSpec,
  lists: PortLists,
  context: FrontendContext,
  owner: WantedPort,
): Frontend {
  if (port.body.loadBalancerIPs.length === 0) return noFrontend;
  const virtualServices: WantedService[] = [];
  const entries: WantedEntry[] = [];
  const addresses: IpAddress[] = [];
  const outFilters: ServiceId[] = [];
  const warnings: string[] = [];
  const ranges = sourceRangesOf(port, context);
  for (const address of vipsOf(port, port.body.loadBalancerIPs)) {
    const reason = refusal('load balancer IP', address, context);
    if (reason !== undefined) {
      warnings.push(reason);
      continue;
    }
    const wanted = wantedService('load-balancer', port, address, port.port, lists.external, context, owner);
    const tuple = tupleEntry(address, port.protocol, port.port);
    const follows = [wanted.id];
    const add = (id: SetId, entry: string): void => {
      entries.push({ set: setName(id, port.family), entry, follows, kind: 'load-balancer' });
    };
    virtualServices.push(wanted);
    add('LOAD-BALANCER', tuple);
    if (port.body.externalPolicyLocal || lists.forward !== 'masquerade') add('LOAD-BALANCER-LOCAL', tuple);
    if (!context.isInterfaceAddress(address)) addresses.push(address);
    if (ranges === undefined) continue;
    add('LOAD-BALANCER-FW', tuple);
    for (const net of ranges.nets) add('LOAD-BALANCER-SOURCE-CIDR', `${tuple},${net}`);
    // What the node itself sends to a VIP comes from the VIP.
    if (ranges.holdsNode) add('LOAD-BALANCER-SOURCE-IP', `${tuple},${address}`);
    else outFilters.push(wanted.id);
  }
  return { virtualServices, entries, addresses, outFilters, warnings };
}
