/**
 * All measurements, side by side in one boot of the test kernel: each way once per round, each in a fresh network namespace and
 * process. Prints medians and ratios, and writes bench/results/first.{json,svg}. Run by `npm run bench`.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { type BarGroup, barPicture } from './picture.ts';

const root = resolve(import.meta.dirname, '../..');
const floor = process.argv[2] ?? join(root, '.cache/floor');
const rounds = 5;

interface Way {
  readonly label: string;
  readonly command: readonly string[];
}

interface Measurement {
  readonly name: string;
  readonly title: string;
  readonly ways: readonly Way[];
}

const node = (mode: string, ...sizes: number[]): string[] => [
  process.execPath,
  join(root, 'dist/bench/round.js'),
  mode,
  ...sizes.map(String),
];

const measurements: readonly Measurement[] = [
  {
    name: 'ipvs-batch',
    title: 'one batch of 10,000 IPVS operations (1,000 virtual services x 9 destinations)',
    ways: [
      { label: 'C floor', command: [floor, 'ipvs', '1000', '9'] },
      { label: 'ipvs-proxier, session.run', command: node('ops', 1000, 9) },
      { label: 'ipvs-proxier, worker client', command: node('client', 1000, 9) },
    ],
  },
  {
    name: 'first-sync',
    title: 'first sync of 1,000 Services x 10 endpoints (14,000 operations)',
    ways: [
      { label: 'C floor, same messages', command: [floor, 'sync', '1000', '10'] },
      { label: 'ipvs-proxier, just started', command: node('sync', 1000, 10) },
      { label: 'ipvs-proxier, after an earlier sync', command: node('warm-sync', 1000, 10) },
    ],
  },
];

let namespaces = 0;

/** In a namespace that has lo up, the VIP device and the two sets the floor writes to. */
function inFreshNamespace(command: readonly string[]): Record<string, number> {
  const name = `bench${namespaces++}`;
  const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
  const inside = (...args: string[]): string => ip('netns', 'exec', name, ...args);
  ip('netns', 'add', name);
  try {
    ip('-n', name, 'link', 'set', 'lo', 'up');
    if (command[0] === floor && command[1] === 'sync') {
      ip('-n', name, 'link', 'add', 'kube-ipvs0', 'type', 'dummy');
      inside('ipset', 'create', 'KUBE-CLUSTER-IP', 'hash:ip,port');
      inside('ipset', 'create', 'KUBE-IPVS-IPS', 'hash:ip');
    }
    return JSON.parse(inside(...command));
  } finally {
    ip('netns', 'delete', name);
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const groups: BarGroup[] = [];
const results: object[] = [];
// Loading a module takes as long as a thousand operations, and whoever comes first would pay for it.
for (const module of ['ip_vs_rr', 'dummy', 'ip_set_hash_ip', 'ip_set_hash_ipport']) execFileSync('modprobe', [module]);
for (const { name, title, ways } of measurements) {
  const samples = new Map<string, Record<string, number>[]>(ways.map((way) => [way.label, []]));
  for (let round = 0; round < rounds; round++) {
    for (const way of ways) samples.get(way.label)?.push(inFreshNamespace(way.command));
  }
  say(`\n${title}`);
  const bars = [...samples].map(([label, runs]) => {
    const operations = runs[0]?.['operations'] ?? Number.NaN;
    return { label, operations, runs, value: median(runs.map((run) => run['micros'] ?? Number.NaN)) / operations };
  });
  const base = bars[0]?.value ?? Number.NaN;
  for (const { label, value, operations, runs } of bars) {
    const parts = ['buildMicros', 'planMicros', 'kernelMicros', 'roundTrips']
      .filter((field) => runs[0]?.[field] !== undefined)
      .map((field) => `${field} ${median(runs.map((run) => run[field] ?? Number.NaN)).toFixed(0)}`);
    say(
      `  ${label.padEnd(38)} ${value.toFixed(2).padStart(7)} us/op  ${((1e6 / value) | 0).toLocaleString('en').padStart(9)} ops/s  ${(value / base).toFixed(2)}x floor  (${operations} operations${parts.length > 0 ? `; ${parts.join(', ')}` : ''})`,
    );
  }
  groups.push({ title, unit: 'microseconds per operation, median', bars });
  results.push({ name, title, rounds, ways: bars });
}
const host = { kernel: release(), node: process.version };
writeFileSync(join(root, 'bench/results/first.json'), `${JSON.stringify({ host, results }, null, 1)}\n`);
writeFileSync(
  join(root, 'bench/results/first.svg'),
  barPicture(`In User Mode Linux ${host.kernel}: compare ratios, not absolute times`, groups),
);
