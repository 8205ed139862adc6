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
  const store = new RecordStore({ nodeName: 'n1', onChange: () => holder.pump?.notify() });
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
    const plan = { against: 'kernel' as const, operations: [], rules: [], sysctls: [], warnings: [] };
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
