/**
 * A small Kubernetes API server for tests: list (with limit and continue), watch (with bookmarks), 410 when asked from before
 * `expire`, and every kind of trouble on demand. Services, EndpointSlices and Nodes; selectors are recorded and, but for
 * `metadata.name`, not applied. Plain node:http or node:https.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { ResourceKind } from '../kube/source.ts';
import { Conditions } from './conditions.ts';

export interface FakeApiServerOptions {
  /** PEM texts; absent = plain HTTP. `clientCa`: client certificates signed by it are demanded. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly clientCa?: string };
  /** Bearer token to demand; others get 401. */
  readonly token?: string;
  /** Default: any free one. */
  readonly port?: number;
}

export interface FakeRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly watch: boolean;
  readonly headers: IncomingMessage['headers'];
  /** Common name of the client certificate; empty without one. */
  readonly clientName: string;
}

export interface FailureOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Only lists, or only watches. Default: both. */
  readonly verb?: 'list' | 'watch';
  readonly kind?: ResourceKind;
  readonly reason?: string;
  readonly message?: string;
}

interface StoredObject {
  readonly metadata: { readonly namespace?: string; readonly name: string; readonly resourceVersion: string };
}

interface WatchEvent {
  readonly version: number;
  readonly kind: ResourceKind;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: StoredObject;
}

interface Watcher {
  readonly kind: ResourceKind;
  readonly response: ServerResponse;
  readonly bookmarks: boolean;
  readonly name: string;
  readonly timer: NodeJS.Timeout;
}

interface Failure extends FailureOptions {
  readonly status: number;
  left: number;
}

const RESOURCES: readonly { readonly kind: ResourceKind; readonly path: string; readonly apiVersion: string }[] = [
  { kind: 'Service', path: '/api/v1/services', apiVersion: 'v1' },
  { kind: 'EndpointSlice', path: '/apis/discovery.k8s.io/v1/endpointslices', apiVersion: 'discovery.k8s.io/v1' },
  { kind: 'Node', path: '/api/v1/nodes', apiVersion: 'v1' },
];

export class FakeApiServer {
  /** Every request since the start, oldest first. */
  readonly requests: FakeRequest[] = [];
  /** May be changed at any time. */
  token: string | undefined;
  readonly #options: FakeApiServerOptions;
  readonly #objects = new Map<ResourceKind, Map<string, StoredObject>>(RESOURCES.map(({ kind }) => [kind, new Map()]));
  readonly #sockets = new Set<Socket>();
  readonly #watchers = new Set<Watcher>();
  readonly #conditions = new Conditions('the fake API server');
  readonly #failures: Failure[] = [];
  #history: WatchEvent[] = [];
  #version = 100;
  #oldest = 100;
  #uid = 0;
  #port = 0;
  #server: Server | undefined;

  private constructor(options: FakeApiServerOptions) {
    this.#options = options;
    this.token = options.token;
    this.#port = options.port ?? 0;
  }

  static async start(options: FakeApiServerOptions = {}): Promise<FakeApiServer> {
    const server = new FakeApiServer(options);
    await server.listen();
    return server;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#port}`;
  }

