/** `ipvs-proxier status`: what a running proxier says of itself; without one, what the kernel has. */
import { type Command, InvalidArgumentError as InvalidFlagError } from 'commander';
import { errorText } from '../error-text.ts';
import { ExitCode } from '../exit-codes.ts';
import type { Terminal } from '../terminal.ts';
import { socketHelp } from './explain.ts';

interface StatusFlags {
  readonly socket?: string;
  readonly kernel?: true;
  readonly limit?: number;
  readonly json?: true;
}

export function addStatusCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  program
    .command('status')
    .description(
      "ask the proxier that runs here how everything stands; without one, show the kernel's virtual services, destinations, sets and bound addresses. Changes nothing",
    )
    .option('--kernel', 'the tables of the kernel, also while a proxier runs')
    .option('--socket <path>', socketHelp)
    .option('--limit <count>', 'how much of what is not applied is listed (default: 100)', wholeNumber)
    .option('--json', 'as JSON')
    .option('-v, --verbose', 'stacks of errors')
    .action(async (flags: StatusFlags) => {
      if (flags.kernel === true && flags.socket !== undefined) {
        throw new InvalidFlagError('--kernel and --socket cannot be given together');
      }
      exit(
        (flags.kernel === true ? undefined : await proxierStatus(flags, terminal)) ??
          (await kernelStatus(flags, terminal)),
      );
    });
}

/** The exit code; undefined: there is no proxier that can be asked, and the kernel tells what there is. */
async function proxierStatus(flags: StatusFlags, terminal: Terminal): Promise<number | undefined> {
  const [{ askProxier, findProxier }, { saidError, saidStatus }, { formatProxierStatus }] = await Promise.all([
    import('../ask-proxier.ts'),
    import('../answer-schemas.ts'),
    import('../format-proxier.ts'),
  ]);
  let body: unknown;
  try {
    const proxier = await findProxier(flags);
    if (proxier === undefined) return undefined;
    ({ body } = await askProxier(proxier, `/status${flags.limit === undefined ? '' : `?limit=${flags.limit}`}`));
    const trouble = saidError(body);
    if (trouble !== undefined && !hasHealth(body)) throw new Error(`the proxier cannot answer: ${trouble}`);
  } catch (error) {
    if (flags.socket !== undefined) throw error;
    terminal.err(`${errorText(error, false).replace(/^error/, 'warning')}`);
    return undefined;
  }
  const status = saidStatus(body);
  terminal.out(flags.json === true ? `${JSON.stringify(body, undefined, 2)}\n` : formatProxierStatus(status));
  const { failing = 0, contested = 0 } = status.reconciler?.objects ?? {};
  return status.health.healthy && failing + contested === 0 ? ExitCode.ok : ExitCode.incomplete;
}

function hasHealth(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'health' in body;
}

async function kernelStatus(flags: StatusFlags, terminal: Terminal): Promise<number> {
  // Loaded on use, as in the other commands: help and usage errors answer at once.
  const [{ openKernel }, { readStatus }, { formatStatus }] = await Promise.all([
    import('../../kernel/index.ts'),
    import('../read-status.ts'),
    import('../format-status.ts'),
  ]);
  await using kernel = await openKernel({ thread: 'inline' });
  const status = await readStatus(kernel);
  terminal.out(flags.json === true ? `${JSON.stringify(status, undefined, 2)}\n` : formatStatus(status));
  return ExitCode.ok;
}

function wholeNumber(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 10_000) return Number(text);
  throw new InvalidFlagError('Not a whole number from 0 to 10000.');
}
