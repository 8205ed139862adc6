/** The tests of connection tracking on the host's own kernel, which is another version than the test kernel's: in a network namespace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const runner = join(import.meta.dirname, '..', 'harness', 'run-in-kernel.js');
const tests = join(import.meta.dirname, '..', 'kernel-layer', 'conntrack.test.js');

function problem(): string | false {
  if (process.getuid?.() !== 0) return 'needs root, for a network namespace';
  const { error, status } = spawnSync('unshare', ['-n', 'conntrack', '-L'], { encoding: 'utf8' });
  return error === undefined && status === 0
    ? false
    : 'this kernel does not show its connections, or the conntrack tool is not there';
}

test('connections are listed, filtered and removed on this kernel too', { skip: problem() }, () => {
  // The runner of this test speaks to its children through this variable; that one reports for itself.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['-n', process.execPath, '--test-reporter=spec', runner, tests],
    {
      encoding: 'utf8',
      env,
    },
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, /the table keeps every connection that none of them names/);
});
