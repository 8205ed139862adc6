/** The command `ipvs-proxier` in a process of its own: what it prints. */
import { resolve } from 'node:path';
import { runTool } from '../../test/harness/run-tool.ts';

const program = resolve(import.meta.dirname, '../../lib/cli/main.js');

export function askCommand(...args: readonly string[]): Promise<string> {
  return runTool(process.execPath, [program, ...args]);
}
