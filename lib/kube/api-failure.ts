/** What went wrong with a list or a watch, in words a user can act on, and what the reflector does next about it. */
import { ProxierError } from '../errors.ts';
import { objectOrEmpty, printable, stringOrEmpty } from './json.ts';
import type { ResourceKind } from './source.ts';
import type { TransportResponse } from './transport.ts';

/**
 * `watch`: go on from the last resource version; `list`: get everything again, at least as fresh as what is known; `list-latest`: the
 * last resource version is of no use any more.
 */
export type NextStep = 'watch' | 'list' | 'list-latest';

export class ApiFailure extends ProxierError {
  /** HTTP status, or the code of a Status object; 0 when there was no answer. */
  readonly status: number;
  readonly next: NextStep;
  /** Wait at least this long; the server asked for it. */
  readonly retryAfterMs: number;
  constructor(
    message: string,
    details: {
      readonly status: number;
      readonly next: NextStep;
      readonly retryAfterMs?: number;
      readonly cause?: unknown;
    },
  ) {
    super('ERR_KUBE_API', message, { cause: details.cause });
    this.status = details.status;
    this.next = details.next;
    this.retryAfterMs = details.retryAfterMs ?? 0;
  }
}

export interface ApiRequest {
  readonly kind: ResourceKind;
  /** Plural, as RBAC names it. */
  readonly resource: string;
  readonly group: string;
  readonly verb: 'list' | 'watch';
}

/** A Status object is at most a few hundred bytes; an HTML page of some proxy in between may be anything. */
const BODY_LIMIT = 64 * 1024;
/** A server that asks for more is not obeyed. */
const RETRY_AFTER_LIMIT_MS = 300_000;

/** An answer other than 200. Reads its body. `now` is the wall clock in ms since the epoch, for dates in Retry-After. */
export async function responseFailure(
  request: ApiRequest,
  response: TransportResponse,
  now: number,
): Promise<ApiFailure> {
  const text = await readSome(response.body);
  let status: unknown;
  try {
    status = JSON.parse(text);
  } catch {
    status = undefined;
  }
  return statusFailure(request, response.status, status, retryAfter(response.headers['retry-after'], now));
}

/** A Status object, of an answer or of an ERROR event. */
export function statusFailure(request: ApiRequest, code: number, object: unknown, retryAfterMs = 0): ApiFailure {
  const status = objectOrEmpty(object);
  const reason = stringOrEmpty(status['reason']);
  const said = stringOrEmpty(status['message']);
  const words = [reason === '' ? '' : ` ${printable(reason)}`, said === '' ? '' : ` (${oneLine(said)})`].join('');
  const message = `${request.verb} ${request.resource}: the API server answered ${code}${words}${remedy(code, request)}`;
  return new ApiFailure(message, { status: code, next: nextStep(request, code, reason, status), retryAfterMs });
}

function nextStep(request: ApiRequest, code: number, reason: string, status: object): NextStep {
  const tooLarge = JSON.stringify(status).includes('ResourceVersionTooLarge');
  if (request.verb === 'list') {
    return code === 410 || reason === 'Expired' || reason === 'Gone' || tooLarge ? 'list-latest' : 'list';
  }
  // After 410 a list "not older than" the last version works where a watch from it does not. The others have lost nothing.
  return !tooLarge && (code === 429 || code === 401 || code >= 500) ? 'watch' : 'list';
}

function remedy(code: number, request: ApiRequest): string {
  if (code === 401)
    return '; the credentials are not accepted: they are read again before the next attempt, renew them if this goes on';
  if (code === 403) {
    return `; an RBAC problem: a ClusterRole bound to this account must allow verb "${request.verb}" on resource "${request.resource}" of apiGroup "${request.group}" (it needs list and watch)`;
  }
  if (code === 404)
    return '; the server knows no such resource: check the server URL, and that it is Kubernetes 1.21 or newer';
  return '';
}

/** No answer, a broken connection, or an answer that makes no sense. */
export function brokenFailure(request: ApiRequest, error: unknown): ApiFailure {
  if (error instanceof ApiFailure) return error;
  const { verb, resource } = request;
  const text = describe(error);
  if (error instanceof SyntaxError || error instanceof RangeError) {
    return new ApiFailure(
      `${verb} ${resource}: the answer makes no sense (${oneLine(text)}); everything is listed again`,
      {
        status: 0,
        next: 'list',
        cause: error,
      },
    );
  }
  const words = error instanceof ProxierError ? text : `the connection to the API server failed (${oneLine(text)})`;
  return new ApiFailure(`${verb} ${resource}: ${words}; it is tried again, the kernel keeps what it has`, {
    status: 0,
    next: verb === 'watch' ? 'watch' : 'list',
    cause: error,
  });
}

/** An AggregateError of several refused addresses has a code and an empty message. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== '') return error.message;
  return 'code' in error ? String(error.code) : error.name;
}

function oneLine(text: string): string {
  const line = text.length > 300 ? `${text.slice(0, 300)}…` : text;
  return line.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, ' ');
}

async function readSome(body: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of body) {
      parts.push(chunk);
      length += chunk.length;
      if (length > BODY_LIMIT) break;
    }
  } catch {
    // The status line alone says enough.
  }
  return Buffer.concat(parts).toString();
}

/** Seconds or an HTTP date (RFC 9110 10.2.3). */
function retryAfter(header: string | readonly string[] | undefined, now: number): number {
  if (typeof header !== 'string') return 0;
  const delayMs = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(delayMs) ? Math.min(Math.max(delayMs, 0), RETRY_AFTER_LIMIT_MS) : 0;
}
