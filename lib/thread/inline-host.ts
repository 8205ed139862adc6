/** A stateful handler in this thread: the twin of the worker, for tests under a virtual clock and for embedders without threads. */
import { fromErrorRecord, ProxierError, toErrorRecord } from '../errors.ts';
import type { Handler, HandlerModule, Host, HostOptions } from './host.ts';

export interface InlineHost<Request, Reply> extends Host<Request, Reply> {
  /** Does what the death of a worker does: the handler is forgotten unclosed, calls in flight reject with ERR_WORKER. */
  lose(): void;
}

const defaultCloseTimeoutMs = 5000;

/**
 * Makes the handler here. Requests and replies are cloned as they would be on their way to a worker and back.
 *
 * @throws what `createHandler` threw, as it would arrive from a worker.
 */
export async function openInlineHost<Init, Request, Reply>(
  module: HandlerModule<Init, Request, Reply>,
  init: Init,
  options: HostOptions = {},
): Promise<InlineHost<Request, Reply>> {
  const host = new LocalHost(module, init, options);
  await host.open();
  return host;
}

class LocalHost<Init, Request, Reply> implements InlineHost<Request, Reply> {
  readonly #module: HandlerModule<Init, Request, Reply>;
  readonly #init: Init;
  readonly #options: HostOptions;
  readonly #inFlight = new Map<Promise<Reply>, (reason: ProxierError) => void>();
  #epoch = 1;
  #opened: Promise<Handler<Request, Reply>> | undefined;
  #closing: Promise<void> | undefined;

  constructor(module: HandlerModule<Init, Request, Reply>, init: Init, options: HostOptions) {
    this.#module = module;
    this.#init = init;
    this.#options = options;
  }

  get epoch(): number {
    return this.#epoch;
  }

  open(): Promise<Handler<Request, Reply>> {
    this.#opened ??= this.#open(this.#epoch);
    return this.#opened;
  }

  async #open(epoch: number): Promise<Handler<Request, Reply>> {
    try {
      return await this.#module.createHandler(structuredClone(this.#init));
    } catch (error) {
      if (this.#epoch === epoch) this.#opened = undefined;
      throw fromErrorRecord(toErrorRecord(error));
    }
  }

  call(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<Reply> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    const there = structuredClone(request, { transfer: [...transfer] });
    const { promise, reject } = withReject<Reply>((fail) => Promise.race([this.#call(there), fail]));
    this.#inFlight.set(promise, reject);
    const settled = (): void => {
      this.#inFlight.delete(promise);
    };
    promise.then(settled, settled);
    return promise;
  }

  async #call(request: Request): Promise<Reply> {
    const handler = await this.open();
    try {
      return structuredClone(await handler.handle(request));
    } catch (error) {
      throw fromErrorRecord(toErrorRecord(error));
    }
  }

  lose(): void {
    if (this.#closing !== undefined) return;
    this.#epoch += 1;
    this.#opened = undefined;
    this.#options.onRestart?.(this.#epoch);
    this.#rejectAll(new ProxierError('ERR_WORKER', 'the handler was replaced'));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close(this.#opened);
    return this.#closing;
  }

  async #close(opened: Promise<Handler<Request, Reply>> | undefined): Promise<void> {
    const timeoutMs = this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs;
    await within(timeoutMs, Promise.allSettled(this.#inFlight.keys()));
    await within(timeoutMs, this.#closeHandler(opened));
    this.#rejectAll(closedError());
  }

  async #closeHandler(opened: Promise<Handler<Request, Reply>> | undefined): Promise<void> {
    try {
      await (await opened)?.close();
    } catch {
      // As on the worker: an error while everything is released is nobody's any more.
    }
  }

  #rejectAll(reason: ProxierError): void {
    for (const reject of this.#inFlight.values()) reject(reason);
  }
}

function withReject<T>(make: (fail: Promise<never>) => Promise<T>): {
  readonly promise: Promise<T>;
  readonly reject: (reason: ProxierError) => void;
} {
  let reject: (reason: ProxierError) => void = () => {};
  const fail = new Promise<never>((_resolve, rejectFail) => {
    reject = rejectFail;
  });
  return { promise: make(fail), reject };
}

async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}

function closedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the host is closed');
}
