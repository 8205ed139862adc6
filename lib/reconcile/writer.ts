/** Writes changes to the kernel in bounded batches, and takes in the answer of each operation on its own. */
import { type ErrorRecord, InvalidArgumentError, NetlinkError, toErrorRecord } from '../errors.ts';
import { Batch, operationText } from '../kernel/batch.ts';
import type { KernelSession, OperationFailure } from '../kernel/session.ts';
import type { Operation, Verb } from '../operations.ts';
import type { Change } from '../plan/difference.ts';
import type { ObjectId } from '../plan/object-id.ts';
import { guardSetIds, localTwins, setIdOf, tupleSetIds } from '../plan/sets.ts';
import type { AppliedState } from './applied.ts';
import type { FlightRecorder } from './flight-recorder.ts';
import { type ObjectScope, scopeOf } from './object-scope.ts';
import type { RetryQueue } from './retry-queue.ts';
import type { Tally } from './tally.ts';

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
        this.#run(changes.slice(written, Math.min(end, written + chunkSize)), options, progress);
      }
      if (progress.shaken) break;
    }
    const { suspects, refused, unknownSchedulers } = progress;
    const complete = written >= changes.length && suspects.length === 0 && unknownSchedulers.size === 0;
    return { complete, suspects, refused, unknownSchedulers };
  }

  #run(changes: readonly Change[], options: WriteOptions, progress: Progress): void {
    const sent: Change[] = [];
    const batch = new Batch(changes.length);
    for (const change of changes) {
      const error = push(batch, change);
      if (error === undefined) sent.push(change);
      else this.#refuse(change, operationText(change.operation), error, options, progress);
    }
    if (sent.length === 0) return;
    const result = this.#session.run(batch);
    options.tally.tried(
      sent.map(({ operation }) => operation),
      result,
    );
    this.#options.recorder.batch(options.tally.trace, sent, result.failures, options.nowMs);
    const failures = new Map(result.failures.map((failure) => [failure.index, failure]));
    sent.forEach((change, index) => {
      const failure = failures.get(index);
      if (failure === undefined) {
        this.#applied.learn(change.operation);
        this.#retries.cleared(change.object);
      } else {
        this.#wentWrong(change, failure, options, progress);
      }
    });
    if (sent.some(({ operation: { verb } }) => bindVerbs.has(verb) || unbindVerbs.has(verb))) {
      this.#options.bound();
    }
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

/**
 * Where to stop and look at the answers, as end positions: after the virtual services (one may turn out to be somebody else's, whom our source
 * ranges must not restrict), after their source ranges, before anything is exempt from SNAT (what needed it has drained by then), between the
 * tuples that come and those that go (they may be of the same virtual service), before addresses are bound (they must be protected by then),
 * before what is bound in the other way is unbound (it may be the same VIPs), before the entries that tell whose a virtual service is are
 * removed, before source ranges are (no firewall entry refers to them by then).
 */
function stageEnds(changes: readonly Change[]): number[] {
  const guarded = changes.findIndex(({ operation }) => operation.verb === 'add-entry' && guards(operation.set.name));
  const opens = changes.findIndex(
    ({ operation }) =>
      operation.verb.endsWith('-destination') || (operation.verb === 'add-entry' && !guards(operation.set.name)),
  );
  const binds = changes.findIndex(({ operation }) => bindVerbs.has(operation.verb));
  const ended = changes.findLastIndex(
    ({ operation }) => operation.verb === 'remove-service' || unbindVerbs.has(operation.verb),
  );
  const drained = changes.findLastIndex(({ operation }) => drains(operation));
  const exempts = drained >= 0 && changes.slice(drained + 1).some(({ operation }) => endsSnat(operation));
  const tupled = changes.findLastIndex(
    ({ operation }) => operation.verb === 'add-entry' && isTuple(operation.set.name),
  );
  const untuples = changes
    .slice(tupled + 1)
    .some(({ operation }) => operation.verb === 'remove-entry' && isTuple(operation.set.name));
  const unlisted = changes.findIndex(
    ({ operation }) => operation.verb === 'remove-entry' && isRange(operation.set.name),
  );
  const moved: Verb = changes[binds]?.operation.verb === 'add-address' ? 'remove-local-route' : 'remove-address';
  const moves = binds < 0 ? -1 : changes.findIndex(({ operation }) => operation.verb === moved);
  const ends = [
    guarded,
    opens,
    exempts ? drained + 1 : 0,
    untuples ? tupled + 1 : 0,
    binds,
    moves,
    ended + 1,
    unlisted,
    changes.length,
  ].filter((end) => end > 0);
  return [...new Set(ends)].sort((a, b) => a - b);
}

const bindVerbs: ReadonlySet<Verb> = new Set<Verb>(['add-address', 'add-local-route']);
const unbindVerbs: ReadonlySet<Verb> = new Set<Verb>(['remove-address', 'remove-local-route']);

function guards(set: string): boolean {
  const id = setIdOf(set)?.id;
  return id !== undefined && guardSetIds.includes(id);
}

function isRange(set: string): boolean {
  return guards(set) && setIdOf(set)?.id !== 'LOAD-BALANCER-FW';
}

function isTuple(set: string): boolean {
  const id = setIdOf(set)?.id;
  return id !== undefined && tupleSetIds.includes(id);
}

/** What it speaks of keeps its clients' addresses from then on. */
function endsSnat(operation: Operation): boolean {
  if (operation.verb !== 'add-entry' && operation.verb !== 'remove-entry') return false;
  const id = setIdOf(operation.set.name)?.id;
  if (id === undefined) return false;
  if (operation.verb === 'remove-entry') return id === 'EXTERNAL-IP';
  return id === 'EXTERNAL-IP-LOCAL' || localTwins.has(id);
}

/** A destination that is to get no new connections. */
function drains(operation: Operation): boolean {
  if (operation.verb === 'remove-destination') return true;
  return operation.verb === 'update-destination' && operation.destination.weight === 0;
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
