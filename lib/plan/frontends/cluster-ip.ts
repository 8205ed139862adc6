/**
 * The cluster IP of a service port: always there, endpoints or not (behaviour.md 2.2). Bound, unless an interface of this node has the address:
 * bound and protected it would cut the node's own daemons off.
 */
import type { ServicePort } from '../../model/service-port.ts';
import type { ForwardMethod } from '../../types.ts';
import { type SetId, setName, tupleEntry } from '../sets.ts';
import type { WantedEntry } from '../wanted.ts';
import type { DestinationLists } from './destinations.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';

export function clusterIpFrontend(port: ServicePort, lists: DestinationLists, context: FrontendContext): Frontend {
  const destinations = port.body.internalPolicyLocal ? lists.local : lists.cluster;
  const wanted = wantedService('cluster-ip', port, port.clusterIP, port.port, destinations, context);
  const entry = tupleEntry(port.clusterIP, port.protocol, port.port);
  const entries = tupleSets(lists.forward).map(
    (id): WantedEntry => ({ set: setName(id, port.family), entry, follows: [wanted.id], kind: 'cluster-ip' }),
  );
  const frontend = { ...noFrontend, virtualServices: [wanted], entries };
  if (!context.isInterfaceAddress(port.clusterIP)) return { ...frontend, addresses: [port.clusterIP] };
  const warning = `cluster IP ${port.clusterIP} is on an interface of this node: it is served there, and not bound`;
  return { ...frontend, warnings: [warning] };
}

/**
 * The rules of KUBE-CLUSTER-IP mark clients from outside for source translation and know no exemption. An endpoint reached in another way than by
 * masquerading would answer this host from the VIP then, an address of this host's own, and the kernel drops that (docs/annotations.md).
 * So to the rules such a cluster IP is a load balancer IP of policy Local: only what comes from the node's own processes is translated.
 */
function tupleSets(forward: ForwardMethod): readonly SetId[] {
  return forward === 'masquerade' ? ['CLUSTER-IP'] : ['LOAD-BALANCER', 'LOAD-BALANCER-LOCAL'];
}
