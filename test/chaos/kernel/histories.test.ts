/** The histories of test/chaos/host on a real kernel, judged by ipvsadm, ipset and ip. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../../harness/runs.ts';
import { clearTables } from '../../harness/topology.ts';
import { type History, histories } from '../arbitrary-history.ts';
import { Events } from '../events.ts';
import { idealOf, withoutLeftBehind } from '../ideal.ts';
import { linesOf, RealWorld } from './real-world.ts';

describe('crash and restart histories on the real kernel', () => {
  const seen = { histories: 0, workersDied: 0, processesDied: 0, reloads: 0, services: 0 };

  before(clearTables);
  after(clearTables);

  async function live(history: History): Promise<void> {
    const world = new RealWorld(history.options);
    try {
      const { machine } = world;
      for (const event of history.before) if (event.kind !== 'nodeAddresses') machine.cluster.say(event);
      machine.start();
      await machine.pass(0);
      const events = new Events(world, history.options.ownership === 'ledger');
      for (const what of history.steps) await events.take(what);
      await events.rest();
      assert.deepEqual(machine.troubles, []);
      assert.ok(machine.handle !== undefined, 'a proxier is at work');
      const found = await world.lines();
      const { operations, failures } = await machine.handle.resync();
      assert.deepEqual({ operations, failures }, { operations: 0, failures: [] });
      await machine.pass(0);
      assert.equal(machine.unanswered, 0, 'requests without an answer');
      await machine.end();
      const wanted = linesOf(await idealOf(machine, history.options));
      assert.deepEqual(withoutLeftBehind(found, wanted), wanted);
      seen.histories += 1;
      seen.workersDied += machine.deaths.worker;
      seen.processesDied += machine.deaths.process;
      seen.reloads += world.reloads;
      seen.services += wanted.filter((line) => line.startsWith('-A ')).length;
    } finally {
      world.end();
    }
  }

  test('end as a first start would have it', async (context) => {
    const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
    context.diagnostic(`seed ${seed} (again: TEST_SEED=${seed})`);
    // What fails here is made smaller on the fake kernel, where it takes a hundredth of the time.
    await fc.assert(fc.asyncProperty(histories, live), { seed, numRuns: runs(20, 500), endOnFailure: true });
    context.diagnostic(JSON.stringify(seen));
  });
});
