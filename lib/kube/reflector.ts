/**
 * Keeps a sink equal to one resource of an API server: list, then watch, for ever (client-go `tools/cache/reflector.go`;
 * ecosystem.md 1.5). Never gives up and needs nobody: every failure has a next step, and every wait a bound.
 */
import { toErrorRecord } from '../errors.ts';
import { type ApiFailure, type ApiRequest, brokenFailure, responseFailure, statusFailure } from './api-failure.ts';
import { Backoff, type BackoffOptions } from './backoff.ts';
import { type Clock, pause, systemClock } from './clock.ts';
import { isObject, objectOrEmpty, show, stringOrEmpty } from './json.ts';
import { LineSplitter } from './line-splitter.ts';
import { ListSplitter } from './list-splitter.ts';
import { objectKey } from './projection.ts';
import type { ResourceKind, SourceSink } from './source.ts';
import type { Transport } from './transport.ts';

export interface ReflectorOptions {
  readonly kind: ResourceKind;
  /** `/api/v1/services` */
  readonly path: string;
  /** API group for messages about RBAC; empty = core. */
  readonly group: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly transport: Transport;
  readonly sink: SourceSink;
  readonly clock?: Clock;
  /** 0 (inclusive) to 1 (exclusive), for the watch's time-out and the jitter of delays. Default Math.random. */
  readonly random?: () => number;
  readonly backoff?: Omit<BackoffOptions, 'random'>;
  /** A connection without a byte for this long is given up. Default 180,000 ms: bookmarks come about once a minute. */
  readonly idleMs?: number;
}

/** Shortest time-out asked of the server for a watch; the longest is twice that. */
const WATCH_SECONDS = 300;
/** A watch that outlives its own time-out by this much is given up. */
const WATCH_GRACE_MS = 30_000;
/** A watch that ends sooner than this without an event is a failure: something in between closes it. */
const SHORT_WATCH_MS = 1000;
const PAGE_SIZE = 500;
const LINE_LIMIT = 8 * 1024 * 1024;

export class Reflector {
  readonly #options: ReflectorOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  readonly #resource: string;
  /** resourceVersion of every object delivered: what to remove after a list, and what need not be said twice. */
  readonly #known = new Map<string, string>();
  /** Where to list from: `0` = whatever the server has at hand, empty = the latest. */
  #listVersion = '0';
  #paged = true;
  #watchVersion = '';
  #attempt = 0;
  /** The last watch ended with 410, and none has been healthy since. */
  #expired = false;
  #told = '';

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff({ ...options.backoff, random: this.#random });
    this.#resource = options.path.slice(options.path.lastIndexOf('/') + 1);
  }

  /** Number of objects delivered and not removed. */
  get size(): number {
    return this.#known.size;
  }

  /** Resolves after the signal has aborted, when nothing of it is left. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    let verb: ApiRequest['verb'] = 'list';
    while (!signal.aborted) {
      try {
        if (verb === 'list') await this.#list(signal);
        else await this.#watch(signal);
        verb = 'watch';
      } catch (error) {
        if (signal.aborted) break;
        verb = await this.#recover(brokenFailure(this.#request(verb), error), signal);
      }
    }
    this.#tellConnection('stopped');
  }

  async #recover(failure: ApiFailure, signal: AbortSignal): Promise<ApiRequest['verb']> {
    const { next } = failure;
    if (next === 'list-latest' && this.#retryLatest()) return 'list';
    // The watch fell behind the server's history, which is nobody's fault unless it happens again at once.
    if (failure.status === 410 && next === 'list' && !this.#expired) {
      this.#expired = true;
      return 'list';
    }
    this.#attempt++;
    const error = toErrorRecord(failure);
    this.#tellConnection('backoff', error);
    if (failure.message !== this.#told) {
      this.#told = failure.message;
      this.#options.sink.problem({ object: '', kind: this.#options.kind, message: failure.message, error });
    }
    if (failure.status === 401) await this.#options.transport.refresh().catch(() => undefined);
    const delayMs = Math.max(this.#backoff.next(this.#clock.nowMs()), failure.retryAfterMs);
    await pause(this.#clock, delayMs, signal);
    return next === 'watch' ? 'watch' : 'list';
  }

  /** One step back towards the dearest list, the latest one unpaged; false when that was it. */
  #retryLatest(): boolean {
    if (this.#listVersion !== '') {
      this.#listVersion = '';
      this.#paged = true;
      return true;
    }
    if (!this.#paged) return false;
    this.#paged = false;
    return true;
  }

  async #list(signal: AbortSignal): Promise<void> {
    this.#tellConnection('listing');
    const seen = new Set<string>();
    let envelope: unknown;
    let more = '';
    do {
      envelope = await this.#listPage(more, seen, signal);
      more = stringOrEmpty(metadataOf(envelope)['continue']);
    } while (more !== '');
    const version = stringOrEmpty(metadataOf(envelope)['resourceVersion']);
    if (version === '') throw new SyntaxError(`the list has no metadata.resourceVersion`);
    for (const key of this.#known.keys()) {
      if (!seen.has(key)) this.#remove(key);
    }
    this.#listVersion = version;
    this.#watchVersion = version;
    this.#paged = true;
    this.#options.sink.synced(this.#options.kind);
  }

