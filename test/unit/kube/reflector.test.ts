/** The reflector's decisions, on a transport and a clock of the test's own: what it asks next, after how long, for each outcome. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../../lib/kube/backoff.ts';
import type { Clock } from '../../../lib/kube/clock.ts';
import { Reflector, type ReflectorOptions } from '../../../lib/kube/reflector.ts';
import type { Transport, TransportResponse } from '../../../lib/kube/transport.ts';
import { service } from './objects.ts';
import { RecordingSink } from './recording-sink.ts';

/** Time that moves only when everybody waits: then straight to the next timer. */
class VirtualClock implements Clock {
  readonly #timers = new Map<object, { readonly atMs: number; readonly callback: () => void }>();
  #nowMs = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const id = {};
    this.#timers.set(id, { atMs: this.#nowMs + delayMs, callback });
    return () => this.#timers.delete(id);
  }

  get size(): number {
    return this.#timers.size;
  }

  /** False when nothing is waited for. */
  advance(): boolean {
    const next = [...this.#timers].sort(([, left], [, right]) => left.atMs - right.atMs)[0];
    if (next === undefined) return false;
    this.#timers.delete(next[0]);
    this.#nowMs = Math.max(this.#nowMs, next[1].atMs);
    next[1].callback();
    return true;
  }

  pass(ms: number): void {
    this.#nowMs += ms;
  }
}

/** What one request gets: a status and the pieces of a body; a number of ms among them passes time; an Error breaks the connection. */
interface Reply {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  /** `silence`: nothing more comes until the reflector gives up. */
  readonly body?: readonly (string | number | Error | 'silence')[];
}

interface Asked {
  readonly what: string;
  readonly atMs: number;
}

class ScriptedTransport implements Transport {
  readonly asked: Asked[] = [];
  refreshed = 0;
  readonly #clock: VirtualClock;
  readonly #replies: (Reply | Error)[];
  readonly #done: () => void;

  constructor(clock: VirtualClock, replies: readonly (Reply | Error)[], done: () => void) {
    this.#clock = clock;
    this.#replies = [...replies];
    this.#done = done;
  }

