/** The cluster IP of a service port: always there, always bound, endpoints or not (behaviour.md 2.2). */
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
  return { ...noFrontend, virtualServices: [wanted], entries: [entry], addresses: [port.clusterIP] };
}
