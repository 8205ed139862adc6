/**
 * The other way to a kernel with IPVS: the host's own, where it has one. The command runs in network and mount namespaces of its own, so that
 * it has empty tables, no way out to the host's network, and a /run (`ip netns`, xtables.lock) nobody else sees; all of it goes
 * away with the last process in it. User Mode Linux (`test-kernel.ts`) is the default because it is the same kernel everywhere.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { TestKernelError, type TestKernelOptions } from './test-kernel.ts';

/** What keeps the host's kernel from serving, in words; undefined when nothing does. */
export function hostKernelProblem(): string | undefined {
  if (process.platform !== 'linux') return 'the host does not run Linux';
  if (process.getuid?.() !== 0) return 'making a network namespace needs root';
  if (!existsSync('/proc/net/ip_vs') && spawnSync('/sbin/modprobe', ['--dry-run', '--quiet', 'ip_vs']).status !== 0)
    return "the host's kernel has no ip_vs (CONFIG_IP_VS) and no module of that name";
  return undefined;
}

const enter = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"';

/** Runs a command in fresh namespaces of the host. Options are those of the test kernel; `memory` and `modules` mean nothing here. */
export async function runInHostKernel(options: Omit<TestKernelOptions, 'memory' | 'modules'>): Promise<number> {
  const problem = hostKernelProblem();
  if (problem !== undefined) throw new TestKernelError(`no kernel for the test: ${problem}`);
  options.signal?.throwIfAborted();
  const timeoutMs = options.timeoutMs ?? 600_000;
  const child = spawn(
    'unshare',
    [
      '--net',
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      enter,
      'sh',
      ...options.command,
    ],
    {
      stdio: [
        'ignore',
        options.onStdout === undefined ? 'inherit' : 'pipe',
        options.onStderr === undefined ? 'inherit' : 'pipe',
      ],
      env: { ...process.env, ...options.env, TEST_KERNEL: 'host' },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  if (options.onStdout !== undefined) child.stdout?.on('data', options.onStdout);
  if (options.onStderr !== undefined) child.stderr?.on('data', options.onStderr);
  const stop = (): boolean => child.kill('SIGKILL');
  const signals = [options.signal, timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs)].filter(
    (signal) => signal !== undefined,
  );
  const either = AbortSignal.any(signals);
  either.addEventListener('abort', stop, { once: true });
  try {
    const status = await new Promise<number>((done, fail) => {
      child.once('error', fail);
      child.once('close', (code) => done(code ?? 137));
    });
    options.signal?.throwIfAborted();
    if (either.aborted) throw new TestKernelError(`the command did not end within ${timeoutMs} ms`);
    return status;
  } finally {
    either.removeEventListener('abort', stop);
  }
}
