/**
 * A Linux with all of IPVS on a machine that has none: boots User Mode Linux on the host's own root file system, runs one command in it
 * and returns its exit status. By hand: `node dist/test/harness/test-kernel.js -- command argument…` (`test-kernel-cli.ts` has the options).
 *
 * The machine writes to a directory of its own, which goes away with it; several may run side by side. The command's output comes
 * through files there rather than a console, byte for byte, and is still there when the kernel panics.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const modulesDirectory = '/usr/lib/uml/modules';
const kernelPaths = ['/usr/bin/linux.uml', '/usr/local/bin/linux.uml'];
const initScript = resolve(import.meta.dirname, '../../../test/harness/init.sh');
const pollMs = 25;
const consoleTailBytes = 8192;

/** A User Mode Linux. */
export interface KernelImage {
  /** The executable. */
  readonly binary: string;
  /** Holds one directory of modules per release, as `uname -r` says it. */
  readonly modulesDirectory: string;
}

export interface TestKernelOptions {
  /** What to run, looked up in the guest's PATH. Not a shell's text: every element arrives as one argument. */
  readonly command: readonly string[];
  /** Default: the caller's. */
  readonly cwd?: string;
  /** Added to the guest's own few variables (PATH, HOME, TMPDIR, LC_ALL, MODPROBE_OPTIONS). */
  readonly env?: Readonly<Record<string, string>>;
  /** Guest memory as UML spells it. Default `1G`. It is taken from the host as it is touched. */
  readonly memory?: string;
  /** From start to end, booting included; 0 = no limit. Default 600 000. */
  readonly timeoutMs?: number;
  /** Kernel modules to load first. Default: none, for the kernel loads most of them by itself when they are asked for. */
  readonly modules?: readonly string[];
  /** Another kernel than the installed package's. */
  readonly kernel?: KernelImage;
  /** Ends the machine early; the result is a rejection with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Default: this process's standard output and error. */
  readonly onStdout?: (chunk: Buffer) => void;
  readonly onStderr?: (chunk: Buffer) => void;
}

export interface TestKernelResult {
  /** The command's exit status; 128 + n when signal n ended it, as in a shell. */
  readonly status: number;
  /** The last lines of the kernel's console: warnings and oopses that did not end the machine. */
  readonly console: string;
}

/** The machine could not be booted, died, or did not finish in time. The message says which, and what to do. */
export class TestKernelError extends Error {
  override readonly name = 'TestKernelError';
}

/** What keeps the test kernel from booting here, in words; undefined when nothing does. */
export function testKernelProblem(image: KernelImage | undefined = installedKernel()): string | undefined {
  if (process.platform !== 'linux') return 'User Mode Linux runs on Linux only';
  if (image === undefined) return 'linux.uml is not installed (Debian and Ubuntu: apt-get install user-mode-linux)';
  const { binary, modulesDirectory: modules } = image;
  if (!existsSync(binary)) return `${binary} does not exist`;
  if (!existsSync(modules) || readdirSync(modules).length === 0)
    return `${modules} has no kernel modules (reinstall the package user-mode-linux)`;
  if (!existsSync('/sbin/modprobe')) return 'modprobe is not installed (apt-get install kmod)';
  return undefined;
}

/** Boots a machine, runs the command, ends the machine. */
export async function runInTestKernel(options: TestKernelOptions): Promise<TestKernelResult> {
  const kernel = options.kernel ?? installedKernel();
  const problem = testKernelProblem(kernel);
  if (problem !== undefined || kernel === undefined) throw new TestKernelError(`no test kernel: ${problem}`);
  options.signal?.throwIfAborted();
  const memory = options.memory ?? '1G';
  const memoryDirectory = findMemoryDirectory(parseMemory(memory));
  const directory = mkdtempSync(join(tmpdir(), 'test-kernel-'));
  let machine: Machine | undefined;
  try {
    writeFileSync(join(directory, 'command.sh'), commandScript(options));
    for (const name of ['stdout', 'stderr']) writeFileSync(join(directory, name), '');
    machine = boot(kernel, directory, memory, memoryDirectory, options.modules ?? []);
    return await follow(machine, directory, options);
  } finally {
    await machine?.kill();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface Machine {
  readonly ended: Promise<string>;
  isRunning(): boolean;
  consoleTail(): string;
  kill(): Promise<void>;
}

function boot(
  kernel: KernelImage,
  directory: string,
  memory: string,
  memoryDirectory: string,
  modules: readonly string[],
): Machine {
  const args = [
    `mem=${memory}`,
    'rootfstype=hostfs',
    'rootflags=/',
    'rw',
    `init=${initScript}`,
    'con=null',
    'con0=null,fd:1',
    'quiet',
    `uml_dir=${directory}`,
    'umid=machine',
    `testkernel_dir=${directory}`,
    `testkernel_modules=${kernel.modulesDirectory}`,
    ...(modules.length === 0 ? [] : [`testkernel_load="${modules.join(' ')}"`]),
  ];
  // A process group of its own, so that all of the machine and nothing else is killed; and the kernel dies with this process even
  // when this process has no time to see to it.
  const pinned = ['taskset', '--cpu-list', String(anyAllowedCpu())];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...pinned, kernel.binary, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: directory, TMPDIR: memoryDirectory },
  });
  let tail = '';
  const keep = (chunk: Buffer): void => {
    tail = (tail + chunk.toString('latin1').replaceAll('\r', '')).slice(-consoleTailBytes);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let running = true;
  const ended = new Promise<string>((done) => {
    child.once('error', (error) => {
      running = false;
      done(`could not be started: ${error.message}`);
    });
    child.once('close', (code, signal) => {
      running = false;
      done(signal === null ? `ended with status ${code}` : `was ended by ${signal}`);
    });
  });
  const onExit = (): void => killGroup(child);
  process.once('exit', onExit);
  return {
    ended,
    isRunning: () => running,
    consoleTail: () => tail,
    async kill() {
      killGroup(child);
      await ended;
      process.removeListener('exit', onExit);
    },
  };
}

