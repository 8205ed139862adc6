/** Starts mortal-process.ts and waits for its end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ProxierOptions } from '../../../lib/proxier/options.ts';

export interface Ending {
  readonly status: unknown;
  /** What ended it. */
  readonly signal: unknown;
  readonly said: string;
}

/**
 * A proxier of its own process that is killed right after so many operations; one that has nothing to do any more is killed as well.
 *
 * @param prefix A command that runs the process.
 */
export async function runMortal(
  operations: number,
  options: ProxierOptions,
  prefix: readonly string[] = [],
): Promise<Ending> {
  const script = join(import.meta.dirname, 'mortal-process.js');
  const command = [...prefix, process.execPath, script, String(operations), JSON.stringify(options)];
  const [program = '', ...args] = command;
  const child = spawn(program, args);
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += String(chunk);
    });
  }
  child.stdout.once('data', () => child.kill('SIGKILL'));
  const [status, signal] = await once(child, 'close');
  return { status, signal, said };
}
