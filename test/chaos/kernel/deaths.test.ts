/** Threads and processes that really die, on the real kernel: judged by ipvsadm, ipset and ip. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { systemDependencies } from '../../../lib/proxier/dependencies.ts';
import type { ProxierOptions } from '../../../lib/proxier/options.ts';
import { Proxier } from '../../../lib/proxier/proxier.ts';
import { openPiscinaHost } from '../../../lib/thread/piscina-host.ts';
import { type ClusterEvent, clusterEvents, namespace, ownNode } from '../../harness/arbitrary-objects.ts';
import { fixtureDump, fixtureFolder } from '../../harness/kube-proxy-dump.ts';
import { runTool } from '../../harness/run-tool.ts';
import { runs } from '../../harness/runs.ts';
import { clearTables } from '../../harness/topology.ts';
import { idealOf, withoutLeftBehind } from '../ideal.ts';
import type { MachineOptions } from '../machine.ts';
import { endless } from '../mortal.ts';
import type { MortalInit } from './mortal-worker.ts';
import { linesOf, RealWorld } from './real-world.ts';
import { runMortal } from './run-mortal.ts';

const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);

/** After how many operations each of them dies. */
function ends(count: number, most: number): number[] {
  return fc.sample(fc.nat(most), { seed, numRuns: count });
}

/** What there is at the end of whatever is said. */
const web: readonly ClusterEvent[] = [
  {
    kind: 'upsert',
    source: 'a',
    resource: 'Service',
    object: {
      metadata: { name: 'web', namespace, uid: 'web' },
      spec: { clusterIPs: ['10.96.7.7'], ports: [{ name: 'p', port: 80, protocol: 'TCP' }] },
    },
  },
  {
    kind: 'upsert',
    source: 'a',
    resource: 'EndpointSlice',
    object: {
      metadata: { name: 'web-1', namespace, uid: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: 'p', port: 8080, protocol: 'TCP' }],
      endpoints: ['10.244.1.5', '10.244.2.7'].map((address) => ({ addresses: [address], conditions: { ready: true } })),
    },
  },
];

describe('deaths on the real kernel', () => {
  before(clearTables);
  after(clearTables);

  test('a worker thread that exits in the midst of a batch is replaced, and its work is done again', async (context) => {
    context.diagnostic(`seed ${seed} (again: TEST_SEED=${seed})`);
    const options: MachineOptions = {
      nodeName: ownNode,
      clusterCIDR: '10.244.0.0/16',
      families: ['IPv4'],
      ownership: 'all',
      syncPeriodMs: 3_600_000,
    };
    const world = new RealWorld(options);
    const { cluster } = world.machine;
    const left = new Int32Array(new SharedArrayBuffer(4));
    Atomics.store(left, 0, endless);
    try {
      await using handle = await new Proxier(
        { ...options, source: cluster.sources() },
        {
          ...systemDependencies,
          claimNode: async () => ({ lock: undefined, others: [] }),
          openHost: (init, _thread, hostOptions) =>
            openPiscinaHost(
              new URL('./mortal-worker.js', import.meta.url),
              { init, left } satisfies MortalInit,
              hostOptions,
            ),
        },
      ).run();
      const counts = ends(runs(3, 40), 40);
      for (const [round, count] of counts.entries()) {
        const said = fc.sample(clusterEvents, { seed: seed + round, numRuns: 12 });
        Atomics.store(left, 0, count);
        for (const event of [...said, ...web]) if (event.kind !== 'nodeAddresses') cluster.say(event);
        await answered(handle.settled());
        // Where that was not enough to do, all is to be done again.
        while (handle.health().workerRestarts <= round) {
          await runTool('ipvsadm', ['-C']);
          await runTool('ipset', ['flush']);
          await answered(handle.resync());
        }
      }
      await handle.settled();
      const { failures } = await handle.resync();
      assert.deepEqual(failures, []);
      assert.equal(handle.health().workerRestarts, counts.length);
      const wanted = linesOf(await idealOf(world.machine, options));
      assert.ok(
        wanted.some((line) => line.startsWith('-a ')),
        'there are destinations',
      );
      assert.deepEqual(withoutLeftBehind(await world.lines(), wanted), wanted);
      assert.equal((await handle.resync()).operations, 0);
    } finally {
      world.end();
    }
  });

  test('a process that is killed in the midst of a batch, again and again: the next one finishes', async (context) => {
    const scenario = '08-lb-sourceranges';
    const manifests = join(fixtureFolder, `${scenario}.json`);
    const options: ProxierOptions = { manifests, nodeName: 'node-a', families: ['IPv4'] };
    await runTool('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-peer']);
    await runTool('ip', ['addr', 'add', '192.168.50.10/24', 'dev', 'eth0']);
    await runTool('ip', ['link', 'set', 'eth0', 'up']);
    await runTool('ipvsadm', ['-A', '-f', '77', '-s', 'rr']);
    try {
      // The frame alone is 18 operations.
      const counts = ends(runs(2, 30), 50);
      context.diagnostic(`killed after ${counts.join(', ')} operations`);
      for (const count of counts) {
        const { status, signal, said } = await runMortal(count, options);
        assert.deepEqual([status, signal], [null, 'SIGKILL'], said);
      }
      // One without the capability gives up, and leaves the rest to the next.
      const { status, said } = await runMortal(0, options, ['setpriv', '--bounding-set=-net_admin']);
      assert.equal(status, 1, said);
      assert.match(said, /ERR_PERMISSION/);
      await using handle = await new Proxier({ ...options, thread: 'inline' }).run();
      assert.deepEqual(handle.report.failures, []);
      const dump = fixtureDump(scenario);
      const found = (await runTool('ipvsadm', ['-Sn']))
        .split('\n')
        .filter((line) => line !== '')
        .sort();
      assert.deepEqual(
        found.filter((line) => !line.includes('-f 77')),
        dump.ipvs,
      );
      assert.equal(found.length, dump.ipvs.length + 1, 'nothing foreign was touched');
      const entries = (await runTool('ipset', ['save'])).split('\n').filter((line) => line.startsWith('add '));
      assert.deepEqual(entries.sort(), dump.sets);
      const { operations, rulesWritten } = await handle.resync();
      assert.deepEqual({ operations, rulesWritten }, { operations: 0, rulesWritten: 0 });
    } finally {
      await runTool('ip', ['link', 'delete', 'eth0'], { mayFail: true });
    }
  });
});

/** However. */
function answered(question: Promise<unknown>): Promise<unknown> {
  return question.catch(() => undefined);
}
