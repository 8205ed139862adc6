import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import { RecordStore, type StoreSink } from '../../../lib/kube/record-store.ts';
import { Pump } from '../../../lib/proxier/pump.ts';
import type { RecordMessage } from '../../../lib/records.ts';
import { ManualClock, quiet } from './manual-clock.ts';
import { emptyReply, emptyReport, gate, ScriptedHost } from './scripted-host.ts';

interface Setup {
  readonly pump: Pump;
  readonly host: ScriptedHost;
  readonly clock: ManualClock;
  readonly sink: StoreSink;
  readonly failures: ProxierError[];
  /** Records messages so far. */
  messages(): RecordMessage[];
}

function setup(minSyncPeriodMs = 0): Setup {
  const host = new ScriptedHost();
  const clock = new ManualClock();
  const failures: ProxierError[] = [];
  const holder: { pump?: Pump } = {};
  const store = new RecordStore({ nodeName: 'n1', clock, onChange: () => holder.pump?.notify() });
  const sink = store.sinkFor({ name: 'test', kinds: ['Service'] });
  const pump = new Pump({
    host,
    feed: store,
    clock,
    minSyncPeriodMs,
    onReply() {},
    onFailure: (error) => failures.push(error),
  });
  holder.pump = pump;
  return {
    pump,
    host,
    clock,
    sink,
    failures,
    messages: () => host.requests.flatMap((request) => (request.kind === 'records' ? [request.message] : [])),
  };
}

function service(name: string): object {
  return {
    metadata: { name, namespace: 'default', uid: name },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'p', port: 80 }] },
  };
}

function names(message: RecordMessage | undefined): string[] {
  return message?.records.map(({ key }) => key.replace('default/', '')) ?? [];
}

test('the first change goes at once, what arrives while it is written is one next round', async () => {
  const { pump, host, sink, messages } = setup();
  await pump.start();
  const held = gate();
  host.answer = async () => {
    await held.promise;
    return emptyReply;
  };
  sink.upsert('Service', service('a'));
  await quiet();
  assert.deepEqual(messages().map(names), [['a']]);
  for (const name of ['b', 'c', 'd']) {
    sink.upsert('Service', service(name));
    await quiet();
  }
  assert.equal(messages().length, 1, 'one message at a time');
  held.open();
  await quiet();
  assert.deepEqual(messages().map(names), [['a'], ['b', 'c', 'd']]);
  await pump.stop();
});

test('a burst in one turn is one message; minSyncPeriodMs parts the rounds', async () => {
  const { pump, sink, clock, messages } = setup(1000);
  await pump.start();
  sink.synced('Service');
  for (let index = 0; index < 100; index += 1) sink.upsert('Service', service(`s${index}`));
  await clock.advance(0);
  assert.deepEqual(
    messages().map(({ records }) => records.length),
    [100],
  );
  sink.upsert('Service', service('later'));
  await clock.advance(999);
  assert.equal(messages().length, 1);
  await clock.advance(1);
  assert.deepEqual(names(messages()[1]), ['later']);
  await pump.stop();
});

test('synced is told once, with the last of what came before it, and without records too', async () => {
  const { pump, sink, clock, messages } = setup();
  await pump.start();
  for (let index = 0; index < 4500; index += 1) sink.upsert('Service', service(`s${index}`));
  sink.synced('Service');
  await clock.advance(0);
  const sizes = messages().map(({ records, allSynced }) => [records.length, allSynced]);
  assert.deepEqual(sizes, [
    [2000, false],
    [2000, false],
    [500, true],
  ]);
  await pump.stop();

  const other = setup();
  await other.pump.start();
  other.sink.synced('Service');
  await quiet();
  assert.deepEqual(other.messages(), [{ records: [], allSynced: true }]);
  await other.pump.stop();
});

test('appointments are kept, and records pass a tick that takes long', async () => {
  const { pump, host, sink, clock } = setup();
  const slow = gate();
  host.answer = async ({ kind }) => {
    if (kind === 'start') return { ...emptyReply, wakeInMs: 500 };
    if (kind === 'tick') await slow.promise;
    return emptyReply;
  };
  await pump.start();
  host.taken();
  await clock.advance(499);
  assert.deepEqual(host.taken(), []);
  await clock.advance(1);
  assert.deepEqual(host.taken(), ['tick']);
  sink.upsert('Service', service('a'));
  await quiet();
  assert.deepEqual(host.taken(), ['records']);
  assert.equal(host.inFlight, 1, 'the tick is still under way');
  slow.open();
  await clock.advance(10_000);
  assert.deepEqual(host.taken(), [], 'nothing was asked for, nothing is done');
  await pump.stop();
});

