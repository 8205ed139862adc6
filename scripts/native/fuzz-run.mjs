/** Runs one fuzz target. What it finds is written to .cache/fuzz/<target>, and told with the command that shows it again. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from '../setup/run.mjs';
import { cache } from '../setup/stamps.mjs';

/** Longer than any datagram is not needed: what a decoder does with two messages it does with many. */
const maxBytes = 8192;

/**
 * `limits`: libFuzzer's options for how long. `keep`: what was found to be interesting is kept in .cache/fuzz/<target>/corpus and starts
 * the next run; otherwise a run starts from the repository's corpus alone, so that all runs are alike. `isQuiet`: tells only failures.
 */
export async function runFuzzer(target, program, { limits, keep, isQuiet }) {
  const directory = join(cache, 'fuzz', target);
  const found = join(directory, 'corpus');
  mkdirSync(found, { recursive: true });
  const written = keep ? found : mkdtempSync(join(directory, 'run-'));
  const seeds = join('native/test/corpus', target);
  mkdirSync(join(root, seeds), { recursive: true });
  // libFuzzer writes into the first directory only.
  const args = [`-artifact_prefix=${directory}/`, `-max_len=${maxBytes}`, ...limits, written, seeds];
  try {
    const { status, text } = await output(program, args, isQuiet);
    if (status === 0) return /DONE\s+cov: (\d+)/.exec(text.slice(text.lastIndexOf('DONE')))?.[1] ?? '?';
    const file = /Test unit written to (\S+)/.exec(text)?.[1];
    const again = file === undefined ? '' : `\nAgain: npm run fuzz -- ${target} ${relative(root, file)}`;
    throw new Error(`fuzz target ${target} failed (${status}).${isQuiet ? `\n${text}` : ''}${again}`);
  } finally {
    if (!keep) rmSync(written, { recursive: true, force: true });
  }
}

function output(program, args, isQuiet) {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (chunk) => {
        // A run of hours says a line every now and then.
        text = (text + chunk).slice(-65_536);
        if (!isQuiet) process.stderr.write(chunk);
      });
    child.once('error', fail);
    child.once('close', (status, signal) => done({ status: status ?? signal, text }));
  });
}
