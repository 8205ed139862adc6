/**
 * Typed async clients for IPVS, ipset and addresses, over a session on a worker of its own (servers) or in this thread (tools). Both
 * have the same types; the worker keeps netlink's time off the caller's event loop.
 */
import { type NetlinkErrorDetails, ProxierError } from '../errors.ts';
import { openInlineHost } from '../thread/inline-host.ts';
import { openPiscinaHost } from '../thread/piscina-host.ts';
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
import { type ClientHost, type ClientInit, type ReadReply, type ReadRequest, sessionModule } from './client-worker.ts';
import type { BatchResult, KernelSession } from './session.ts';

export interface KernelOptions {
  /** `worker` (default) keeps netlink off the caller's event loop; `inline` blocks it for microseconds an operation. */
  readonly thread?: 'worker' | 'inline';
  /** Give up on a kernel answer after this long. Default 5000. */
  readonly timeoutMs?: number;
  /** Replaces the kernel, for tests: `new FakeKernel().session()`. Implies `inline`. */
  readonly session?: KernelSession;
}

export interface CallOptions {
  /** Stops the waiting, with the signal's reason. What was sent to the kernel already is carried out. */
  readonly signal?: AbortSignal;
}

export interface RunOptions extends CallOptions {
  /** `throw` (default): reject with {@link BatchError} if any operation failed. `report`: resolve, and let the caller read `failures`. */
  readonly onFailure?: 'throw' | 'report';
}

/** Some operations of a batch failed or have no answer. All others were applied: there is no rollback. */
export class BatchError extends ProxierError {
  readonly result: BatchResult;
  constructor(result: BatchResult) {
    const [first] = result.failures;
    const others = result.failures.length - 1;
    super(
      result.failures.every((failure) => failure.outcome === 'unknown') ? 'ERR_NETLINK_LOST' : 'ERR_NETLINK',
      `${first?.operation ?? 'batch'}: ${describe(first?.error)}${others > 0 ? ` (and ${others} more failed)` : ''}`,
    );
    this.result = result;
  }
}

function describe(error: NetlinkErrorDetails | undefined): string {
  return error === undefined ? 'failed' : `${error.errnoName} (${error.reason})`;
}

export interface VirtualServiceWithDestinations extends VirtualService {
  readonly destinations: readonly DestinationState[];
}

export interface IpvsClient {
  /** Every virtual service of this network namespace, firewall mark services too (IPVS_CMD_GET_SERVICE). */
  list(options?: CallOptions): Promise<VirtualService[]>;
  /** The same with their destinations: one IPVS_CMD_GET_DEST dump each. */
  listWithDestinations(options?: CallOptions): Promise<VirtualServiceWithDestinations[]>;
  /** Empty when there is no such service: the kernel does not tell the difference. */
  destinations(service: ServiceKey, options?: CallOptions): Promise<DestinationState[]>;
}

export interface IpsetClient {
  /** Set headers without entries (IPSET_CMD_LIST). */
  list(options?: CallOptions): Promise<SetState[]>;
  /** Entries in canonical ipset notation. Rejects with ENOENT when there is no such set. */
  entries(set: string, options?: CallOptions): Promise<SetEntry[]>;
}

export interface RouteClient {
  links(options?: CallOptions): Promise<LinkState[]>;
  addresses(options?: CallOptions): Promise<LinkAddressState[]>;
}

/** Calls after `close` reject with ERR_CLOSED; closing twice is harmless. */
export interface KernelClient extends AsyncDisposable {
  readonly ipvs: IpvsClient;
  readonly ipset: IpsetClient;
  readonly route: RouteClient;
  /** A new, empty batch. Building one touches nothing; only `run` does. */
  batch(): Batch;
  /** Applies the operations in order; resolves when the kernel has answered every one, or is known not to. */
  run(batch: Batch, options?: RunOptions): Promise<BatchResult>;
  close(): Promise<void>;
}

/**
 * Opens a client on this process's network namespace.
 *
 * @throws ProxierError ERR_ADDON when the addon is not there, ERR_PERMISSION without CAP_NET_ADMIN.
 */
export async function openKernel(options: KernelOptions = {}): Promise<KernelClient> {
  const init: ClientInit = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
  const host: ClientHost =
    options.thread === 'inline' || options.session !== undefined
      ? await openInlineHost(sessionModule(options.session), init)
      : await openPiscinaHost(new URL('./client-worker.js', import.meta.url), init);
  return new HostedClient(host);
}

class HostedClient implements KernelClient {
  readonly ipvs: IpvsClient;
  readonly ipset: IpsetClient;
  readonly route: RouteClient;
  readonly #host: ClientHost;

  constructor(host: ClientHost) {
    this.#host = host;
    this.ipvs = {
      list: async (options) => (await this.#read({ kind: 'services' }, options)).services ?? [],
      listWithDestinations: async (options) =>
        (await this.#read({ kind: 'servicesWithDestinations' }, options)).servicesWithDestinations ?? [],
      destinations: async (service, options) =>
        (await this.#read({ kind: 'destinations', service }, options)).destinations ?? [],
    };
    this.ipset = {
      list: async (options) => (await this.#read({ kind: 'sets' }, options)).sets ?? [],
      entries: async (set, options) => (await this.#read({ kind: 'entries', set }, options)).entries ?? [],
    };
    this.route = {
      links: async (options) => (await this.#read({ kind: 'links' }, options)).links ?? [],
      addresses: async (options) => (await this.#read({ kind: 'addresses' }, options)).addresses ?? [],
    };
  }

  batch(): Batch {
    return new Batch();
  }

  async run(batch: Batch, options: RunOptions = {}): Promise<BatchResult> {
    const reply = await abortable(
      this.#host.call({ kind: 'run', records: batch.records(), size: batch.size }),
      options.signal,
    );
    if (reply.result === undefined) throw new ProxierError('ERR_WORKER', 'the worker answered without a result');
    if (reply.result.failures.length > 0 && options.onFailure !== 'report') throw new BatchError(reply.result);
    return reply.result;
  }

  #read(request: ReadRequest, options: CallOptions = {}): Promise<ReadReply> {
    return abortable(this.#host.call(request), options.signal);
  }

  close(): Promise<void> {
    return this.#host.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
