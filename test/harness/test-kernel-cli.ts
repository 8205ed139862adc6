/** The command line of `test-kernel.ts`. */
import { parseArgs } from 'node:util';
import { hostKernelProblem, runInHostKernel } from './host-kernel.ts';
import { type KernelImage, runInTestKernel, TestKernelError, testKernelProblem } from './test-kernel.ts';

const usage = `usage: test-kernel [options] -- command argument…
  --kernel uml|host|auto   User Mode Linux, the host's kernel in namespaces of its own, or (default) the first that is there
  --uml-binary FILE        another User Mode Linux than the installed one, with
  --uml-modules DIRECTORY  its modules, in one directory per release
  --mem SIZE               memory of User Mode Linux, default 1G
  --timeout-ms N           default 600000; 0 = none
  --env NAME=VALUE         a variable for the command; may be repeated
Exit status: the command's, or 125 when it could not be run or did not end.
`;

export async function main(): Promise<void> {
  try {
    process.exitCode = await run();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 125;
  }
}

async function run(): Promise<number> {
  const { values, positionals: command } = parseArgs({
    allowPositionals: true,
    options: {
      kernel: { type: 'string', default: 'auto' },
      'uml-binary': { type: 'string' },
      'uml-modules': { type: 'string' },
      mem: { type: 'string' },
      'timeout-ms': { type: 'string' },
      env: { type: 'string', multiple: true },
    },
  });
  if (command.length === 0) throw new TestKernelError(usage);
  const abort = new AbortController();
  // Not `once`: an interrupt may come twice, from the terminal and from the parent, and the second must not cut the clean-up short.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(name, () => abort.abort(new TestKernelError(`ended by ${name}`)));
  const options = {
    command,
    signal: abort.signal,
    env: Object.fromEntries((values.env ?? []).map(assignment)),
    ...(values['timeout-ms'] === undefined ? {} : { timeoutMs: milliseconds(values['timeout-ms']) }),
  };
  const kernel = kernelImage(values['uml-binary'], values['uml-modules']);
  if (kernel === undefined && chooseKernel(values.kernel) === 'host') return await runInHostKernel(options);
  const result = await runInTestKernel({
    ...options,
    ...(values.mem === undefined ? {} : { memory: values.mem }),
    ...(kernel === undefined ? {} : { kernel }),
  });
  return result.status;
}

function kernelImage(binary: string | undefined, modulesDirectory: string | undefined): KernelImage | undefined {
  if (binary === undefined && modulesDirectory === undefined) return undefined;
  if (binary === undefined || modulesDirectory === undefined)
    throw new TestKernelError('--uml-binary and --uml-modules go together');
  return { binary, modulesDirectory };
}

function chooseKernel(asked: string): 'uml' | 'host' {
  if (asked === 'uml' || asked === 'host') return asked;
  if (asked !== 'auto') throw new TestKernelError(`--kernel: "${asked}" is neither uml nor host nor auto`);
  const uml = testKernelProblem();
  if (uml === undefined) return 'uml';
  const host = hostKernelProblem();
  if (host === undefined) return 'host';
  throw new TestKernelError(`no kernel for the test. User Mode Linux: ${uml}. The host's kernel: ${host}.`);
}

function assignment(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new TestKernelError(`--env: "${text}" is not NAME=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function milliseconds(text: string): number {
  if (!/^\d+$/.test(text)) throw new TestKernelError(`--timeout-ms: "${text}" is not a whole number`);
  return Number(text);
}
