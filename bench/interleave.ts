/** Runs the ways of a measurement in turns, each run in a fresh network namespace and a fresh process. */
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import type { Measurement, Way } from './measurement.ts';
import type { Sample } from './workload.ts';

const root = resolve(import.meta.dirname, '../..');
/** Where `scripts/bench.mjs` compiles the programs of `bench/floor`. */
export const programs: string = join(root, '.cache/bench');

export const ROUNDS = 5;

/** The samples of each way, in the order of the ways. */
export function interleave(name: string, measurement: Measurement, long: boolean): Sample[][] {
  const { ways, floorPrepare = [] } = measurement;
  const samples = ways.map((): Sample[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [at, way] of ways.entries()) {
      if (round >= (way.rounds ?? ROUNDS)) continue;
      const output = inFreshNamespace('floor' in way.run ? floorPrepare : [], commandOf(name, way, long));
      samples[at]?.push(sampleOf(JSON.parse(output)));
    }
  }
  return samples;
}

function commandOf(name: string, { run }: Way, long: boolean): string[] {
  if ('floor' in run) return [join(programs, 'floor'), ...run.floor];
  if ('libnl' in run) return [join(programs, 'libnl'), ...run.libnl];
  return [
    process.execPath,
    '--expose-gc',
    join(root, 'dist/bench/round.js'),
    name,
    run.mode,
    ...(long ? ['--long'] : []),
  ];
}

/** `unshare` and not `ip netns`: it leaves nothing behind on a host. IPVS takes no destination before lo is up. */
export function inFreshNamespace(prepare: readonly string[], command: readonly string[]): string {
  const script = ['set -e', 'ip link set lo up', ...prepare, 'exec "$@"'].join('\n');
  return execFileSync('unshare', ['--net', '--', 'sh', '-c', script, 'sh', ...command], { encoding: 'utf8' });
}

function sampleOf(value: unknown): Sample {
  if (typeof value !== 'object' || value === null) throw new TypeError('a run printed no object');
  const entries = Object.entries(value).filter((field): field is [string, number] => typeof field[1] === 'number');
  return Object.fromEntries(entries);
}
