/** `handle.drain`: who asked for which endpoint, what is told to the reconciler, and who has his answer. */
import { parseAddress } from '../address.ts';
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import type { EndpointDrain, EndpointDrainState } from '../reconcile/protocol.ts';
import type { IpAddress } from '../types.ts';
import type { Clock } from './clock.ts';
import type { Waiting } from './health.ts';

export interface DrainOptions {
  /** Of the endpoint (the pod), IPv4 or IPv6. */
  readonly address: string;
  /** The endpoint's own port (the targetPort), 1 to 65535. Default: all ports of the address. */
  readonly port?: number;
  /**
   * Connections that are still open after this long are cut, in ms; 0: at once. Default: the drain time-out of each Service, else the option
   * `drainTimeoutMs`.
   */
  readonly timeoutMs?: number;
  /** Undoes the drain when it aborts, be it over or not; one that is not over rejects with ERR_CLOSED. */
  readonly signal?: AbortSignal;
}

/** An endpoint without connections, that gets no new ones. */
export interface DrainedEndpoint {
  /**
   * How many destinations it was, counted once for each virtual service that led to it. 0: none, as the API does not list such an endpoint, or
   * it was not in use. Those of virtual services that wanted it again before they were done do not count.
   */
  readonly destinations: number;
  /** Of those: their connections had ended. */
  readonly idle: number;
  /** Of those: the time was up, and connections that were still open were cut. */
  readonly overdue: number;
  /** Of those: deleted without waiting, as UDP and SCTP are. */
  readonly atOnce: number;
  /**
   * Gives the endpoint back what the API says it has, unless somebody else has asked for its drain as well. Resolves when that was
   * tried. Harmless when the endpoint has left the API meanwhile, or when it is called again.
   */
  undrain(): Promise<void>;
}

type Counts = Pick<DrainedEndpoint, 'idle' | 'overdue' | 'atOnce'>;

interface Entry {
  readonly id: number;
  readonly address: IpAddress;
  readonly port: number | undefined;
  readonly sinceMs: number;
  readonly deadlineMs: number | undefined;
  held: boolean;
  /** Counted by workers that are gone. */
  before: Counts;
  /** As the worker told it last. */
  counts: Counts;
  settled: boolean;
  resolve(result: DrainedEndpoint): void;
  reject(error: ProxierError): void;
  /** Listens to the caller's signal no more. */
  forget(): void;
}

export interface EndpointDrainsOptions {
  readonly clock: Clock;
  /** Has {@link EndpointDrains.requests} told to the reconciler. */
  send(): Promise<void>;
}

/** After a request that could not be made. */
const RETRY_MS = 1000;
const MAX_MS = 2 ** 31 - 1;
const nothing: Counts = { idle: 0, overdue: 0, atOnce: 0 };

export class EndpointDrains {
  readonly #options: EndpointDrainsOptions;
  readonly #entries = new Map<number, Entry>();
  #lastId = 0;
  #closed: ProxierError | undefined;
  #cancelRetry: () => void = () => {};

  constructor(options: EndpointDrainsOptions) {
    this.#options = options;
  }

