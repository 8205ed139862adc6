/** Runs a system tool without a shell and gives its standard output; throws with its words when it fails. */
import { spawn } from 'node:child_process';

export interface RunToolOptions {
  readonly input?: string;
  /** A failure is no error: what was printed until then is the result. */
  readonly mayFail?: boolean;
}

export function runTool(program: string, args: readonly string[], options: RunToolOptions = {}): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { stdio: 'pipe' });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        output[name] += chunk;
      });
    child.once('error', fail);
    child.once('close', (status) => {
      if (status === 0 || options.mayFail === true) done(output.stdout);
      else fail(new Error(`${program} ${args.join(' ')} ended with ${status}: ${output.stderr.trim()}`));
    });
    // A tool that ends before it has read its input gives EPIPE here; its exit status says enough.
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
  });
}
