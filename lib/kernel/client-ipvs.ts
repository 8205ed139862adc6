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
import { decodeTable, isTableSource, type TableRecords } from './ipvs-table.ts';
import { type BatchResult, type KernelSession, readAll } from './session.ts';
import { MOST_BYTES, type SharedRoom } from './shared-room.ts';

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
  /** `room`: where the records may go (`TableRecords`). Nobody else writes to it before the answer. */
  | {
      readonly kind: 'servicesWithDestinations';
      readonly statistics: boolean;
      readonly thresholds: boolean;
      readonly room?: Uint8Array;
    }
  | { readonly kind: 'timeouts' | 'info' };

/** The field of the request's kind is there, no other; `service` only when there is one; `table` from a session that reads records. */
export interface IpvsReply {
  readonly services?: ServiceState[];
  readonly service?: ServiceState;
  readonly servicesWithDestinations?: VirtualServiceWithDestinations[];
  readonly table?: TableRecords;
  readonly destinations?: DestinationState[];
  readonly timeouts?: IpvsTimeouts;
  readonly info?: IpvsInfo;
}

const NO_ROOM = new Uint8Array(0);
/** The records of 10,000 destinations. What is more comes as copies, once: then the room is made larger. */
const TABLE_BYTES = 1024 * 1024;

export function answerIpvs(session: KernelSession, request: IpvsRequest): IpvsReply {
  switch (request.kind) {
    case 'services':
      return { services: readAll(session.services(request)) };
    case 'service': {
      const service = session.service(request.service, request);
      return service === undefined ? {} : { service };
    }
    case 'servicesWithDestinations':
      if (isTableSource(session)) return { table: session.tableRecords(request, request.room ?? NO_ROOM) };
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
  shared: SharedRoom,
): IpvsClient {
  let tableBytes = TABLE_BYTES;
  return {
    get: async (service, options = {}) =>
      (await read({ kind: 'service', service, statistics: options.statistics === true }, options)).service,
    list: async (options = {}) =>
      (await read({ kind: 'services', statistics: options.statistics === true }, options)).services ?? [],
    listWithDestinations: async (options = {}) => {
      const { statistics = false, thresholds = false } = options;
      const request = { kind: 'servicesWithDestinations', statistics, thresholds } as const;
      return shared.lend(tableBytes, async (room) => {
        const { table, servicesWithDestinations } = await read({ ...request, ...(room && { room }) }, options);
        if (table === undefined) return servicesWithDestinations ?? [];
        const more = table.rest.reduce((sum, { length }) => sum + length, 0);
        if (room !== undefined && more > 0) tableBytes = Math.min(room.length + more, MOST_BYTES);
        return decodeTable(table, room ?? NO_ROOM);
      });
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