/**
 * A machine stays on one CPU, for it is a uniprocessor whose kernel and whose programs are processes that wait for each other: on two CPUs each
 * system call and each page fault wakes an idle one, which in a virtual host costs ten times as much as the switch.
 */
function anyAllowedCpu(): number {
  const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const cpus = list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
  return cpus[Math.floor(Math.random() * cpus.length)] ?? 0;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

/** Passes output on until the status appears, the machine ends without one, or time is up. */
async function follow(machine: Machine, directory: string, options: TestKernelOptions): Promise<TestKernelResult> {
  const tails = [
    new FileTail(join(directory, 'stdout'), options.onStdout ?? ((chunk) => process.stdout.write(chunk))),
    new FileTail(join(directory, 'stderr'), options.onStderr ?? ((chunk) => process.stderr.write(chunk))),
  ];
  const drain = (): void => {
    for (const tail of tails) tail.read();
  };
  const statusFile = join(directory, 'status');
  const timeoutMs = options.timeoutMs ?? 600_000;
  const timeout = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  try {
    while (!existsSync(statusFile)) {
      drain();
      options.signal?.throwIfAborted();
      if (timeout?.aborted === true)
        throw new TestKernelError(
          `the command in the test kernel did not end within ${timeoutMs} ms${lastWords(machine)}`,
        );
      if (!machine.isRunning() && !existsSync(statusFile))
        throw new TestKernelError(`the test kernel ${await machine.ended} before its command did${lastWords(machine)}`);
      await Promise.race([new Promise((done) => setTimeout(done, pollMs)), machine.ended]);
    }
    drain();
  } finally {
    for (const tail of tails) tail.close();
  }
  const broken = join(directory, 'broken');
  if (existsSync(broken))
    throw new TestKernelError(
      `the test kernel could not be set up: ${readFileSync(broken, 'utf8').trim()}${lastWords(machine)}`,
    );
  return { status: Number(readFileSync(statusFile, 'utf8')), console: machine.consoleTail() };
}

function lastWords(machine: Machine): string {
  const lines = machine.consoleTail().trim().split('\n');
  const panic = lines.findIndex((line) => line.includes('Kernel panic'));
  const told = panic === -1 ? lines.slice(-30) : lines.slice(panic, panic + 60);
  return told.join('') === '' ? '; its console is empty' : `; its console says\n${told.join('\n')}`;
}

class FileTail {
  readonly #fd: number;
  readonly #sink: (chunk: Buffer) => void;
  #offset = 0;

  constructor(path: string, sink: (chunk: Buffer) => void) {
    this.#fd = openSync(path, 'r');
    this.#sink = sink;
  }

  read(): void {
    for (;;) {
      const buffer = Buffer.allocUnsafe(65_536);
      const length = readSync(this.#fd, buffer, 0, buffer.length, this.#offset);
      if (length === 0) return;
      this.#offset += length;
      this.#sink(buffer.subarray(0, length));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function commandScript(options: TestKernelOptions): string {
  const assignments = Object.entries(options.env ?? {}).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw new TestKernelError(`env: "${name}" is no variable name`);
    return `export ${name}=${quote(value)}\n`;
  });
  if (options.command.length === 0) throw new TestKernelError('command: empty');
  return `cd ${quote(resolve(options.cwd ?? process.cwd()))} || exit 126\n${assignments.join('')}exec ${options.command.map(quote).join(' ')}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function installedKernel(): KernelImage | undefined {
  const binary = kernelPaths.find((path) => existsSync(path));
  return binary === undefined ? undefined : { binary, modulesDirectory };
}

function parseMemory(text: string): number {
  const match = /^(\d+)([MG])$/.exec(text);
  if (match === null) throw new TestKernelError(`memory: "${text}" is not a number followed by M or G`);
  return Number(match[1]) * (match[2] === 'G' ? 2 ** 30 : 2 ** 20);
}

/** UML maps its memory from a file, executable: a tmpfs is best, a disk will do, a noexec mount will not. */
function findMemoryDirectory(bytes: number): string {
  const refused: string[] = [];
  for (const directory of new Set(['/dev/shm', tmpdir(), '/var/tmp'])) {
    const reason = unfit(directory, bytes);
    if (reason === undefined) return directory;
    refused.push(`${directory} ${reason}`);
  }
  throw new TestKernelError(`no place for the test kernel's memory file: ${refused.join(', ')}`);
}

function unfit(directory: string, bytes: number): string | undefined {
  if (!existsSync(directory)) return 'does not exist';
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < bytes)
    return `has ${Math.round((bavail * bsize) / 2 ** 20)} MB free of ${bytes / 2 ** 20} needed`;
  return mountOptions(directory).includes('noexec') ? 'is mounted noexec' : undefined;
}

function mountOptions(directory: string): readonly string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(
      ([, point]) =>
        point !== undefined && (directory === point || directory.startsWith(point === '/' ? '/' : `${point}/`)),
    )
    .sort(([, a], [, b]) => (a?.length ?? 0) - (b?.length ?? 0));
  return mounts.at(-1)?.[3]?.split(',') ?? [];
}

// Not awaited: that module imports this one, and would wait for it.
if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  void import('./test-kernel-cli.ts').then(({ main }) => main());
