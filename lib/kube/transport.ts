/** HTTP GET to an API server, as the reflector needs it. Plain node:https: one agent for each TLS identity, HTTP/1.1. */
import { createHash } from 'node:crypto';
import { Agent as HttpAgent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { ProxierError } from '../errors.ts';
import type { ApiCredentials, RequestAuth, TlsIdentity } from './credentials.ts';

export interface TransportResponse {
  readonly status: number;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Ends when the body is complete, throws when the connection broke before that. Leaving the loop closes the connection. */
  readonly body: AsyncIterable<Buffer>;
}

export interface Transport {
  /** Resolves when the headers are there, whatever the status. Rejects when no answer came. `path` holds the query. */
  get(path: string, signal: AbortSignal): Promise<TransportResponse>;
  /** The server does not accept the credentials any more: get new ones before the next request. */
  refresh(): Promise<void>;
  /** Breaks every connection and resolves when none is left. Idempotent. */
  close(): Promise<void>;
}

/** Linux finds a dead peer after this and ten probes a second apart: about 25 s. */
const KEEP_ALIVE_MS = 15_000;

interface AgentSlot {
  readonly identity: string;
  readonly agent: HttpAgent;
  requests: number;
}

export class HttpTransport implements Transport {
  readonly #credentials: ApiCredentials;
  readonly #sockets = new Set<Socket>();
  readonly #slots = new Set<AgentSlot>();
  #current: AgentSlot | undefined;
  #closed = false;

  constructor(credentials: ApiCredentials) {
    this.#credentials = credentials;
  }

  async get(path: string, signal: AbortSignal): Promise<TransportResponse> {
    const auth = await this.#authenticate();
    signal.throwIfAborted();
    if (this.#closed) throw new Error('the transport is closed');
    const base = new URL(auth.server);
    const secure = base.protocol === 'https:';
    const slot = this.#slotFor(auth, secure);
    const options: RequestOptions = {
      method: 'GET',
      protocol: base.protocol,
      host: base.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: base.port === '' ? (secure ? 443 : 80) : base.port,
      path: base.pathname.replace(/\/+$/, '') + path,
      headers: { accept: 'application/json', 'user-agent': 'ipvs-proxier', ...auth.headers },
      agent: slot.agent,
      signal,
      ...(auth.basic === undefined ? {} : { auth: auth.basic }),
    };
    return new Promise((resolve, reject) => {
      const request = secure ? requestHttps({ ...options, ...auth.tls }) : requestHttp(options);
      slot.requests++;
      request.on('socket', (socket) => this.#track(socket));
      request.on('response', (response) => resolve(toResponse(response)));
      request.on('error', reject);
      request.on('close', () => {
        slot.requests--;
        this.#retire(slot);
      });
      request.end();
    });
  }

  refresh(): Promise<void> {
    return this.#credentials.refresh();
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const slot of this.#slots) slot.agent.destroy();
    this.#slots.clear();
    await Promise.all(
      [...this.#sockets].map(
        (socket) => new Promise<void>((resolve) => socket.destroy().once('close', () => resolve())),
      ),
    );
  }

  async #authenticate(): Promise<RequestAuth> {
    try {
      return await this.#credentials.authenticate();
    } catch (error) {
      if (error instanceof ProxierError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new ProxierError('ERR_KUBE_CONFIG', `the credentials cannot be had: ${reason}`, { cause: error });
    }
  }

  /** A rotated certificate gets an agent of its own; the old one ends with its last request. */
  #slotFor(auth: RequestAuth, secure: boolean): AgentSlot {
    const identity = identityOf(auth);
    const last = this.#current;
    if (last?.identity === identity) return last;
    const agent = secure ? new HttpsAgent({ keepAlive: true }) : new HttpAgent({ keepAlive: true });
    const slot = { identity, agent, requests: 0 };
    this.#slots.add(slot);
    this.#current = slot;
    if (last !== undefined) this.#retire(last);
    return slot;
  }

  #retire(slot: AgentSlot): void {
    if (slot === this.#current || slot.requests > 0) return;
    slot.agent.destroy();
    this.#slots.delete(slot);
  }

  #track(socket: Socket): void {
    if (this.#sockets.has(socket)) return;
    this.#sockets.add(socket);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Between two requests nobody listens, and an abort that comes just then would end the process.
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

function toResponse(response: IncomingMessage): TransportResponse {
  // Whoever reads the body gets the error; if nobody does any more, it must not end the process.
  response.on('error', () => undefined);
  return { status: response.statusCode ?? 0, headers: response.headers, body: response };
}

function identityOf(auth: RequestAuth): string {
  const hash = createHash('sha256').update(auth.server);
  const tls: TlsIdentity = auth.tls;
  for (const part of [
    tls.ca,
    tls.cert,
    tls.key,
    tls.pfx,
    tls.passphrase,
    tls.servername,
    String(tls.rejectUnauthorized),
  ]) {
    for (const piece of Array.isArray(part) ? part : [part]) {
      // Length first, so that two different sequences of parts never run together into one text.
      const bytes = piece === undefined ? '' : piece;
      hash.update(`\n${bytes.length}\n`).update(bytes);
    }
  }
  return hash.digest('hex');
}
