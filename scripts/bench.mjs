/** `npm run bench`: set-up, the C floor, and all measurements in one boot of the test kernel. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { root, say } from './setup/run.mjs';
import { setupOrExit } from './setup.mjs';

await setupOrExit();
const floor = join(root, '.cache/floor');
mkdirSync(join(root, '.cache'), { recursive: true });
execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-o', floor, join(root, 'bench/floor/floor.c')], { stdio: 'inherit' });
say('Measuring in the test kernel: about three minutes.');
const inside = [process.execPath, 'dist/bench/main.js', floor];
execFileSync(process.execPath, ['dist/test/harness/test-kernel.js', '--mem', '2G', '--', ...inside], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
