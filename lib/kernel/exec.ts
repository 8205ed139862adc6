/** Running a program without a shell: fixed program, argument array, text in, text out, bounded in time and output. */
import { execFile } from 'node:child_process';

export interface ExecResult {
  /** Exit status; -1 when killed by a signal, the time limit or the caller. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The program is not installed. */
  readonly missing: boolean;
}

const OUTPUT_LIMIT_BYTES = 256 * 1024 * 1024;
/** System programs live in sbin, which the PATH of a service often lacks. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/**
 * Never rejects: a program that is missing, fails or takes longer than `timeoutMs` is a result. When `signal` is aborted the program is
 * killed, or not started at all; either way the promise resolves once it has ended, so that nothing of it follows.
 */
export function exec(
  program: string,
  args: readonly string[],
  options: { readonly input?: string; readonly timeoutMs: number; readonly signal?: AbortSignal | undefined },
): Promise<ExecResult> {
  const { signal } = options;
  if (signal?.aborted === true) {
    return Promise.resolve({ status: -1, stdout: '', stderr: `${program} was not started: stopping`, missing: false });
  }
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      {
        encoding: 'utf8',
        timeout: options.timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: OUTPUT_LIMIT_BYTES,
        env: { ...process.env, PATH, LC_ALL: 'C' },
      },
      (error, stdout, stderr) => {
        signal?.removeEventListener('abort', kill);
        const code = error === null ? 0 : error.code;
        resolve({
          status: typeof code === 'number' ? code : -1,
          stdout,
          stderr: error !== null && stderr === '' ? error.message : stderr,
          missing: code === 'ENOENT',
        });
      },
    );
    // Not execFile's own `signal`: that one answers before the program has ended.
    const kill = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', kill, { once: true });
    // A program that ends before it read its input gives EPIPE here; its exit status tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}
