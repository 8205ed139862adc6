/**
 * The cluster IP of a service port: always there, endpoints or not (behaviour.md 2.2). Bound, unless an interface of this node has the address:
 * bound and protected it would cut the node's own daemons off.
 */
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { PortLists } from '../live-port.ts';
import { type SetId, setName, tupleEntry } from '../sets.ts';
import type { WantedEntry, WantedPort } from '../wanted.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';

export function clusterIpFrontend(
  port: ServicePortSpec,
  lists: PortLists,
  context: FrontendContext,
  owner: WantedPort,
): Frontend {
  const destinations = port.body.internalPolicyLocal ? lists.local : lists.cluster;
  const wanted = wantedService('cluster-ip', port, port.clusterIP, port.port, destinations, context, owner);
  const entry = tupleEntry(port.clusterIP, port.protocol, port.port);
  const follows = [wanted.id];
  const of = (id: SetId): WantedEntry => ({ set: setName(id, port.family), entry, follows, kind: 'cluster-ip' });
  // The rules of KUBE-CLUSTER-IP mark clients from outside for source translation and know no exemption. An endpoint reached in another way than by
  // masquerading would answer this host from the VIP then, an address of this host's own, and the kernel drops that (docs/annotations.md).
  // So to the rules such a cluster IP is a load balancer IP of policy Local: only what comes from the node's own processes is translated.
  const entries =
    lists.forward === 'masquerade' ? [of('CLUSTER-IP')] : [of('LOAD-BALANCER'), of('LOAD-BALANCER-LOCAL')];
  const frontend = { ...noFrontend, virtualServices: [wanted], entries };
  if (!context.isInterfaceAddress(port.clusterIP)) return { ...frontend, addresses: [port.clusterIP] };
  const warning = `cluster IP ${port.clusterIP} is on an interface of this node: it is served there, and not bound`;
  return { ...frontend, warnings: [warning] };
}
