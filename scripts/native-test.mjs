/**
 * Builds the addon's Node-free part with its tests under the address and undefined behaviour sanitizers, runs them, and runs every fuzz
 * target on its corpus and for a few seconds more: node scripts/native-test.mjs [--long]. CXX names the compiler, default clang++ or
 * else g++, which has no fuzzer.
 */
import { buildFuzzers, buildTests, canFuzz, compiler, fuzzTargets, inParallel, run } from './native/build.mjs';
import { runFuzzer } from './native/fuzz-run.mjs';

const isLong = process.argv.includes('--long');

try {
  await run(await buildTests(), [isLong ? '2000000' : '20000']);
  if (canFuzz) await fuzz();
  else process.stdout.write(`fuzz targets not run: ${compiler} has no libFuzzer (clang++ has)\n`);
} catch (error) {
  process.stderr.write(`native test: ${error.message}\n`);
  process.exit(1);
}

async function fuzz() {
  const targets = fuzzTargets();
  const programs = await buildFuzzers(targets);
  const limits = isLong ? ['-max_total_time=60'] : ['-runs=50000', '-max_total_time=3', '-seed=1'];
  await inParallel(targets, async (target) => {
    const coverage = await runFuzzer(target, programs[targets.indexOf(target)], { limits, keep: false, isQuiet: true });
    process.stdout.write(`ok fuzz ${target} (coverage ${coverage})\n`);
  });
}