  async #listPage(more: string, seen: Set<string>, signal: AbortSignal): Promise<unknown> {
    const query = this.#query();
    // A page of an old version comes from etcd, not from the watch cache: limits go with the latest version only.
    const limited = this.#listVersion === '' && this.#paged;
    if (limited) query.set('limit', String(PAGE_SIZE));
    if (more !== '') query.set('continue', more);
    else if (this.#listVersion !== '') query.set('resourceVersion', this.#listVersion);
    const splitter = new ListSplitter((item) => {
      const key = objectKey(this.#options.kind, item);
      if (key !== undefined) seen.add(key);
      this.#upsert(key, item);
    });
    await this.#read('list', query, signal, Number.POSITIVE_INFINITY, (chunk) => splitter.push(chunk));
    const envelope = splitter.end();
    if (!isObject(envelope)) throw new SyntaxError(`the answer is ${show(envelope)}, not a list`);
    return envelope;
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const timeoutSeconds = WATCH_SECONDS + Math.floor(this.#random() * WATCH_SECONDS);
    const query = this.#query();
    query.set('watch', 'true');
    query.set('allowWatchBookmarks', 'true');
    query.set('timeoutSeconds', String(timeoutSeconds));
    query.set('resourceVersion', this.#watchVersion);
    let openedMs = Number.POSITIVE_INFINITY;
    let events = 0;
    const splitter = new LineSplitter((line) => {
      if (signal.aborted) return;
      this.#event(JSON.parse(line));
      events++;
      this.#healthy();
    }, LINE_LIMIT);
    const onOpen = (): void => {
      openedMs = this.#clock.nowMs();
      this.#tellConnection('watching');
    };
    const limitMs = timeoutSeconds * 1000 + WATCH_GRACE_MS;
    try {
      await this.#read('watch', query, signal, limitMs, (chunk) => splitter.push(chunk), onOpen);
    } finally {
      if (this.#clock.nowMs() - openedMs >= SHORT_WATCH_MS) this.#healthy();
    }
    if (splitter.pendingBytes > 0) throw new Error('the connection ended within an event');
    if (events === 0 && this.#clock.nowMs() - openedMs < SHORT_WATCH_MS) {
      throw new Error('the watch was closed at once, without an event');
    }
  }

  #healthy(): void {
    this.#attempt = 0;
    this.#expired = false;
    this.#told = '';
  }

  #event(event: unknown): void {
    const { type, object } = isObject(event) ? event : { type: undefined, object: undefined };
    if (type === 'ERROR') {
      const code = objectOrEmpty(object)['code'];
      throw statusFailure(this.#request('watch'), typeof code === 'number' ? code : 0, object);
    }
    if (!isObject(object)) throw new SyntaxError(`${show(event)} is no watch event`);
    const key = objectKey(this.#options.kind, object);
    switch (type) {
      case 'ADDED':
      case 'MODIFIED':
        this.#upsert(key, object);
        break;
      case 'DELETED':
        if (key !== undefined) this.#remove(key);
        break;
      case 'BOOKMARK':
        break;
      default:
        throw new SyntaxError(`${show(type)} is no type of a watch event`);
    }
    const version = stringOrEmpty(metadataOf(object)['resourceVersion']);
    if (version === '') return;
    this.#watchVersion = version;
    this.#listVersion = version;
  }

  #upsert(key: string | undefined, object: unknown): void {
    const version = stringOrEmpty(metadataOf(object)['resourceVersion']);
    if (key !== undefined && version !== '' && this.#known.get(key) === version) return;
    this.#options.sink.upsert(this.#options.kind, object);
    if (key !== undefined) this.#known.set(key, version);
  }

  #remove(key: string): void {
    this.#known.delete(key);
    const slash = key.indexOf('/');
    this.#options.sink.remove(this.#options.kind, slash < 0 ? '' : key.slice(0, slash), key.slice(slash + 1));
  }

  /** One request to its end. Throws unless it was answered with 200 and its body came whole. */
  async #read(
    verb: ApiRequest['verb'],
    query: URLSearchParams,
    signal: AbortSignal,
    limitMs: number,
    onChunk: (chunk: Buffer) => void,
    onOpen?: () => void,
  ): Promise<void> {
    const idleMs = this.#options.idleMs ?? 180_000;
    const abort = new AbortController();
    const onStop = (): void => abort.abort();
    signal.addEventListener('abort', onStop, { once: true });
    const openedMs = this.#clock.nowMs();
    let heardMs = openedMs;
    let overdue = '';
    let cancel = (): void => undefined;
    // One timer that looks how long it has been quiet, instead of one set anew with each chunk.
    const guard = (delayMs: number): void => {
      cancel = this.#clock.after(delayMs, () => {
        const nowMs = this.#clock.nowMs();
        const leftMs = Math.min(heardMs + idleMs, openedMs + limitMs) - nowMs;
        if (leftMs > 0) {
          guard(leftMs);
          return;
        }
        overdue = nowMs - heardMs >= idleMs ? `silent for ${idleMs} ms` : `still open after ${limitMs} ms`;
        abort.abort();
      });
    };
    guard(Math.min(idleMs, limitMs));
    try {
      signal.throwIfAborted();
      const response = await this.#options.transport.get(`${this.#options.path}?${query.toString()}`, abort.signal);
      if (response.status !== 200) throw await responseFailure(this.#request(verb), response, Date.now());
      onOpen?.();
      for await (const chunk of response.body) {
        if (signal.aborted) break;
        heardMs = this.#clock.nowMs();
        onChunk(chunk);
      }
    } catch (error) {
      if (overdue !== '' && !signal.aborted) throw new Error(`the connection was ${overdue}`, { cause: error });
      throw error;
    } finally {
      cancel();
      signal.removeEventListener('abort', onStop);
    }
    signal.throwIfAborted();
  }

  #query(): URLSearchParams {
    const query = new URLSearchParams();
    if (this.#options.labelSelector !== undefined) query.set('labelSelector', this.#options.labelSelector);
    if (this.#options.fieldSelector !== undefined) query.set('fieldSelector', this.#options.fieldSelector);
    return query;
  }

  #request(verb: ApiRequest['verb']): ApiRequest {
    return { kind: this.#options.kind, resource: this.#resource, group: this.#options.group, verb };
  }

  #tellConnection(
    state: 'listing' | 'watching' | 'backoff' | 'stopped',
    error?: ReturnType<typeof toErrorRecord>,
  ): void {
    const { kind, sink } = this.#options;
    sink.connection({ resource: kind, state, attempt: this.#attempt, ...(error === undefined ? {} : { error }) });
  }
}

function metadataOf(object: unknown): { readonly [key: string]: unknown } {
  return objectOrEmpty(objectOrEmpty(object)['metadata']);
}
