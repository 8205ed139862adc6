/** Links, addresses and local routes of the async clients: what callers see, and how the worker answers. */
import { ProxierError } from '../errors.ts';
import type {
  ChangeEvent,
  ChangeGroup,
  LinkAddressState,
  LinkState,
  LocalRouteFilter,
  LocalRouteState,
} from '../types.ts';
import { ChangeWatch, type WatchOptions } from './change-watch.ts';
import type { CallOptions } from './client.ts';
import { newHandle } from './open-cursors.ts';
import { type KernelSession, type Monitor, readAll } from './session.ts';

export interface RouteClient {
  /** RTM_GETLINK */
  links(options?: CallOptions): Promise<LinkState[]>;
  /** RTM_GETADDR, both families, all links. */
  addresses(options?: CallOptions): Promise<LinkAddressState[]>;
  /** RTM_GETROUTE: routes of type local in the table local, those of one owner or all. */
  localRoutes(filter?: LocalRouteFilter, options?: CallOptions): Promise<LocalRouteState[]>;
  /**
   * Changes from the moment of the call on: list after it, and nothing is missed. The iteration ends with `break` (`return`), rejects with
   * the signal's reason when that is aborted, and with ERR_CLOSED when the client is closed. A `lost` event: list again. Whoever calls it
   * iterates or returns it: the subscription lives until then.
   * @example for await (const event of kernel.route.watch(['address'], { signal })) console.log(event);
   */
  watch(groups: readonly ChangeGroup[], options?: WatchOptions): AsyncIterableIterator<ChangeEvent>;
}

export type RouteRequest =
  | { readonly kind: 'links' | 'addresses' }
  | { readonly kind: 'localRoutes'; readonly filter: LocalRouteFilter }
  | { readonly kind: 'openMonitor'; readonly groups: readonly ChangeGroup[] }
  | { readonly kind: 'drainMonitor' | 'closeMonitor'; readonly monitor: number };

/** The field of the request's kind is there, no other. */
export interface RouteReply {
  readonly links?: LinkState[];
  readonly addresses?: LinkAddressState[];
  readonly localRoutes?: LocalRouteState[];
  readonly monitor?: number;
  /** Absent = there is no such monitor: the worker that had it is gone. */
  readonly changes?: readonly ChangeEvent[];
}

type Read = (request: RouteRequest, options?: CallOptions) => Promise<RouteReply>;

export function routeClient(read: Read): RouteClient {
  return {
    links: async (options) => (await read({ kind: 'links' }, options)).links ?? [],
    addresses: async (options) => (await read({ kind: 'addresses' }, options)).addresses ?? [],
    localRoutes: async (filter = {}, options) =>
      (await read({ kind: 'localRoutes', filter }, options)).localRoutes ?? [],
    watch: (groups, options = {}) =>
      new ChangeWatch(
        {
          open: async () => {
            const { monitor } = await read({ kind: 'openMonitor', groups });
            if (monitor === undefined) throw new ProxierError('ERR_WORKER', 'the worker answered without a monitor');
            return monitor;
          },
          drain: async (monitor) => (await read({ kind: 'drainMonitor', monitor })).changes,
          close: async (monitor) => {
            await read({ kind: 'closeMonitor', monitor });
          },
        },
        groups,
        options,
      ),
  };
}

/** The worker side: monitors that live from one request to the next. */
export class RouteReader {
  readonly #session: KernelSession;
  readonly #monitors = new Map<number, Monitor>();

  constructor(session: KernelSession) {
    this.#session = session;
  }

  handle(request: RouteRequest): RouteReply {
    switch (request.kind) {
      case 'links':
        return { links: readAll(this.#session.links()) };
      case 'addresses':
        return { addresses: readAll(this.#session.addresses()) };
      case 'localRoutes':
        return { localRoutes: readAll(this.#session.localRoutes(request.filter)) };
      case 'openMonitor': {
        const monitor = newHandle();
        this.#monitors.set(monitor, this.#session.openMonitor(request.groups));
        return { monitor };
      }
      case 'drainMonitor': {
        const changes = this.#monitors.get(request.monitor)?.drain();
        return changes === undefined ? {} : { changes };
      }
      case 'closeMonitor':
        this.#monitors.get(request.monitor)?.close();
        this.#monitors.delete(request.monitor);
        return {};
    }
  }

  close(): void {
    for (const monitor of this.#monitors.values()) monitor.close();
    this.#monitors.clear();
  }
}
