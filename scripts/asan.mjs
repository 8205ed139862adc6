/**
 * `npm run test:asan`: the addon itself, inside node, under the address and undefined behaviour sanitizers: the unit tests of the kernel
 * layer, the session on the host's kernel, and the ipset part of the differential test in a network namespace there. (User Mode
 * Linux has no room for the sanitizers' shadow memory.) Built in .cache/asan, beside the usual build.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { nodeDirectory } from './setup/builds.mjs';
import { outputOf, root, runStep, SetupError, say } from './setup/run.mjs';
import { cache, filesUnder, hashOf, unlessMade } from './setup/stamps.mjs';
import { setupOrExit } from './setup.mjs';

const place = join(cache, 'asan');
const sanitizers = 'address,undefined';
/** The sanitizers have to be there before node; an interposed library is the only way into a node that is not built with them. */
const environment = {
  ...process.env,
  LD_PRELOAD: ['libasan.so', 'libubsan.so']
    .map((name) => outputOf('g++', [`-print-file-name=${name}`]).trim())
    .join(' '),
  // Node itself frees nothing when it ends.
  ASAN_OPTIONS: 'detect_leaks=0:halt_on_error=1:strict_string_checks=1:detect_stack_use_after_return=1',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
};

await setupOrExit();
try {
  await build();
} catch (error) {
  process.stderr.write(`\n${error instanceof SetupError ? error.message : error.stack}\n`);
  process.exit(1);
}
process.exitCode = test();

async function build() {
  const inputs = ['binding.gyp', 'native', 'scripts/libnl.mjs'].flatMap(filesUnder);
  const sources = inputs.filter((file) => !file.startsWith(join(root, 'native/test/')));
  const product = join(place, 'build/Release/ipvs_proxier.node');
  await unlessMade({ name: 'asan', product, hash: hashOf(sources, process.version, sanitizers) }, async () => {
    mkdirSync(place, { recursive: true });
    for (const name of ['binding.gyp', 'native', 'node_modules', 'package.json']) link(name);
    // A script that is started by a link does not know itself for the program.
    cpSync(join(root, 'scripts/libnl.mjs'), join(place, 'scripts/libnl.mjs'));
    const headers = nodeDirectory();
    await runStep(
      'building the addon with sanitizers',
      process.execPath,
      [
        join(root, 'node_modules/node-gyp/bin/node-gyp.js'),
        ...['rebuild', '--jobs', 'max', ...(headers === undefined ? [] : ['--nodedir', headers])],
        ...['--', `-Dsanitize=${sanitizers}`],
      ],
      // The compiler is the one whose run-time libraries are preloaded.
      { CC: 'gcc', CXX: 'g++' },
      place,
    );
  });
  // The compiled library looks for its addon beside itself, so it has to be there in fact, not by a link.
  rmSync(join(place, 'dist'), { recursive: true, force: true });
  cpSync(join(root, 'dist'), join(place, 'dist'), { recursive: true });
}

function link(name) {
  if (!existsSync(join(place, name))) symlinkSync(join(root, name), join(place, name));
}

function test() {
  const unit = readdirSync(join(place, 'dist/test/unit/kernel')).filter((name) => name.endsWith('.test.js'));
  const files = [...unit.map((name) => `unit/kernel/${name}`), 'integration/session.test.js'];
  const here = [process.execPath, '--test', '--test-reporter=spec', ...files.map((name) => `dist/test/${name}`)];
  const status = run(here);
  if (status !== 0) return status;
  if (process.getuid?.() !== 0) {
    say('Not root: the differential test of ipset, which needs a network namespace, was not run.');
    return 0;
  }
  const differential = ['--test-reporter=spec', 'dist/test/kernel-layer/differential.test.js'];
  return run(['unshare', '--net', 'env', 'TEST_DIFFERENTIAL=ipset', process.execPath, '--test', ...differential]);
}

function run([program, ...args]) {
  const { status, error } = spawnSync(program, args, { cwd: place, stdio: 'inherit', env: environment });
  if (error !== undefined) process.stderr.write(`${program}: ${error.message}\n`);
  return status ?? 1;
}
