/** Many changes: what is kept, what a message holds, what goes first, and when a change counts as answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordStore, type StoreSink } from '../../../lib/kube/record-store.ts';
import type { AnsweredChanges } from '../../../lib/proxier/change-ledger.ts';
import { Pump } from '../../../lib/proxier/pump.ts';
import { ROUND_LIMITS } from '../../../lib/proxier/record-messages.ts';
import type { ReconcileReply } from '../../../lib/reconcile/protocol.ts';
import type { RecordMessage } from '../../../lib/records.ts';
import { VirtualClock } from '../../../lib/testing/virtual-clock.ts';
import { quiet } from './manual-clock.ts';
import { emptyReply, emptyReport, gate, ScriptedHost } from './scripted-host.ts';

const START_MS = Date.UTC(2026, 10, 21);

interface Setup {
  readonly pump: Pump;
  readonly host: ScriptedHost;
  readonly clock: VirtualClock;
  readonly store: RecordStore;
  readonly sink: StoreSink;
  readonly answered: AnsweredChanges[];
  messages(): RecordMessage[];
}

async function setup(minSyncPeriodMs = 0): Promise<Setup> {
  const host = new ScriptedHost();
  const clock = new VirtualClock(START_MS);
  const answered: AnsweredChanges[] = [];
  const holder: { pump?: Pump } = {};
  const store = new RecordStore({ nodeName: 'n1', clock, onChange: () => holder.pump?.notify() });
  const sink = store.sinkFor({ name: 'test', kinds: ['Service', 'EndpointSlice'] });
  const pump = new Pump({
    host,
    feed: store,
    clock,
    minSyncPeriodMs,
    onReply: (_, answer) => answered.push(answer),
    onFailure() {},
  });
  holder.pump = pump;
  await pump.start();
  const messages = (): RecordMessage[] =>
    host.requests.flatMap((request) => (request.kind === 'records' ? [request.message] : []));
  return { pump, host, clock, store, sink, answered, messages };
}

function sync(sink: StoreSink): void {
  sink.synced('Service');
  sink.synced('EndpointSlice');
}

function service(name: string, port: number, namespace = 'default'): object {
  return { metadata: { name, namespace, uid: name }, spec: { clusterIP: '10.96.0.10', ports: [{ name: 'p', port }] } };
}

function slice(of: string, hosts: number, trigger?: string): object {
  const annotations = trigger === undefined ? {} : { 'endpoints.kubernetes.io/last-change-trigger-time': trigger };
  return {
    metadata: { name: `${of}-1`, namespace: 'default', labels: { 'kubernetes.io/service-name': of }, annotations },
    addressType: 'IPv4',
    ports: [{ name: 'p', port: 8080 }],
    endpoints: Array.from({ length: hosts }, (_, host) => ({
      addresses: [`10.${hosts % 250}.${host >> 8}.${host & 255}`],
    })),
  };
}

function endpointsIn(message: RecordMessage): number {
  return message.records.reduce((sum, record) => {
    return sum + (record.kind === 'slice' ? (record.body?.addresses.length ?? 0) : 0);
  }, 0);
}

function keys(message: RecordMessage | undefined): string[] {
  return message?.records.map(({ key }) => key) ?? [];
}

test('200,000 events on 500 objects while a round is held: 500 changes are kept, one message has the newest', async () => {
  const { pump, host, clock, store, sink, messages } = await setup();
  sync(sink);
  await clock.advanceTo(1);
  const held = gate();
  host.answer = async () => {
    await held.promise;
    return emptyReply;
  };
  sink.upsert('Service', service('s0', 1));
  await quiet();
  for (let event = 0; event < 200_000; event += 1) {
    sink.upsert('Service', service(`s${event % 500}`, 2 + Math.floor(event / 500)));
    assert.ok(store.pending <= 500);
  }
  assert.equal(store.pending, 500);
  assert.equal(pump.changes.waiting, 501, 'and the one that is held');
  assert.equal(pump.changes.oldest?.firstSeq, 1);
  held.open();
  await pump.settled();
  const last = messages().at(-1);
  assert.equal(messages().length, 3);
  assert.equal(last?.records.length, 500);
  assert.ok(last?.records.every((record) => record.kind === 'service' && record.body?.ports[0]?.port === 401));
  assert.equal(pump.changes.waiting, 0);
  await pump.stop();
});

test('while the first lists load records flow unpaced; the last message, at once after the last list, has only the rest', async () => {
  const { pump, clock, sink, messages } = await setup(1000);
  const count = 6000;
  for (let index = 0; index < count; index += 1) {
    sink.upsert('Service', service(`s${index}`, 80));
    if (index % 500 === 499) await clock.advanceTo(clock.nowMs() + 1);
  }
  sink.synced('Service');
  for (let index = 0; index < count; index += 1) {
    sink.upsert('EndpointSlice', slice(`s${index}`, 5));
    if (index % 500 === 499 && index < count - 500) await clock.advanceTo(clock.nowMs() + 1);
  }
  const before = messages().length;
  assert.ok(messages().every(({ allSynced }) => !allSynced));
  sink.synced('EndpointSlice');
  await clock.advanceTo(clock.nowMs());
  const [last, ...more] = messages().slice(before);
  assert.deepEqual([last?.records.length, last?.allSynced, more.length], [500, true, 0]);
  assert.equal(
    messages().reduce((sum, { records }) => sum + records.length, 0),
    2 * count,
  );
  await pump.stop();
});

test('a round is bounded; what does not fit goes at once, in its newest state, behind what is urgent by then', async () => {
  const { pump, host, clock, sink, messages } = await setup(60_000);
  sync(sink);
  sink.upsert('EndpointSlice', slice('dying', 9));
  await clock.advanceTo(1);
  await clock.advanceTo(60_001);
  host.taken();
  const held = gate();
  host.answer = async () => {
    await held.promise;
    return emptyReply;
  };
  for (let index = 0; index < 60; index += 1) sink.upsert('EndpointSlice', slice(`s${index}`, 500));
  await quiet();
  sink.upsert('EndpointSlice', slice('dying', 8));
  sink.upsert('EndpointSlice', slice('s59', 400));
  sink.upsert('Service', service('kubernetes', 443));
  held.open();
  await clock.advanceTo(60_001);
  const rounds = messages();
  assert.ok(rounds.length >= 3, 'three limits of endpoints');
  for (const round of rounds) {
    assert.ok(round.records.length <= ROUND_LIMITS.records);
    assert.ok(endpointsIn(round) <= ROUND_LIMITS.endpoints);
  }
  assert.deepEqual(keys(rounds[1]).slice(0, 2), ['default/kubernetes', 'default/dying-1']);
  const newest = rounds.flatMap(({ records }) => records.filter(({ key }) => key === 'default/s59-1'));
  assert.deepEqual(
    newest.map((record) => record.kind === 'slice' && record.body?.addresses.length),
    [400],
    'the older state never went',
  );
  host.answer = () => emptyReply;
  host.taken();
  pump.restarted();
  await clock.advanceTo(60_002);
  assert.deepEqual(
    [messages().at(0)?.snapshot, messages().at(-1)?.snapshot, messages().at(-1)?.allSynced],
    ['begin', 'end', true],
  );
  assert.ok(messages().every((piece) => endpointsIn(piece) <= ROUND_LIMITS.endpoints));
  await pump.stop();
});

test('a change is answered when nothing is unwritten: settled, waitFor, resync and the oldest change wait for it', async () => {
  const { pump, host, clock, sink, store, answered } = await setup();
  sync(sink);
  await clock.advanceTo(1);
  const unwritten: ReconcileReply = {
    ...emptyReply,
    report: { ...emptyReport, operations: 1 },
    unwritten: 7,
    wakeInMs: 0,
  };
  const tick = gate();
  host.answer = async ({ kind }) => {
    if (kind === 'tick') await tick.promise;
    return unwritten;
  };
  sink.upsert('Service', service('a', 80));
  await clock.advanceTo(10);
  const done: string[] = [];
  void pump.settled().then(() => done.push('settled'));
  void pump.waitFor(store.seq).then(() => done.push('waitFor'));
  sink.upsert('Service', service('b', 80));
  let passes = 0;
  host.answer = async ({ kind }) => {
    if (kind === 'tick') await tick.promise;
    passes += 1;
    return passes < 5 ? unwritten : { ...emptyReply, report: { ...emptyReport, operations: 1 } };
  };
  host.taken();
  await quiet();
  // The tick is held up (by iptables, say): empty messages make the reconciler go on in its place.
  const asked = host.taken();
  assert.ok(asked.includes('records') && !asked.includes('tick'), asked.join());
  assert.equal(passes, 5);
  assert.deepEqual(done, ['settled', 'waitFor']);
  assert.equal(pump.changes.oldest, undefined);
  assert.equal(pump.changes.triedRevision, store.seq);
  assert.equal(
    answered.reduce((sum, { changes }) => sum + changes, 0),
    2,
  );
  tick.open();
  await quiet();
  passes = 2;
  host.answer = ({ kind }) => {
    passes += 1;
    return kind === 'resync' || passes < 5 ? unwritten : { ...emptyReply, report: { ...emptyReport, operations: 1 } };
  };
  const report = await pump.resync();
  assert.deepEqual([report.operations, report.kind], [3, 'full'], 'all of its parts');
  await pump.stop();
});

test('latency: from the trigger where it says one, from hand-in for all; the first lists do not count', async () => {
  const { pump, host, clock, sink, answered } = await setup();
  sink.upsert('EndpointSlice', slice('a', 1, new Date(START_MS - 3_600_000).toISOString()));
  sink.upsert('EndpointSlice', slice('b', 1, new Date(START_MS + 1).toISOString()));
  sync(sink);
  const reply: ReconcileReply = { ...emptyReply, report: emptyReport };
  host.answer = () => reply;
  await clock.advanceTo(1000);
  assert.equal(pump.changes.latency().fromHandIn.count, 0);
  assert.equal(answered.at(-1)?.oldestMs, 0);

  host.answer = async () => {
    await new Promise<void>((resolve) => clock.after(40, resolve));
    return reply;
  };
  const at = (ms: number): string => new Date(START_MS + ms).toISOString();
  sink.upsert('EndpointSlice', slice('a', 2, at(700)));
  await clock.advanceTo(1010);
  // Twice while the first is written: one change, as old as its first state.
  sink.upsert('EndpointSlice', slice('a', 3, at(1005)));
  await clock.advanceTo(1020);
  sink.upsert('EndpointSlice', slice('a', 4, at(1015)));
  sink.upsert('EndpointSlice', slice('b', 2, at(1)));
  sink.upsert('EndpointSlice', slice('c', 2, at(9_000_000)));
  sink.upsert('Service', service('a', 80));
  assert.equal(pump.changes.oldest?.record.key, 'default/a-1');
  assert.equal(pump.changes.oldest?.sinceMs, 1000);
  await clock.advanceTo(2000);
  const { fromHandIn, fromTrigger } = pump.changes.latency();
  // a: 40 and 70; b, whose trigger is that of its last state, c, of a clock that is ahead, and the Service: 60.
  assert.deepEqual([fromHandIn.count, fromHandIn.maxMs], [5, 70]);
  assert.deepEqual([fromTrigger.count, fromTrigger.maxMs], [3, 340]);
  assert.ok(Math.abs(fromHandIn.p50Ms - 60) <= 1 && Math.abs(fromTrigger.p50Ms - 75) <= 1);
  assert.deepEqual(answered.slice(-2), [
    { changes: 1, oldestMs: 340 },
    { changes: 4, oldestMs: 75 },
  ]);
  await pump.stop();
});
