/** Running a program without a shell: fixed program, argument array, text in, text out, bounded in time and output. */
import { execFile } from 'node:child_process';

export interface ExecResult {
  /** Exit status; -1 when killed by a signal or the time limit. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The program is not installed. */
  readonly missing: boolean;
}

const OUTPUT_LIMIT_BYTES = 256 * 1024 * 1024;
/** System programs live in sbin, which the PATH of a service often lacks. */
const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/** Never rejects: a program that is missing, fails or takes longer than `timeoutMs` is a result. */
export function exec(
  program: string,
  args: readonly string[],
  options: { readonly input?: string; readonly timeoutMs: number },
): Promise<ExecResult> {
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
        const code = error === null ? 0 : error.code;
        resolve({
          status: typeof code === 'number' ? code : -1,
          stdout,
          stderr: error !== null && stderr === '' ? error.message : stderr,
          missing: code === 'ENOENT',
        });
      },
    );
    // A program that ends before it read its input gives EPIPE here; its exit status tells the story.
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}
