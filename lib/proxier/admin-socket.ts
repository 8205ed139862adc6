/**
 * HTTP over a unix socket that answers questions and changes nothing: `curl --unix-socket PATH http://proxier/status`. Only its owner and
 * root can connect. All that a client can make it keep or wait for has a limit, and a client that breaks off harms nobody.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { InvalidArgumentError, ProxierError, toErrorRecord } from '../errors.ts';
import { listenAt } from './admin-socket-place.ts';
import type { Inquiry } from './inquiry.ts';

export interface AdminLimits {
  /** At a time; who comes when they are all taken is hung up on. */
  readonly connections: number;
  /** For the head of a request to arrive. */
  readonly headMs: number;
  /** Of a connection from its beginning to its end, whatever it waits for: a request, an answer, or that the answer is read. */
  readonly lifetimeMs: number;
}

const standardLimits: AdminLimits = { connections: 16, headMs: 5_000, lifetimeMs: 60_000 };
/** Known on this thread: told however busy the worker is. */
const knownHere: ReadonlySet<string> = new Set(['/health', '/statistics']);
/** Request line and headers together. */
const MAX_HEAD_BYTES = 8192;

export interface AdminSocket {
  readonly path: string;
  /** Hangs up on everybody and removes the socket. Idempotent. */
  close(): Promise<void>;
}

type Questions = Pick<Inquiry, 'health' | 'statistics' | 'status' | 'explain'>;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** @throws ProxierError ERR_ADMIN_SOCKET when it cannot be made. */
export async function openAdminSocket(
  path: string,
  inquiry: Questions,
  limits: AdminLimits = standardLimits,
): Promise<AdminSocket> {
  /** One question at a time: however many ask, the worker has one of them to answer beside its work. */
  let turn: Promise<unknown> = Promise.resolve();
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: limits.headMs,
      requestTimeout: limits.headMs,
      connectionsCheckingInterval: Math.min(1000, limits.headMs),
    },
    (request, response) => {
      // Nothing is expected in it; it is read and forgotten so that the answer can go out.
      request.resume();
      const respond = async (): Promise<void> => {
        if (!request.socket.destroyed) send(request, response, await answer(request, inquiry));
      };
      if (knownHere.has(request.url ?? '')) void respond();
      else turn = turn.then(respond);
    },
  );
  server.maxConnections = limits.connections;
  server.on('connection', (socket) => {
    const timer = setTimeout(() => socket.destroy(), limits.lifetimeMs);
    socket.on('close', () => clearTimeout(timer));
    socket.on('error', () => {});
  });
  server.on('clientError', (_error, socket) => {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', () => socket.destroy());
  });
  const remove = await listenAt(server, path);
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
    await remove();
  };
  return {
    path,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

async function answer(request: IncomingMessage, inquiry: Questions): Promise<Answer> {
  try {
    return await route(request, inquiry);
  } catch (error) {
    const { code, message } = toErrorRecord(error);
    return { status: statusOf(error), body: { error: { code, message } } };
  }
}

async function route({ method = '', url = '' }: IncomingMessage, inquiry: Questions): Promise<Answer> {
  if (method !== 'GET' && method !== 'HEAD') {
    return {
      status: 405,
      body: { error: { code: 'ERR_INVALID_ARGUMENT', message: 'only GET: nothing can be changed here' } },
    };
  }
  const { pathname, searchParams } = parsedUrl(url);
  switch (pathname) {
    case '/health': {
      const health = inquiry.health();
      return { status: health.healthy ? 200 : 503, body: health };
    }
    case '/statistics':
      return { status: 200, body: inquiry.statistics() };
    case '/status': {
      const limit = searchParams.get('limit');
      return { status: 200, body: await inquiry.status(limit === null ? {} : { limit: Number(limit) }) };
    }
    case '/explain': {
      const explanation = await inquiry.explain(searchParams.get('key') ?? '');
      return { status: explanation.kind === 'unknown' ? 404 : 200, body: explanation };
    }
    default: {
      const message = 'there are GET /health, /statistics, /status?limit=… and /explain?key=…';
      return { status: 404, body: { error: { code: 'ERR_INVALID_ARGUMENT', message } } };
    }
  }
}

function parsedUrl(url: string): URL {
  try {
    return new URL(url, 'http://proxier');
  } catch {
    throw new InvalidArgumentError('url', 'cannot be read');
  }
}

function statusOf(error: unknown): number {
  if (error instanceof InvalidArgumentError) return 400;
  return error instanceof ProxierError ? 503 : 500;
}

function send(request: IncomingMessage, response: ServerResponse, { status, body }: Answer): void {
  const text = `${JSON.stringify(body, undefined, 2)}\n`;
  response.on('error', () => {});
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}
