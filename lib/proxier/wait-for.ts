/** Waiting for a revision, with a limit. */
import { InvalidArgumentError, ProxierError } from '../errors.ts';
import type { SyncFailure } from '../reconcile/protocol.ts';
import type { Clock } from './clock.ts';
import { untilAborted } from './until-aborted.ts';

/** How long something is waited for. */
export interface WaitOptions {
  /** The longest wait, in ms; then ERR_TIMEOUT. Default 30,000. 0: it must be so already. */
  readonly timeoutMs?: number;
  /** Calls it off: it rejects with ERR_CLOSED. */
  readonly signal?: AbortSignal;
}

/** How it stands once everything up to a revision has been tried. */
export interface TriedRevision {
  /** Everything that was handed in up to here has been tried; not less than what was waited for. */
  readonly revision: number;
  /**
   * Every kernel object whose last operation failed, with the reason and when it is tried again; empty = the kernel has it all. They are those of
   * the whole node: a kernel object may be wanted by several changes, old and new.
   */
  readonly failures: readonly SyncFailure[];
}

export interface RevisionSource {
  readonly clock: Clock;
  /** Highest revision handed in. */
  readonly revision: number;
  /** Resolves when everything up to the revision has been tried; forgets it when the signal aborts. */
  wait(revision: number, signal: AbortSignal): Promise<void>;
  tried(): TriedRevision;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/** @throws InvalidArgumentError timeoutMs, signal. */
export function checkWaitOptions({ timeoutMs, signal }: WaitOptions): void {
  if (timeoutMs !== undefined && (!Number.isInteger(timeoutMs) || timeoutMs < 0)) {
    throw new InvalidArgumentError('timeoutMs', `${String(timeoutMs)} is not a whole number from 0`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal', 'is no AbortSignal');
  }
}

/**
 * @throws InvalidArgumentError revision, timeoutMs, signal. ProxierError ERR_TIMEOUT, ERR_CLOSED, or what keeps the reconciler from being told.
 */
export async function waitForRevision(
  source: RevisionSource,
  revision: number,
  options: WaitOptions,
): Promise<TriedRevision> {
  checkWaitOptions(options);
  if (!Number.isInteger(revision) || revision < 0) {
    throw new InvalidArgumentError('revision', `${String(revision)} is not a whole number from 0`);
  }
  if (revision > source.revision) {
    const highest = `has not been handed in, the highest is ${source.revision}`;
    throw new InvalidArgumentError('revision', `${revision} ${highest}; it is the handle's, not a resourceVersion`);
  }
  const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const ended = new AbortController();
  let cancel = (): void => {};
  const late = new Promise<never>((_resolve, reject) => {
    cancel = source.clock.after(timeoutMs, () => reject(lateError(source, revision, timeoutMs)));
  });
  try {
    const done = Promise.race([source.wait(revision, ended.signal), late]);
    await (signal === undefined ? done : untilAborted(done, signal, `waiting for revision ${revision}`));
    return source.tried();
  } finally {
    cancel();
    ended.abort();
  }
}

function lateError(source: RevisionSource, revision: number, timeoutMs: number): ProxierError {
  const tried = `everything up to ${source.tried().revision} has been`;
  return new ProxierError('ERR_TIMEOUT', `revision ${revision} was not tried within ${timeoutMs} ms; ${tried}`);
}
