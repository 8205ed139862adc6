/**
 * The cluster IP of a service port: always there, endpoints or not (behaviour.md 2.2). Bound, unless an interface of this node has the address:
 * bound and protected it would cut the node's own daemons off.
 */
import type { ServicePort } from '../../model/service-port.ts';
import { setName, tupleEntry } from '../sets.ts';
import type { WantedEntry } from '../wanted.ts';
import type { DestinationLists } from './destinations.ts';
import { type Frontend, type FrontendContext, noFrontend, wantedService } from './frontend.ts';

export function clusterIpFrontend(port: ServicePort, lists: DestinationLists, context: FrontendContext): Frontend {
  const destinations = port.body.internalPolicyLocal ? lists.local : lists.cluster;
  const wanted = wantedService('cluster-ip', port, port.clusterIP, port.port, destinations, context);
  const entry: WantedEntry = {
    set: setName('CLUSTER-IP', port.family),
    entry: tupleEntry(port.clusterIP, port.protocol, port.port),
    follows: [wanted.id],
    kind: 'cluster-ip',
  };
  const frontend = { ...noFrontend, virtualServices: [wanted], entries: [entry] };
  if (!context.isInterfaceAddress(port.clusterIP)) return { ...frontend, addresses: [port.clusterIP] };
  const warning = `cluster IP ${port.clusterIP} is on an interface of this node: it is served there, and not bound`;
  return { ...frontend, warnings: [warning] };
}
