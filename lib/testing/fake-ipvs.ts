/** The fake kernel's virtual services, and what each command does to them: ip_vs_genl_set_cmd of net/netfilter/ipvs/ip_vs_ctl.c. */
import { familyOf } from '../address.ts';
import type { IpvsOperation } from '../operations.ts';
import {
  type Destination,
  type DestinationState,
  type IpAddress,
  type IpvsReadOptions,
  type IpvsStatistics,
  type IpvsTableOptions,
  type IpvsTimeouts,
  ServiceFlag,
  type ServiceKey,
  type VirtualService,
  type VirtualServiceWithDestinations,
} from '../types.ts';
import type { ErrnoName } from './fake-errors.ts';

export interface FakeService {
  service: VirtualService;
  readonly destinations: Map<string, DestinationState>;
}

export interface FakeIpvs {
  readonly services: Map<string, FakeService>;
  timeouts: IpvsTimeouts;
  /** Modules that the kernel finds. */
  readonly schedulers: ReadonlySet<string>;
  readonly persistenceEngines: ReadonlySet<string>;
}

type Refusal = ErrnoName | undefined;
type DestinationOperation = Extract<IpvsOperation, { readonly verb: `${string}-destination` }>;
type ServiceWrite = Extract<IpvsOperation, { readonly service: VirtualService }>;

/** `tcp 10.96.0.10:80`, `fwmark 5 IPv4` */
export function keyText(key: ServiceKey): string {
  if ('fwmark' in key) return `fwmark ${key.fwmark} ${key.family}`;
  return `${key.protocol} ${hostPort(key.address, key.port)}`;
}

export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export function applyToIpvs(ipvs: FakeIpvs, operation: IpvsOperation): Refusal {
  switch (operation.verb) {
    case 'create-service':
    case 'update-service':
    case 'ensure-service':
      return writeService(ipvs, operation);
    case 'remove-service':
      return ipvs.services.delete(keyText(operation.key)) ? undefined : 'ESRCH';
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
    case 'remove-destination':
      return changeDestination(ipvs, operation);
    case 'zero-service':
      return ipvs.services.has(keyText(operation.key)) ? undefined : 'ESRCH';
    // Nothing in memory counts packets.
    case 'zero-services':
      return undefined;
    case 'flush-services':
      ipvs.services.clear();
      return undefined;
    case 'set-timeouts': {
      const { tcpSeconds, tcpFinSeconds, udpSeconds } = operation.timeouts;
      ipvs.timeouts = {
        tcpSeconds: tcpSeconds || ipvs.timeouts.tcpSeconds,
        tcpFinSeconds: tcpFinSeconds || ipvs.timeouts.tcpFinSeconds,
        udpSeconds: udpSeconds || ipvs.timeouts.udpSeconds,
      };
      return undefined;
    }
  }
}

/** Which of the two is there is looked at before the scheduler is. `ensure` is sent as NEW, and followed by a SET. */
function writeService(ipvs: FakeIpvs, { verb, service }: ServiceWrite): Refusal {
  const id = keyText(service.key);
  const existing = ipvs.services.get(id);
  if (verb === 'update-service') {
    if (existing === undefined) return 'ESRCH';
  } else if (existing !== undefined) return 'EEXIST';
  if (!ipvs.schedulers.has(service.scheduler)) return 'ENOENT';
  const { persistenceEngine } = service;
  if (persistenceEngine !== undefined && !ipvs.persistenceEngines.has(persistenceEngine)) return 'ENOENT';
  if (existing === undefined) ipvs.services.set(id, { service, destinations: new Map() });
  else existing.service = service;
  return undefined;
}

function changeDestination(ipvs: FakeIpvs, operation: DestinationOperation): Refusal {
  const { key, verb } = operation;
  const name = hostPort(operation.destination.address, operation.destination.port);
  const destinations = ipvs.services.get(keyText(key))?.destinations;
  if (destinations === undefined) return 'ESRCH';
  if (verb === 'remove-destination') return destinations.delete(name) ? undefined : 'ENOENT';
  const { destination } = operation;
  const refused = refuseValues(key, destination);
  if (refused !== undefined) return refused;
  const existing = destinations.get(name);
  if (verb === 'update-destination') {
    if (existing === undefined) return 'ENOENT';
  } else if (existing !== undefined) return 'EEXIST';
  else if (!isUnicast(destination.address)) return 'EINVAL';
  const { activeConnections = 0, inactiveConnections = 0, persistentConnections = 0 } = existing ?? {};
  destinations.set(name, { ...destination, activeConnections, inactiveConnections, persistentConnections });
  return undefined;
}

function refuseValues(key: ServiceKey, destination: Destination): Refusal {
  const family = 'fwmark' in key ? key.family : familyOf(key.address);
  if (familyOf(destination.address) !== family && destination.forward !== 'tunnel') return 'EINVAL';
  if (destination.weight < 0 || destination.weight > 0x7fffffff) return 'ERANGE';
  return (destination.lowerThreshold ?? 0) > (destination.upperThreshold ?? 0) ? 'ERANGE' : undefined;
}

/** What ip_vs_new_dest asks of an address that is none of the host's own. */
function isUnicast(address: IpAddress): boolean {
  if (familyOf(address) === 'IPv4') return !/^(22[4-9]|23\d)\.|^255\.255\.255\.255$|^0\.0\.0\.0$/.test(address);
  return !/^ff|^fe[89ab].:|^::$/.test(address);
}

/** Nothing in memory sends packets, so all is nought. */
const nought: IpvsStatistics = {
  connections: 0n,
  inPackets: 0n,
  outPackets: 0n,
  inBytes: 0n,
  outBytes: 0n,
  connectionsPerSecond: 0,
  inPacketsPerSecond: 0,
  outPacketsPerSecond: 0,
  inBytesPerSecond: 0,
  outBytesPerSecond: 0,
};

export function measured<T extends object>(
  state: T,
  options: IpvsReadOptions,
): T & { readonly statistics?: IpvsStatistics } {
  return options.statistics === true ? { ...state, statistics: nought } : state;
}

/** With what /proc/net/ip_vs does not have left out where the session reads that: `IpvsTableOptions.thresholds`. */
export function serviceWithDestinations(
  { service, destinations }: FakeService,
  options: IpvsTableOptions,
): VirtualServiceWithDestinations {
  const states = [...destinations.values()];
  const byText =
    options.statistics !== true &&
    options.thresholds !== true &&
    !('fwmark' in service.key) &&
    (service.flags & ServiceFlag.persistent) === 0 &&
    states.every(({ forward }) => forward === 'masquerade');
  return {
    ...measured(service, options),
    destinations: states.map((state) => {
      if (!byText) return measured(state, options);
      const { upperThreshold: _upper, lowerThreshold: _lower, ...rest } = state;
      return { ...rest, persistentConnections: 0 };
    }),
  };
}
