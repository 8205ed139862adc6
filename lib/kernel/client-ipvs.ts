/** IPVS of the async clients: what callers see, the requests that become of it, and how the worker answers them. */
import type {
  DestinationState,
  IpvsInfo,
  IpvsReadOptions,
  IpvsTableOptions,
  IpvsTimeouts,
  ServiceKey,
  ServiceState,
  VirtualServiceWithDestinations,
} from '../types.ts';
import { Batch } from './batch.ts';
import type { CallOptions } from './client.ts';
import { type BatchResult, type KernelSession, readAll } from './session.ts';

/** Writes reject with `BatchError` when the kernel refuses. */
export interface IpvsClient {
  /** Undefined when there is no such service (IPVS_CMD_GET_SERVICE). */
  get(service: ServiceKey, options?: CallOptions & IpvsReadOptions): Promise<ServiceState | undefined>;
  /** Every virtual service of this network namespace, firewall mark services too (IPVS_CMD_GET_SERVICE). */
  list(options?: CallOptions & IpvsReadOptions): Promise<ServiceState[]>;
  /** The same with their destinations, read the fastest way that has what is asked for: see `IpvsTableOptions.thresholds`. */
  listWithDestinations(options?: CallOptions & IpvsTableOptions): Promise<VirtualServiceWithDestinations[]>;
  /** Empty when there is no such service: the kernel does not tell the difference (IPVS_CMD_GET_DEST). */
  destinations(service: ServiceKey, options?: CallOptions & IpvsReadOptions): Promise<DestinationState[]>;
  /** Statistics back to nought, of one service and its destinations, or of all services when none is given (IPVS_CMD_ZERO). */
  zero(service?: ServiceKey, options?: CallOptions): Promise<void>;
  /** Removes every virtual service of the network namespace, whoever made it (IPVS_CMD_FLUSH). */
  flush(options?: CallOptions): Promise<void>;
  /** IPVS_CMD_GET_CONFIG */
  timeouts(options?: CallOptions): Promise<IpvsTimeouts>;
  /** A time-out that is absent or 0 stays as it is (IPVS_CMD_SET_CONFIG). */
  setTimeouts(timeouts: Partial<IpvsTimeouts>, options?: CallOptions): Promise<void>;
  /** IPVS_CMD_GET_INFO */
  info(options?: CallOptions): Promise<IpvsInfo>;
}

export type IpvsRequest =
  | { readonly kind: 'services'; readonly statistics: boolean }
  | { readonly kind: 'service' | 'destinations'; readonly service: ServiceKey; readonly statistics: boolean }
  | { readonly kind: 'servicesWithDestinations'; readonly statistics: boolean; readonly thresholds: boolean }
  | { readonly kind: 'timeouts' | 'info' };

/** The field of the request's kind is there, no other; `service` only when there is one. */
export interface IpvsReply {
  readonly services?: ServiceState[];
  readonly service?: ServiceState;
  readonly servicesWithDestinations?: VirtualServiceWithDestinations[];
  readonly destinations?: DestinationState[];
  readonly timeouts?: IpvsTimeouts;
  readonly info?: IpvsInfo;
}

export function answerIpvs(session: KernelSession, request: IpvsRequest): IpvsReply {
  switch (request.kind) {
    case 'services':
      return { services: readAll(session.services(request)) };
    case 'service': {
      const service = session.service(request.service, request);
      return service === undefined ? {} : { service };
    }
    case 'servicesWithDestinations':
      return { servicesWithDestinations: readAll(session.servicesWithDestinations(request)) };
    case 'destinations':
      return { destinations: readAll(session.destinations(request.service, request)) };
    case 'timeouts':
      return { timeouts: session.timeouts() };
    case 'info':
      return { info: session.info() };
  }
}

export function ipvsClient(
  read: (request: IpvsRequest, options?: CallOptions) => Promise<IpvsReply>,
  run: (batch: Batch, options?: CallOptions) => Promise<BatchResult>,
): IpvsClient {
  return {
    get: async (service, options = {}) =>
      (await read({ kind: 'service', service, statistics: options.statistics === true }, options)).service,
    list: async (options = {}) =>
      (await read({ kind: 'services', statistics: options.statistics === true }, options)).services ?? [],
    listWithDestinations: async (options = {}) => {
      const { statistics = false, thresholds = false } = options;
      const reply = await read({ kind: 'servicesWithDestinations', statistics, thresholds }, options);
      return reply.servicesWithDestinations ?? [];
    },
    destinations: async (service, options = {}) => {
      const reply = await read({ kind: 'destinations', service, statistics: options.statistics === true }, options);
      return reply.destinations ?? [];
    },
    zero: async (service, options) => {
      const batch = new Batch();
      await run(service === undefined ? batch.zeroServices() : batch.zeroService(service), options);
    },
    flush: async (options) => {
      await run(new Batch().flushServices(), options);
    },
    timeouts: async (options) => present((await read({ kind: 'timeouts' }, options)).timeouts),
    setTimeouts: async (timeouts, options) => {
      await run(new Batch().setTimeouts(timeouts), options);
    },
    info: async (options) => present((await read({ kind: 'info' }, options)).info),
  };
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new RangeError('unreachable: the worker answers with what was asked for');
  return value;
}
