/** A stateful handler on a worker thread: a piscina pool of exactly one, because two workers would be two states. */
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import { fromErrorRecord, ProxierError } from '../errors.ts';
import type { Host, HostOptions } from './host.ts';
import type { WorkerAnswer, WorkerTask } from './worker.ts';

/** A worker takes any number of requests at once: its handler's synchronous parts are the lock, its async lanes overlap. */
const concurrentTasks = 1_000_000;
const defaultCloseTimeoutMs = 5000;

/**
 * Starts a worker and makes the handler of `module` there.
 *
 * @param module File URL of a compiled `.js` module that exports `createHandler` (see `HandlerModule`).
 * @param init Structured-clone data, given to `createHandler` now and again after every restart.
 * @throws what `createHandler` threw, with its class and code; nothing is left running then.
 */
export async function openPiscinaHost<Init, Request, Reply>(
  module: URL,
  init: Init,
  options: HostOptions = {},
): Promise<Host<Request, Reply>> {
  const host = new PiscinaHost<Init, Request, Reply>(module, init, options);
  try {
    await host.open();
  } catch (error) {
    await host.close();
    throw error;
  }
  return host;
}

class PiscinaHost<Init, Request, Reply> implements Host<Request, Reply> {
  readonly #module: string;
  readonly #init: Init;
  readonly #options: HostOptions;
  readonly #pool: Piscina<WorkerTask<Init, Request>, WorkerAnswer<Reply>>;
  readonly #inFlight = new Set<Promise<Reply>>();
  #epoch = 1;
  /** Resolves to the epoch whose handler was made; undefined = nothing is open, the next call opens. */
  #opened: Promise<number> | undefined;
  #closing: Promise<void> | undefined;

  constructor(module: URL, init: Init, options: HostOptions) {
    this.#module = module.href;
    this.#init = init;
    this.#options = options;
    this.#pool = new Piscina({
      // A path: of a URL piscina makes one for every task.
      filename: fileURLToPath(new URL('./worker.js', import.meta.url)),
      name: 'runTask',
      minThreads: 1,
      maxThreads: 1,
      concurrentTasksPerWorker: concurrentTasks,
      // The default would put an idle worker to sleep in Atomics.wait, where its sockets and timers do not run.
      atomics: 'disabled',
      recordTiming: false,
    });
    // Emitted before the tasks of the dead worker are rejected, and for a worker that dies idle too.
    this.#pool.on('workerDestroy', () => this.#lost());
    // An uncaught error of an idle worker; `workerDestroy` has told already.
    this.#pool.on('error', () => {});
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Makes the handler of this epoch; calls made meanwhile wait for it, and fail with its error when it fails. */
  open(): Promise<number> {
    this.#opened ??= this.#open(this.#epoch);
    return this.#opened;
  }

  async #open(epoch: number): Promise<number> {
    try {
      const answer = await this.#run({ kind: 'open', epoch, module: this.#module, init: this.#init });
      if (answer.kind === 'failed') throw fromErrorRecord(answer.error);
      return epoch;
    } catch (error) {
      if (this.#epoch === epoch) this.#opened = undefined;
      throw error;
    }
  }

  call(request: Request, transfer: readonly ArrayBuffer[] = []): Promise<Reply> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    const call = this.#call(request, transfer);
    this.#inFlight.add(call);
    const settled = (): void => {
      this.#inFlight.delete(call);
    };
    call.then(settled, settled);
    return call;
  }

  async #call(request: Request, transfer: readonly ArrayBuffer[]): Promise<Reply> {
    const epoch = await this.open();
    const answer = await this.#run({ kind: 'call', epoch, request }, transfer);
    switch (answer.kind) {
      case 'reply':
        return answer.reply;
      case 'failed':
        throw fromErrorRecord(answer.error);
      default:
        throw new ProxierError('ERR_WORKER', 'the worker was replaced before it ran the request');
    }
  }

  async #run(task: WorkerTask<Init, Request>, transfer: readonly ArrayBuffer[] = []): Promise<WorkerAnswer<Reply>> {
    try {
      // Never with a signal: aborting a running task terminates the worker and with it the state.
      return await (transfer.length === 0
        ? this.#pool.run(task)
        : this.#pool.run(task, { transferList: [...transfer] }));
    } catch (cause) {
      if (this.#closing !== undefined) throw closedError();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ProxierError('ERR_WORKER', `the worker did not answer: ${reason}`, { cause });
    }
  }

  #lost(): void {
    if (this.#closing !== undefined) return;
    this.#epoch += 1;
    this.#opened = undefined;
    this.#options.onRestart?.(this.#epoch);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close(this.#opened);
    return this.#closing;
  }

  async #close(opened: Promise<number> | undefined): Promise<void> {
    const timeoutMs = this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs;
    await within(timeoutMs, Promise.allSettled(this.#inFlight));
    // Also with requests still running: only the handler can end what they wait for, a child process for instance.
    await within(timeoutMs, this.#closeHandler(opened));
    await this.#pool.destroy();
  }

  async #closeHandler(opened: Promise<number> | undefined): Promise<void> {
    if (opened === undefined) return;
    try {
      await this.#run({ kind: 'close', epoch: await opened });
    } catch {
      // The handler or its worker is gone already: nothing is left to release.
    }
  }
}

function closedError(): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the host is closed');
}

async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
