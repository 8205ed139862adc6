/** `ipvs-proxier run`: the proxier as a service, or, with `--once`, one pass and out. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError as InvalidFlagError } from 'commander';
import { ProxierError } from '../../errors.ts';
import type { ProxierOptions } from '../../proxier/options.ts';
import type { Proxier, ProxierHandle } from '../../proxier/proxier.ts';
import { sumReports } from '../../proxier/reports.ts';
import type { SyncReport } from '../../reconcile/protocol.ts';
import { ExitCode } from '../exit-codes.ts';
import { formatReport } from '../format-report.ts';
import { createLogger, oneLine } from '../logger.ts';
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
const RETRY_MS = 500;

export function addRunCommand(program: Command, terminal: Terminal, exit: (code: number) => void): void {
  addProxierFlags(program.command('run'))
    .description('serve the Services; stopping leaves everything in the kernel, so that traffic goes on')
    .option('--once', 'one pass from the first complete state, leave it in place, print what was done')
    .option('--timeout <duration>', 'with --once: retry what fails for this long (default: 30s)', duration)
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
        if (flags.once === true)
          exit(await once(proxier, flags.timeout ?? DEFAULT_TIMEOUT_MS, stopping.signal, terminal));
        else exit(await serve(proxier, stopping.signal));
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

async function once(proxier: Proxier, timeoutMs: number, stopping: AbortSignal, terminal: Terminal): Promise<number> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), timeoutMs);
  const tooLate = new Promise<undefined>((resolve) => {
    late.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const running = proxier.run();
  try {
    const handle = await Promise.race([running, tooLate]);
    if (handle === undefined) {
      running.catch(() => {});
      const { reasons = [], waiting = [] } = proxier.health() ?? {};
      const why = [...reasons, ...waiting.map(({ what }) => `waiting for ${what}`)].join('; ');
      terminal.err(`error: not complete within ${timeoutMs} ms: ${oneLine(why)} (ERR_TIMEOUT)\n`);
      return ExitCode.incomplete;
    }
    const report = await retried(handle, late.signal);
    terminal.out(formatReport(report));
    return report.failures.length === 0 && report.unknown === 0 ? ExitCode.ok : ExitCode.incomplete;
  } catch (error) {
    if (!stopping.aborted) throw error;
    terminal.err('error: stopped before it was complete (ERR_CLOSED)\n');
    return ExitCode.incomplete;
  } finally {
    clearTimeout(timer);
  }
}

/** Full passes until nothing fails or the time is up. The failures and unknown outcomes of the last one count, the work of all. */
async function retried(handle: ProxierHandle, deadline: AbortSignal): Promise<SyncReport> {
  let total = handle.report;
  while ((total.failures.length > 0 || total.unknown > 0) && !deadline.aborted) {
    await sleep(RETRY_MS, undefined, { signal: deadline }).catch(() => {});
    if (deadline.aborted) break;
    try {
      const { failures, unknown, ...rest } = await handle.resync();
      total = { ...sumReports(total, { ...rest, failures, unknown }), failures, unknown };
    } catch (error) {
      if (error instanceof ProxierError && error.code === 'ERR_CLOSED') break;
    }
  }
  return total;
}