test('a lost worker is started again and gets everything again, in pieces that end synced', async () => {
  const { pump, host, sink, clock, messages } = setup();
  await pump.start();
  for (let index = 0; index < 2500; index += 1) sink.upsert('Service', service(`s${index}`));
  sink.synced('Service');
  await clock.advance(0);
  host.taken();
  pump.restarted();
  await clock.advance(0);
  assert.deepEqual(
    host.requests.map(({ kind }) => kind),
    ['start', 'records', 'records'],
  );
  const pieces = messages().map(({ records, snapshot, allSynced }) => [records.length, snapshot, allSynced]);
  assert.deepEqual(pieces, [
    [2000, 'begin', false],
    [500, 'end', true],
  ]);
  await pump.stop();
});

test('records that fail are sent again as a snapshot, later each time, and health knows since when', async () => {
  const { pump, host, sink, clock, failures } = setup();
  await pump.start();
  sink.upsert('Service', service('a'));
  sink.synced('Service');
  await clock.advance(0);
  host.taken();
  host.answer = () => Promise.reject(new ProxierError('ERR_WORKER', 'poison'));
  sink.upsert('Service', service('b'));
  await clock.advance(0);
  const began = clock.nowMs();
  assert.deepEqual(host.taken(), ['records']);
  await clock.advance(99);
  assert.deepEqual(host.taken(), []);
  await clock.advance(1);
  await clock.advance(200);
  assert.deepEqual(host.taken(), ['records', 'records']);
  assert.equal(failures.length, 3);
  assert.equal(pump.state.failing?.sinceMs, began);
  assert.equal(pump.state.pendingSinceMs, began);
  host.answer = () => emptyReply;
  await clock.advance(400);
  const last = host.requests.at(-1);
  assert.ok(last?.kind === 'records' && last.message.snapshot === 'whole' && last.message.allSynced);
  assert.deepEqual(names(last.message).sort(), ['a', 'b']);
  assert.deepEqual(pump.state, { pendingSinceMs: undefined, failing: undefined });
  await pump.stop();
});

test('resync, plan and settled come after the records handed in before them', async () => {
  const { pump, host, sink, clock } = setup(5000);
  host.answer = ({ kind, ...request }) => {
    if (kind === 'resync') return { ...emptyReply, report: emptyReport };
    const plan = { against: 'kernel' as const, operations: [], rules: [], sysctls: [], warnings: [], explanations: [] };
    return 'against' in request ? { ...emptyReply, plan } : emptyReply;
  };
  await pump.start();
  sink.upsert('Service', service('a'));
  await clock.advance(0);
  host.taken();
  sink.upsert('Service', service('b'));
  const asked = Promise.all([pump.resync(), pump.plan('kernel'), pump.settled()]);
  await clock.advance(0);
  await asked;
  assert.deepEqual(host.taken(), ['records', 'resync', 'plan']);
  await pump.stop();
});

test('minSyncPeriodMs parts the rounds also when each brings the next while it is sent', async () => {
  const { pump, host, sink, clock, messages } = setup(1000);
  await pump.start();
  sink.synced('Service');
  let next = 0;
  host.answer = ({ kind }) => {
    next += 1;
    if (kind === 'records') sink.upsert('Service', service(`s${next}`));
    return emptyReply;
  };
  sink.upsert('Service', service('s0'));
  await clock.advance(0);
  assert.equal(messages().length, 1);
  await clock.advance(999);
  assert.equal(messages().length, 1);
  await clock.advance(4001);
  assert.equal(messages().length, 6);
  assert.equal(pump.state.pendingSinceMs, clock.nowMs(), 'what waits is new, not as old as the load');
  await pump.stop();
});

test('records without end starve neither ticks nor what is asked for, nor being synced, nor are they starved', async () => {
  const { pump, host, sink, clock, messages } = setup();
  let next = 0;
  let tickAtMs = clock.nowMs() + 10;
  host.answer = async ({ kind }) => {
    // Time passes with each request, and the next change comes before it is answered.
    if (kind === 'records') {
      next += 1;
      sink.upsert('Service', service(`s${next % 7}`));
      sink.upsert('Service', {
        ...service('hot'),
        spec: { clusterIP: '10.96.0.10', ports: [{ port: (next % 999) + 1 }] },
      });
    }
    await clock.advance(1);
    if (kind === 'tick') tickAtMs = clock.nowMs() + 10;
    return { ...emptyReply, wakeInMs: Math.max(0, tickAtMs - clock.nowMs()), report: emptyReport };
  };
  await pump.start();
  sink.upsert('Service', service('s0'));
  sink.synced('Service');
  for (let times = 0; times < 20; times += 1) {
    await pump.settled();
    await pump.resync();
  }
  const kinds = host.requests.map(({ kind }) => kind);
  assert.ok(messages()[0]?.allSynced, 'synced is told though something always waits');
  const resyncs = kinds.flatMap((kind, index) => (kind === 'resync' ? [index] : []));
  assert.equal(resyncs.length, 20);
  for (const [index, at] of resyncs.entries()) {
    const since = kinds.slice(index === 0 ? 0 : resyncs[index - 1], at);
    assert.ok(since.filter((kind) => kind === 'records').length <= 8, `records pass a resync: ${since}`);
  }
  assert.ok(kinds.filter((kind) => kind === 'tick').length >= 3, `no tick among ${kinds}`);
  assert.ok(kinds.filter((kind) => kind === 'records').length >= 20, `no records among ${kinds}`);
  await pump.stop();
});

