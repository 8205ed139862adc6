/** The worker side of the async clients: a session, and requests for it. */
import type { Handler, HandlerModule, Host } from '../thread/host.ts';
import type { SetState } from '../types.ts';
import { Batch } from './batch.ts';
import { ConntrackReader, type ConntrackReply, type ConntrackRequest } from './client-conntrack.ts';
import { IpsetReader, type IpsetReply, type IpsetRequest } from './client-ipset.ts';
import { answerIpvs, type IpvsReply, type IpvsRequest } from './client-ipvs.ts';
import { RouteReader, type RouteReply, type RouteRequest } from './client-route.ts';
import { openSession } from './linux-session.ts';
import { enterNetns } from './netns.ts';
import { type BatchOptions, type BatchResult, type KernelSession, readAll } from './session.ts';

export interface ClientInit {
  readonly timeoutMs?: number;
  /** Entered for the life of the thread that makes the handler. */
  readonly netns?: string;
}

export type ReadRequest =
  | { readonly kind: 'sets' }
  | IpvsRequest
  | IpsetRequest
  | RouteRequest
  | ConntrackRequest
  | { readonly kind: 'entries'; readonly set: string };

export type ClientRequest =
  | ReadRequest
  /** `records` and `size` of a batch. Nobody writes to them before the answer. */
  | {
      readonly kind: 'run';
      readonly records: Uint8Array;
      readonly size: number;
      readonly options?: BatchOptions;
    };

/** The field of the request's kind is there, no other. */
export interface ReadReply extends IpvsReply, IpsetReply, RouteReply, ConntrackReply {
  readonly result?: BatchResult;
  readonly sets?: SetState[];
}

export type ClientHost = Host<ClientRequest, ReadReply>;

/** What the worker runs. */
export function createHandler(init: ClientInit): Handler<ClientRequest, ReadReply> {
  const { netns, ...options } = init;
  if (netns !== undefined) enterNetns(netns);
  return new SessionHandler(openSession(options));
}

/** The same in this thread, over a given session or one of its own. */
export function sessionModule(session?: KernelSession): HandlerModule<ClientInit, ClientRequest, ReadReply> {
  return { createHandler: (init) => (session === undefined ? createHandler(init) : new SessionHandler(session)) };
}

class SessionHandler implements Handler<ClientRequest, ReadReply> {
  readonly #session: KernelSession;
  readonly #ipset: IpsetReader;
  readonly #route: RouteReader;
  readonly #conntrack: ConntrackReader;

  constructor(session: KernelSession) {
    this.#session = session;
    this.#ipset = new IpsetReader(session);
    this.#route = new RouteReader(session);
    this.#conntrack = new ConntrackReader(session);
  }

  handle(request: ClientRequest): ReadReply {
    const session = this.#session;
    switch (request.kind) {
      case 'run':
        return { result: session.run(Batch.fromRecords(request.records, request.size), request.options) };
      case 'services':
      case 'service':
      case 'servicesWithDestinations':
      case 'destinations':
      case 'timeouts':
      case 'info':
        return answerIpvs(session, request);
      case 'testEntry':
      case 'openEntries':
      case 'nextEntries':
      case 'closeEntries':
        return this.#ipset.handle(request);
      case 'sets':
        return { sets: readAll(session.sets()) };
      case 'entries':
        return { entries: readAll(session.entries(request.set)) };
      case 'links':
      case 'addresses':
      case 'localRoutes':
      case 'openMonitor':
      case 'drainMonitor':
      case 'closeMonitor':
        return this.#route.handle(request);
      case 'connections':
      case 'openConnections':
      case 'nextConnections':
      case 'closeConnections':
        return this.#conntrack.handle(request);
    }
  }

  close(): void {
    this.#ipset.close();
    this.#route.close();
    this.#conntrack.close();
    this.#session.close();
  }
}
