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

  test('may be a VIP that somebody unbinds again and again', async () => {
    const world = await served();
    const isBound = (): boolean => world.kernel.outside.addresses.has('kube-ipvs0 10.96.0.10');
    for (let time = 1; time <= 3; time += 1) {
      world.kernel.outside.addresses.delete('kube-ipvs0 10.96.0.10');
      await world.pass(1000);
      assert.equal(isBound(), time < 3);
    }
    assert.equal(contested(world.events).length, 1);
    await world.pass(59_000);
    assert.ok(!isBound());
    await world.pass(1000);
    assert.ok(isBound());
  });
});
