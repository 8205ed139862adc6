/**
 * A process starts on what an earlier one left (design.md, 'Adopt, then differ'): the same one or one with other options, that stopped or was
 * killed after any of its writes. What is right stays, what is ours and wrong is mended without a window, what is foreign stays.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import { histories, oneService } from '../harness/arbitrary-records.ts';
import { steadyRuns } from '../harness/runs.ts';
import { isOrphan, WatchedWorld } from '../harness/watched-world.ts';
import { foreignService, newKernel } from '../unit/reconcile/world.ts';

const history = fc.oneof(histories, oneService);
const bindings = fc.constantFrom<ReconcileInit['vipBinding']>('address', 'local-route');

/** Others are there, too. */
function crowdedWorld(init: Partial<ReconcileInit>): WatchedWorld {
  const kernel = newKernel();
  foreignService(kernel, '172.31.1.1', 80);
  foreignService(kernel, 'fd00:31::1', 53, 'udp');
  const key = { fwmark: 7, family: 'IPv4' } as const;
  kernel.outside.apply({ verb: 'create-service', service: { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 } });
  return new WatchedWorld(init, kernel);
}

test('a process that finds what an earlier one wrote writes nothing; with other options it changes what those are about, in place', async () => {
  const runs = steadyRuns(50, 2000);
  let updates = 0;
  let moves = 0;
  await fc.assert(
    fc.asyncProperty(history, history, bindings, async (first, second, vipBinding) => {
      const world = crowdedWorld({ vipBinding });
      await world.start();
      await world.change(first);
      await world.change(second);
      await world.pass(2000);
      assert.equal((await world.restart()).operations, 0, world.kernel.log.slice(-20).join('\n'));
      const rescheduled = await world.restart({ scheduler: 'lc' });
      assert.deepEqual(Object.keys({ 'update-service': 0, ...rescheduled.byVerb }), ['update-service']);
      const other = vipBinding === 'address' ? 'local-route' : 'address';
      const moved = await world.restart({ vipBinding: other });
      const verbs = other === 'address' ? ['add-address', 'remove-local-route'] : ['add-local-route', 'remove-address'];
      for (const verb of Object.keys(moved.byVerb)) assert.ok(verbs.includes(verb), verb);
      world.checkDone();
      updates += rescheduled.operations;
      moves += moved.operations;
    }),
    runs,
  );
  assert.ok(updates > runs.numRuns && moves > runs.numRuns, `${updates} updates, ${moves} moves`);
});

/** A node port on an address that went while no process saw it is nobody's (architecture.md): that is not what this is about. */
function onSameAddresses(records: readonly ObjectRecord[] = []): readonly ObjectRecord[] {
  return records.filter(({ kind }) => kind !== 'nodeAddresses');
}

test('killed after any write of a first sync or of a change, while objects go on changing: no window before or after, nothing foreign touched, right in the end', async () => {
  let kills = 0;
  const runs = steadyRuns(150, 6000);
  await fc.assert(
    fc.asyncProperty(
      fc.array(history, { minLength: 1, maxLength: 2 }),
      fc.integer({ min: 1, max: 40 }),
      fc.option(history),
      bindings,
      bindings,
      async (changes, n, meanwhile, from, to) => {
        const world = crowdedWorld({ vipBinding: from });
        await world.start();
        for (const records of changes.slice(0, -1)) await world.change(records);
        if (await world.changeAndKill(onSameAddresses(changes.at(-1)), n)) kills += 1;
        if (meanwhile !== null) world.changeWhileDown(onSameAddresses(meanwhile));
        await world.restart({ vipBinding: to });
        await world.pass(2000);
        // One that is wanted in another way than it was when the process died is contested, until somebody removes it.
        for (const event of world.events) {
          if (event.kind !== 'contested') continue;
          const node = world.state.services.get(event.service);
          assert.ok(node !== undefined && isOrphan(node, world.state), event.message);
          world.kernel.outside.services.delete(event.service);
        }
        if (world.events.some(({ kind }) => kind === 'contested')) await world.pass(40_000);
        world.checkDone((node, state) => isOrphan(node, state));
        const { byVerb } = await world.restart();
        assert.deepEqual(Object.keys({ 'remove-service': 0, ...byVerb }), ['remove-service']);
        assert.equal((await world.restart()).operations, 0);
      },
    ),
    runs,
  );
  assert.ok(kills > runs.numRuns / 4, `${kills} were killed in the midst`);
});
