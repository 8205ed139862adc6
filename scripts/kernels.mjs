/**
 * `npm run test:kernels`: the kernel and traffic tests on the Linux versions of Debian's later suites, beside the installed one, each
 * test file in a machine of its own. Writes the table docs/kernels.md.
 *
 *   --suite NAME   only that one: `installed`, or a Debian suite; may be repeated
 *   --long         what takes long, too
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { fetchKernel } from './kernels/fetch.mjs';
import { kernelTable } from './kernels/table.mjs';
import { outputOf, root, SetupError, say } from './setup/run.mjs';
import { ensurePackageFor } from './setup/system-packages.mjs';
import { setupOrExit } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    suite: { type: 'string', multiple: true, default: ['installed', 'trixie', 'sid'] },
    long: { type: 'boolean', default: false },
  },
});
const testTimeoutMs = options.long ? 3_600_000 : 600_000;

/** Tests that need iptables in the test kernel; what any other file needs, every kernel has. */
const rules = ['kernel/command', 'kernel/kube-proxy-dumps', 'kernel/reconcile', 'traffic/'];

const names = ['kernel', 'kernel-layer', 'traffic'].flatMap((directory) =>
  readdirSync(join(root, 'test', directory))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${directory}/${basename(name, '.test.ts')}`),
);

await setupOrExit();
const columns = [];
for (const suite of options.suite) columns.push(await column(suite));
writeFileSync(join(root, 'docs/kernels.md'), kernelTable(names, columns));
say('\nThe table is in docs/kernels.md.');
const bad = columns.filter(({ problem, cells }) => problem !== undefined || cells.some(({ failed }) => failed));
for (const { suite, problem } of bad) process.stderr.write(`FAILED on ${suite}: ${problem ?? 'see above'}\n`);
process.exitCode = bad.length === 0 ? 0 : 1;

/** One kernel's results. `problem`: why it could not be tried at all. */
async function column(suite) {
  say(`\n── ${suite} ──`);
  let kernel;
  try {
    kernel = suite === 'installed' ? installedKernel() : await otherKernel(suite);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return { suite, release: '', problem: error.message, cells: [] };
  }
  const cells = [];
  for (const name of names) cells.push(await cell(kernel, name));
  return { suite, release: kernel.release, cells };
}

async function otherKernel(suite) {
  await ensurePackageFor('npm run test:kernels', 'patchelf', 'patchelf');
  return await fetchKernel(suite);
}

function installedKernel() {
  const modulesDirectory = '/usr/lib/uml/modules';
  const release = existsSync(modulesDirectory) ? readdirSync(modulesDirectory)[0] : undefined;
  const binary = outputOf('which', ['linux.uml'])?.trim();
  if (release === undefined || binary === undefined) throw new SetupError('user-mode-linux is not installed');
  return { binary, modulesDirectory, release };
}

async function cell(kernel, name) {
  const needsRules = rules.some((prefix) => name.startsWith(prefix));
  if (needsRules && !hasIptables(kernel)) return { skipped: 'no ip_tables', failed: false };
  say(`${kernel.release}: ${name}`);
  const output = await runTest(kernel, name);
  const count = (word) => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output.text)?.[1] ?? 0);
  const failed = output.status !== 0;
  if (failed) process.stdout.write(output.text);
  // The test that there are test files is the runner's own.
  return { failed, passed: Math.max(0, count('pass') - 1), notRun: count('skipped'), failures: count('fail') };
}

function hasIptables({ modulesDirectory, release }) {
  return readdirSync(join(modulesDirectory, release), { recursive: true }).some((name) => /\/ip_tables\.ko/.test(name));
}

function runTest({ binary, modulesDirectory }, name) {
  const args = [
    'dist/test/harness/test-kernel.js',
    ...['--uml-binary', binary, '--uml-modules', modulesDirectory, '--mem', '2G'],
    ...['--timeout-ms', String(testTimeoutMs), ...(options.long ? ['--env', 'TEST_LONG=1'] : []), '--'],
    ...[process.execPath, '--test-reporter=spec', 'dist/test/harness/run-in-kernel.js', `dist/test/${name}.test.js`],
  ];
  return new Promise((done) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    child.once('error', (error) => done({ status: 1, text: error.message }));
    child.once('close', (code) => done({ status: code ?? 1, text }));
  });
}
