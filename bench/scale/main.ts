/**
 * The speed table: `node dist/bench/scale/main.js measure kernel|native OUT.json FLAGS`, and `node dist/bench/scale/main.js table RESULT.json LOAD
 * FLAGS PART.json…` puts the parts together. FLAGS is JSON: `{ quick, minutes, only }`. Run by `npm run bench -- scale`. A step that fails is told and left out, the
 * others go on, and the status is 1.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join, resolve } from 'node:path';
import { inFreshNamespace, programs } from '../interleave.ts';
import { factsOf } from './facts.ts';
import { picturesOf } from './pictures.ts';
import { type Row, rowsOf } from './rows.ts';
import { type NamedFacts, Samples } from './samples.ts';
import { kernelSteps, nativeSteps, type Step, sizesOf } from './steps.ts';

interface Flags {
  readonly quick?: boolean;
  readonly minutes?: number;
  /** Only the steps whose names begin so. */
  readonly only?: string;
}

interface Part {
  readonly kernel: string;
  readonly node: string;
  readonly samples: readonly NamedFacts[];
}

const MODULES = [
  'ip_vs',
  'ip_vs_rr',
  'dummy',
  'ip_set',
  'ip_set_hash_ip',
  'ip_set_hash_ipport',
  'ip_set_hash_ipportip',
];
/** The link and the sets that `floor sync` and `floor audit` write to. */
const FLOOR_PREPARE = [
  'ip link add kube-ipvs0 type dummy',
  'ipset create KUBE-CLUSTER-IP hash:ip,port',
  'ipset create KUBE-IPVS-IPS hash:ip',
];
const script = resolve(import.meta.dirname, 'run-scenario.js');

const [command = '', ...args] = process.argv.slice(2);
if (command === 'measure') measure(args);
else if (command === 'table') table(args);
else throw new RangeError(`${command}: measure or table`);

function measure([where = '', out = '', flags = '{}']: readonly string[]): void {
  const { quick = false, minutes, only = '' }: Flags = JSON.parse(flags);
  const sizes = sizesOf(quick, minutes);
  const isNative = where === 'native';
  if (!isNative) for (const module of MODULES) execFileSync('modprobe', [module]);
  const steps = (isNative ? nativeSteps(sizes) : kernelSteps(sizes)).filter(({ name }) => name.startsWith(only));
  const samples: NamedFacts[] = [];
  const kernel = `${isNative ? 'host' : 'test kernel'}, Linux ${release()}`;
  steps.forEach((step, index) => {
    const started = performance.now();
    const title = `${String(index + 1).padStart(3)}/${steps.length} ${step.name.padEnd(24)}`;
    try {
      const facts = factsOf(outputOf(step, isNative).trim().split('\n').at(-1) ?? '');
      samples.push({ name: step.name, facts });
      const figures = Object.entries(facts).flatMap(([name, value]) =>
        typeof value === 'number' ? [`${name} ${digits(value)}`] : [],
      );
      process.stdout.write(`${title} ${seconds(started)} ${figures.join(', ')}\n`);
    } catch (error) {
      // What it had to say is on standard error already.
      const [reason] = String(error instanceof Error ? error.message : error).split('\n');
      process.stdout.write(`${title} ${seconds(started)} FAILED: ${reason}\n`);
      process.exitCode = 1;
    }
    // After each, so that what was measured is kept when something later fails.
    const part: Part = { kernel, node: process.version, samples };
    writeFileSync(out, JSON.stringify(part));
  });
}

function outputOf({ run }: Step, isNative: boolean): string {
  if ('floor' in run) return inFreshNamespace(FLOOR_PREPARE, [join(programs, 'floor'), ...run.floor]);
  const line = [process.execPath, '--expose-gc', script, run.scenario, JSON.stringify(run.options)];
  if (!isNative) return inFreshNamespace([], line);
  const [program = '', ...rest] = line;
  return execFileSync(program, rest, { encoding: 'utf8' });
}

function table([result = '', load = '', flags = '{}', ...files]: readonly string[]): void {
  const { quick = false, minutes }: Flags = JSON.parse(flags);
  const sizes = sizesOf(quick, minutes);
  const parts = files.map((file): Part => JSON.parse(readFileSync(file, 'utf8')));
  const samples = new Samples(parts.flatMap((part) => part.samples));
  const rows = rowsOf(samples, sizes);
  const where = [...parts.map(({ kernel }) => kernel), `Node.js ${parts[0]?.node ?? ''}`, `load ${load}`].join('; ');
  writeFileSync(result, `${JSON.stringify({ load, sizes, rows, parts }, null, 1)}\n`);
  const base = result.replace(/\.json$/, '');
  const pictures = picturesOf(samples, sizes, where);
  for (const [name, picture] of pictures) writeFileSync(`${base}-${name}.svg`, picture);
  writeFileSync(`${base}.md`, markdown(rows, where, quick));
  process.stdout.write(`\n${rows.map(rowText).join('\n')}\n`);
}

function markdown(rows: readonly Row[], where: string, isQuick: boolean): string {
  const verdict = ({ met }: Row): string => (met === undefined ? '' : met ? 'met' : '**missed**');
  const lines = rows.map((row) => `| ${row.what} | ${row.goal} | ${row.reached} | ${verdict(row)} |`);
  const warning = isQuick ? 'Made with `--quick`: small sizes, whose figures mean nothing.\n\n' : '';
  return `${warning}Made by \`npm run bench -- scale\`: ${where}.\n\n| what | goal | reached | |\n|---|---|---|---|\n${lines.join('\n')}\n`;
}

function rowText({ what, goal, reached, met }: Row): string {
  const verdict = met === undefined ? '      ' : met ? 'met   ' : 'MISSED';
  return `${verdict} ${what}${goal === '' ? '' : ` (${goal})`}\n         ${reached}`;
}

function seconds(startedMs: number): string {
  return `${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s`;
}

function digits(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
