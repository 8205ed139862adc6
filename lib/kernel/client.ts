/**
 * Typed async clients for IPVS, ipset and addresses, over a session on a worker of its own (servers) or in this thread (tools). Both
 * have the same types; the worker keeps netlink's time off the caller's event loop.
 */
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import { openInlineHost } from '../thread/inline-host.ts';
import { openPiscinaHost } from '../thread/piscina-host.ts';
import { Batch } from './batch.ts';
import { BatchError } from './batch-error.ts';
import { quote } from './check.ts';
import { type ConntrackClient, HostedConntrack } from './client-conntrack.ts';
import { HostedIpset, type IpsetClient } from './client-ipset.ts';
import { type IpvsClient, ipvsClient } from './client-ipvs.ts';
import { type RouteClient, routeClient } from './client-route.ts';
import { type ClientHost, type ClientInit, type ReadReply, type ReadRequest, sessionModule } from './client-worker.ts';
import { checkNetns, onMainThread } from './netns.ts';
import type { BatchResult, KernelSession } from './session.ts';
import { LEAST_BYTES, SharedRoom } from './shared-room.ts';

export interface KernelOptions {
  /** `worker` (default) keeps netlink off the caller's event loop; `inline` blocks it for microseconds an operation. */
  readonly thread?: 'worker' | 'inline';
  /** How long a read waits for the kernel's next answer, in milliseconds, 1 to 600000. Default 5000. Batches never wait. */
  readonly timeoutMs?: number;
  /**
   * Path of a network namespace (`/run/netns/blue`, `/proc/1234/ns/net`), entered by the worker's thread for life. Absent = the one this
   * process is in. Not with `thread: 'inline'`, because a thread that others use must not change it. Needs CAP_SYS_ADMIN.
   */
  readonly netns?: string;
  /** Replaces the kernel, for tests: `new FakeKernel().session()`. Implies `inline`. */
  readonly session?: KernelSession;
}

export interface CallOptions {
  /**
   * Stops the waiting, with the signal's reason. What was sent to the kernel already is carried out; when it was aborted before, nothing
   * is sent.
   */
  readonly signal?: AbortSignal;
}

export interface RunOptions extends CallOptions {
  /** `throw` (default): reject with {@link BatchError} if any operation failed. `report`: resolve, and let the caller read `failures`. */
  readonly onFailure?: 'throw' | 'report';
  /** Make a hash set larger that an addition finds full, and repeat the addition (`BatchResult.grownSets`). Default true. */
  readonly growSets?: boolean;
}

/** Calls after `close` reject with ERR_CLOSED; closing twice is harmless. */
export interface KernelClient extends AsyncDisposable {
  readonly ipvs: IpvsClient;
  readonly ipset: IpsetClient;
  readonly route: RouteClient;
  readonly conntrack: ConntrackClient;
  /** A new, empty batch. Building one touches nothing; only `run` does. */
  batch(): Batch;
  /** Applies the operations in order; resolves when the kernel has answered every one, or is known not to. */
  run(batch: Batch, options?: RunOptions): Promise<BatchResult>;
  close(): Promise<void>;
}

/**
 * Opens a client on this process's network namespace, or on another one (`netns`). Nothing is asked of the kernel yet: that it lacks IPVS
 * (ERR_KERNEL_UNSUPPORTED) or that this process lacks CAP_NET_ADMIN (ERR_PERMISSION) is told by the first call that needs it.
 *
 * @throws InvalidArgumentError for a `netns` that is no network namespace, a `timeoutMs` out of range, and a `thread` that is none, ProxierError ERR_ADDON when the
 * addon is not there, ERR_PERMISSION when `netns` is given without CAP_SYS_ADMIN.
 * @example await using kernel = await openKernel(); console.log(await kernel.ipvs.list());
 */
export async function openKernel(options: KernelOptions = {}): Promise<KernelClient> {
  const { thread, timeoutMs, netns } = options;
  if (thread !== undefined && thread !== 'worker' && thread !== 'inline') {
    throw new InvalidArgumentError('thread', `${quote(thread)} is neither worker nor inline`);
  }
  const inline = thread === 'inline' || options.session !== undefined;
  if (netns !== undefined) {
    if (inline) throw onMainThread();
    await checkNetns(netns);
  }
  const init: ClientInit = {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(netns === undefined ? {} : { netns }),
  };
  const host: ClientHost = inline
    ? await openInlineHost(sessionModule(options.session), init)
    : await openPiscinaHost(new URL('./client-worker.js', import.meta.url), init);
  return new HostedClient(host);
}

class HostedClient implements KernelClient {
  readonly ipvs: IpvsClient;
  readonly ipset: IpsetClient;
  readonly route: RouteClient;
  readonly conntrack: ConntrackClient;
  readonly #host: ClientHost;
  readonly #room = new SharedRoom();
  #closed = false;

  constructor(host: ClientHost) {
    this.#host = host;
    this.ipvs = ipvsClient(
      (request, options) => this.#read(request, options),
      (batch, options) => this.run(batch, options),
      this.#room,
    );
    this.ipset = new HostedIpset({
      read: (request, options) => this.#read(request, options),
      run: (batch, options) => this.run(batch, options),
    });
    this.route = routeClient((request, options) => this.#read(request, options));
    this.conntrack = new HostedConntrack({
      read: (request, options) => this.#read(request, options),
      run: (batch, options) => this.run(batch, options),
    });
  }

  batch(): Batch {
    return new Batch();
  }

  async run(batch: Batch, options: RunOptions = {}): Promise<BatchResult> {
    this.#check();
    options.signal?.throwIfAborted();
    const reply = await abortable(this.#send(batch, options), options.signal);
    if (reply.result === undefined) throw new ProxierError('ERR_WORKER', 'the worker answered without a result');
    if (reply.result.failures.length > 0 && options.onFailure !== 'report') throw new BatchError(reply.result);
    return reply.result;
  }

  /** The records are copied once on their way: the batch stays the caller's, to be read, added to and run again. */
  #send(batch: Batch, { growSets }: RunOptions): Promise<ReadReply> {
    const { size } = batch;
    const runOptions = growSets === undefined ? {} : { options: { growSets } };
    return this.#room.lend(batch.bytes, (room) => {
      if (room !== undefined) {
        const records = batch.copyTo(room);
        return this.#host.call({ kind: 'run', records, size, ...runOptions });
      }
      const records = batch.copyTo(new Uint8Array(batch.bytes));
      const transfer = records.length < LEAST_BYTES ? [] : [records.buffer];
      return this.#host.call({ kind: 'run', records, size, ...runOptions }, transfer);
    });
  }

  async #read(request: ReadRequest, options: CallOptions = {}): Promise<ReadReply> {
    this.#check();
    options.signal?.throwIfAborted();
    return abortable(this.#host.call(request), options.signal);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#host.close();
  }

  #check(): void {
    if (!this.#closed) return;
    throw new ProxierError('ERR_CLOSED', 'this kernel client is closed: open another one with openKernel()');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
