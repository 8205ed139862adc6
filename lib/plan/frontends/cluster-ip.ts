/** The cluster IP of a service port: always there, always bound, endpoints or not (behaviour.md 2.2). */
import type { ServicePort } from '../../model/service-port.ts';
import { setName, tupleEntry } from '../sets.ts';
import { type DestinationLists, type Frontend, type FrontendContext, wantedService } from './frontend.ts';

export function clusterIpFrontend(port: ServicePort, lists: DestinationLists, context: FrontendContext): Frontend {
  const destinations = port.body.internalPolicyLocal ? lists.local : lists.cluster;
  const wanted = wantedService('cluster-ip', port, port.clusterIP, port.port, destinations, context);
  const entry = {
    set: setName('CLUSTER-IP', port.family),
    entry: tupleEntry(port.clusterIP, port.protocol, port.port),
    follows: [wanted.id],
  };
  return { virtualServices: [wanted], entries: [entry], addresses: [port.clusterIP], warnings: [] };
}
