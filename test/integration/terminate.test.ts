/** A worker that ends in the midst of a batch takes nothing down with it: on the host's kernel, where threads run at once. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const child = join(import.meta.dirname, 'terminate-child.js');

test('a hundred workers terminated in the midst of their batches, and thirty that have just begun', {
  skip: process.getuid?.() === 0 ? false : 'needs root, for a network namespace',
}, async () => {
  const { stdout } = await promisify(execFile)('unshare', ['-n', process.execPath, child]);
  const said: unknown = JSON.parse(stdout);
  assert.ok(typeof said === 'object' && said !== null && 'batches' in said && typeof said.batches === 'number');
  assert.ok(said.batches >= 100, `${said.batches}`);
  assert.deepEqual(said, { ended: 130, batches: said.batches, applied: 20_001, entries: 20_000, links: 1 });
});
