/**
 * The measurements of one suite on the kernel that this runs on: `node dist/bench/main.js SUITE WHERE OUT.json`, and
 * `node dist/bench/main.js picture RESULT.json LOAD PART.json…` puts the parts together. Run by `npm run bench`. A measurement that fails is
 * told and left out, the others go on, and the status is 1.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { interleave, ROUNDS } from './interleave.ts';
import type { Measurement } from './measurement.ts';
import { barPicture } from './picture.ts';
import { groupsOf, type Report, reportOf, reportText } from './report.ts';

const SUITES: Readonly<Record<string, readonly string[]>> = {
  kernel: ['ipvs-table', 'ipset', 'readback', 'edit', 'memory', 'memory-growth'],
  /** What `--long` runs. */
  'kernel-long': ['memory-growth'],
  sync: ['first-sync'],
  binding: ['vip-binding'],
  /** What a host without IPVS can measure. */
  native: ['ipset'],
};
/** Loading a module takes as long as a thousand operations, and whoever comes first would pay for it. */
const MODULES = [
  'ip_vs',
  'ip_vs_rr',
  'dummy',
  'ip_set',
  'ip_set_hash_ip',
  'ip_set_hash_ipport',
  'ip_set_hash_ipportip',
];

interface Part {
  readonly kernel: string;
  readonly node: string;
  readonly rounds: number;
  readonly reports: readonly Report[];
}

const [command = '', ...args] = process.argv.slice(2);
if (command === 'picture') draw(args);
else await measure(command, args);

async function measure(suite: string, [where = '', out = '']: readonly string[]): Promise<void> {
  const names = SUITES[suite];
  if (names === undefined) throw new RangeError(`suite ${suite}: one of ${Object.keys(SUITES).join(', ')}`);
  if (suite !== 'native') for (const module of MODULES) execFileSync('modprobe', [module]);
  const reports: Report[] = [];
  for (const name of names) {
    const { measurement }: { measurement: Measurement } = await import(`./measure/${name}.js`);
    try {
      const report = reportOf(name, where, measurement, interleave(name, measurement, suite === 'kernel-long'));
      process.stdout.write(`${reportText(report)}\n`);
      reports.push(report);
    } catch (error) {
      process.stderr.write(`\n${name} (${where}) failed: ${error instanceof Error ? error.message : error}\n`);
      process.exitCode = 1;
    }
    // After each, so that what was measured is kept when something later fails.
    const part: Part = { kernel: `${where}, Linux ${release()}`, node: process.version, rounds: ROUNDS, reports };
    writeFileSync(out, JSON.stringify(part));
  }
}

function draw([result = '', load = '', ...files]: readonly string[]): void {
  const parts = files.map((file): Part => JSON.parse(readFileSync(file, 'utf8')));
  writeFileSync(result, `${JSON.stringify({ load, parts }, null, 1)}\n`);
  const heading = `Medians of up to ${ROUNDS} rounds, load of the machine ${load}. Compare within a group: User Mode Linux makes system calls dear.`;
  const groups = parts.flatMap(({ reports }) => reports.flatMap(groupsOf));
  writeFileSync(result.replace(/\.json$/, '.svg'), barPicture(heading, groups));
}
