/**
 * All tests, after all set-up: `npm test`. Stages run one after the other and the first that fails ends the run with its name.
 *
 *   --long            also what takes long (`npm run test:long`)
 *   --host-kernel     kernel and traffic tests on the host's kernel, in namespaces of its own, instead of User Mode Linux
 *   --only STAGE      that stage alone (and the set-up); may be repeated
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from './setup/run.mjs';
import { setupOrExit } from './setup.mjs';

const { values: options } = parseArgs({
  options: {
    long: { type: 'boolean', default: false },
    'host-kernel': { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
  },
});

const node = process.execPath;
const kernelTimeoutMs = options.long ? 3_600_000 : 1_200_000;

/** Name → the command lines of a stage. */
const stages = {
  lint: () => [[node, 'node_modules/@biomejs/biome/bin/biome', 'check', '.']],
  unit: () => [[node, '--test', '--test-reporter=spec', ...testFiles('unit', 'property', 'integration', 'scenario')]],
  native: () => [[node, 'scripts/native-test.mjs', ...(options.long ? ['--long'] : [])]],
  // Two boots: what the kernel layer's tests delete stays in the destination trash for minutes, and would slow the others down.
  kernel: () => [inKernel('dist/test/kernel', 'dist/test/traffic')],
  'kernel-layer': () => [inKernel('dist/test/kernel-layer')],
  pack: () => [[node, '--test', '--test-reporter=spec', 'test/pack/pack.test.mjs']],
};

function inKernel(...directories) {
  return [
    ...[node, 'dist/test/harness/test-kernel.js', '--kernel', options['host-kernel'] ? 'host' : 'auto'],
    ...[
      '--mem',
      '2G',
      '--timeout-ms',
      String(kernelTimeoutMs),
      ...(options.long ? ['--env', 'TEST_LONG=1'] : []),
      '--',
    ],
    ...[node, '--test-reporter=spec', 'dist/test/harness/run-in-kernel.js', ...directories],
  ];
}

function testFiles(...directories) {
  return directories
    .map((name) => join(root, 'dist/test', name))
    .filter((directory) => existsSync(directory))
    .flatMap((directory) => readdirSync(directory, { recursive: true }).map((name) => join(directory, name)))
    .filter((file) => file.endsWith('.test.js'))
    .sort();
}

function run([program, ...args]) {
  return new Promise((done) => {
    const env = { ...process.env, ...(options.long ? { TEST_LONG: '1' } : {}) };
    current = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
    current.once('error', (error) => done(error.message));
    current.once('close', (code, signal) => done(code ?? signal));
  });
}

const unknown = options.only.filter((name) => !(name in stages));
if (unknown.length > 0) {
  process.stderr.write(
    `--only: no stage is called ${unknown.join(', ')}; there are ${Object.keys(stages).join(', ')}\n`,
  );
  process.exit(2);
}

// A stage that is interrupted cleans up and fails, and this process then says which it was.
let current;
for (const name of ['SIGINT', 'SIGTERM'])
  process.on(name, () => {
    if (current === undefined) process.exit(1);
    current.kill(name);
  });

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const begin = performance.now();
await setupOrExit();
const times = [`setup ${seconds(begin)}`];
for (const [name, commands] of Object.entries(stages)) {
  if (options.only.length > 0 && !options.only.includes(name)) continue;
  say(`\n── ${name} ──`);
  const started = performance.now();
  for (const command of commands()) {
    const status = await run(command);
    if (status === 0) continue;
    process.stderr.write(
      `\nFAILED in stage ${name} (${status}) after ${seconds(started)}. Again: npm test -- --only ${name}\n`,
    );
    process.exit(1);
  }
  times.push(`${name} ${seconds(started)}`);
}
say(`\nAll passed in ${seconds(begin)}: ${times.join(', ')}.`);
