/**
 * docs/kernel-api.md and what README.md says of the kernel layer are true: the examples compile as a stranger would compile them, and run on the fake kernel; every function, operation and
 * error of ipset has its place in it.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { errnoName } from '../../../lib/kernel/errno.ts';
import * as kernelApi from '../../../lib/kernel/index.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';

const root = resolve(import.meta.dirname, '../../../..');
const read = (page: string): string => readFileSync(join(root, page), 'utf8');
const text = read('docs/kernel-api.md');
/** In the package, so that `ipvs-proxier/kernel` is itself. */
const directory = join(root, '.cache', `docs-kernel-api-${process.pid}`);

interface Example {
  readonly page: string;
  /** Its line in the page. */
  readonly line: number;
  readonly isNames: boolean;
  readonly code: string;
}

function examples(page: string): readonly Example[] {
  const text = read(page);
  return [...text.matchAll(/^```ts( names)?\n([\s\S]*?)^```$/gm)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    isNames: match[1] !== undefined,
    code: match[2] ?? '',
  }));
}

function fileOf({ page, line }: Example): string {
  return `${page.replaceAll('/', '-')}-${line}`;
}

function split(code: string): { readonly imports: string; readonly body: string } {
  const lines = code.split('\n');
  const isImport = (line: string): boolean => line.startsWith('import ');
  return { imports: lines.filter(isImport).join('\n'), body: lines.filter((line) => !isImport(line)).join('\n') };
}

/** As it stands, but that it opens the fake kernel, which ignores where. Imports are repeated in the blocks, so every name is once. */
function moduleOf(example: Example, names: Example): string {
  const own = split(example.code);
  const shared = split(names.code);
  const imported = new Map<string, Set<string>>();
  for (const [, list = '', from = ''] of `${shared.imports}\n${own.imports}`.matchAll(
    /import \{ (.*) \} from '(.*)';/g,
  )) {
    const known = imported.get(from) ?? new Set();
    for (const name of list.split(', ')) known.add(name);
    imported.set(from, known);
  }
  imported.set('ipvs-proxier/testing', (imported.get('ipvs-proxier/testing') ?? new Set<string>()).add('FakeKernel'));
  const imports = [...imported].map(([from, list]) => `import { ${[...list].join(', ')} } from '${from}';`);
  const opened = (code: string): string =>
    code.replace(/\bopenKernel\(/g, 'openFake(').replace(/\bopenSession\(/g, 'theFake.session(');
  return `${imports.join('\n')}
import type { KernelClient, KernelOptions } from 'ipvs-proxier/kernel';
const theFake = new FakeKernel();
function openFake({ session = theFake.session() }: KernelOptions = {}): Promise<KernelClient> {
  return openKernel({ session });
}
{
${example.page === names.page && example.line > names.line ? opened(shared.body) : ''}
{
${opened(own.body)}
}
}
`;
}

const compilerOptions = {
  ...{
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
  },
  ...{ strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, outDir: 'out', rootDir: '.' },
};

describe('docs/kernel-api.md', () => {
  const inReadme = examples('README.md').filter(({ code }) => code.includes("'ipvs-proxier/kernel'"));
  const all = [...examples('docs/kernel-api.md'), ...inReadme];
  const names = all.find(({ isNames }) => isNames);
  const shown = all.filter(({ isNames }) => !isNames);

  before(() => {
    assert.ok(names !== undefined && shown.length > 10);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    for (const example of shown) writeFileSync(join(directory, `${fileOf(example)}.ts`), moduleOf(example, names));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('every example compiles', () => {
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', directory], { encoding: 'utf8' });
    assert.equal(status, 0, stdout);
  });

  for (const example of shown) {
    test(`the example in line ${example.line} of ${example.page} runs`, async (t) => {
      t.mock.method(console, 'log', () => {});
      await import(pathToFileURL(join(directory, 'out', `${fileOf(example)}.js`)).href);
    });
  }

  test('every public function, method and operation is in it', async () => {
    await using kernel = await kernelApi.openKernel({ session: new FakeKernel().session() });
    const session = new FakeKernel().session();
    const methods = [
      kernelApi.Batch.prototype,
      kernel.ipvs,
      kernel.ipset,
      kernel.route,
      kernel.conntrack,
      kernel,
      session,
    ].flatMap(methodsOf);
    // Batch keeps these for the way to the worker.
    const internal = ['bytes', 'copyTo', 'reader'];
    const missing = [...Object.keys(kernelApi), ...methods]
      .filter((name) => !internal.includes(name) && !new RegExp(`\\b${name}\\b`).test(text))
      .sort();
    assert.deepEqual(missing, []);
    const code = all.map((example) => example.code).join('\n');
    const withoutExample = [...Object.keys(kernelApi), ...methods].filter(
      (name) => !internal.includes(name) && !new RegExp(`\\b${name}\\b`).test(code),
    );
    assert.deepEqual(withoutExample, [], 'each has an example');
  });

  test("every error of ipset's own is in the table", () => {
    const numbers = Array.from({ length: 300 }, (_, index) => 4097 + index).map(errnoName);
    const named = numbers.filter((name) => name.startsWith('IPSET_'));
    assert.ok(named.length > 20);
    assert.deepEqual(
      named.filter((name) => !text.includes(`${name}`)),
      [],
    );
  });
});

function methodsOf(object: object): string[] {
  const own = Object.getOwnPropertyNames(object);
  const prototype: unknown = Object.getPrototypeOf(object);
  const inherited =
    typeof prototype === 'object' && prototype !== null && prototype !== Object.prototype
      ? Object.getOwnPropertyNames(prototype)
      : [];
  return [...own, ...inherited].filter((name) => name !== 'constructor' && !name.startsWith('#'));
}
