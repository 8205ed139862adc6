/** What is written in turns leads where one difference leads, and opens no window on the way (design.md, 'Promises'). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { difference } from '../../lib/plan/difference.ts';
import { Planner } from '../../lib/plan/planner.ts';
import type { KernelState } from '../../lib/plan/state.ts';
import { DirtyQueue, type TurnLimits } from '../../lib/reconcile/dirty-queue.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import { histories, oneService } from '../harness/arbitrary-records.ts';
import { checkWindows } from '../harness/check-windows.ts';
import { differenceDefaults, emptyState } from '../harness/difference-options.ts';
import { MemoryState } from '../harness/memory-state.ts';
import { message, planDefaults } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { stateText } from '../harness/state-text.ts';

const steps = fc.oneof(fc.tuple(histories, histories), fc.tuple(oneService, oneService));
/** So small that nearly everything takes several turns. */
const limits: fc.Arbitrary<TurnLimits> = fc.record({
  operations: fc.integer({ min: 1, max: 12 }),
  services: fc.integer({ min: 1, max: 3 }),
});
const parameters = { numRuns: runs(200) };

function plannerOf(records: readonly ObjectRecord[]): Planner {
  const planner = new Planner(planDefaults);
  planner.apply(message(...records));
  planner.project();
  return planner;
}

/** Takes one turn; what is removed in one that only adds. */
function turn(queue: DirtyQueue, planner: Planner, state: MemoryState, check: () => void = () => {}): void {
  const { scope, additionsOnly } = queue.take();
  const options = { ...differenceDefaults, mayRemove: !additionsOnly };
  for (const { operation } of difference(planner.desired, state, scope, options)) {
    assert.ok(!additionsOnly || !operation.verb.startsWith('remove-'), operation.verb);
    state.apply(operation);
    check();
  }
}

/** Takes turns until none is left. */
function finish(queue: DirtyQueue, planner: Planner, state: MemoryState, check?: () => void): void {
  for (let turns = 0; !queue.isEmpty; turns += 1) {
    assert.ok(turns < 1000, 'it comes to an end');
    turn(queue, planner, state, check);
  }
}

function assertDone(planner: Planner, state: MemoryState): void {
  assert.deepEqual(difference(planner.desired, state, 'all', differenceDefaults), [], 'nothing was left out');
  state.finishDrains(planner.desired);
  assert.deepEqual(stateText(state), stateText(planner.desired));
}

test('in turns, from nothing and from any other state: every write is a safe one, and nothing is left out', () => {
  fc.assert(
    fc.property(steps, limits, ([first, second], few) => {
      const planner = plannerOf(first);
      const state = emptyState();
      const queue = new DirtyQueue(planner, state, few);
      const from = (before: KernelState) => () => checkWindows(state, before, planner.desired);
      finish(queue, planner, state, from(MemoryState.of(emptyState())));
      assertDone(planner, state);

      planner.apply(message(...second));
      queue.add(planner.project());
      finish(queue, planner, state, from(MemoryState.of(state)));
      assertDone(planner, state);
    }),
    parameters,
  );
});

test('an earlier process has left another state: what is wanted comes before anything goes', () => {
  fc.assert(
    fc.property(steps, limits, ([first, second], few) => {
      const state = MemoryState.of(plannerOf(first).desired);
      const before = MemoryState.of(state);
      const planner = plannerOf([...first, ...second]);
      const queue = new DirtyQueue(planner, state, few);
      finish(queue, planner, state, () => checkWindows(state, before, planner.desired));
      assertDone(planner, state);
    }),
    parameters,
  );
});

test('what comes between two turns is written as well, and what was written before it is mended', () => {
  fc.assert(
    fc.property(steps, limits, fc.integer({ min: 0, max: 6 }), ([first, second], few, turns) => {
      const planner = plannerOf(first);
      const state = emptyState();
      const queue = new DirtyQueue(planner, state, few);
      for (let taken = 0; taken < turns && !queue.isEmpty; taken += 1) turn(queue, planner, state);
      planner.apply(message(...second));
      queue.add(planner.project());
      finish(queue, planner, state);
      assertDone(planner, state);
    }),
    parameters,
  );
});
