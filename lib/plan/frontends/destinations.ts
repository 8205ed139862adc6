/** The destination lists of a service port: which endpoints, at which weight, forwarded how. */
import type { Endpoint } from '../../model/endpoints.ts';
import type { ServicePort } from '../../model/service-port.ts';
import type { Destination, ForwardMethod } from '../../types.ts';
import { type DestinationId, destinationId } from '../state.ts';

export type Destinations = ReadonlyMap<DestinationId, Destination>;

/** What a frontend chooses from; made once per service port and shared. */
export interface DestinationLists {
  readonly cluster: Destinations;
  readonly local: Destinations;
  /** For external traffic: the cluster list, or with policy Local the local one; without a local endpoint as the option says. */
  readonly external: Destinations;
  /** The external list for node ports, whose port is never the endpoints' own: always by masquerade. */
  readonly nodePort: Destinations;
  /** How `cluster`, `local` and `external` are forwarded. Anything but masquerade keeps the packet's addresses, so it must not be source-translated. */
  readonly forward: ForwardMethod;
  readonly warnings: readonly string[];
}

/**
 * behaviour.md 1.5. `fallback`: an external list that is local but has no local endpoint is the cluster list, as with kube-proxy
 * (kubernetes #93456), or empty. The internal one never falls back: internalTrafficPolicy Local is strict.
 */
export function destinationLists(port: ServicePort, fallback: 'cluster' | 'none'): DestinationLists {
  const { cluster, local } = port.endpoints;
  const takesLocal = port.body.externalPolicyLocal && (local.length > 0 || fallback === 'none');
  const asked = port.body.tuning?.forward ?? 'masquerade';
  const misfit = asked === 'masquerade' ? undefined : [...cluster, ...local].find((one) => one.port !== port.port);
  const forward = misfit === undefined ? asked : 'masquerade';
  const lists = { cluster: destinationsOf(cluster, forward), local: destinationsOf(local, forward) };
  const external = takesLocal ? lists.local : lists.cluster;
  return {
    ...lists,
    external,
    nodePort: forward === 'masquerade' ? external : destinationsOf(takesLocal ? local : cluster, 'masquerade'),
    forward,
    warnings: [
      ...(misfit === undefined ? [] : [misfitWarning(port, asked, misfit)]),
      ...port.circular.map(circularWarning),
    ],
  };
}

const none: Destinations = new Map();

function destinationsOf(endpoints: readonly Endpoint[], forward: ForwardMethod): Destinations {
  if (endpoints.length === 0) return none;
  const destinations = new Map<DestinationId, Destination>();
  for (const { address, port, weight } of endpoints) {
    destinations.set(destinationId({ address, port }), { address, port, weight, forward });
  }
  return destinations;
}

function circularWarning(endpoint: Endpoint): string {
  return `endpoint ${destinationId(endpoint)} is a virtual IP of the Service itself: it is skipped, for packets to it would come back`;
}

/** Of the endpoint only its port: endpoints come and go, and it would be another message for each. */
function misfitWarning(port: ServicePort, asked: ForwardMethod, misfit: Endpoint): string {
  return `${port.id}: forwarding by ${asked} keeps the port, and there are endpoints on port ${misfit.port}, not ${port.port}: packets are masqueraded instead. Give the Service and its endpoints the same port`;
}
