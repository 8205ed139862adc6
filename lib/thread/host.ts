/** A stateful handler somewhere: on a piscina worker (`piscina-host.ts`) or in this thread (`inline-host.ts`). */

/** What runs on the worker. Made once per worker from the init value; keeps its state between requests. */
export interface Handler<Request, Reply> {
  handle(request: Request): Reply | Promise<Reply>;
  /**
   * Releases sockets and the like. Requests may still be running when they took longer than `closeTimeoutMs`: it ends what they wait for.
   * Not called when a worker is killed.
   */
  close(): void | Promise<void>;
}

/** A module that a host can load exports this. `init` is structured-clone data. */
export interface HandlerModule<Init, Request, Reply> {
  createHandler(init: Init): Handler<Request, Reply> | Promise<Handler<Request, Reply>>;
}

export interface Host<Request, Reply> {
  /**
   * Runs one request. Requests reach the handler in the order of the calls; the synchronous part of a handler is never interrupted
   * by another request. Rejects with what the handler threw (class and code restored), with ERR_WORKER when the worker died
   * or was replaced meanwhile (the request may or may not have run), with ERR_CLOSED after `close`.
   *
   * @param transfer Buffers within the request that change hands instead of being copied: they are empty here afterwards.
   */
  call(request: Request, transfer?: readonly ArrayBuffer[]): Promise<Reply>;
  /** Rises by one each time the handler's state was lost and a new one made. Starts at 1. */
  readonly epoch: number;
  /** Lets the running requests end, closes the handler (each bounded by `closeTimeoutMs`), ends the worker. Idempotent. */
  close(): Promise<void>;
}

export interface HostOptions {
  /** Called when the handler's state was lost, before the calls in flight reject: send a snapshot next. */
  readonly onRestart?: (epoch: number) => void;
  /** Default 5000. */
  readonly closeTimeoutMs?: number;
}
