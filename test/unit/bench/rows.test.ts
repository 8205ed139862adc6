/** The speed table's verdicts: what was missed must not read as met, nor what was never measured. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Row, rowsOf } from '../../../bench/scale/rows.ts';
import { type NamedFacts, Samples } from '../../../bench/scale/samples.ts';
import { kernelSteps, nativeSteps, sizesOf } from '../../../bench/scale/steps.ts';

const sizes = sizesOf(false, undefined);

function rowAbout(what: string, samples: readonly NamedFacts[]): Row | undefined {
  return rowsOf(new Samples(samples), sizes).find((row) => row.what.startsWith(what));
}

test('a goal is met up to its limit and missed beyond it; what was not measured has no verdict', () => {
  const changed = (p50: number): NamedFacts[] => [
    { name: 'trip', facts: { p50: 50 } },
    { name: 'change middle', facts: { p50 } },
  ];
  const what = 'one endpoint change, arrived in the worker';
  assert.equal(rowAbout(what, changed(150))?.met, true);
  assert.equal(rowAbout(what, changed(151))?.met, false);
  for (const { met, goal, reached } of rowsOf(new Samples([]), sizes)) {
    assert.equal(met, undefined, goal);
    assert.equal(reached, 'not measured');
  }
});

test('one write at a restart is one too many, and so is one process for all changes', () => {
  const restarted = (writes: number): NamedFacts[] => [{ name: 'restart', facts: { writes } }];
  assert.deepEqual(
    [0, 1].map((writes) => rowAbout('restart', restarted(writes))?.met),
    [true, false],
  );
  const started = (processes: number): NamedFacts[] => [{ name: 'change middle', facts: { processes } }];
  assert.deepEqual(
    [0, 1].map((processes) => rowAbout('processes', started(processes))?.met),
    [true, false],
  );
});

test('of several samples it is the middle, of two their mean', () => {
  const trips = (...values: number[]): Samples => new Samples(values.map((p50) => ({ name: 'trip', facts: { p50 } })));
  assert.equal(trips(9, 1, 2).figure('trip', 'p50'), 2);
  assert.equal(trips(1, 2).figure('trip', 'p50'), 1.5);
});

test('every step that the table reads is run by one of the two plans', () => {
  const names = new Set([...kernelSteps(sizes), ...nativeSteps(sizes)].map(({ name }) => name));
  const asked = new Set<string>();
  class Listening extends Samples {
    override figure(step: string, fact: string): number {
      asked.add(step);
      return super.figure(step, fact);
    }
  }
  rowsOf(new Listening([]), sizes);
  assert.deepEqual(
    [...asked].filter((name) => !names.has(name)),
    [],
  );
});
