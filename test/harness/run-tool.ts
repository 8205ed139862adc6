/** Runs a system tool and gives its standard output; throws with its words when it fails. Its arguments reach it as they are. */
import { spawn } from 'node:child_process';
import { type ToolResult, ToolShell } from './tool-shell.ts';

export interface RunToolOptions {
  readonly input?: string;
  /** A failure is no error: what was printed until then is the result. */
  readonly mayFail?: boolean;
}

const NOT_FOUND = 127;
let shell: ToolShell | undefined;

export async function runTool(program: string, args: readonly string[], options: RunToolOptions = {}): Promise<string> {
  const { input = '', mayFail = false } = options;
  const { status, stdout, stderr } = await run(program, args, input);
  if (status === 0 || (mayFail && status !== NOT_FOUND)) return stdout;
  throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr.trim()}`);
}

function run(program: string, args: readonly string[], input: string): Promise<ToolResult> {
  if (process.env['TEST_KERNEL'] !== 'uml') return spawned(program, args, input);
  shell ??= new ToolShell();
  return shell.run(program, args, input);
}

function spawned(program: string, args: readonly string[], input: string): Promise<ToolResult> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        output[name] += chunk;
      });
    child.once('error', fail);
    child.once('close', (status) => done({ status: status ?? -1, ...output }));
    // A tool that ends before it has read its input gives EPIPE here; its exit status says enough.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
