/**
 * Whatever dies, is lost, refused, flushed, reloaded or changed by others, and whenever: a while later the node is as its objects say, nothing of
 * others was touched, nobody waits for an answer, and nothing was tried without rest.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { runs } from '../../harness/runs.ts';
import { histories } from '../arbitrary-history.ts';
import { holds, seen } from './history.ts';

test('crash and restart histories of a whole proxier in virtual time', async (context) => {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
  context.diagnostic(`seed ${seed} (again: TEST_SEED=${seed})`);
  await fc.assert(fc.asyncProperty(histories, holds), { seed, numRuns: runs(500) });
  context.diagnostic(JSON.stringify(seen));
  assert.ok(seen.workersDied > seen.histories / 4 && seen.processesDied > seen.histories / 4, 'many die');
  assert.ok(seen.services > seen.histories && seen.operations > 50 * seen.histories, 'and do something');
});
