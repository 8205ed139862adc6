/** The package as a user gets it: packed, installed in an empty project (which builds the addon), imported, type-checked, run. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { nodeDirectory } from '../../scripts/setup/builds.mjs';
import { root } from '../../scripts/setup/run.mjs';

const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const headers = nodeDirectory();
const env = { ...process.env, ...(headers === undefined ? {} : { npm_config_nodedir: headers }) };

const consumer = `
import { Proxier, type ProxierHandle } from 'ipvs-proxier';
import * as kernel from 'ipvs-proxier/kernel';

export async function embed(manifests: string): Promise<void> {
  await using proxier: ProxierHandle = await new Proxier({ nodeName: 'n1', manifests }).run();
  proxier.on('warning', ({ object, message }) => console.log(object.length + message.length));
  const operations: number = proxier.report.operations;
  console.log(operations, Object.keys(kernel));
}
// @ts-expect-error manifests is a path
new Proxier({ manifests: 5 });
// @ts-expect-error there is no such option
new Proxier({ manifests: '.', colour: 'red' });
`;

describe('the packed package', () => {
  let directory;
  let project;
  let packed;

  const run = async (program, args) => {
    const { stdout } = await promisify(execFile)(program, args, { cwd: project, env, maxBuffer: 64 * 2 ** 20 });
    return stdout;
  };
  const installedFile = (path) => join(project, 'node_modules/ipvs-proxier', path);

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'pack-'));
    project = join(directory, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
    const pack = ['pack', root, '--json', '--ignore-scripts', '--pack-destination', directory];
    [packed] = Object.values(JSON.parse(await run(npm, pack)));
    await run(npm, ['install', '--no-audit', '--no-fund', '--foreground-scripts', join(directory, packed.filename)]);
  });

  after(() => rmSync(directory, { recursive: true, force: true }));

  test('has what is needed and nothing of the tests', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const needed of ['dist/lib/index.js', 'dist/lib/index.d.ts', 'binding.gyp', 'scripts/install.mjs', 'LICENSE'])
      assert.ok(paths.includes(needed), `${needed} is missing`);
    assert.deepEqual(
      paths.filter((path) => /^(test|bench|examples|node_modules|build|dist\/(?!lib\/)|native\/test)\b/.test(path)),
      [],
    );
  });

  test('can be imported, the kernel room and the fakes too', async () => {
    const script = `
      import { Proxier } from 'ipvs-proxier';
      await import('ipvs-proxier/kernel');
      await import('ipvs-proxier/testing');
      console.log(typeof Proxier);`;
    assert.equal((await run(process.execPath, ['--input-type=module', '-e', script])).trim(), 'function');
  });

  test('has type declarations that say yes and no', async () => {
    writeFileSync(join(project, 'consumer.ts'), consumer);
    writeFileSync(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          ...{ target: 'es2023', lib: ['es2023', 'esnext.disposable'], module: 'nodenext', strict: true, noEmit: true },
          ...{ skipLibCheck: true, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] },
        },
        files: ['consumer.ts'],
      }),
    );
    await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', project]);
  });

  test('brings the command', async () => {
    const command = join(project, 'node_modules/.bin/ipvs-proxier');
    assert.match(await run(command, ['--help']), /plan[\s\S]*status/);
    const plan = await run(command, [
      'plan',
      '--from-empty',
      '--node-name',
      'n1',
      '--manifests',
      join(root, 'examples'),
    ]);
    for (const text of ['10.96.0.10', 'fd00:10:96::20', 'KUBE-CLUSTER-IP']) assert.ok(plan.includes(text), text);
  });

  test('built the addon', { skip: process.platform !== 'linux' }, async () => {
    const script = `import { createRequire } from 'node:module'; createRequire(import.meta.url)(process.argv[1]); console.log('loaded');`;
    const addon = (await run('find', [installedFile('build/Release'), '-maxdepth', '1', '-name', '*.node'])).trim();
    assert.equal((await run(process.execPath, ['--input-type=module', '-e', script, addon])).trim(), 'loaded');
  });
});
