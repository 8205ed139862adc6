/**
 * `npm run demo`: a small cluster on a real kernel, with packets. Sets everything up, boots the test kernel, runs scripts/demo/main.ts in it.
 *
 *   --host   on the host's kernel, in namespaces of its own, where that kernel has ip_vs and this is root
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { root, say } from './setup/run.mjs';
import { setupOrExit } from './setup.mjs';

const { values: options } = parseArgs({ options: { host: { type: 'boolean', default: false } } });
const timeoutMs = 300_000;

await setupOrExit();
say(
  options.host
    ? "Taking the host's kernel, in network namespaces of our own …"
    : 'Booting a Linux kernel that has IPVS, as an ordinary process (User Mode Linux) …',
);
const kernel = [
  'dist/test/harness/test-kernel.js',
  '--kernel',
  options.host ? 'host' : 'auto',
  '--timeout-ms',
  String(timeoutMs),
];
const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined ? ['--env', 'DEMO_COLOUR=1'] : [];
const demo = spawn(process.execPath, [...kernel, ...colour, '--', process.execPath, 'dist/scripts/demo/main.js'], {
  cwd: root,
  stdio: ['ignore', 'inherit', 'inherit'],
});
// An interrupt goes to both processes; the other one ends the machine, this one waits for it.
for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => demo.kill(name));
process.exitCode = await new Promise((done) => {
  demo.once('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    done(1);
  });
  demo.once('close', (code) => done(code ?? 1));
});
