// Builds the addon's Node-free part with its tests under the address and undefined behaviour sanitizers, and runs them.
// node scripts/native-test.mjs [--long]; CXX names the compiler, default clang++ or else g++.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, 'build', 'native-test');
const rounds = process.argv.includes('--long') ? '2000000' : '20000';
const compiler = process.env['CXX'] ?? (works('clang++') ? 'clang++' : 'g++');

function works(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

function fail(text) {
  console.error(text);
  process.exit(1);
}

function run(program, args) {
  return new Promise((done) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', (error) => fail(`native test: ${program}: ${error.message}`));
    child.once('close', (status) => (status === 0 ? done() : fail(`native test: ${program} ended with ${status}`)));
  });
}

function libnl(what) {
  const asked = spawnSync(process.execPath, [join(root, 'scripts', 'libnl.mjs'), what], { encoding: 'utf8' });
  if (asked.status !== 0) fail(asked.stderr);
  return asked.stdout.trim().split(/\s+/).filter(Boolean);
}

/** A source is compiled again when it, or any header, is newer than its object. */
const all = readdirSync(join(root, 'native'), { recursive: true }).map((name) => join('native', name));
const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newestHeader = Math.max(...all.filter((name) => name.endsWith('.h')).map((name) => modified(join(root, name))));
const sources = all.filter((name) => name.endsWith('.cc') && !name.startsWith(join('native', 'addon')));
const sanitize = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
const flags = [
  '-std=c++20',
  '-O1',
  '-g',
  '-fno-exceptions',
  '-I.',
  '-Wall',
  '-Wextra',
  '-Wshadow',
  '-Wconversion',
  '-Werror',
];
const cflags = [...flags, ...sanitize, ...libnl('cflags')];

mkdirSync(output, { recursive: true });
const objects = sources.map((source) => join(output, `${source.replaceAll('/', '-')}.o`));
const stale = sources
  .map((source, index) => ({ source, object: objects[index] }))
  .filter(({ source, object }) => modified(object) < Math.max(newestHeader, modified(join(root, source))));
const compile = async () => {
  for (let next = stale.shift(); next !== undefined; next = stale.shift()) {
    await run(compiler, [...cflags, '-c', next.source, '-o', next.object]);
  }
};
await Promise.all(Array.from({ length: availableParallelism() }, compile));
const program = join(output, 'native_test');
await run(compiler, [...sanitize, ...objects, '-o', program, ...libnl('libs')]);
await run(program, [rounds]);
