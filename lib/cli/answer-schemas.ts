/**
 * The parts of a proxier's answers that are printed. Read as JSON of another process, which may be of another version: what is missing
 * or of another form is named, and fields that are not known here do no harm.
 */
import * as v from 'valibot';
import { ProxierError } from '../errors.ts';
import type { SaidPort } from './format-explanation.ts';

const text = v.string();
const count = v.number();
const texts = v.array(text);

const object = v.looseObject({
  object: text,
  state: text,
  why: v.exactOptional(text),
  wanted: v.exactOptional(text),
  applied: v.exactOptional(text),
  wantedBy: texts,
  failure: v.exactOptional(v.looseObject({ operation: text, attempts: count, since: text, nextTry: text })),
  drain: v.exactOptional(v.looseObject({ since: text, until: text })),
  contest: v.exactOptional(
    v.looseObject({
      times: count,
      until: v.exactOptional(text),
      history: v.array(v.looseObject({ at: text, found: text })),
    }),
  ),
});

const latency = v.looseObject({ count, p50Ms: count, p99Ms: count, maxMs: count });

const status = v.looseObject({
  pid: count,
  nodeName: text,
  started: text,
  health: v.looseObject({
    ready: v.boolean(),
    healthy: v.boolean(),
    reasons: texts,
    lastSync: v.exactOptional(text),
    oldestPendingMs: count,
    sources: v.array(v.looseObject({ name: text, synced: v.boolean() })),
    waiting: v.array(v.looseObject({ what: text, sinceMs: count })),
    workerRestarts: count,
  }),
  statistics: v.exactOptional(
    v.looseObject({
      waiting: count,
      oldestWaiting: v.exactOptional(v.looseObject({ object: text, ageMs: count })),
      latency: v.looseObject({ fromHandIn: latency, fromTrigger: latency }),
    }),
  ),
  reconciler: v.exactOptional(
    v.looseObject({
      revision: count,
      complete: v.boolean(),
      waitsFor: v.exactOptional(text),
      holds: v.looseObject({ services: count, destinations: count, entries: count, addresses: count }),
      servicePorts: v.looseObject({ total: count, notApplied: count }),
      objects: v.looseObject({
        applied: count,
        pending: count,
        failing: count,
        draining: count,
        contested: count,
        foreign: count,
      }),
      notApplied: v.array(object),
      omitted: count,
      recorder: v.looseObject({ entries: count, since: v.exactOptional(text) }),
    }),
  ),
  error: v.exactOptional(v.looseObject({ code: text, message: text })),
});

const verdict = v.looseObject({ isIn: v.boolean(), why: text });

const port = v.looseObject({
  port: text,
  state: text,
  frontends: v.array(
    v.looseObject({ kind: text, service: text, list: v.picklist(['cluster', 'local', 'none']), why: text }),
  ),
  endpoints: v.array(
    v.looseObject({
      address: text,
      port: count,
      slice: text,
      weight: count,
      cluster: v.exactOptional(verdict),
      local: v.exactOptional(verdict),
    }),
  ),
  objects: v.array(object),
  omitted: count,
  warnings: texts,
});

const explanation = v.looseObject({
  key: text,
  kind: text,
  message: v.exactOptional(text),
  nearest: texts,
  state: text,
  services: v.array(v.looseObject({ service: text, ports: v.array(port) })),
  omittedPorts: count,
  others: v.array(object),
  history: v.array(
    v.looseObject({
      at: text,
      kind: text,
      text,
      seq: v.exactOptional(count),
      pass: v.exactOptional(count),
      round: v.exactOptional(count),
    }),
  ),
  omittedHistory: count,
});

/** `ObjectStatus`, its dates as text. */
export interface SaidObject {
  readonly object: string;
  readonly state: string;
  readonly why?: string;
  readonly wanted?: string;
  readonly applied?: string;
  readonly wantedBy: readonly string[];
  readonly failure?: {
    readonly operation: string;
    readonly attempts: number;
    readonly since: string;
    readonly nextTry: string;
  };
  readonly drain?: { readonly since: string; readonly until: string };
  readonly contest?: {
    readonly times: number;
    readonly until?: string;
    readonly history: readonly { readonly at: string; readonly found: string }[];
  };
}

/** `LatencySummary`, as far as it is printed. */
export type SaidLatency = Readonly<Record<'count' | 'p50Ms' | 'p99Ms' | 'maxMs', number>>;

/** `ProxierStatus`, its dates as text. */
export interface SaidStatus {
  readonly pid: number;
  readonly nodeName: string;
  readonly started: string;
  readonly health: {
    readonly ready: boolean;
    readonly healthy: boolean;
    readonly reasons: readonly string[];
    readonly lastSync?: string;
    readonly oldestPendingMs: number;
    readonly sources: readonly { readonly name: string; readonly synced: boolean }[];
    readonly waiting: readonly { readonly what: string; readonly sinceMs: number }[];
    readonly workerRestarts: number;
  };
  readonly statistics?: {
    readonly waiting: number;
    readonly oldestWaiting?: { readonly object: string; readonly ageMs: number };
    readonly latency: { readonly fromHandIn: SaidLatency; readonly fromTrigger: SaidLatency };
  };
  readonly reconciler?: {
    readonly revision: number;
    readonly complete: boolean;
    readonly waitsFor?: string;
    readonly holds: Readonly<Record<'services' | 'destinations' | 'entries' | 'addresses', number>>;
    readonly servicePorts: { readonly total: number; readonly notApplied: number };
    readonly objects: Readonly<
      Record<'applied' | 'pending' | 'failing' | 'draining' | 'contested' | 'foreign', number>
    >;
    readonly notApplied: readonly SaidObject[];
    readonly omitted: number;
    readonly recorder: { readonly entries: number; readonly since?: string };
  };
  readonly error?: { readonly code: string; readonly message: string };
}

/** `Explanation`, its dates as text. */
export interface SaidExplanation {
  readonly key: string;
  readonly kind: string;
  readonly message?: string;
  readonly nearest: readonly string[];
  readonly state: string;
  readonly services: readonly {
    readonly service: string;
    readonly ports: readonly (SaidPort & {
      readonly state: string;
      readonly objects: readonly SaidObject[];
      readonly omitted: number;
      readonly warnings: readonly string[];
    })[];
  }[];
  readonly omittedPorts: number;
  readonly others: readonly SaidObject[];
  readonly history: readonly {
    readonly at: string;
    readonly kind: string;
    readonly text: string;
    readonly seq?: number;
    readonly pass?: number;
    readonly round?: number;
  }[];
  readonly omittedHistory: number;
}

/** @throws ProxierError ERR_ADMIN_SOCKET */
export function saidStatus(body: unknown): SaidStatus {
  return parsed(status, body);
}

/** @throws ProxierError ERR_ADMIN_SOCKET */
export function saidExplanation(body: unknown): SaidExplanation {
  return parsed(explanation, body);
}

/** What an answer says that is none: `{ error: { code, message } }`. */
export function saidError(body: unknown): string | undefined {
  const result = v.safeParse(v.looseObject({ error: v.looseObject({ code: text, message: text }) }), body);
  return result.success ? `${result.output.error.message} (${result.output.error.code})` : undefined;
}

function parsed<T>(schema: v.GenericSchema<unknown, T>, body: unknown): T {
  const result = v.safeParse(schema, body);
  if (result.success) return result.output;
  const where = v.getDotPath(result.issues[0]) ?? 'the whole';
  const message = `the proxier answers in another form than this version reads (${where}): use its own version, or --json`;
  throw new ProxierError('ERR_ADMIN_SOCKET', message);
}
