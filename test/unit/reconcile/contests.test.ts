/** Objects that somebody else keeps rewriting: told with their history, left alone for longer and longer, and never fought over in a loop. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReconcileEvent } from '../../../lib/reconcile/protocol.ts';
import { service, slice, World } from './world.ts';

const periodMs = 30_000;
const key = 'tcp 10.96.0.10:80';
const pod = '10.244.1.5:8080';
const destination = `destination ${key} ${pod}`;
const web = service('ns1/web', '10.96.0.10');

async function served(): Promise<World> {
  const world = new World();
  await world.start();
  await world.say(web, slice('ns1/web-1', 'ns1/web', ['10.244.1.5']));
  return world;
}

/** The other one, who wants another weight. */
function meddle({ kernel }: World, weight = 9): void {
  const destinations = kernel.outside.services.get(key)?.destinations;
  const state = destinations?.get(pod);
  assert.ok(destinations && state);
  destinations.set(pod, { ...state, weight });
}

const weight = ({ kernel }: World): number | undefined =>
  kernel.outside.services.get(key)?.destinations.get(pod)?.weight;

const contested = (events: readonly ReconcileEvent[]): ReconcileEvent[] =>
  events.filter(({ kind }) => kind === 'contested');

/** Meddles and lets a round pass, three times: the third is not mended. */
async function quarrel(world: World): Promise<void> {
  for (let time = 1; time <= 3; time += 1) {
    meddle(world);
    await world.pass(periodMs);
    assert.equal(weight(world), time < 3 ? 1 : 9, `after time ${time}`);
  }
}

/** Meddles once more, with an object that has a quarrel behind it. */
async function quarrelAgain(world: World): Promise<void> {
  meddle(world);
  await world.pass(periodMs);
  assert.equal(weight(world), 9);
}

describe('an object that somebody else rewrites', () => {
  test('a third time is contested: told with its history, not written for a minute, then once more', async () => {
    const world = await served();
    await quarrel(world);
    const [event, ...more] = contested(world.events);
    assert.deepEqual(more, []);
    assert.ok(event?.kind === 'contested');
    assert.deepEqual([event.service, event.object], [key, destination]);
    assert.match(event.message, /found wrong 3 times.*left as it is for 60 s/);
    assert.deepEqual(event.history, [
      { agoMs: 60_000, found: 'weight is 9 and should be 1' },
      { agoMs: 30_000, found: 'weight is 9 and should be 1' },
      { agoMs: 0, found: 'weight is 9 and should be 1' },
    ]);
    const written = world.kernel.log.length;
    const reports = await world.pass(59_000);
    assert.equal(world.kernel.log.length, written);
    assert.ok(
      reports.every(({ contested: count, drift }) => count === 1 && drift === undefined),
      'one drift is one',
    );
    await world.pass(1000);
    assert.equal(weight(world), 1);
  });

  test('is left alone for twice as long each time, half an hour at most', async () => {
    const world = await served();
    await quarrel(world);
    const waits: number[] = [];
    let sinceMs = world.nowMs;
    for (let time = 0; time < 8; time += 1) {
      while (weight(world) !== 1) await world.pass(1000);
      waits.push(world.nowMs - sinceMs);
      meddle(world);
      const told = contested(world.events).length;
      while (contested(world.events).length === told) await world.pass(1000);
      sinceMs = world.nowMs;
    }
    assert.deepEqual(
      waits.map((ms) => ms / 60_000),
      [1, 2, 4, 8, 16, 30, 30, 30],
    );
  });

  test('is told in health as waiting: among the failures, with its next try', async () => {
    const world = await served();
    await quarrel(world);
    meddle(world, 3);
    const reports = await world.pass(periodMs);
    assert.deepEqual(
      reports.flatMap(({ failures }) =>
        failures.map(({ object, attempts, retryInMs }) => [object, attempts, retryInMs]),
      ),
      [[destination, 4, 120_000]],
    );
  });

  test('has the rest of its virtual service written meanwhile', async () => {
    const world = await served();
    await quarrel(world);
    const report = await world.say(slice('ns1/web-1', 'ns1/web', ['10.244.1.5', '10.244.1.6']));
    assert.deepEqual([report.byVerb, weight(world)], [{ 'create-destination': 1 }, 9]);
  });

  test('is written at once when something else is wanted of it', async () => {
    const world = await served();
    await quarrel(world);
    await world.say(slice('ns1/web-1', 'ns1/web', ['10.244.1.5'], { weights: [4] }));
    assert.equal(weight(world), 4);
    meddle(world);
    await world.pass(periodMs);
    assert.equal(weight(world), 4, 'the story begins anew');
  });

  test('is put right by a full pass that somebody asks for', async () => {
    const world = await served();
    await quarrel(world);
    const report = await world.resync();
    assert.deepEqual([weight(world), report.contested, report.failures], [1, 0, []]);
    meddle(world);
    assert.equal((await world.resync()).drift?.changed, 1);
    assert.equal(weight(world), 1, 'each time that somebody asks');
    meddle(world);
    await world.pass(periodMs);
    assert.equal(weight(world), 9, 'and by no other');
  });

  test('is nobody’s quarrel once it has stayed right for ten minutes', async () => {
    const world = await served();
    for (let time = 0; time < 6; time += 1) {
      meddle(world);
      await world.pass(periodMs);
      assert.equal(weight(world), 1);
      if (time % 2 === 1) await world.pass(640_000);
    }
    assert.deepEqual(contested(world.events), []);
  });

  test('shows in status and in what explains it: until when, and what was found; not once it is put right', async () => {
    const world = await served();
    await quarrel(world);
    const { objects, notApplied, servicePorts } = await world.status();
    assert.deepEqual([objects.contested, objects.applied, objects.pending, servicePorts.notApplied], [1, 4, 0, 1]);
    const [told, ...more] = notApplied;
    assert.deepEqual([told?.object, told?.state, more], [destination, 'contested', []]);
    assert.match(told?.why ?? '', /keeps rewriting it/);
    const found = 'weight is 9 and should be 1';
    const at = [60_000, 30_000, 0].map((ms) => ({ at: new Date(world.nowMs - ms), found }));
    assert.deepEqual(told?.contest, { times: 3, until: new Date(world.nowMs + 60_000), history: at });
    const explained = await world.explain('ns1/web');
    assert.equal(explained.state, 'contested');
    const notes = explained.history.filter(({ kind }) => kind === 'contested' || kind === 'drift');
    assert.deepEqual(
      notes.map(({ kind, object }) => [kind, object]),
      [...Array.from({ length: 3 }, () => ['drift', destination]), ['contested', destination]],
      'each once',
    );
    await world.pass(60_000);
    assert.deepEqual((await world.status()).notApplied, []);
    const after = (await world.explain('ns1/web')).services[0]?.ports[0]?.objects;
    const mended = after?.find(({ object }) => object === destination);
    assert.deepEqual([mended?.state, mended?.contest?.until, mended?.contest?.times], ['applied', undefined, 3]);
  });
});

