/**
 * All tests, after all set-up: `npm test`. Two lanes at once, one for this machine's kernel and one for the test kernel, which is a process that
 * uses one core; the stages of a lane run one after the other. The first that fails ends the run with its name.
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
  unit: () => [[node, '--test', '--test-reporter=spec', ...testFiles('unit', 'property', 'integration', 'chaos/host')]],
  native: () => [[node, 'scripts/native-test.mjs', ...(options.long ? ['--long'] : [])]],
  // Two boots: what the kernel layer's tests delete stays in the destination trash for minutes, and would slow the others down.
  kernel: () => [inKernel('dist/test/kernel', 'dist/test/traffic', 'dist/test/chaos/kernel')],
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

/** The first lane speaks at once, the other when it has finished. */
const lanes = [
  ['lint', 'unit', 'native', 'pack'],
  ['kernel', 'kernel-layer'],
];

const unknown = options.only.filter((name) => !(name in stages));
if (unknown.length > 0) {
  process.stderr.write(
    `--only: no stage is called ${unknown.join(', ')}; there are ${Object.keys(stages).join(', ')}\n`,
  );
  process.exit(2);
}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;
const begin = performance.now();
/** What runs now, to be ended with us. */
const running = new Set();
/** Whose output is shown as it comes; that of the others is kept until it is their turn. */
let shown;

for (const name of ['SIGINT', 'SIGTERM'])
  process.on(name, () => {
    if (running.size === 0) process.exit(1);
    // A stage that is interrupted cleans up and fails, and this process then says which it was.
    for (const child of running) child.kill(name);
  });

class Lane {
  #kept = [];

  constructor(names) {
    this.names = names;
    this.times = [];
  }

  /** Resolves to the first failure in words, or undefined. */
  async run() {
    for (const name of this.names) {
      this.#write(`\n── ${name} ──\n`);
      const started = performance.now();
      for (const command of stages[name]()) {
        const status = await this.#runCommand(command);
        if (status === 0) continue;
        return `FAILED in stage ${name} (${status}) after ${seconds(started)}. Again: npm test -- --only ${name}`;
      }
      this.times.push(`${name} ${seconds(started)}`);
    }
    return undefined;
  }

  /** From now on what it says is shown as it comes, after what it has said. */
  show() {
    shown = this;
    for (const chunk of this.#kept.splice(0)) process.stdout.write(chunk);
  }

  #write(chunk) {
    if (shown === this) process.stdout.write(chunk);
    else this.#kept.push(chunk);
  }

  #runCommand([program, ...args]) {
    return new Promise((done) => {
      const env = { ...process.env, ...(options.long ? { TEST_LONG: '1' } : {}) };
      const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], env });
      running.add(child);
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => this.#write(chunk));
      const end = (status) => {
        running.delete(child);
        done(status);
      };
      child.once('error', (error) => end(error.message));
      child.once('close', (code, signal) => end(code ?? signal));
    });
  }
}

await setupOrExit();
const times = [`setup ${seconds(begin)}`];
const asked = lanes
  .map((names) => names.filter((name) => options.only.length === 0 || options.only.includes(name)))
  .filter((names) => names.length > 0)
  .map((names) => new Lane(names));
const outcomes = asked.map(async (lane) => ({ lane, failure: await lane.run() }));
asked[0]?.show();
const { lane: failed, failure } = await Promise.race([
  ...outcomes.map(async (outcome) => {
    const ended = await outcome;
    return ended.failure === undefined ? new Promise(() => {}) : ended;
  }),
  (async () => {
    for (const outcome of outcomes) {
      const { lane } = await outcome;
      if (shown !== lane) lane.show();
    }
    return { lane: undefined, failure: undefined };
  })(),
]);
if (failure !== undefined) {
  if (shown !== failed) failed.show();
  for (const child of running) child.kill('SIGTERM');
  process.stderr.write(`\n${failure}\n`);
  process.exitCode = 1;
} else {
  for (const lane of asked) times.push(...lane.times);
  say(`\nAll passed in ${seconds(begin)}: ${times.join(', ')}.`);
}