test('what is asked for waits for the whole round before it, not for what comes later', async () => {
  const { pump, host, sink, clock } = setup();
  await pump.start();
  host.taken();
  const held = gate();
  host.answer = async () => {
    await held.promise;
    return emptyReply;
  };
  sink.upsert('Service', service('first'));
  await quiet();
  for (let index = 0; index < 4500; index += 1) sink.upsert('Service', service(`s${index}`));
  let settled: number | undefined;
  const asked = pump.settled().then(() => {
    settled = host.requests.length;
  });
  await quiet();
  assert.equal(settled, undefined);
  held.open();
  await asked;
  assert.equal(settled, 4, 'the first, and three pieces');
  await clock.advance(0);
  await pump.stop();
});

test('what is asked for outlives the loss of a worker, and is refused with the error when no other can start', async () => {
  const { pump, host, sink, clock } = setup();
  await pump.start();
  await clock.advance(0);
  const lost = new ProxierError('ERR_WORKER', 'the worker was replaced');
  host.answer = () => {
    host.answer = () => ({ ...emptyReply, report: emptyReport });
    pump.restarted();
    throw lost;
  };
  sink.upsert('Service', service('a'));
  const outlives = pump.resync();
  await clock.advance(100);
  await outlives;

  let failures = 0;
  host.answer = ({ kind }) => {
    if (kind !== 'start') return { ...emptyReply, report: emptyReport };
    failures += 1;
    throw new ProxierError('ERR_KERNEL_UNSUPPORTED', 'no kernel');
  };
  pump.restarted();
  const asked = [pump.resync(), pump.plan('kernel'), pump.settled()].map((each) =>
    assert.rejects(each, { code: 'ERR_KERNEL_UNSUPPORTED', message: 'no kernel' }),
  );
  await clock.advance(0);
  assert.equal(failures, 1);
  await Promise.all(asked);
  await clock.advance(100_000);
  const before = failures;
  const later = assert.rejects(pump.resync(), { message: 'no kernel' });
  await clock.advance(0);
  await later;
  assert.equal(failures, before + 1, 'a question is tried at once, not when the back-off ends');

  host.answer = () => ({ ...emptyReply, report: emptyReport });
  const healed = pump.resync();
  await clock.advance(0);
  await healed;
  await pump.stop();
});

test('a tick that fails is made again later, and holds no record up', async () => {
  const { pump, host, sink, clock, failures } = setup();
  host.answer = ({ kind }) => {
    if (kind === 'tick') throw new Error('a bug');
    return kind === 'start' ? { ...emptyReply, wakeInMs: 10 } : emptyReply;
  };
  await pump.start();
  host.taken();
  await clock.advance(10);
  await clock.advance(100);
  assert.deepEqual(host.taken(), ['tick', 'tick']);
  assert.deepEqual(
    failures.map(({ code }) => code),
    ['ERR_WORKER', 'ERR_WORKER'],
  );
  sink.upsert('Service', service('a'));
  await clock.advance(0);
  assert.deepEqual(host.taken(), ['records']);
  await pump.stop();
});

test('stop waits for what is in flight, then asks nothing more; what waits is refused', async () => {
  const { pump, host, sink, clock } = setup();
  await pump.start();
  const held = gate();
  host.answer = async () => {
    await held.promise;
    return { ...emptyReply, wakeInMs: 10 };
  };
  sink.upsert('Service', service('a'));
  await quiet();
  const resync = pump.resync();
  const refused = assert.rejects(resync, { code: 'ERR_CLOSED' });
  let stopped = false;
  const stop = pump.stop().then(() => {
    stopped = true;
  });
  await refused;
  await quiet();
  assert.equal(stopped, false);
  held.open();
  await stop;
  host.taken();
  sink.upsert('Service', service('b'));
  pump.restarted();
  await clock.advance(100_000);
  assert.deepEqual(host.taken(), []);
  assert.equal(clock.timers, 0);
});
