/** `ipvs-proxier run`: the proxier as a service, or, with `--once`, one pass and out. */
import { type Command, InvalidArgumentError as InvalidFlagError } from 'commander';
import type { ProxierOptions } from '../../proxier/options.ts';
import type { Proxier } from '../../proxier/proxier.ts';
import { ExitCode } from '../exit-codes.ts';
import { createLogger } from '../logger.ts';
import { once } from '../once.ts';
import { addProxierFlags, duration, type ProxierFlags, proxierOptions } from '../proxier-flags.ts';
import type { Terminal } from '../terminal.ts';

interface RunFlags extends ProxierFlags {
  readonly once?: true;
  readonly timeout?: number;
  readonly syncPeriod?: number;
  readonly minSyncPeriod?: number;
  readonly drainTimeout?: number;
  readonly ignoreOtherProxiers?: true;
}

const DEFAULT_TIMEOUT_MS = 30_000;

export function addRunCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  addProxierFlags(program.command('run'))
    .description('serve the Services; stopping leaves everything in the kernel, so that traffic goes on')
    .option('--once', 'one pass from the first complete state, leave it in place, print what was done')
    .option(
      '--timeout <duration>',
      'with --once: wait for the first complete state and retry what fails for this long (default: 30s); a first pass ' +
        'at work by then may take as long again, no less than 60s, so that what cannot be written is named',
      duration,
    )
    .option('--sync-period <duration>', 'read the kernel and mend it this often (default: 30s)', duration)
    .option('--min-sync-period <duration>', 'least time between two rounds of changes (default: 0)', duration)
    .option(
      '--drain-timeout <duration>',
      'how long open connections of removed destinations stay (default: 15m)',
      duration,
    )
    .option('--ignore-other-proxiers', 'start although another proxier or kube-proxy is at work here')
    .action(async (flags: RunFlags) => {
      if (flags.timeout !== undefined && flags.once !== true) throw new InvalidFlagError('--timeout needs --once');
      const logger = createLogger(terminal, { format: flags.logFormat, verbose: flags.verbose === true });
      const stopping = new AbortController();
      const forget = terminal.onSignal((name) => {
        logger.info({ signal: name }, 'stopping; the kernel keeps what it has');
        stopping.abort();
      });
      try {
        const options: ProxierOptions = {
          ...(await proxierOptions(flags, terminal)),
          ...(flags.syncPeriod === undefined ? {} : { syncPeriodMs: flags.syncPeriod }),
          ...(flags.minSyncPeriod === undefined ? {} : { minSyncPeriodMs: flags.minSyncPeriod }),
          ...(flags.drainTimeout === undefined ? {} : { drainTimeoutMs: flags.drainTimeout }),
          ignoreOtherProxiers: flags.ignoreOtherProxiers === true,
          logger,
          signal: stopping.signal,
        };
        const { Proxier } = await import('../../proxier/proxier.ts');
        await using proxier = new Proxier(options);
        if (flags.once === true) {
          const timeoutMs = flags.timeout ?? DEFAULT_TIMEOUT_MS;
          exit(await once(proxier, { timeoutMs, stopping: stopping.signal }, terminal));
        } else exit(await serve(proxier, stopping.signal));
      } finally {
        forget();
      }
    });
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
