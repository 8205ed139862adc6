/**
 * Builds the addon's Node-free part and its tests with the sanitizers, into .cache/native. Every product is named by the hash of what it
 * was made from (source, headers it includes, flags, compiler), so that only what changed is compiled, whatever else uses the directory.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { root } from '../setup/run.mjs';
import { cache } from '../setup/stamps.mjs';

const output = join(cache, 'native');
const fuzzDirectory = join('native', 'test', 'fuzz');
export const compiler = process.env.CXX ?? (version('clang++') === '' ? 'g++' : 'clang++');
/** libFuzzer comes with clang. */
export const canFuzz = version(compiler).includes('clang');

const sanitize = [`-fsanitize=address,undefined${canFuzz ? ',fuzzer-no-link' : ''}`, '-fno-sanitize-recover=all'];
const flags = [
  ...['-std=c++20', '-O1', '-g', '-fno-exceptions', '-I.'],
  ...['-Wall', '-Wextra', '-Wshadow', '-Wconversion', '-Werror'],
];

function version(program) {
  return spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout ?? '';
}

/** Names of the fuzz targets, one for each source in native/test/fuzz. */
export function fuzzTargets() {
  return sourcesIn(fuzzDirectory).map((source) => basename(source, '.cc'));
}

/** The program of the native tests; its path. */
export async function buildTests() {
  return await link('native_test', [...librarySources(), ...sourcesIn(join('native', 'test'))], sanitize);
}

/** The program of each target, in their order. */
export async function buildFuzzers(targets) {
  const library = librarySources();
  await compileAll([...library, ...targets.map(fuzzSource)]);
  const fuzzer = ['-fsanitize=fuzzer,address,undefined'];
  return await inParallel(targets, (target) => link(`fuzz_${target}`, [...library, fuzzSource(target)], fuzzer));
}

/** The program that takes the corpus from a real kernel. Without sanitizers: User Mode Linux has no room for their shadow. */
export async function buildCapture() {
  const sources = [...librarySources(), join('native', 'test', 'capture', 'capture.cc')];
  const args = [...flags, ...libnl('cflags'), ...sources, ...libnl('libs')];
  return await make('capture', hashOf(args, ...contentsOf(sources)), '', args);
}

function fuzzSource(target) {
  return join(fuzzDirectory, `${target}.cc`);
}

function sourcesIn(directory) {
  return readdirSync(join(root, directory))
    .filter((name) => name.endsWith('.cc'))
    .sort()
    .map((name) => join(directory, name));
}

/** All of native/ but what needs Node, and the tests. */
function librarySources() {
  return readdirSync(join(root, 'native'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== 'addon' && entry.name !== 'test')
    .flatMap(({ name }) => sourcesIn(join('native', name)));
}

/** Runs `work` on every item, as many at a time as there are processors; results in order. */
export async function inParallel(items, work) {
  const results = [];
  const entries = [...items].entries();
  const worker = async () => {
    for (const [index, item] of entries) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}

async function compileAll(sources) {
  const cflags = [...flags, ...sanitize, ...libnl('cflags')];
  return await inParallel(sources, async (source) => {
    const hash = hashOf(cflags, ...contentsOf([source]));
    return await make(source.replaceAll('/', '-'), hash, '.o', [...cflags, '-c', source]);
  });
}

async function link(name, sources, linkFlags) {
  const objects = await compileAll(sources);
  const args = [...linkFlags, ...objects, ...libnl('libs')];
  return await make(name, hashOf(...args), '', args);
}

/** Makes a product, unless it is there, and removes its earlier versions. */
async function make(name, hash, suffix, args) {
  const product = join(output, `${name}-${hash}${suffix}`);
  if (existsSync(product)) return product;
  mkdirSync(output, { recursive: true });
  const unfinished = `${product}.${process.pid}`;
  await run(compiler, [...args, '-o', unfinished]);
  const earlier = new RegExp(`^${name.replace(/[.]/g, '\\.')}-[0-9a-f]{16}${suffix.replace('.', '\\.')}$`);
  for (const file of readdirSync(output)) if (earlier.test(file)) rmSync(join(output, file), { force: true });
  renameSync(unfinished, product);
  return product;
}

/** Texts of the sources, and of the project's headers that they include. */
function contentsOf(sources) {
  const seen = new Set();
  for (const source of sources) withIncludes(source, seen);
  return [...seen].sort().map((path) => contents(path));
}

/** Adds a source and the project's headers that it includes, at any depth. */
function withIncludes(source, seen) {
  if (seen.has(source)) return;
  seen.add(source);
  for (const [, header] of contents(source).matchAll(/^#include "(native\/[^"]+)"/gm)) withIncludes(header, seen);
}

function contents(path) {
  return readFileSync(join(root, path), 'utf8');
}

function hashOf(...values) {
  const hash = createHash('sha256').update(version(compiler));
  return hash.update(JSON.stringify(values)).digest('hex').slice(0, 16);
}

function libnl(what) {
  const asked = spawnSync(process.execPath, [join(root, 'scripts/libnl.mjs'), what], { encoding: 'utf8' });
  if (asked.status !== 0) throw new Error(asked.stderr);
  return asked.stdout.trim().split(/\s+/).filter(Boolean);
}

/** Runs a program to its end; rejects unless it succeeds. */
export function run(program, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });
    child.once('error', (error) => fail(new Error(`${program}: ${error.message}`)));
    child.once('close', (status, signal) =>
      status === 0 ? done() : fail(new Error(`${basename(program)} ended with ${status ?? signal}`)),
    );
  });
}
