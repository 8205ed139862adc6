/** The same tests of sets on the host's kernel, which is another version than the test kernel's: in a network namespace of its own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
// Otherwise the child would report to this process's test runner, in its own format.
delete env['NODE_TEST_CONTEXT'];

function problem(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, for a network namespace';
  const tried = spawnSync('unshare', ['-n', 'ipset', 'create', 'X', 'hash:ip'], { env, encoding: 'utf8' });
  return tried.status === 0 ? false : `no ip_set, or no ipset: ${tried.error?.message ?? tried.stderr.trim()}`;
}

test('sets of the host’s kernel, judged by ipset', { skip: problem() }, () => {
  const file = join(import.meta.dirname, '../kernel-layer/ipset.test.js');
  const child = spawnSync('unshare', ['-n', process.execPath, '--test-reporter=spec', file], { env, encoding: 'utf8' });
  assert.equal(child.status, 0, child.stdout + child.stderr);
});
