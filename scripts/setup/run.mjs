/** Runs programs for the set-up: quiet while all is well, with a sign of life while it takes long, with everything they said when they fail. */
import { spawn, spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
const signOfLifeMs = 10_000;

export class SetupError extends Error {
  name = 'SetupError';
}

export function say(text) {
  process.stdout.write(`${text}\n`);
}

/** Runs `program args…` under a title. Throws SetupError with its output when it fails. */
export async function runStep(title, program, args, env = {}, cwd = root) {
  say(`setup: ${title} …`);
  const started = performance.now();
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
    });
  const seconds = () => Math.round((performance.now() - started) / 1000);
  const alive = setInterval(() => say(`setup:   still at it after ${seconds()} s: ${lastLine(output)}`), signOfLifeMs);
  const status = await new Promise((done) => {
    child.once('error', (error) => {
      output += error.message;
      done(127);
    });
    child.once('close', (code, signal) => done(code ?? signal));
  });
  clearInterval(alive);
  if (status !== 0)
    throw new SetupError(`${title}: "${[program, ...args].join(' ')}" ended with ${status}:\n${output.trimEnd()}`);
  say(`setup:   done in ${seconds()} s`);
}

/** Standard output of a program, or undefined when it is missing or fails. */
export function outputOf(program, args) {
  const { status, stdout } = runSync(program, args);
  return status === 0 ? stdout : undefined;
}

/** What a program printed, whether it succeeded or not. */
export function printedBy(program, args) {
  return runSync(program, args).stdout ?? '';
}

function runSync(program, args) {
  return spawnSync(program, args, { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } });
}

function lastLine(text) {
  return text.trimEnd().split('\n').at(-1)?.slice(0, 100) ?? '';
}
