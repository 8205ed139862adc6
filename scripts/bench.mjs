/**
 * `npm run bench [-- kernel|sync|binding|--long]`: set-up, the C programs to compare with, each suite in one boot of the test kernel, and what
 * the host's own kernel can do (ipset) in a network namespace of it. Results: bench/results.
 *
 * `npm run bench -- scale [--churn-minutes N] [--only STEP] [--quick]`: the speed table, thirty-five minutes of which twelve are churn. `--quick` takes small
 * sizes, to see that it works; it and `--only` write to .cache/bench, not to bench/results.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, say } from './setup/run.mjs';
import { setupOrExit } from './setup.mjs';

const resultName = { kernel: 'kernel', sync: 'first-sync', binding: 'vip-binding', 'kernel-long': 'kernel-long' };
/** What takes long, and is asked for by name. */
const long = 'kernel-long';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    long: { type: 'boolean', default: false },
    'churn-minutes': { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const unknown = positionals.find((suite) => suite !== 'scale' && !Object.hasOwn(resultName, suite));
if (unknown !== undefined)
  fail(`${unknown} is no suite: ${Object.keys(resultName).join(', ')}, or none for these; scale`);
const minutes = Number(values['churn-minutes'] ?? 10);
if (!(minutes > 0)) fail(`--churn-minutes ${values['churn-minutes']}: a number above 0`);
await setupOrExit();
const cache = join(root, '.cache/bench');
const results = join(root, 'bench/results');
for (const directory of [cache, results]) mkdirSync(directory, { recursive: true });
compile('floor');
compile('libnl', 'libnl-genl-3.0');

if (positionals.includes('scale')) scale();
const named = positionals.filter((suite) => suite !== 'scale');
const suites = named.length === 0 && positionals.length > 0 ? [] : wanted(named);
for (const suite of suites) {
  const before = load();
  say(`\nSuite ${suite}, in the test kernel (load of this machine ${before}) …`);
  const parts = [join(cache, `${suite}.json`)];
  // From before, it would be taken for what is measured now.
  rmSync(parts[0], { force: true });
  inTestKernel('2G', measuring(suite, 'test kernel', parts[0]));
  if (suite === 'kernel' && canUnshare()) {
    const part = join(cache, 'native.json');
    say('\nThe same of ipset on the kernel of this host …');
    rmSync(part, { force: true });
    run(measuring('native', 'host', part).slice(1), {
      ...process.env,
      BENCH_NATIVE: '1',
      PATH: `${process.env.PATH}:/usr/sbin:/sbin`,
    });
    parts.push(part);
  } else if (suite === 'kernel') say('\nNot measured natively: it needs root and ipset in the kernel of this host.');
  const measured = parts.filter((part) => existsSync(part));
  if (measured.length === 0) continue;
  const result = join(results, `${resultName[suite]}.json`);
  node('dist/bench/main.js', 'picture', result, `${before} to ${load()}`, ...measured);
  say(
    `\nWritten: ${result} and .svg. Load of this machine ${before} before, ${load()} after; ratios within a round bear it, single figures do not.`,
  );
}

/** Those asked for by name, else all but what takes long. */
function wanted(names) {
  if (values.long) return [long];
  return names.length > 0 ? names : Object.keys(resultName).filter((suite) => suite !== long);
}

/** In the test kernel, then on the host, then the table of both. */
function scale() {
  const before = load();
  const isWhole = !values.quick && values.only === undefined;
  const asked = values['churn-minutes'] === undefined ? {} : { minutes };
  const flags = { quick: values.quick, ...(values.only === undefined ? {} : { only: values.only }), ...asked };
  const parts = ['kernel', 'native'].map((where) => join(cache, `scale-${where}.json`));
  for (const part of parts) rmSync(part, { force: true });
  const measuringAt = (where, part) => [
    process.execPath,
    ...['dist/bench/scale/main.js', 'measure', where, part, JSON.stringify(flags)],
  ];
  say(`\nThe speed table, in the test kernel (load of this machine ${before}) …`);
  inTestKernel('4G', measuringAt('kernel', parts[0]));
  say('\nOn this host, the kernel answered in memory …');
  run(measuringAt('native', parts[1]).slice(1), process.env);
  const measured = parts.filter((part) => existsSync(part));
  const result = join(isWhole ? results : cache, 'scale.json');
  const loads = `${before} to ${load()}`;
  node('dist/bench/scale/main.js', 'table', result, loads, JSON.stringify(flags), ...measured);
  say(`\nWritten: ${result}, .md beside it, and pictures. Load of this machine ${loads}.`);
}

function inTestKernel(memory, command) {
  const options = ['--kernel', 'uml', '--mem', memory, '--timeout-ms', '3600000'];
  node('dist/test/harness/test-kernel.js', ...options, '--', ...command);
}

function fail(message) {
  process.stderr.write(`bench: ${message}\n`);
  process.exit(2);
}

function measuring(suite, where, out) {
  return [process.execPath, 'dist/bench/main.js', suite, where, out];
}

function node(...args) {
  run(args, process.env);
}

/** What fails makes this fail in the end: what was measured is kept. */
function run(args, env) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env });
  if (status !== 0) process.exitCode = 1;
}

function compile(name, library) {
  const flags = library === undefined ? [] : pkgConfig(library);
  const source = join(root, `bench/floor/${name}.c`);
  execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', join(cache, name), source, ...flags], { stdio: 'inherit' });
}

function pkgConfig(library) {
  return execFileSync('pkg-config', ['--cflags', '--libs', library], { encoding: 'utf8' }).trim().split(/\s+/);
}

function load() {
  return loadavg()[0].toFixed(1);
}

/** In a namespace of its own, which ends with the command. */
function canUnshare() {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  return spawnSync('unshare', ['--net', '--', 'ipset', 'list', '-n'], { env }).status === 0;
}
