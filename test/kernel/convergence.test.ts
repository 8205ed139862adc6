/**
 * Any history of objects, hostile ones included, ends in the kernel like its outcome said once; and when all of it is taken back nothing is
 * left. The tables are read by netlink, and the rules are those of the fake: test/property/convergence-kernel.test.ts is about them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { familyOf } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import { setSpecs } from '../../lib/plan/sets.ts';
import { readKernel } from '../../lib/reconcile/observed.ts';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import { clusterEvents } from '../harness/arbitrary-objects.ts';
import { reconcileInits } from '../harness/arbitrary-options.ts';
import { ObjectHistory } from '../harness/object-history.ts';
import { ip } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { type StateText, stateText } from '../harness/state-text.ts';
import { clearTables } from '../harness/topology.ts';
import { newKernel, World } from '../unit/reconcile/world.ts';

const noTimeouts = { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 };
const nodeLink = 'prop-node0';
const events = fc.array(clusterEvents, { minLength: 4, maxLength: 10, size: 'max' });
/** After an event: say nothing yet; start anew with all there is; or say it. */
const portions = fc.array(fc.nat(7), { minLength: 10, maxLength: 10, size: 'max' });

describe('convergence on the real kernel', () => {
  let session: KernelSession;

  before(async () => {
    await clearTables();
    session = openSession();
    write(new Batch().ensureLink(nodeLink));
  });

  after(async () => {
    write(new Batch().removeLink(nodeLink));
    session.close();
    await clearTables();
  });

  function write(batch: Batch): void {
    assert.deepEqual(session.run(batch).failures, []);
  }

  function setAddresses(addresses: readonly string[]): void {
    const batch = new Batch();
    for (const { link, address, prefixLength } of readAll(session.addresses())) {
      if (link === nodeLink && !address.startsWith('fe80:') && !addresses.includes(address))
        batch.removeAddress(link, address, prefixLength);
    }
    for (const address of addresses.map(ip))
      batch.addAddress({ link: nodeLink, address, prefixLength: familyOf(address) === 'IPv4' ? 32 : 128 });
    write(batch);
  }

  /** What is there; both families, whatever the init says, so that nobody touches the other one. */
  function found(): StateText & { readonly routes: readonly string[] } {
    const observed = readKernel(session, { families: ['IPv4', 'IPv6'], ipvsTimeouts: noTimeouts });
    return { ...stateText(observed), routes: [...observed.routes].sort() };
  }

  async function start(history: ObjectHistory, init: ReconcileInit): Promise<World> {
    const kernel = newKernel();
    for (const family of init.families)
      for (const set of setSpecs(family)) kernel.outside.apply({ verb: 'create-set', set });
    const world = new World(kernel, init, openSession);
    setAddresses(history.addresses);
    await world.start();
    history.store.takePending();
    await whole(world, history);
    return world;
  }

  async function whole(world: World, history: ObjectHistory): Promise<void> {
    const message = { records: history.store.snapshot(), snapshot: 'whole', allSynced: true } as const;
    await world.send({ kind: 'records', nowMs: world.nowMs, message });
  }

  /** The end of a life, and of its session. */
  async function end(world: World): Promise<ReturnType<typeof found>> {
    const { failures } = await world.resync();
    assert.deepEqual(failures, []);
    await world.pass(5000);
    const state = found();
    await whole(world, new ObjectHistory({ saysAddresses: false }));
    await world.pass(5000);
    assert.deepEqual(found(), { ipvs: [], sets: [], addresses: [], routes: [] }, 'all is taken back');
    await world.close();
    return state;
  }

  test('the tables are as after a first start, and nothing is left when all is taken back', async () => {
    await fc.assert(
      fc.asyncProperty(events, portions, reconcileInits, async (said, cuts, init) => {
        const history = new ObjectHistory({ saysAddresses: false });
        for (const event of said.slice(0, cuts[0])) history.take(event);
        const world = await start(history, init);
        for (const [index, event] of said.slice(cuts[0]).entries()) {
          history.take(event);
          if (event.kind === 'nodeAddresses') {
            setAddresses(event.addresses);
            await world.resync();
          }
          const cut = cuts[index] ?? 0;
          if (cut === 1) await whole(world, history);
          else if (cut > 1) await world.say(...history.store.takePending());
        }
        await world.say(...history.store.takePending());
        const incremental = await end(world);
        assert.deepEqual(incremental, await end(await start(history.outcome(), init)));
      }),
      { numRuns: runs(50, 500) },
    );
  });
});
