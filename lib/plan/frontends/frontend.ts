/** What the frontends of a service port have in common. Each kind is one file beside this one. */
import type { ServicePortSpec } from '../../model/service-port.ts';
import type { ObjectKey, ServiceBody } from '../../records.ts';
import {
  type AddressServiceKey,
  type IpAddress,
  type IpFamily,
  ServiceFlag,
  type VirtualService,
} from '../../types.ts';
import type { DestinationList } from '../destination-list.ts';
import type { PortLists } from '../live-port.ts';
import { type ServiceId, serviceId } from '../state.ts';
import type { FrontendKind, WantedEntry, WantedPort, WantedService } from '../wanted.ts';

/** What a frontend may look at besides its service port. */
export interface FrontendContext {
  /** IPVS scheduler of a virtual service whose Service asks for no other. */
  readonly scheduler: string;
  /** Schedulers that this kernel does not have. */
  readonly unknownSchedulers: ReadonlySet<string>;
  /** Where external traffic of policy Local goes on a node without a local endpoint. */
  readonly externalLocalFallback: 'cluster' | 'none';
  /** A Service that lists source ranges, but none of a VIP's family: nobody may reach that VIP, or everybody. */
  readonly sourceRangesOfOtherFamily: 'deny' | 'allow';
  /** Addresses that node ports answer on. */
  nodePortAddresses(family: IpFamily): readonly IpAddress[];
  /** On an interface of this node. */
  isInterfaceAddress(address: IpAddress): boolean;
  /** Name of another Node that has the address. */
  otherNodeWith(address: IpAddress): ObjectKey | undefined;
  /** An entry of `spec.externalIPs` may be served. */
  isAllowedExternalIP(address: IpAddress): boolean;
  /** The node's own IP (behaviour.md 1.6), undefined while the Node is not known, or has none of the family. */
  nodeIP(family: IpFamily): IpAddress | undefined;
}

/** What a frontend asks for. */
export interface Frontend {
  readonly virtualServices: readonly WantedService[];
  readonly entries: readonly WantedEntry[];
  /** Addresses to bind. */
  readonly addresses: readonly IpAddress[];
  /** Virtual services whose source ranges leave this node out. */
  readonly outFilters: readonly ServiceId[];
  readonly warnings: readonly string[];
}

/** @param owner Made of what the makers return. */
export type FrontendMaker = (
  port: ServicePortSpec,
  lists: PortLists,
  context: FrontendContext,
  owner: WantedPort,
) => Frontend;

export const noFrontend: Frontend = { virtualServices: [], entries: [], addresses: [], outFilters: [], warnings: [] };

export function wantedService(
  kind: FrontendKind,
  port: ServicePortSpec,
  address: IpAddress,
  portNumber: number,
  destinations: DestinationList,
  context: FrontendContext,
  owner: WantedPort,
): WantedService {
  const key: AddressServiceKey = { protocol: port.protocol, address, port: portNumber };
  return { id: serviceId(key), kind, service: virtualService(key, port, context), destinations, port: owner };
}

/** behaviour.md 2.1. `mh` alone gets its flag (IP_VS_SVC_F_SCHED_MH_PORT) unasked: the source port is hashed, too; `sh` gets none. */
function virtualService(
  key: AddressServiceKey,
  { body }: ServicePortSpec,
  context: FrontendContext,
): VirtualService<AddressServiceKey> {
  const { affinitySeconds } = body;
  const tuning = lacksScheduler(body, context) ? undefined : body.tuning;
  const scheduler = tuning?.scheduler ?? context.scheduler;
  const persistent = affinitySeconds > 0 ? ServiceFlag.persistent : 0;
  const ofScheduler = tuning?.schedulerFlags ?? (scheduler === 'mh' ? ServiceFlag.sched2 : 0);
  return { key, scheduler, flags: persistent | (ofScheduler & schedulerFlags), timeoutSeconds: affinitySeconds };
}

/** The Service asks for a scheduler that this kernel does not have. */
export function lacksScheduler({ tuning }: ServiceBody, context: FrontendContext): boolean {
  return tuning?.scheduler !== undefined && context.unknownSchedulers.has(tuning.scheduler);
}

const schedulerFlags = ServiceFlag.sched1 | ServiceFlag.sched2 | ServiceFlag.sched3;