  /** @throws InvalidArgumentError for what cannot be. */
  drain(options: DrainOptions): Promise<DrainedEndpoint> {
    const { address, port, timeoutMs, signal } = check(options);
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal?.aborted === true) return Promise.reject(calledOff(signal));
    this.#lastId += 1;
    const id = this.#lastId;
    const sinceMs = this.#options.clock.nowMs();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (signal !== undefined) reject(calledOff(signal));
        this.#withdraw(id).catch(() => this.#retry());
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#entries.set(id, {
        id,
        address,
        port,
        sinceMs,
        deadlineMs: timeoutMs === undefined ? undefined : sinceMs + timeoutMs,
        held: true,
        before: nothing,
        counts: nothing,
        settled: false,
        resolve,
        reject,
        forget: () => signal?.removeEventListener('abort', onAbort),
      });
      this.#send();
    });
  }

  /** All that the reconciler is to know. What is left of the time of each is counted here: a new worker does not begin it anew. */
  requests(): readonly EndpointDrain[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#entries.values()].map(({ id, address, port, deadlineMs, held }) => ({
      id,
      address,
      held,
      ...(port === undefined ? {} : { port }),
      ...(deadlineMs === undefined ? {} : { timeoutMs: Math.max(0, deadlineMs - nowMs) }),
    }));
  }

  /** What the reconciler says of them. */
  take(states: readonly EndpointDrainState[]): void {
    for (const { id, held, open, ...counts } of states) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.held = held;
      entry.counts = counts;
      if (open === 0 && !entry.settled) this.#settle(entry, counts.destinations);
      if (!held && entry.settled) this.#remove(entry);
    }
  }

  /** The worker is another one, and will count what it finds. */
  restarted(): void {
    for (const entry of this.#entries.values()) {
      entry.before = sum(entry.before, entry.counts);
      entry.counts = nothing;
    }
  }

  /** What is not over yet. */
  waiting(): Waiting[] {
    const nowMs = this.#options.clock.nowMs();
    return [...this.#entries.values()]
      .filter(({ settled }) => !settled)
      .map(({ address, port, sinceMs }) => ({
        what: `the drain of ${address}${port === undefined ? '' : `, port ${port}`}`,
        sinceMs: nowMs - sinceMs,
      }));
  }

  /** Nothing will be told any more. */
  close(error: ProxierError): void {
    this.#closed ??= error;
    this.#cancelRetry();
    for (const entry of [...this.#entries.values()]) {
      if (!entry.settled) entry.reject(error);
      this.#remove(entry);
    }
  }

  #settle(entry: Entry, destinations: number): void {
    entry.settled = true;
    const { idle, overdue, atOnce } = sum(entry.before, entry.counts);
    const before = entry.before.idle + entry.before.overdue + entry.before.atOnce;
    entry.resolve({
      destinations: before + destinations,
      idle,
      overdue,
      atOnce,
      undrain: () => this.#withdraw(entry.id),
    });
  }

  async #withdraw(id: number): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#remove(entry);
    await this.#options.send();
  }

  #remove(entry: Entry): void {
    entry.forget();
    this.#entries.delete(entry.id);
  }

  /** The worker may just have been lost: the same is said again until it is heard. */
  #send(): void {
    this.#options.send().catch(() => this.#retry());
  }

  #retry(): void {
    if (this.#closed !== undefined) return;
    this.#cancelRetry();
    this.#cancelRetry = this.#options.clock.after(RETRY_MS, () => this.#send());
  }
}

function sum(one: Counts, other: Counts): Counts {
  return {
    idle: one.idle + other.idle,
    overdue: one.overdue + other.overdue,
    atOnce: one.atOnce + other.atOnce,
  };
}

function calledOff(signal: AbortSignal): ProxierError {
  return new ProxierError('ERR_CLOSED', 'the drain was called off', { cause: signal.reason });
}

interface Checked {
  readonly address: IpAddress;
  readonly port: number | undefined;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

function check(options: unknown): Checked {
  if (typeof options !== 'object' || options === null) throw new InvalidArgumentError('options', 'is no object');
  const text = 'address' in options ? options.address : undefined;
  const address = typeof text === 'string' ? parseAddress(text) : undefined;
  if (address === undefined) throw new InvalidArgumentError('address', `${JSON.stringify(text)} is no IP address`);
  const signal = 'signal' in options ? options.signal : undefined;
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal', 'is no AbortSignal');
  }
  return {
    address,
    port: wholeNumber('port', 'port' in options ? options.port : undefined, 1, 65_535),
    timeoutMs: wholeNumber('timeoutMs', 'timeoutMs' in options ? options.timeoutMs : undefined, 0, MAX_MS),
    signal,
  };
}

function wholeNumber(name: string, value: unknown, min: number, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new InvalidArgumentError(name, `${String(value)} is not a whole number from ${min} to ${max}`);
}