  async get(path: string, signal: AbortSignal): Promise<TransportResponse> {
    const query = new URLSearchParams(path.slice(path.indexOf('?')));
    const verb = query.get('watch') === 'true' ? 'watch' : 'list';
    const page =
      (query.has('limit') ? ' paged' : '') + (query.has('continue') ? ` continue=${query.get('continue')}` : '');
    this.asked.push({ what: `${verb} ${query.get('resourceVersion') ?? 'latest'}${page}`, atMs: this.#clock.nowMs() });
    const reply = this.#replies.shift();
    if (reply === undefined) {
      this.#done();
      throw new Error('the script is over');
    }
    if (reply instanceof Error) throw reply;
    return { status: reply.status ?? 200, headers: reply.headers ?? {}, body: this.#body(reply.body ?? [], signal) };
  }

  async refresh(): Promise<void> {
    this.refreshed++;
  }

  async close(): Promise<void> {}

  async *#body(pieces: readonly (string | number | Error)[], signal: AbortSignal): AsyncGenerator<Buffer> {
    for (const piece of pieces) {
      if (piece instanceof Error) throw piece;
      if (typeof piece === 'number') this.#clock.pass(piece);
      else if (piece !== 'silence') yield Buffer.from(piece);
      else {
        await new Promise<never>((_, reject) =>
          signal.addEventListener('abort', () => reject(new Error('aborted')), { once: true }),
        );
      }
    }
  }
}

interface Run {
  readonly sink: RecordingSink;
  readonly transport: ScriptedTransport;
  readonly asked: string[];
  /** Time between the requests, in ms. */
  readonly gaps: number[];
}

async function run(replies: readonly (Reply | Error)[], options: Partial<ReflectorOptions> = {}): Promise<Run> {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const transport = new ScriptedTransport(clock, replies, () => stop.abort());
  const sink = new RecordingSink();
  const reflector = new Reflector({
    kind: 'Service',
    path: '/api/v1/services',
    group: '',
    transport,
    sink,
    clock,
    random: () => 0.5,
    ...options,
  });
  let ended = false;
  const running = reflector.run(stop.signal).then(() => {
    ended = true;
  });
  while (!ended) {
    // All promise work that can go on does, then time moves to the next timer.
    await new Promise((resolve) => setImmediate(resolve));
    if (!ended) clock.advance();
  }
  await running;
  assert.equal(clock.size, 0, 'no timer is left');
  const { asked } = transport;
  return {
    sink,
    transport,
    asked: asked.map(({ what }) => what),
    gaps: asked.slice(1).map(({ atMs }, index) => atMs - (asked[index]?.atMs ?? 0)),
  };
}

function list(version: string, names: readonly string[] = [], more?: string): Reply {
  const items = names.map((name) => service(name, {}, {}, { resourceVersion: `${name}-1` }));
  return {
    body: [
      JSON.stringify({
        items,
        metadata: { resourceVersion: version, ...(more === undefined ? {} : { continue: more }) },
      }),
    ],
  };
}

function event(type: string, version: string, name = 'svc'): string {
  return `${JSON.stringify({ type, object: service(name, {}, {}, { resourceVersion: version }) })}\n`;
}

function error(code: number, reason: string): string {
  return `${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code, reason, message: 'm' } })}\n`;
}

const expired: Reply = { status: 410, body: ['{"reason":"Expired"}'] };
const end: Reply = { body: [2000] };

test('every outcome of a watch has its next step and its delay', async () => {
  // First delay of the back-off: 0.5 x 800 ms.
  const rows: readonly [watch: Reply | Error, next: string, gap: number][] = [
    [{ body: [event('MODIFIED', '8'), 5000] }, 'watch 8', 5000],
    [{ body: [event('BOOKMARK', '9'), 1] }, 'watch 9', 1],
    [{ body: [event('ADDED', '8').slice(0, 40), event('ADDED', '8').slice(40), new Error('reset')] }, 'watch 8', 400],
    [{ body: [2000] }, 'watch 7', 2000],
    [{ body: [999] }, 'watch 7', 999 + 400],
    [{ body: [2000, event('ADDED', '8').slice(0, -5)] }, 'watch 7', 2000 + 400],
    [new Error('ECONNREFUSED'), 'watch 7', 400],
    [{ status: 410, body: ['{}'] }, 'list 7', 0],
    [{ body: [error(410, 'Expired')] }, 'list 7', 0],
    [{ body: [event('MODIFIED', '8'), error(500, 'InternalError')] }, 'watch 8', 400],
    [{ status: 429, headers: { 'retry-after': '7' } }, 'watch 7', 7000],
    [{ status: 429, headers: { 'retry-after': '86400' } }, 'watch 7', 300_000],
    [{ status: 429, headers: { 'retry-after': 'soon' } }, 'watch 7', 400],
    [{ status: 503 }, 'watch 7', 400],
    [{ status: 401 }, 'watch 7', 400],
    [{ status: 403 }, 'list 7', 400],
    [{ status: 400 }, 'list 7', 400],
    [{ body: ['{"type":"ADDED"\n'] }, 'list 7', 400],
    [{ body: ['{"type":"ADDED"}\n'] }, 'list 7', 400],
    [{ body: [event('RENAMED', '8')] }, 'list 7', 400],
    [{ body: ['null\n'] }, 'list 7', 400],
    [{ body: ['x'.repeat(5 << 20), 'x'.repeat(5 << 20)] }, 'list 7', 400],
    [{ status: 504, body: ['{"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}'] }, 'list 7', 400],
  ];
  for (const [watch, next, gap] of rows) {
    const { asked, gaps, transport } = await run([list('7'), watch]);
    assert.deepEqual(asked, ['list 0', 'watch 7', next], JSON.stringify(watch));
    assert.equal(gaps[1], gap, JSON.stringify(watch));
    assert.equal(transport.refreshed, !(watch instanceof Error) && watch.status === 401 ? 1 : 0);
  }
});

test('every outcome of a list has its next step', async () => {
  assert.deepEqual((await run([expired, expired, expired])).asked, [
    'list 0',
    'list latest paged',
    'list latest',
    'list latest',
  ]);
  const rows: readonly [first: (Reply | Error)[], next: string, gap: number][] = [
    [[new Error('ECONNREFUSED')], 'list 0', 400],
    [[{ status: 403 }], 'list 0', 400],
    [[{ status: 429, headers: { 'retry-after': '2' } }], 'list 0', 2000],
    [[{ body: ['<html>'] }], 'list 0', 400],
    [[{ body: ['{"items":[]}'] }], 'list 0', 400],
    [[{ body: ['[]'] }], 'list 0', 400],
    [[{ body: ['{"items":[{}', new Error('reset')] }], 'list 0', 400],
    [
      [{ status: 504, body: ['{"details":{"causes":[{"reason":"ResourceVersionTooLarge"}]}}'] }],
      'list latest paged',
      0,
    ],
  ];
  for (const [replies, next, gap] of rows) {
    const { asked, gaps } = await run(replies);
    assert.deepEqual(asked.slice(replies.length), [next]);
    assert.equal(gaps.at(-1), gap, JSON.stringify(replies));
  }
  const paged = await run([expired, list('', ['a'], 'c1'), expired, list('7', ['b'], 'c2'), list('8', ['c'])]);
  assert.deepEqual(paged.asked, [
    'list 0',
    'list latest paged',
    'list latest paged continue=c1',
    'list latest',
    'list latest continue=c2',
    'watch 8',
  ]);
  assert.deepEqual(paged.sink.keys, ['Service ns1/b', 'Service ns1/c'], 'what only the broken list held is gone');
});

test('a list says what changed and what is gone, and a broken one removes nothing', async () => {
  const whole = JSON.stringify({
    items: [service('b', {}, {}, { resourceVersion: 'b-1' })],
    metadata: { resourceVersion: '9' },
  });
  const { sink } = await run([
    list('7', ['a', 'b']),
    { status: 403 },
    { body: [whole.slice(0, -20), new Error('reset')] },
    list('9', ['b', 'c']),
    { body: [event('DELETED', '10', 'b'), event('DELETED', '11', 'unknown'), event('ADDED', '12', 'a'), 1000] },
  ]);
  assert.deepEqual(
    sink.calls.filter((call) => /^(upsert|remove|synced)/.test(call)),
    [
      ...['upsert Service ns1/a', 'upsert Service ns1/b', 'synced Service'],
      ...['upsert Service ns1/c', 'remove Service ns1/a', 'synced Service'],
      ...['remove Service ns1/b', 'remove Service ns1/unknown', 'upsert Service ns1/a'],
    ],
  );
});

test('failures are counted, told once, and forgotten after a healthy watch', async () => {
  const refused = new Error('ECONNREFUSED');
  const { sink, gaps } = await run([refused, refused, refused, list('7'), end, refused, end]);
  assert.deepEqual(gaps.slice(0, 3), [400, 800, 1600]);
  assert.deepEqual(
    sink.connections.filter(({ state }) => state === 'backoff').map(({ attempt }) => attempt),
    [1, 2, 3, 1],
  );
  assert.deepEqual(
    sink.problems.map(({ kind, message }) => `${kind} ${message}`),
    ['list', 'watch'].map(
      (verb) =>
        `Service ${verb} services: the connection to the API server failed (ECONNREFUSED); it is tried again, the kernel keeps what it has`,
    ),
  );
  assert.equal(sink.calls.at(-1), 'stopped Service');
  const loop = await run(Array.from({ length: 6 }, (_, index) => (index % 2 === 0 ? list('7') : expired)));
  assert.ok((loop.gaps[3] ?? 0) > 0, 'a server that lets nobody watch is not asked without a pause');
});

test('a silent connection is given up, and so is one that never ends', async () => {
  const silent = await run([list('7'), { body: [event('ADDED', '8'), 'silence'] }], { idleMs: 1000 });
  assert.deepEqual(silent.asked, ['list 0', 'watch 7', 'watch 8']);
  assert.match(silent.sink.problems[0]?.message ?? '', /silent for 1000 ms/);
  const beats = Array.from({ length: 500 }, () => [event('BOOKMARK', '8'), 1000]).flat();
  const endless = await run([list('7'), { body: [...beats, 'silence'] }]);
  assert.deepEqual(endless.asked, ['list 0', 'watch 7', 'watch 8']);
  assert.match(endless.sink.problems[0]?.message ?? '', /still open after 480000 ms/);
});

test('the back-off doubles to its cap, jitters in full and starts again after quiet', () => {
  const full = new Backoff({ random: () => 1 });
  const delays = Array.from({ length: 8 }, (_, index) => full.next(index * 1000));
  assert.deepEqual(delays, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(full.next(7000 + 120_000), 30_000);
  assert.equal(full.next(7000 + 240_001), 800);
  assert.equal(new Backoff({ random: () => 0 }).next(0), 0);
});
