/** The three things that are compiled: the addon, the TypeScript, and the tests' netpeer. */
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { root, runStep } from './run.mjs';
import { cache, filesUnder, hashOf, unlessMade } from './stamps.mjs';

export async function ensureAddon() {
  const inputs = ['binding.gyp', 'native', 'scripts/libnl.mjs', 'scripts/install.mjs'].flatMap(filesUnder);
  const sources = inputs.filter((file) => !relative(root, file).startsWith('native/test/'));
  const hash = hashOf(sources, process.version, process.arch);
  await unlessMade({ name: 'addon', product: join(root, 'build/Release'), hash }, async () => {
    const directory = nodeDirectory();
    const headers = directory === undefined ? [] : ['--nodedir', directory];
    const nodeGyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js');
    await runStep('building the native addon', process.execPath, [nodeGyp, 'rebuild', '--jobs', 'max', ...headers]);
  });
}

/** Where include/node is, if this node brought its headers along; node-gyp downloads them otherwise. */
export function nodeDirectory() {
  const directory = dirname(dirname(realpathSync(process.execPath)));
  const file = join(directory, 'include/node/node_version.h');
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
  const version = `v${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
  return version === process.version ? directory : undefined;
}

export async function ensureTypeScript() {
  const sources = ['lib', 'test', 'bench', 'scripts'].flatMap(filesUnder).filter((file) => file.endsWith('.ts'));
  const outputs = filesUnder('dist').filter((file) => file.endsWith('.js'));
  const settings = ['tsconfig.json', 'package-lock.json'].map((name) => join(root, name));
  const hash = hashOf([...sources, ...settings]);
  await unlessMade({ name: 'typescript', product: join(root, 'dist/lib/index.js'), hash }, async () => {
    removeOrphans(outputs, sources);
    await runStep('compiling TypeScript', process.execPath, [join(root, 'node_modules/typescript/bin/tsc')]);
  });
}

/** What is left of a deleted source would still be run, if it is a test, or be packed. */
function removeOrphans(outputs, sources) {
  const expected = new Set(sources.map((file) => relative(root, file).replace(/\.ts$/, '.js')));
  for (const file of outputs) {
    if (expected.has(relative(join(root, 'dist'), file))) continue;
    for (const path of [file, `${file}.map`, file.replace(/\.js$/, '.d.ts'), file.replace(/\.js$/, '.d.ts.map')])
      rmSync(path, { force: true });
  }
}

export async function ensureNetpeer() {
  const source = join(root, 'test/harness/netpeer.c');
  const program = join(cache, 'netpeer');
  await unlessMade({ name: 'netpeer', product: program, hash: hashOf([source]) }, async () => {
    await runStep("compiling the tests' client and server", 'cc', ['-O2', '-Wall', '-Wextra', '-o', program, source]);
  });
}