  /** The current resourceVersion. */
  get version(): string {
    return String(this.#version);
  }

  /** Open TCP connections. */
  get connections(): number {
    return this.#sockets.size;
  }

  /** Open watches. */
  get watches(): number {
    return this.#watchers.size;
  }

  /** Creates or replaces an object (with `kind` and `metadata.name`), and tells the watches. A uid is made up for a new one. */
  put(object: {
    readonly kind: ResourceKind;
    readonly metadata: { readonly namespace?: string; readonly name: string };
  }): void {
    const { kind, metadata } = object;
    const objects = this.#stored(kind);
    const key = keyOf(metadata);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    this.#version++;
    const stored = {
      ...object,
      metadata: { uid: `uid-${++this.#uid}`, ...metadata, resourceVersion: String(this.#version) },
    };
    objects.set(key, stored);
    this.#emit({ version: this.#version, kind, type, object: stored });
  }

  /** Deletes an object, if it is there, and tells the watches. */
  delete(kind: ResourceKind, name: string, namespace?: string): void {
    const key = keyOf({ name, ...(namespace === undefined ? {} : { namespace }) });
    const stored = this.#stored(kind).get(key);
    if (stored === undefined) return;
    this.#version++;
    this.#stored(kind).delete(key);
    const object = { ...stored, metadata: { ...stored.metadata, resourceVersion: String(this.#version) } };
    this.#emit({ version: this.#version, kind, type: 'DELETED', object });
  }

  /** A bookmark with the current version to every watch that allows them. The version moves on, as if by other resources. */
  bookmark(): void {
    this.#version++;
    for (const watcher of this.#watchers) {
      const object = { kind: watcher.kind, metadata: { resourceVersion: this.version } };
      if (watcher.bookmarks) watcher.response.write(line({ type: 'BOOKMARK', object }));
    }
  }

  /** Forgets the history: watching, listing or paging from before now is answered with 410. Open watches get an ERROR event on demand. */
  expire(options: { readonly tellWatches?: boolean } = {}): void {
    this.#version++;
    this.#oldest = this.#version;
    this.#history = [];
    if (options.tellWatches !== true) return;
    for (const { response } of this.#watchers) {
      response.write(line({ type: 'ERROR', object: statusObject(410, 'Expired', 'too old resource version') }));
    }
  }

  /** Versions start again from a low number, as after a restore from backup. */
  rewind(): void {
    this.#version = 10;
    this.#oldest = 0;
    this.#history = [];
  }

  /** Writes text as it is to the watches of a kind. */
  write(kind: ResourceKind, text: string): void {
    for (const watcher of this.#watchers) if (watcher.kind === kind) watcher.response.write(text);
  }

  /** Ends the watches of a kind (default: all) in an orderly way. */
  endWatches(kind?: ResourceKind): void {
    for (const watcher of [...this.#watchers]) {
      if (kind !== undefined && watcher.kind !== kind) continue;
      this.#forget(watcher);
      watcher.response.end();
    }
  }

  /** Breaks every connection. */
  dropConnections(): void {
    for (const watcher of [...this.#watchers]) this.#forget(watcher);
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The next requests are answered with this status and a Status object. */
  failNext(count: number, status: number, options: FailureOptions = {}): void {
    this.#failures.push({ ...options, status, left: count });
  }

  /** Takes back what `failNext` asked for. */
  failNoMore(): void {
    this.#failures.length = 0;
  }

  /** Resolves as soon as the condition holds; it is looked at after every request, event and connection. Rejects after the deadline. */
  until(condition: () => boolean, what: string, deadlineMs: number = 10_000): Promise<void> {
    return this.#conditions.until(condition, what, deadlineMs);
  }

  /** Stops listening and breaks every connection; objects stay. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      this.dropConnections();
    });
  }

  /** Listens again after `close`, on the same port. */
  async listen(): Promise<void> {
    const { tls } = this.#options;
    const handle = (request: IncomingMessage, response: ServerResponse): void => this.#handle(request, response);
    const server =
      tls === undefined
        ? createHttpServer(handle)
        : createHttpsServer(
            {
              key: tls.key,
              cert: tls.cert,
              ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
            },
            handle,
          );
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => {
        this.#sockets.delete(socket);
        this.#conditions.changed();
      });
      this.#conditions.changed();
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, '127.0.0.1', resolve);
    });
    this.#port = portOf(server.address());
    this.#server = server;
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://fake');
    const query = url.searchParams;
    const watch = query.get('watch') === 'true';
    this.requests.push({ path: url.pathname, query, watch, headers: request.headers, clientName: clientName(request) });
    const resource = RESOURCES.find(({ path }) => url.pathname === path);
    if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
      answer(response, 401, statusObject(401, 'Unauthorized', 'Unauthorized'));
    } else if (resource === undefined) {
      answer(response, 404, statusObject(404, 'NotFound', 'the server could not find the requested resource'));
    } else {
      const failure = this.#takeFailure(resource.kind, watch);
      if (failure !== undefined) {
        const { status, reason = 'Injected', message = 'injected', headers = {} } = failure;
        answer(response, status, statusObject(status, reason, message), headers);
      } else if (watch) this.#watch(resource.kind, query, response);
      else this.#list(resource, query, response);
    }
    this.#conditions.changed();
  }

  #takeFailure(kind: ResourceKind, watch: boolean): Failure | undefined {
    const failure = this.#failures.find(
      (each) =>
        each.left > 0 &&
        (each.kind === undefined || each.kind === kind) &&
        (each.verb === undefined || (each.verb === 'watch') === watch),
    );
    if (failure !== undefined) failure.left--;
    return failure;
  }

  #list(resource: (typeof RESOURCES)[number], query: URLSearchParams, response: ServerResponse): void {
    const asked = Number(query.get('resourceVersion') ?? '');
    if (this.#refuseFuture(asked, response)) return;
    const [from = this.#version, offset = 0] = (query.get('continue') ?? '').split(':').filter(Boolean).map(Number);
    if (from < this.#oldest || (asked !== 0 && asked < this.#oldest)) {
      answer(response, 410, statusObject(410, 'Expired', 'The resourceVersion is too old.'));
      return;
    }
    const name = fieldName(query);
    const all = [...this.#stored(resource.kind).values()].filter((each) => name === '' || each.metadata.name === name);
    // The watch cache ignores a limit when a version is given.
    const limit = query.has('resourceVersion') ? 0 : Number(query.get('limit') ?? '0');
    const items = all.slice(offset, limit > 0 ? offset + limit : undefined);
    const more = offset + items.length < all.length;
    const metadata = {
      resourceVersion: String(from),
      ...(more ? { continue: `${from}:${offset + items.length}` } : {}),
    };
    answer(response, 200, { kind: `${resource.kind}List`, apiVersion: resource.apiVersion, metadata, items });
  }

  #watch(kind: ResourceKind, query: URLSearchParams, response: ServerResponse): void {
    const asked = Number(query.get('resourceVersion') ?? '');
    if (this.#refuseFuture(asked, response)) return;
    if (asked !== 0 && asked < this.#oldest) {
      answer(response, 410, statusObject(410, 'Expired', `too old resource version: ${asked} (${this.#oldest})`));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const timeoutMs = Number(query.get('timeoutSeconds') ?? '1800') * 1000;
    const watcher: Watcher = {
      kind,
      response,
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      name: fieldName(query),
      timer: setTimeout(() => {
        this.#forget(watcher);
        response.end();
      }, timeoutMs),
    };
    this.#watchers.add(watcher);
    response.once('close', () => this.#forget(watcher));
    for (const event of this.#history) if (event.version > asked) send(watcher, event);
  }

  #refuseFuture(asked: number, response: ServerResponse): boolean {
    if (asked <= this.#version) return false;
    const details = { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] };
    answer(response, 504, { ...statusObject(504, 'Timeout', `Too large resource version: ${asked}`), details });
    return true;
  }

  #forget(watcher: Watcher): void {
    clearTimeout(watcher.timer);
    this.#watchers.delete(watcher);
    this.#conditions.changed();
  }

  #emit(event: WatchEvent): void {
    this.#history.push(event);
    for (const watcher of this.#watchers) send(watcher, event);
  }

  #stored(kind: ResourceKind): Map<string, StoredObject> {
    return this.#objects.get(kind) ?? new Map<string, StoredObject>();
  }
}

function send(watcher: Watcher, event: WatchEvent): void {
  if (event.kind !== watcher.kind) return;
  if (watcher.name !== '' && watcher.name !== event.object.metadata.name) return;
  watcher.response.write(line({ type: event.type, object: event.object }));
}

function line(event: object): string {
  return `${JSON.stringify(event)}\n`;
}

function answer(
  response: ServerResponse,
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

function statusObject(code: number, reason: string, message: string): object {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
}

function keyOf(metadata: { readonly namespace?: string; readonly name: string }): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

function fieldName(query: URLSearchParams): string {
  return /^metadata\.name=(.*)$/.exec(query.get('fieldSelector') ?? '')?.[1] ?? '';
}

function clientName(request: IncomingMessage): string {
  const socket = request.socket;
  if (!('getPeerCertificate' in socket) || typeof socket.getPeerCertificate !== 'function') return '';
  const certificate: unknown = socket.getPeerCertificate();
  if (typeof certificate !== 'object' || certificate === null || !('subject' in certificate)) return '';
  const { subject } = certificate;
  if (typeof subject !== 'object' || subject === null || !('CN' in subject)) return '';
  return typeof subject.CN === 'string' ? subject.CN : '';
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === 'object' && address !== null ? address.port : 0;
}
