/** Simulated days of a cluster, lived through by a whole proxier on a fake kernel in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  churn,
  FakeKernel,
  type Fault,
  fakeProxier,
  type SimulatedCluster,
  SimulatedSource,
  simulateCluster,
  VirtualClock,
} from '../../../lib/testing/index.ts';
import { runs } from '../../harness/runs.ts';

const settings = { nodeName: 'node-0', families: ['IPv4', 'IPv6'] } as const;

/** The kernel of a proxier that never saw anything but the end. */
async function ideal(cluster: SimulatedCluster): Promise<string> {
  const kernel = new FakeKernel();
  const source = new SimulatedSource({ cluster, speed: Number.POSITIVE_INFINITY });
  const handle = await fakeProxier({ ...settings, source }, kernel).run();
  await handle.stop();
  return kernel.dump();
}

test('whatever happens in a cluster, and whatever the kernel refuses meanwhile, it ends as a proxier started now would have it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({ seed: fc.nat(), services: fc.integer({ min: 1, max: 25 }), nodes: fc.integer({ min: 1, max: 6 }) }),
      fc.record({
        seed: fc.nat(),
        ratePerSecond: fc.constantFrom(2, 50),
        maxEvents: fc.integer({ min: 20, max: 250 }),
        mix: fc.constantFrom({}, { noise: 0, nodeLoss: 2, service: 10 }, { rollout: 20, scale: 20 }),
      }),
      fc.array(
        fc.record({
          event: fc.nat(200),
          fault: fc.constantFrom<Fault>('lost', 'dropped', 'ENOMEM', 'EINVAL'),
          times: fc.integer({ min: 1, max: 3 }),
        }),
        { maxLength: 4 },
      ),
      async (shape, history, faults) => {
        const cluster = simulateCluster(shape);
        const kernel = new FakeKernel();
        const clock = new VirtualClock();
        function* events(): ReturnType<typeof churn> {
          let count = 0;
          for (const event of churn(cluster, history)) {
            for (const { fault, times } of faults.filter((each) => each.event === count)) {
              kernel.failNext(() => true, fault, times);
            }
            count += 1;
            yield event;
          }
        }
        const source = new SimulatedSource({ cluster, events: events(), clock });
        const handle = await fakeProxier({ ...settings, source }, kernel, { clock }).run();
        await source.finished;
        kernel.heal();
        // Time for retries and drains.
        await clock.advanceTo(clock.nowMs() + 60_000);
        const { operations, failures, unknown } = await handle.resync();
        assert.deepEqual({ operations, failures, unknown }, { operations: 0, failures: [], unknown: 0 });
        await handle.stop();
        assert.equal(kernel.dump(), await ideal(cluster));
      },
    ),
    { numRuns: runs(15) },
  );
});
