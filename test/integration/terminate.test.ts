/** A worker that ends in the midst of a batch takes nothing down with it: on the host's kernel, where threads run at once. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const child = join(import.meta.dirname, 'terminate-child.js');
/** A network namespace needs root, or a user namespace in which this user is root. */
const unshare = process.getuid?.() === 0 ? ['-n'] : ['-rn'];
const isPossible = spawnSync('unshare', [...unshare, 'true']).status === 0;

test('a hundred workers terminated in the midst of their batches, and thirty that have just begun', {
  skip: isPossible ? false : 'neither root nor user namespaces: there is no network namespace for it',
}, async () => {
  const { stdout } = await promisify(execFile)('unshare', [...unshare, process.execPath, child]);
  const said: unknown = JSON.parse(stdout);
  assert.ok(typeof said === 'object' && said !== null && 'batches' in said && typeof said.batches === 'number');
  assert.ok(said.batches >= 100, `${said.batches}`);
  const withSets = { applied: 20_001, refused: [], entries: 20_000 };
  const without = { applied: 0, refused: ['EOPNOTSUPP'], entries: 0 };
  const hasSets = 'applied' in said && said.applied !== 0;
  assert.deepEqual(said, { ended: 130, batches: said.batches, links: 1, ...(hasSets ? withSets : without) });
});
