/** What the frontends of a service port have in common. Each kind is one file beside this one. */
import type { Endpoint } from '../../model/endpoints.ts';
import type { ServicePort } from '../../model/service-port.ts';
import {
  type AddressServiceKey,
  type Destination,
  type IpAddress,
  type IpFamily,
  ServiceFlag,
  type VirtualService,
} from '../../types.ts';
import { type DestinationId, destinationId, serviceId } from '../state.ts';
import type { FrontendKind, WantedEntry, WantedService } from '../wanted.ts';

export type Destinations = ReadonlyMap<DestinationId, Destination>;

/** What a frontend may look at besides its service port. */
export interface FrontendContext {
  /** IPVS scheduler of every virtual service. */
  readonly scheduler: string;
  /** Addresses that node ports answer on. */
  nodePortAddresses(family: IpFamily): readonly IpAddress[];
}

/** The destination lists a frontend chooses from; made once per service port and shared. */
export interface DestinationLists {
  readonly cluster: Destinations;
  readonly local: Destinations;
  /** For external traffic: the local list if the policy says so and it is not empty, or else the cluster list. */
  readonly external: Destinations;
}

/** What a frontend asks for. */
export interface Frontend {
  readonly virtualServices: readonly WantedService[];
  readonly entries: readonly WantedEntry[];
  /** Addresses to bind. */
  readonly addresses: readonly IpAddress[];
  readonly warnings: readonly string[];
}

export type FrontendMaker = (port: ServicePort, lists: DestinationLists, context: FrontendContext) => Frontend;

export const noFrontend: Frontend = { virtualServices: [], entries: [], addresses: [], warnings: [] };

/**
 * behaviour.md 1.5. A list that is external and local but has no local endpoint falls back to the cluster list, as kube-proxy does
 * (kubernetes #93456). The internal one does not: internalTrafficPolicy Local is strict.
 */
export function destinationLists(port: ServicePort): DestinationLists {
  const cluster = destinationsOf(port.endpoints.cluster);
  const local = port.endpoints.local.length === 0 ? none : destinationsOf(port.endpoints.local);
  return { cluster, local, external: port.body.externalPolicyLocal && local.size > 0 ? local : cluster };
}

const none: Destinations = new Map();

function destinationsOf(endpoints: readonly Endpoint[]): Destinations {
  const destinations = new Map<DestinationId, Destination>();
  for (const { address, port } of endpoints) {
    destinations.set(destinationId({ address, port }), { address, port, weight: 1, forward: 'masquerade' });
  }
  return destinations;
}

export function wantedService(
  kind: FrontendKind,
  port: ServicePort,
  address: IpAddress,
  portNumber: number,
  destinations: Destinations,
  context: FrontendContext,
): WantedService {
  const key: AddressServiceKey = { protocol: port.protocol, address, port: portNumber };
  return {
    id: serviceId(key),
    kind,
    service: virtualService(key, context.scheduler, port.body.affinitySeconds),
    destinations,
  };
}

/** behaviour.md 2.1. `mh` alone gets its flag (IP_VS_SVC_F_SCHED_MH_PORT): the source port is hashed, too; `sh` gets none. */
function virtualService(
  key: AddressServiceKey,
  scheduler: string,
  affinitySeconds: number,
): VirtualService<AddressServiceKey> {
  const persistent = affinitySeconds > 0 ? ServiceFlag.persistent : 0;
  const hashPort = scheduler === 'mh' ? ServiceFlag.sched2 : 0;
  return { key, scheduler, flags: persistent | hashPort, timeoutSeconds: affinitySeconds };
}
