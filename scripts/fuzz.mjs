/**
 * `npm run fuzz -- [target] [seconds]`: fuzzes one target, or all one after the other, for so long each (default 60; 0 = until it is
 * stopped). `npm run fuzz -- target file`: runs the target on that input alone, as for a crash that was found. `npm run fuzz -- --capture`:
 * takes the first inputs in native/test/corpus from the test kernel anew.
 */
import { existsSync } from 'node:fs';
import { buildCapture, buildFuzzers, canFuzz, compiler, fuzzTargets, run } from './native/build.mjs';
import { runFuzzer } from './native/fuzz-run.mjs';
import { ensureSystemPackages } from './setup/system-packages.mjs';
import { setup } from './setup.mjs';

const usage = 'usage: npm run fuzz -- [target] [seconds | file] | --capture';
const all = fuzzTargets();
const args = process.argv.slice(2);
const targets = all.includes(args[0]) ? [args.shift()] : all;
const last = args.shift() ?? '60';

try {
  if (args.length > 0) throw new Error(usage);
  await ensureSystemPackages();
  if (!canFuzz) throw new Error(`${compiler} has no libFuzzer; install clang, or name it in CXX`);
  if (last === '--capture') await capture();
  else if (/^\d+$/.test(last)) await fuzz(Number(last));
  else if (targets.length === 1 && existsSync(last)) await run((await buildFuzzers(targets))[0], [last]);
  else throw new Error(`${last} is neither a target (${all.join(', ')}) nor a number nor a file\n${usage}`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

async function fuzz(seconds) {
  const programs = await buildFuzzers(targets);
  for (const [index, target] of targets.entries()) {
    process.stdout.write(`── ${target} ──\n`);
    await runFuzzer(target, programs[index], { limits: [`-max_total_time=${seconds}`], keep: true, isQuiet: false });
  }
}

async function capture() {
  await setup();
  const program = await buildCapture();
  const inside = ['sh', 'native/test/capture/tables.sh', program, 'native/test/corpus'];
  await run(process.execPath, ['dist/test/harness/test-kernel.js', '--kernel', 'uml', '--', ...inside]);
}
