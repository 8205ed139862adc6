/** Turns come to an end whatever happens between them: nothing is asked for at once that cannot be had, and nothing is left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../../lib/operations.ts';
import type { ReconcileReply } from '../../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { foreignService, newKernel, service, slice, World } from './world.ts';

const address = (block: number, index: number): string => `10.${block}.${(index >> 8) & 255}.${index & 255}`;

/** More than one turn takes. */
function cluster(services: number): ObjectRecord[] {
  return Array.from({ length: services }, (_, index) => [
    service(`ns1/s${index}`, address(96, index)),
    slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(128, index)]),
  ]).flat();
}

const records = cluster(1500);

function say(world: World, said: readonly ObjectRecord[], snapshot?: 'begin' | 'end'): Promise<ReconcileReply> {
  const message = { records: said, allSynced: true, ...(snapshot && { snapshot }) };
  return world.send({ kind: 'records', nowMs: world.nowMs, message });
}

/** Ticks at once for as long as they are asked for. */
async function finish(world: World, first: ReconcileReply): Promise<ReconcileReply> {
  let reply = first;
  for (let turns = 0; reply.wakeInMs === 0; turns += 1) {
    assert.ok(turns < 50, 'it does not ask to be called at once for ever');
    reply = await world.send({ kind: 'tick', nowMs: world.nowMs });
  }
  assert.equal(reply.unwritten, undefined, 'everything has had its turn');
  return reply;
}

async function expected(): Promise<string> {
  const world = new World();
  await world.start();
  await world.say(...records);
  await world.close();
  return world.kernel.dump();
}

test('objects in back-off and contested ones have had their turn: the first pass ends, and so do the turns of a change', async () => {
  const kernel = newKernel();
  for (let index = 0; index < 600; index += 1) foreignService(kernel, address(96, index), 80);
  const refused = (operation: Operation): boolean =>
    (operation.verb === 'create-service' && /10\.96\.[45]\./.test(JSON.stringify(operation.service.key))) ||
    (operation.verb === 'add-address' && operation.address.address.startsWith('10.96.3.'));
  kernel.failNext(refused, 'EPERM', Number.POSITIVE_INFINITY);
  const world = new World(kernel);
  await world.start();
  await finish(world, await say(world, records));
  const status = await world.status();
  assert.equal(status.complete, true);
  assert.equal(kernel.outside.services.size, 600 + 424, 'each but what is refused, beside those of the stranger');
  // All of them move.
  const moved = records.filter(({ kind }) => kind === 'slice');
  await finish(
    world,
    await say(
      world,
      moved.map((_, index) => slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(160, index)])),
    ),
  );
  await world.close();
});

test('in the middle of the first pass: a resync, a drain, a plan, a status and a snapshot change nothing of where it leads', async () => {
  const wanted = await expected();
  type Interruption = (world: World) => Promise<ReconcileReply>;
  const { nowMs } = new World();
  const interruptions: Readonly<Record<string, Interruption>> = {
    resync: (world) => world.send({ kind: 'resync', nowMs }),
    drain: (world) => world.send({ kind: 'drain', nowMs, endpoints: [] }),
    plan: async (world) => {
      await world.send({ kind: 'plan', against: 'kernel' });
      return world.send({ kind: 'tick', nowMs });
    },
    snapshot: async (world) => {
      const begun = await say(world, records.slice(0, 1000), 'begin');
      assert.deepEqual([begun.wakeInMs, begun.unwritten], [undefined, undefined], 'it waits for the rest');
      const written = world.kernel.log.length;
      await world.send({ kind: 'tick', nowMs });
      assert.equal(world.kernel.log.length, written, 'and writes nothing meanwhile');
      return say(world, records.slice(1000), 'end');
    },
    'a snapshot of less': async (world) => {
      await say(world, [], 'begin');
      await say(world, records.slice(0, 2), 'end');
      return say(world, records);
    },
  };
  for (const [name, interrupt] of Object.entries(interruptions)) {
    const world = new World();
    await world.start();
    const first = await say(world, records);
    assert.ok((first.unwritten ?? 0) > 0, 'it has only begun');
    await finish(world, await interrupt(world));
    assert.equal(world.kernel.dump(), wanted, name);
    assert.equal((await world.resync()).operations, 0, name);
    await world.close();
  }
});
