/** `run --once`: one pass from the first complete state, tried again while something fails. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProxierError } from '../errors.ts';
import type { Proxier, ProxierHandle } from '../proxier/proxier.ts';
import { sumReports } from '../proxier/reports.ts';
import type { SyncReport } from '../reconcile/protocol.ts';
import { ExitCode } from './exit-codes.ts';
import { formatReport } from './format-report.ts';
import { oneLine } from './logger.ts';
import type { Terminal } from './terminal.ts';

const RETRY_MS = 500;

/** Runs until everything is in the kernel, or the time is up, and prints what was done. Resolves to the exit code; stops nothing. */
export async function once(
  proxier: Proxier,
  timeoutMs: number,
  stopping: AbortSignal,
  terminal: Terminal,
): Promise<number> {
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
    return isServed(report) ? ExitCode.ok : ExitCode.incomplete;
  } catch (error) {
    if (!stopping.aborted) throw error;
    terminal.err('error: stopped before it was complete (ERR_CLOSED)\n');
    return ExitCode.incomplete;
  } finally {
    clearTimeout(timer);
  }
}

/** Everything that is wanted is in the kernel: nothing failed, and nothing was left alone because something else is in its place. */
function isServed({ failures, unknown, contested }: SyncReport): boolean {
  return failures.length === 0 && unknown === 0 && contested === 0;
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
