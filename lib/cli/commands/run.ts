/** `ipvs-proxier run`: the proxier as a service, or, with `--once`, one pass and out. */
import { type Command, InvalidArgumentError as InvalidFlagError, Option } from 'commander';
import type { Proxier } from '../../proxier/proxier.ts';
import { ExitCode } from '../exit-codes.ts';
import { oneLine } from '../logger.ts';
import { once } from '../once.ts';
import { setOomScore } from '../oom-score.ts';
import { type Asked, asked, checkedAsGiven, proxierOptions } from '../proxier-options.ts';
import { addSettings } from '../settings/flags.ts';
import type { Terminal } from '../terminal.ts';
import { runCleanup } from './cleanup.ts';
import { configHelp, duration } from './plan.ts';

interface RunFlags {
  readonly config?: string;
  readonly once?: true;
  readonly timeout?: number;
  readonly initOnly?: true;
  readonly cleanup?: true;
}

const DEFAULT_TIMEOUT_MS = 30_000;

export function addRunCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  const command = program
    .command('run')
    .description('serve the Services; stopping leaves everything in the kernel, so that traffic goes on')
    .option('--config <file>', configHelp)
    .option('--once', 'one pass from the first complete state, leave it in place, print what was done')
    .option(
      '--timeout <duration>',
      'with --once: wait for the first complete state and retry what fails for this long (default: 30s); a first pass ' +
        'at work by then may take as long again, no less than 60s, so that what cannot be written is named',
      duration,
    )
    .addOption(
      new Option('--init-only', 'set what needs full privileges (modules, sysctls, time-outs), and exit').conflicts(
        'once',
      ),
    )
    .addOption(new Option('--cleanup', 'the same as the command cleanup').conflicts(['once', 'initOnly']));
  const given = addSettings(command);
  command.action(async (flags: RunFlags) => {
    if (flags.timeout !== undefined && flags.once !== true) throw new InvalidFlagError('--timeout needs --once');
    const what = await asked(given, flags.config, terminal);
    if (flags.cleanup === true) exit(await cleanupAsAsked(what, terminal));
    else if (flags.initOnly === true) exit(await initialize(what, terminal));
    else exit(await run(what, flags, terminal));
  });
}

async function run(what: Asked, flags: RunFlags, terminal: Terminal): Promise<number> {
  const { logger, oomScoreAdj } = what;
  const options = await proxierOptions(what, terminal);
  const stopping = new AbortController();
  const forget = terminal.onSignal((name) => {
    logger.info({ signal: name }, 'stopping; the kernel keeps what it has');
    stopping.abort();
  });
  try {
    if (oomScoreAdj !== undefined) await setOomScore(oomScoreAdj, logger);
    const { Proxier } = await import('../../proxier/proxier.ts');
    await using proxier = new Proxier({ ...options, signal: stopping.signal });
    if (flags.once !== true) return await serve(proxier, stopping.signal);
    const timeoutMs = flags.timeout ?? DEFAULT_TIMEOUT_MS;
    return await once(proxier, { timeoutMs, stopping: stopping.signal }, terminal);
  } finally {
    forget();
  }
}

async function serve(proxier: Proxier, stopping: AbortSignal): Promise<number> {
  try {
    const handle = await proxier.run();
    await handle.finished;
  } catch (error) {
    if (!stopping.aborted) throw error;
  }
  return ExitCode.ok;
}

function cleanupAsAsked({ settings, logger }: Asked, terminal: Terminal): Promise<number> {
  const { ignoreOtherProxiers = false } = settings;
  return runCleanup({ ignoreOtherProxiers, logger }, terminal);
}

async function initialize(what: Asked, terminal: Terminal): Promise<number> {
  const { initializeHost } = await import('../../proxier/initialize-host.ts');
  const { written, failures, advice } = await checkedAsGiven(what, () => initializeHost(what.settings));
  for (const line of written) terminal.out(`${oneLine(line)}\n`);
  for (const { object, error } of failures)
    terminal.out(`failed: ${oneLine(`${object}: ${error.message} (${error.code})`)}\n`);
  for (const [object, message] of advice) what.logger.warn({ object }, message);
  if (written.length + failures.length === 0) terminal.out('nothing to set\n');
  return failures.length === 0 ? ExitCode.ok : ExitCode.incomplete;
}
