/** Whatever is handed in between the slices of an audit: what is written is what is written without an audit, and nothing is taken for drift. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ObjectRecord } from '../../../lib/records.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { runs } from '../../harness/runs.ts';
import { SessionCalls } from './counted-session.ts';
import { newKernel, service, slice, World } from './world.ts';

/** More than the audit reads of a set in one go. */
const count = 1100;
const address = (block: number, index: number): string => `10.${block}.${index >> 8}.${index & 255}`;
const made = (index: number): ObjectRecord => service(`ns1/s${index}`, address(96, index));
const pod = (index: number, pods: readonly number[]): ObjectRecord =>
  slice(
    `ns1/s${index}-1`,
    `ns1/s${index}`,
    pods.map((one) => address(240 + one, index)),
  );

type Step =
  | { readonly kind: 'pods'; readonly index: number; readonly pods: readonly number[] }
  | { readonly kind: 'gone' | 'made'; readonly index: number }
  | { readonly kind: 'pass'; readonly ms: number };

/** Those at the ends and in the middle of lists: where slices meet, and around. */
const indexes = fc.oneof(fc.nat(12), fc.integer({ min: count - 12, max: count + 12 }), fc.nat(count));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('pods' as const),
      index: indexes,
      pods: fc.uniqueArray(fc.nat(3), { maxLength: 3 }),
    }),
    fc.record({ kind: fc.constantFrom('gone' as const, 'made' as const), index: indexes }),
    // While something is listed the slices come 1 ms apart, later on one each 400 ms or so.
    fc.record({ kind: fc.constant('pass' as const), ms: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.nat(3000)) }),
  ),
  { minLength: 20, maxLength: 60, size: 'max' },
);

const base = await (async (): Promise<FakeKernel> => {
  const world = new World(newKernel());
  await world.start();
  await world.say(...cluster());
  return world.kernel;
})();

function cluster(): ObjectRecord[] {
  return Array.from({ length: count }, (_, index) => [made(index), pod(index, [0])]).flat();
}

/** A process that has just started on the kernel as it is; its next round begins in 10 ms, or never. */
async function started(isAudited: boolean): Promise<{ readonly world: World; readonly calls: SessionCalls }> {
  const kernel = base.clone();
  const calls = new SessionCalls();
  const world = new World(kernel, { syncPeriodMs: isAudited ? 20_000 : 3_600_000 }, () => calls.wrap(kernel.session()));
  await world.start();
  await world.say(...cluster());
  await world.pass(19_990);
  return { world, calls };
}

async function take({ world }: { readonly world: World }, step: Step): Promise<void> {
  switch (step.kind) {
    case 'pods':
      await world.say(pod(step.index, step.pods));
      return;
    case 'gone':
      await world.say(service(`ns1/s${step.index}`, null));
      return;
    case 'made':
      await world.say(made(step.index));
      return;
    case 'pass':
      await world.pass(step.ms);
  }
}

test('an audit with changes in between writes what would be written without it, and finds no drift', async () => {
  let looked = 0;
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const audited = await started(true);
      const plain = await started(false);
      for (const step of history) {
        await take(audited, step);
        await take(plain, step);
      }
      assert.deepEqual(audited.world.kernel.log, plain.world.kernel.log);
      assert.equal(audited.world.kernel.dump(), plain.world.kernel.dump());
      assert.deepEqual(
        audited.world.events.filter(({ kind }) => kind === 'drift' || kind === 'contested'),
        [],
      );
      looked += audited.calls.count('destinations') - plain.calls.count('destinations');
    }),
    { numRuns: runs(8, 400) },
  );
  assert.ok(looked > 0, 'there was an audit');
});