describe('an object that somebody else removes again and again', () => {
  const flush = ({ kernel }: World): void => {
    const { services } = kernel.outside;
    for (const id of [...services.keys()]) services.delete(id);
  };

  test('is put back each time: a table that is flushed five times is there again after each round', async () => {
    const world = await served();
    const others = Array.from({ length: 150 }, (_, index) => service(`ns1/s${index}`, `10.97.0.${index + 1}`));
    await world.say(...others);
    const before = world.kernel.dump();
    for (let time = 1; time <= 5; time += 1) {
      flush(world);
      const told = contested(world.events).length;
      const reports = await world.pass(periodMs + 1000);
      assert.equal(world.kernel.dump(), before, `after time ${time}`);
      assert.deepEqual(
        reports.flatMap(({ failures, contested: count }) => [...failures, ...(count === 0 ? [] : [count])]),
        [],
      );
      assert.equal(contested(world.events).length - told, time < 3 ? 0 : 100, 'told, and bounded');
    }
    const [event] = contested(world.events);
    assert.ok(event?.kind === 'contested');
    assert.match(event.message, /found wrong 3 times.*put back each time/);
    assert.deepEqual(
      event.history?.map(({ found }) => found),
      Array.from({ length: 3 }, () => 'somebody removed it'),
    );
    assert.deepEqual((await world.status()).notApplied, []);
  });

  test('is put back though it was left alone, a virtual service with what was left alone in it', async () => {
    const world = await served();
    const before = world.kernel.dump();
    await quarrel(world);
    world.kernel.outside.services.get(key)?.destinations.delete(pod);
    await world.pass(periodMs);
    assert.equal(world.kernel.dump(), before, 'the destination');
    await quarrelAgain(world);
    flush(world);
    await world.pass(periodMs);
    assert.equal(world.kernel.dump(), before, 'all of it');
    assert.equal((await world.status()).objects.contested, 0);
  });

  test('may be a VIP', async () => {
    const world = await served();
    for (let time = 1; time <= 5; time += 1) {
      world.kernel.outside.addresses.delete('kube-ipvs0 10.96.0.10');
      await world.pass(1000);
      assert.ok(world.kernel.outside.addresses.has('kube-ipvs0 10.96.0.10'), `after time ${time}`);
    }
    assert.equal(contested(world.events).length, 3);
  });
});

test('an entry that nobody wants and somebody adds again and again is left alone', async () => {
  const world = await served();
  const entries = world.kernel.outside.sets.get('KUBE-LOOP-BACK')?.entries;
  const entry = '10.244.9.9,tcp:80,10.244.9.9';
  assert.ok(entries);
  for (let time = 1; time <= 3; time += 1) {
    entries.add(entry);
    await world.pass(periodMs);
    assert.equal(entries.has(entry), time === 3);
  }
  const { objects, notApplied } = await world.status();
  assert.deepEqual([objects.contested, notApplied[0]?.object], [1, `entry KUBE-LOOP-BACK ${entry}`]);
  await world.pass(60_000);
  assert.ok(!entries.has(entry));
});
