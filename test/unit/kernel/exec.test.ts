/** Programs that are told to stop: ended when the promise resolves, or never begun. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { exec } from '../../../lib/kernel/exec.ts';

/** Leaves its process id in the file that it is given, and waits for ever. */
const program = "require('node:fs').writeFileSync(process.argv[1], process.pid + '.'); setInterval(() => {}, 1000);";

async function newFile(context: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'exec-'));
  context.after(() => rm(directory, { recursive: true }));
  return join(directory, 'file');
}

test('abort kills the program, and the answer comes when it has ended', { timeout: 30_000 }, async (context) => {
  const file = await newFile(context);
  const abort = new AbortController();
  const running = exec(process.execPath, ['-e', program, file], { timeoutMs: 60_000, signal: abort.signal });
  while (!existsSync(file) || !readFileSync(file, 'utf8').endsWith('.')) await sleep(5);
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  assert.equal(process.kill(pid, 0), true, 'it runs');
  abort.abort();
  const { status, missing } = await running;
  assert.deepEqual([status, missing], [-1, false]);
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});

test('after abort nothing is started', async (context) => {
  const file = await newFile(context);
  const options = { timeoutMs: 60_000 };
  assert.equal((await exec('touch', [file], { ...options, signal: AbortSignal.abort() })).status, -1);
  assert.equal(existsSync(file), false);
  assert.equal((await exec('touch', [file], { ...options, signal: new AbortController().signal })).status, 0);
  assert.equal(existsSync(file), true);
});
