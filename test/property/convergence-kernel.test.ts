/** The same through the reconciler, in the fake kernel: tables, addresses and rules are in the end those of a first start. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { familyOf } from '../../lib/address.ts';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import type { FakeKernel } from '../../lib/testing/fake-kernel.ts';
import { clusterEvents } from '../harness/arbitrary-objects.ts';
import { reconcileInits } from '../harness/arbitrary-options.ts';
import { ObjectHistory } from '../harness/object-history.ts';
import { ip } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { tableDifference } from '../harness/tables.ts';
import { newKernel, World } from '../unit/reconcile/world.ts';

const events = fc.array(clusterEvents, { minLength: 4, maxLength: 10, size: 'max' });
/** After an event: say nothing yet; start anew with all there is; let time pass; or say it. */
const portions = fc.array(fc.nat(7), { minLength: 10, maxLength: 10, size: 'max' });

/** Makes the addresses of eth0 these. */
function setAddresses({ outside }: FakeKernel, addresses: readonly string[]): void {
  for (const { link, address, prefixLength } of [...outside.addresses.values()]) {
    if (link !== 'eth0' || addresses.includes(address)) continue;
    outside.apply({ verb: 'remove-address', link, address, prefixLength });
  }
  for (const text of addresses) {
    const address = ip(text);
    const prefixLength = familyOf(address) === 'IPv4' ? 24 : 64;
    outside.apply({ verb: 'add-address', address: { link: 'eth0', address, prefixLength } });
  }
}

async function end(world: World): Promise<string> {
  const { failures } = await world.resync();
  assert.deepEqual(failures, []);
  await world.pass(5000);
  const rules = await Promise.all(world.init.families.map((family) => world.iptables.save(family)));
  return [world.kernel.dump(), ...rules].join('\n');
}

async function live(history: ObjectHistory, init: ReconcileInit): Promise<World> {
  const world = new World(newKernel(), init);
  setAddresses(world.kernel, history.addresses);
  await world.start();
  const message = { records: history.store.snapshot(), snapshot: 'whole', allSynced: true } as const;
  history.store.takePending();
  await world.send({ kind: 'records', nowMs: world.nowMs, message });
  return world;
}

test('hostile objects, new lists and changing node addresses included: the kernel is as after a first start', async () => {
  await fc.assert(
    fc.asyncProperty(events, portions, reconcileInits, async (said, cuts, init) => {
      const history = new ObjectHistory({ saysAddresses: false });
      for (const event of said.slice(0, cuts[0])) history.take(event);
      const world = await live(history, init);
      for (const [index, event] of said.slice(cuts[0]).entries()) {
        // Pod CIDRs are remembered on purpose: those of a Node that is gone for a moment are better than none.
        if (init.detectLocal.mode === 'NodeCIDR' && 'resource' in event && event.resource === 'Node') continue;
        history.take(event);
        if (event.kind === 'nodeAddresses') {
          setAddresses(world.kernel, event.addresses);
          await world.resync();
        }
        const cut = cuts[index] ?? 0;
        if (cut === 0) continue;
        const records = history.store.takePending();
        const whole = { records: history.store.snapshot(), snapshot: 'whole', allSynced: true } as const;
        const message = cut === 1 ? whole : { records, allSynced: true };
        await world.send({ kind: 'records', nowMs: world.nowMs, message });
        if (cut === 2) await world.pass(2000);
      }
      await world.say(...history.store.takePending());
      const incremental = await end(world);
      const fromScratch = await end(await live(history.outcome(), init));
      assert.deepEqual(tableDifference(fromScratch, incremental), []);
      assert.ok(fromScratch === incremental, 'the same in another order');
    }),
    { numRuns: runs(2000, 50_000) },
  );
});
