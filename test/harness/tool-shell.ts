/**
 * A shell that starts tools one after the other. In User Mode Linux a fork of node, with all that it has mapped, costs 60 to 300 ms, one of a
 * shell 20, and the kernel tests start tools by the hundred.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';

export interface ToolResult {
  /** Exit status, 128 + the number of the signal that ended it, or 127: there is no such program. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class ToolShell {
  readonly #shell: ChildProcessByStdio<Writable, Readable, null>;
  /** In the test kernel's own file system, which goes with it. */
  readonly #directory = mkdtempSync(join(tmpdir(), 'tools-'));
  #last: Promise<unknown> = Promise.resolve();

  constructor() {
    this.#shell = spawn('/bin/sh', [], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#shell.unref();
    for (const stream of this.#streams) stream.unref();
  }

  /** Calls made meanwhile wait for their turn. */
  run(program: string, args: readonly string[], input: string): Promise<ToolResult> {
    const result = this.#last.then(() => this.#run(program, args, input));
    this.#last = result.catch(() => {});
    return result;
  }

  async #run(program: string, args: readonly string[], input: string): Promise<ToolResult> {
    const file = (name: string): string => join(this.#directory, name);
    writeFileSync(file('in'), input);
    const command = [program, ...args].map(quoted).join(' ');
    const [from, to, errors] = ['in', 'out', 'err'].map((name) => quoted(file(name)));
    const answer = this.#answer();
    this.#shell.stdin.write(`${command} <${from} >${to} 2>${errors}; echo $?\n`);
    const status = Number(await answer);
    return { status, stdout: readFileSync(file('out'), 'utf8'), stderr: readFileSync(file('err'), 'utf8') };
  }

  /** The next line of the shell. Only while it is waited for does the shell keep this process. */
  #answer(): Promise<string> {
    const { stdout } = this.#shell;
    return new Promise((resolve, reject) => {
      let text = '';
      const end = (): void => {
        for (const stream of this.#streams) stream.unref();
        stdout.off('data', hear).off('close', fail);
      };
      const fail = (): void => {
        end();
        reject(new Error('the shell that runs the tools has ended'));
      };
      const hear = (data: Buffer): void => {
        text += data.toString();
        if (!text.endsWith('\n')) return;
        end();
        resolve(text);
      };
      for (const stream of this.#streams) stream.ref();
      stdout.on('data', hear).once('close', fail);
    });
  }

  get #streams(): readonly Socket[] {
    return [this.#shell.stdin, this.#shell.stdout].filter((stream) => stream instanceof Socket);
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
