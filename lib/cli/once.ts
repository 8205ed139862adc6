/** `run --once`: one pass from the first complete state, tried again while something fails. */
import { ProxierError } from '../errors.ts';
import { type Clock, systemClock } from '../proxier/clock.ts';
import type { Proxier, ProxierHandle } from '../proxier/proxier.ts';
import { sumReports } from '../proxier/reports.ts';
import type { SyncReport } from '../reconcile/protocol.ts';
import { ExitCode } from './exit-codes.ts';
import { formatReport } from './format-report.ts';
import { oneLine } from './logger.ts';
import type { Terminal } from './terminal.ts';

export interface OnceOptions {
  /** Bounds the wait for the first complete state, and the retries. A first pass that is at work then is awaited, see `LEAST_PASS_MS`. */
  readonly timeoutMs: number;
  /** Whether it was told to stop. */
  readonly stopping: AbortSignal;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

const RETRY_MS = 500;
/**
 * Once the sources have synced, the first pass may take as long again as the time-out, and no less than this: what it could not write is
 * only known at its end, and a user who is told of a time-out instead knows nothing to mend.
 */
const LEAST_PASS_MS = 60_000;

/** Runs until everything is in the kernel, or the time is up, and prints what was done. Resolves to the exit code; stops nothing. */
export async function once(proxier: Proxier, options: OnceOptions, terminal: Terminal): Promise<number> {
  const { timeoutMs, stopping, clock = systemClock } = options;
  const late = new Delay(clock, timeoutMs);
  try {
    const handle = await firstPass(proxier, late, Math.max(timeoutMs, LEAST_PASS_MS), clock);
    if (handle === undefined) {
      const { reasons = [], waiting = [] } = proxier.health() ?? {};
      const why = [...reasons, ...waiting.map(({ what }) => `waiting for ${what}`)].join('; ');
      terminal.err(`error: not complete within ${timeoutMs} ms: ${oneLine(why)} (ERR_TIMEOUT)\n`);
      return ExitCode.incomplete;
    }
    const report = await retried(handle, late, clock);
    terminal.out(formatReport(report));
    return isServed(report) ? ExitCode.ok : ExitCode.incomplete;
  } catch (error) {
    if (!stopping.aborted) throw error;
    terminal.err('error: stopped before it was complete (ERR_CLOSED)\n');
    return ExitCode.incomplete;
  } finally {
    late.cancel();
  }
}

/** The handle, or undefined when the sources have not synced in time, or a pass that was still at work then fails or takes too long. */
async function firstPass(
  proxier: Proxier,
  late: Delay,
  passMs: number,
  clock: Clock,
): Promise<ProxierHandle | undefined> {
  const running = proxier.run();
  // Who waits no longer need not hear how it ends.
  running.catch(() => {});
  const handle = await Promise.race([running, late.over]);
  if (handle !== undefined || proxier.health()?.sources.every(({ synced }) => synced) !== true) return handle;
  const tooLate = new Delay(clock, passMs);
  const failed = new Promise<undefined>((resolve) => {
    proxier.once('error', () => resolve(undefined));
  });
  try {
    return await Promise.race([running, tooLate.over, failed]);
  } finally {
    tooLate.cancel();
  }
}

/** Everything that is wanted is in the kernel: nothing failed, and nothing was left alone because something else is in its place. */
function isServed({ failures, unknown, contested }: SyncReport): boolean {
  return failures.length === 0 && unknown === 0 && contested === 0;
}

/** Full passes until nothing fails or the time is up. The failures and unknown outcomes of the last one count, the work of all. */
async function retried(handle: ProxierHandle, late: Delay, clock: Clock): Promise<SyncReport> {
  let total = handle.report;
  while ((total.failures.length > 0 || total.unknown > 0) && !late.isOver) {
    const pause = new Delay(clock, RETRY_MS);
    await Promise.race([pause.over, late.over]);
    pause.cancel();
    if (late.isOver) break;
    try {
      const { failures, unknown, ...rest } = await handle.resync();
      total = { ...sumReports(total, { ...rest, failures, unknown }), failures, unknown };
    } catch (error) {
      if (error instanceof ProxierError && error.code === 'ERR_CLOSED') break;
    }
  }
  return total;
}

/** A time that passes, unless it is cancelled. */
class Delay {
  readonly over: Promise<undefined>;
  isOver = false;
  readonly cancel: () => void;

  constructor(clock: Clock, delayMs: number) {
    let resolve = (_nothing: undefined): void => {};
    this.over = new Promise<undefined>((done) => {
      resolve = done;
    });
    this.cancel = clock.after(delayMs, () => {
      this.isOver = true;
      resolve(undefined);
    });
  }
}
