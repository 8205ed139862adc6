/** Writes changes to the kernel in bounded batches, and takes in the answer of each operation on its own. */
import { type ErrorRecord, InvalidArgumentError, NetlinkError, toErrorRecord } from '../errors.ts';
import { Batch, operationText } from '../kernel/batch.ts';
import type { KernelSession, OperationFailure } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import type { Change } from '../plan/change.ts';
import type { ObjectId } from '../plan/object-id.ts';
import type { AppliedState } from './applied.ts';
import type { FlightRecorder } from './flight-recorder.ts';
import { type ObjectScope, scopeOf } from './object-scope.ts';
import type { RetryQueue } from './retry-queue.ts';
import type { Tally } from './tally.ts';
import { binds, drains, stageEnds } from './write-stages.ts';

/** Operations of one batch at most: then the answers are taken in. */
const chunkSize = 1000;

/** Refusals that say the kernel does not hold what we believed it to: worth a look before they count as failures. */
const surprises: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'EEXIST']);

export interface WriterOptions {
  /** The proxier's own scheduler: one that cannot be done without. */
  readonly scheduler: string;
  /** Called after each batch in which VIPs were bound or unbound: the kernel has told everybody who listens. */
  bound(): void;
  /** Is told of each batch and its answers. */
  readonly recorder: FlightRecorder;
}

export interface WriteOptions {
  readonly nowMs: number;
  readonly tally: Tally;
  /** Objects read back in this pass already: what goes wrong with them now is a failure. Grows. */
  readonly suspected: Set<ObjectId>;
}

export interface WriteOutcome {
  /** Everything was tried. Otherwise what is left has to be compared again, because what it relies on was refused or is unknown. */
  readonly complete: boolean;
  /** To be read back before anything else is written. */
  readonly suspects: readonly ObjectScope[];
  /** Objects that were refused and wait for their next try. */
  readonly refused: ReadonlySet<ObjectId>;
  /** Schedulers of single Services that the kernel does not have: what asks for them was not written. */
  readonly unknownSchedulers: ReadonlySet<string>;
}

interface Progress {
  readonly suspects: ObjectScope[];
  readonly refused: Set<ObjectId>;
  readonly unknownSchedulers: Set<string>;
  /** Something went wrong that others rely on. */
  shaken: boolean;
}

export class Writer {
  readonly #session: KernelSession;
  readonly #applied: AppliedState;
  readonly #retries: RetryQueue;
  readonly #options: WriterOptions;
  /** One for all, since fresh memory for each of very many operations would cost more than to encode them. */
  readonly #batch = new Batch();

  constructor(session: KernelSession, applied: AppliedState, retries: RetryQueue, options: WriterOptions) {
    this.#session = session;
    this.#applied = applied;
    this.#retries = retries;
    this.#options = options;
  }

  /** Stops after the stage in which something went wrong that later stages rely on. */
  write(changes: readonly Change[], options: WriteOptions): WriteOutcome {
    this.#options.recorder.round(options.tally.trace);
    const progress: Progress = { suspects: [], refused: new Set(), unknownSchedulers: new Set(), shaken: false };
    let written = 0;
    for (const end of stageEnds(changes)) {
      for (; written < end; written = Math.min(end, written + chunkSize)) {
        this.#run(changes, written, Math.min(end, written + chunkSize), options, progress);
      }
      if (progress.shaken) break;
    }
    const { suspects, refused, unknownSchedulers } = progress;
    const complete = written >= changes.length && suspects.length === 0 && unknownSchedulers.size === 0;
    return { complete, suspects, refused, unknownSchedulers };
  }

  /** Those from `from` to `end`. */
  #run(changes: readonly Change[], from: number, end: number, options: WriteOptions, progress: Progress): void {
    const batch = this.#batch.clear();
    const { tally } = options;
    /** Positions of those that could not be encoded, in order. */
    let bad: number[] | undefined;
    let bound = false;
    for (let at = from; at < end; at += 1) {
      const change = changes[at];
      if (change === undefined) continue;
      const error = push(batch, change);
      if (error !== undefined) {
        bad = [...(bad ?? []), at];
        this.#refuse(change, operationText(change.operation), error, options, progress);
        continue;
      }
      const { verb } = change.operation;
      tally.count(verb);
      bound ||= binds(verb);
    }
    if (batch.size === 0) return;
    const result = this.#session.run(batch);
    tally.tried(result);
    const { failures } = result;
    const all = from === 0 && end === changes.length ? changes : changes.slice(from, end);
    const sent = bad === undefined ? all : all.filter((_, at) => !bad.includes(from + at));
    this.#options.recorder.batch(tally.trace, sent, failures, options.nowMs);
    let index = -1;
    let failed = 0;
    for (let at = from; at < end; at += 1) {
      const change = changes[at];
      if (change === undefined || bad?.includes(at)) continue;
      index += 1;
      const failure = failures[failed];
      if (failure === undefined || failure.index !== index) {
        this.#applied.learn(change);
        if (this.#retries.size > 0) this.#retries.cleared(change.object);
      } else {
        failed += 1;
        this.#wentWrong(change, failure, options, progress);
      }
    }
    if (bound) this.#options.bound();
  }

  #wentWrong(change: Change, failure: OperationFailure, options: WriteOptions, progress: Progress): void {
    const scheduler = unknownScheduler(change.operation, failure);
    if (scheduler !== undefined && scheduler !== this.#options.scheduler) {
      progress.unknownSchedulers.add(scheduler);
      progress.shaken = true;
      return;
    }
    const isUnknown = failure.outcome === 'unknown';
    const wasSuspected = options.suspected.has(change.object);
    if (isUnknown) this.#applied.learnUnknown(change.operation);
    if (isUnknown || surprises.has(failure.error.errnoName)) {
      options.suspected.add(change.object);
      if (isUnknown || !wasSuspected) {
        progress.suspects.push(scopeOf(change.operation));
        progress.shaken = true;
      }
      if (!wasSuspected) return;
    }
    this.#refuse(change, failure.operation, errorOf(failure), options, progress);
  }

  #refuse(change: Change, text: string, error: ErrorRecord, options: WriteOptions, progress: Progress): void {
    const { operation, object } = change;
    progress.refused.add(object);
    if (!operation.verb.endsWith('-destination') || drains(operation)) progress.shaken = true;
    options.tally.failures.push(this.#retries.failed(object, scopeOf(operation), text, error, options.nowMs));
  }
}

/** ENOENT of a virtual service is about its scheduler: one that is not there itself is ESRCH (ip_vs_genl_set_cmd). */
function unknownScheduler(operation: Operation, { outcome, error }: OperationFailure): string | undefined {
  if (operation.verb !== 'create-service' && operation.verb !== 'update-service') return undefined;
  return outcome === 'failed' && error.errnoName === 'ENOENT' ? operation.service.scheduler : undefined;
}

/** A value that cannot even be encoded harms its own operation only. */
function push(batch: Batch, { operation }: Change): ErrorRecord | undefined {
  try {
    batch.push(operation);
    return undefined;
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    return toErrorRecord(error);
  }
}

export function errorOf({ outcome, error }: Pick<OperationFailure, 'outcome' | 'error'>): ErrorRecord {
  if (outcome === 'unknown') return toErrorRecord(new NetlinkError('ERR_NETLINK_LOST', error));
  return toErrorRecord(new NetlinkError(error.errnoName === 'EPERM' ? 'ERR_PERMISSION' : 'ERR_NETLINK', error));
}
