/** The worker side of the async clients: a session, and requests for it. */
import type { Handler, HandlerModule, Host } from '../thread/host.ts';
import type {
  DestinationState,
  LinkAddressState,
  LinkState,
  ServiceKey,
  SetEntry,
  SetState,
  VirtualService,
} from '../types.ts';
import { Batch } from './batch.ts';
import type { VirtualServiceWithDestinations } from './client.ts';
import { openSession } from './linux-session.ts';
import { type BatchResult, type KernelSession, readAll } from './session.ts';

export interface ClientInit {
  readonly timeoutMs?: number;
}

export type ReadRequest =
  | { readonly kind: 'services' | 'servicesWithDestinations' | 'sets' | 'links' | 'addresses' }
  | { readonly kind: 'destinations'; readonly service: ServiceKey }
  | { readonly kind: 'entries'; readonly set: string };

export type ClientRequest =
  | ReadRequest
  /** `records` and `size` of a batch. */
  | { readonly kind: 'run'; readonly records: Uint8Array; readonly size: number };

/** The field of the request's kind is there, no other. */
export interface ReadReply {
  readonly result?: BatchResult;
  readonly services?: VirtualService[];
  readonly servicesWithDestinations?: VirtualServiceWithDestinations[];
  readonly destinations?: DestinationState[];
  readonly sets?: SetState[];
  readonly entries?: SetEntry[];
  readonly links?: LinkState[];
  readonly addresses?: LinkAddressState[];
}

export type ClientHost = Host<ClientRequest, ReadReply>;

/** What the worker runs. */
export function createHandler(init: ClientInit): Handler<ClientRequest, ReadReply> {
  return new SessionHandler(openSession(init));
}

/** The same in this thread, over a given session or one of its own. */
export function sessionModule(session?: KernelSession): HandlerModule<ClientInit, ClientRequest, ReadReply> {
  return { createHandler: (init) => (session === undefined ? createHandler(init) : new SessionHandler(session)) };
}

class SessionHandler implements Handler<ClientRequest, ReadReply> {
  readonly #session: KernelSession;

  constructor(session: KernelSession) {
    this.#session = session;
  }

  handle(request: ClientRequest): ReadReply {
    const session = this.#session;
    switch (request.kind) {
      case 'run':
        return { result: session.run(Batch.fromRecords(request.records, request.size)) };
      case 'services':
        return { services: readAll(session.services()) };
      case 'servicesWithDestinations':
        return {
          servicesWithDestinations: readAll(session.services()).map((service) => ({
            ...service,
            destinations: readAll(session.destinations(service.key)),
          })),
        };
      case 'destinations':
        return { destinations: readAll(session.destinations(request.service)) };
      case 'sets':
        return { sets: readAll(session.sets()) };
      case 'entries':
        return { entries: readAll(session.entries(request.set)) };
      case 'links':
        return { links: readAll(session.links()) };
      case 'addresses':
        return { addresses: readAll(session.addresses()) };
    }
  }

  close(): void {
    this.#session.close();
  }
}
