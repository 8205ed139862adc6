/** The test kernel's own manners: what it passes on, how it ends, and that nothing of it is left. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  runInTestKernel,
  TestKernelError,
  type TestKernelOptions,
  type TestKernelResult,
  testKernelProblem,
} from '../harness/test-kernel.ts';

const problem = testKernelProblem();
const skip = problem ?? false;

async function run(options: TestKernelOptions): Promise<TestKernelResult & { stdout: string; stderr: string }> {
  const output = { stdout: '', stderr: '' };
  const result = await runInTestKernel({
    ...options,
    memory: '256M',
    onStdout: (chunk) => {
      output.stdout += chunk.toString();
    },
    onStderr: (chunk) => {
      output.stderr += chunk.toString();
    },
  });
  return { ...result, ...output };
}

test('arguments, variables, both outputs and the status come through, of two machines at once', { skip }, async () => {
  const argument = 'a b\n"c" \'d\' $e `f` \\';
  const script = 'printf "%s|%s" "$1" "$VALUE"; echo wrong >&2; exit "$2"';
  const results = await Promise.all(
    ['7', '8'].map((status) =>
      run({ command: ['sh', '-c', script, 'sh', argument, status], env: { VALUE: argument } }),
    ),
  );
  for (const { stdout, stderr } of results) {
    assert.equal(stdout, `${argument}|${argument}`);
    assert.equal(stderr, 'wrong\n');
  }
  assert.deepEqual(
    results.map(({ status }) => status),
    [7, 8],
  );
});

test('a time-out, a panic and an abort are told apart, and leave nothing behind', { skip }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'test-kernel-test-'));
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = directory;
  t.after(() => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    rmSync(directory, { recursive: true });
  });
  await assert.rejects(run({ command: ['sleep', '1000'], timeoutMs: 3000 }), (error) => {
    assert.ok(error instanceof TestKernelError);
    assert.match(error.message, /did not end within 3000 ms/);
    return true;
  });
  await assert.rejects(
    run({ command: ['sh', '-c', 'echo c >/proc/sysrq-trigger'] }),
    /before its command did[\s\S]*panic/,
  );
  const abort = new AbortController();
  const aborted = runInTestKernel({
    command: ['sh', '-c', 'echo up; sleep 1000'],
    memory: '256M',
    signal: abort.signal,
    onStdout: () => abort.abort(new Error('enough')),
  });
  await assert.rejects(aborted, /enough/);
  assert.deepEqual(readdirSync(directory), []);
});
