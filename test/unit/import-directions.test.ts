/** docs/architecture.md says who may import whom; this reads the import lines and holds them to it. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../../..');

const leaves = ['types', 'operations', 'records', 'errors', 'address', 'duration', 'nearest-word', 'critical-services'];
/** Room → what it may import beside itself and the leaves. */
const allowed: Record<string, readonly string[]> = {
  types: [],
  operations: ['types'],
  records: ['types'],
  errors: [],
  address: ['types', 'errors'],
  duration: [],
  'nearest-word': [],
  'critical-services': ['records'],
  thread: [],
  kernel: ['thread'],
  kube: [],
  model: [],
  plan: ['model'],
  reconcile: ['plan', 'model', 'kernel', 'thread'],
  proxier: ['reconcile', 'plan', 'model', 'kernel', 'thread', 'kube'],
  cli: ['index', 'proxier', 'reconcile', 'plan', 'kernel', 'kube'],
  index: ['proxier', 'reconcile', 'plan', 'kernel', 'kube'],
  testing: ['thread', 'kernel', 'kube', 'model', 'plan', 'reconcile', 'proxier'],
};
/** Packages and built-ins with a home; two doors check what comes in: options, and configuration files. */
const homes: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^piscina$/, ['thread']],
  [/^node:worker_threads$/, ['thread']],
  [/^@kubernetes\/client-node$/, ['kube']],
  [/^yaml$/, ['kube']],
  [/^valibot$/, ['proxier', 'cli']],
  [/^commander$/, ['cli']],
  [/^ipaddr\.js$/, ['address']],
  [/\.node$/, ['kernel']],
];
/** The command's replay, and nothing else of the library, works with what is made for tests. */
const mayImportTesting: readonly string[] = ['cli/commands/replay.ts', 'cli/format-replay.ts'];
/** model and plan are pure. */
const impure = /^node:|^\.\.\/(kernel|kube|thread)\//;

interface ImportLine {
  readonly file: string;
  readonly room: string;
  readonly specifier: string;
}

function importLines(): ImportLine[] {
  const lib = join(root, 'lib');
  return readdirSync(lib, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const text = readFileSync(join(lib, name), 'utf8');
      return [
        ...text.matchAll(/^\s*(?:import|export)\b[^'"`;]*?from\s+'([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm),
      ].map((match) => ({
        file: name,
        room: roomOf(name),
        specifier: match[1] ?? match[2] ?? match[3] ?? '',
      }));
    });
}

function roomOf(path: string): string {
  return (path.split('/')[0] ?? '').replace(/\.ts$/, '');
}

test('imports go one way', () => {
  const lines = importLines();
  assert.ok(lines.length > 50, 'the scan found no imports: is the pattern still right?');
  const wrong = lines
    .filter((line) => line.specifier.startsWith('.'))
    .filter((line) => {
      const target = roomOf(relative(join(root, 'lib'), join(root, 'lib', dirname(line.file), line.specifier)));
      if (target === line.room) return false;
      if (target === 'testing' && mayImportTesting.includes(line.file)) return false;
      if (leaves.includes(target) && !leaves.includes(line.room)) return false;
      return !(allowed[line.room] ?? []).includes(target);
    });
  assert.deepEqual(wrong, []);
});

test('each package has its home', () => {
  const wrong = importLines().filter((line) =>
    homes.some(
      ([pattern, rooms]) => pattern.test(line.specifier) && !rooms.includes(line.room) && line.room !== 'testing',
    ),
  );
  assert.deepEqual(wrong, []);
});

test('model and plan are pure', () => {
  const wrong = importLines().filter((line) => ['model', 'plan'].includes(line.room) && impure.test(line.specifier));
  assert.deepEqual(wrong, []);
});
