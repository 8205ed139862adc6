/** Connection tracking of the async clients: what callers see, and how the worker answers. */
import { ProxierError } from '../errors.ts';
import type { Connection, ConnectionFilter } from '../types.ts';
import type { Batch } from './batch.ts';
import type { CallOptions, RunOptions } from './client.ts';
import { OpenCursors } from './open-cursors.ts';
import { ConnectionRemoval, type RemoveConnectionsOptions, type RemovedConnections } from './remove-connections.ts';
import { type BatchResult, type KernelSession, readAll } from './session.ts';

/** Single removals are operations of a batch: `batch().removeConnection(tuple, { zone, id })`. */
export interface ConntrackClient {
  /** Tracked connections of TCP, UDP, SCTP and ICMP that match (IPCTNL_MSG_CT_GET); all of them when there is no filter. */
  list(filter?: ConnectionFilter, options?: CallOptions): Promise<Connection[]>;
  /**
   * The same in slices of some hundred, as the kernel gives them: a table of any size in bounded memory. Leaving the loop early ends it.
   * @example for await (const slice of kernel.conntrack.stream({ protocol: 'udp' })) count += slice.length;
   */
  stream(filter?: ConnectionFilter, options?: CallOptions): AsyncGenerator<readonly Connection[], void, undefined>;
  /**
   * Removes the connections of the filter that the predicate takes too, in bounded memory: slices come to this thread for the predicate,
   * the removals of each go back before the next is read. By tuple and id. What the kernel refuses is counted and told.
   */
  removeWhere(
    filter: ConnectionFilter,
    predicate: (connection: Connection) => boolean,
    options?: CallOptions & RemoveConnectionsOptions,
  ): Promise<RemovedConnections>;
}

export type ConntrackRequest =
  | { readonly kind: 'connections' | 'openConnections'; readonly filter: ConnectionFilter }
  | { readonly kind: 'nextConnections' | 'closeConnections'; readonly connectionCursor: number };

export interface ConntrackReply {
  /** Of `nextConnections`: absent = the end. */
  readonly connections?: readonly Connection[];
  readonly connectionCursor?: number;
}

/** What the client stands on. */
export interface ConntrackCalls {
  read(request: ConntrackRequest, options?: CallOptions): Promise<ConntrackReply>;
  run(batch: Batch, options?: RunOptions): Promise<BatchResult>;
}

export class HostedConntrack implements ConntrackClient {
  readonly #calls: ConntrackCalls;

  constructor(calls: ConntrackCalls) {
    this.#calls = calls;
  }

  async list(filter: ConnectionFilter = {}, options?: CallOptions): Promise<Connection[]> {
    return [...((await this.#calls.read({ kind: 'connections', filter }, options)).connections ?? [])];
  }

  async *stream(
    filter: ConnectionFilter = {},
    options: CallOptions = {},
  ): AsyncGenerator<readonly Connection[], void, undefined> {
    options.signal?.throwIfAborted();
    // Not given the signal: a cursor that nobody waits for would stay open.
    const { connectionCursor } = await this.#calls.read({ kind: 'openConnections', filter });
    if (connectionCursor === undefined) throw new ProxierError('ERR_WORKER', 'the worker answered without a cursor');
    let isOpen = true;
    try {
      for (;;) {
        const { connections } = await this.#calls.read({ kind: 'nextConnections', connectionCursor }, options);
        if (connections === undefined) break;
        yield connections;
      }
      isOpen = false;
    } finally {
      // After an error there may be nobody left to tell.
      if (isOpen) await this.#calls.read({ kind: 'closeConnections', connectionCursor }).catch(() => {});
    }
  }

  async removeWhere(
    filter: ConnectionFilter,
    predicate: (connection: Connection) => boolean,
    options: CallOptions & RemoveConnectionsOptions = {},
  ): Promise<RemovedConnections> {
    const removal = new ConnectionRemoval(predicate, options);
    for await (const slice of this.stream(filter, options)) {
      const batch = removal.batch(slice);
      if (batch.size > 0) {
        removal.count(batch, (await this.#calls.run(batch, { ...options, onFailure: 'report' })).failures);
      }
      if (removal.done) break;
    }
    return removal.result();
  }
}

/** The worker side: cursors that live from one request to the next. */
export class ConntrackReader {
  readonly #session: KernelSession;
  readonly #cursors = new OpenCursors<Connection>();

  constructor(session: KernelSession) {
    this.#session = session;
  }

  handle(request: ConntrackRequest): ConntrackReply {
    switch (request.kind) {
      case 'connections':
        return { connections: readAll(this.#session.connections(request.filter)) };
      case 'openConnections':
        return { connectionCursor: this.#cursors.add(this.#session.connections(request.filter)) };
      case 'nextConnections': {
        const connections = this.#cursors.next(request.connectionCursor);
        return connections === undefined ? {} : { connections };
      }
      case 'closeConnections':
        this.#cursors.remove(request.connectionCursor);
        return {};
    }
  }

  close(): void {
    this.#cursors.close();
  }
}
