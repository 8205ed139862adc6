/**
 * One `run` of a batch. Here is the policy that the addon leaves out: which refusals of the kernel are what was asked for (a missing thing
 * on remove), and what an `ensure` does next.
 */
import type { Operation } from '../operations.ts';
import type { LocalRouteState, SetEntry, SetState } from '../types.ts';
import { Batch } from './batch.ts';
import { RunCode } from './binding.ts';
import { decodeOperation } from './decode.ts';
import { finishEnsures } from './ensure-rounds.ts';
import { absentOperationError, Errno, IPSET_ERR_HASH_FULL, lostError, operationError } from './errno.ts';
import { settleTakenRoutes } from './route-policy.ts';
import { type OpenOperation, type Ran, type RunRecords, textOf } from './run-round.ts';
import {
  type BatchOptions,
  type BatchResult,
  type Cursor,
  type GrownSet,
  type OperationFailure,
  readAll,
} from './session.ts';
import { type Addition, dropOvertaken, startsOf } from './set-order.ts';
import { SetPolicy } from './set-policy.ts';
import { operationText } from './text.ts';
import { Opcode } from './wire.ts';

/** The first is enough unless others fill the set as fast. */
const GROW_ROUNDS = 3;

/** What a run reads of the kernel, where the batch needs it. */
export interface BatchReads {
  sets(): Cursor<SetState>;
  entries(set: string): Cursor<SetEntry>;
  localRoutes(): Cursor<LocalRouteState>;
}

/** One `run`: the first round is the batch itself, later ones only what an `ensure` still has to do. */
export class BatchRun {
  readonly #batch: Batch;
  readonly #run: RunRecords;
  readonly #stats: Int32Array;
  readonly #reads: BatchReads;
  readonly #sets: SetPolicy;
  readonly #growSets: boolean;
  readonly #grown: GrownSet[] = [];
  #messages = 0;
  #roundTrips = 0;
  #micros = 0;

  constructor(batch: Batch, run: RunRecords, stats: Int32Array, reads: BatchReads, options: BatchOptions = {}) {
    this.#batch = batch;
    this.#run = run;
    this.#stats = stats;
    this.#reads = reads;
    this.#growSets = options.growSets ?? true;
    this.#sets = new SetPolicy({
      run: (more) => this.#codesOf(more),
      sets: () => this.#read(() => readAll(reads.sets())),
      entries: (name) => this.#read(() => reads.entries(name)),
    });
  }

  result(): BatchResult {
    const open = this.#first();
    this.#settleSets(open);
    this.#settleRoutes(open);
    finishEnsures(this.#batch, open, (records, length, count) => this.#round(records, length, count));
    if (this.#growSets) this.#growFullSets(open);
    const failures = this.#failures(open);
    return {
      applied: this.#batch.size - failures.length,
      failures,
      messages: this.#messages,
      roundTrips: this.#roundTrips,
      kernelMicros: this.#micros,
      ...(this.#grown.length === 0 ? {} : { grownSets: this.#grown }),
    };
  }

  /** A dump is one message, and at least one round trip. */
  #read<T>(read: () => T): T {
    const start = performance.now();
    try {
      return read();
    } finally {
      this.#messages++;
      this.#roundTrips++;
      this.#micros += Math.round((performance.now() - start) * 1000);
    }
  }

  #round(records: Uint8Array, length: number, count: number): Ran {
    const ran = this.#run(records, length, count);
    this.#messages += this.#stats[0] ?? 0;
    this.#roundTrips += this.#stats[1] ?? 0;
    this.#micros += this.#stats[2] ?? 0;
    return ran;
  }

  #codesOf(more: Batch): readonly number[] {
    const reader = more.reader();
    return more.size === 0 ? [] : [...this.#round(reader.bytes, reader.end, more.size).results];
  }

  /** Runs the batch. What is not simply done, in order. */
  #first(): OpenOperation[] {
    const { size } = this.#batch;
    if (size === 0) return [];
    const reader = this.#batch.reader();
    const open: OpenOperation[] = [];
    let from = 0;
    let start = 0;
    const segment = (end: number, to: number): void => {
      if (to > from) this.#segment(reader.bytes.subarray(start, end), from, to - from, open);
    };
    const cuts = this.#sets.unsettled(this.#batch);
    const places = startsOf(this.#batch, cuts);
    for (const [at, { index, set }] of cuts.entries()) {
      const place = places[at] ?? { start: 0, end: 0 };
      segment(place.start, index);
      const { code, reason } = this.#sets.settle(set);
      if (code !== 0) open.push({ index, code, text: undefined, reason });
      from = index + 1;
      start = place.end;
    }
    segment(reader.end, size);
    if (open.length === 0) return open;
    const undecided: OpenOperation[] = [];
    let at = 0;
    for (let index = 0; reader.next() && at < open.length; index++) {
      const one = open[at];
      if (one === undefined || one.index !== index) continue;
      if (!isSuccess(reader.opcode, one.code)) undecided.push(one);
      at++;
    }
    return undecided;
  }

  /** Runs `count` operations of the batch, of which the first has the index `from`. */
  #segment(records: Uint8Array, from: number, count: number, open: OpenOperation[]): void {
    const { results, texts } = this.#round(records, records.length, count);
    for (let at = 0; at < count; at++) {
      const code = results[at] ?? RunCode.unknown;
      if (code !== 0) open.push({ index: from + at, code, text: textOf(texts, at) });
    }
  }

  /** An ensure-set that was in order when its batch was started, and no longer when it came to it; or whose set is of a strange type. */
  #settleSets(open: readonly OpenOperation[]): void {
    const late = open.filter(({ code, reason }) => code === Errno.EEXIST && reason === undefined);
    if (late.length === 0) return;
    for (const [one, operation] of this.#operationsOf(late)) {
      if (operation.verb !== 'ensure-set') continue;
      const { code, reason } = this.#sets.settle(operation.set);
      one.code = code;
      one.reason = reason;
    }
  }

  /** Additions of local routes that found one in their place: exactly theirs, or somebody else's. */
  #settleRoutes(open: readonly OpenOperation[]): void {
    const refused = open.filter(({ code }) => code === Errno.EEXIST);
    if (refused.length === 0) return;
    const taken = [...this.#operationsOf(refused)].flatMap(([{ index }, operation]) =>
      operation.verb === 'add-local-route' ? [{ index, route: operation.route }] : [],
    );
    if (taken.length === 0) return;
    const kernel = {
      run: (more: Batch) => this.#codesOf(more),
      localRoutes: () => this.#read(() => readAll(this.#reads.localRoutes())),
    };
    const settled = settleTakenRoutes(kernel, this.#batch, taken);
    for (const one of refused) Object.assign(one, settled.get(one.index));
  }

  /** Additions that found their set full: the set is made larger, and they are repeated. */
  #growFullSets(open: readonly OpenOperation[]): void {
    const full = open.filter(({ code }) => code === IPSET_ERR_HASH_FULL);
    if (full.length === 0) return;
    const pending = new Map<string, { one: OpenOperation; operation: Addition }[]>();
    for (const [one, operation] of this.#operationsOf(full)) {
      if (operation.verb !== 'add-entry' || operation.set.type === 'bitmap:port') continue;
      const ofSet = pending.get(operation.set.name);
      if (ofSet === undefined) pending.set(operation.set.name, [{ one, operation }]);
      else ofSet.push({ one, operation });
    }
    dropOvertaken(this.#batch, pending, new Map(open.map(({ index, code }) => [index, code])));
    for (const [name, additions] of pending) this.#growFullSet(name, additions);
  }

  #growFullSet(name: string, additions: readonly { one: OpenOperation; operation: Addition }[]): void {
    let left = additions;
    for (let round = 0; round < GROW_ROUNDS && left.length > 0; round++) {
      const grown = this.#sets.grow(name, left.length, round > 0);
      if (grown === undefined) return;
      if ('to' in grown) this.#grown.push(grown);
      else if (grown.code !== 0) {
        for (const { one } of left) one.reason = `the set is full, and cannot be made larger: ${grown.reason ?? ''}`;
        return;
      }
      const again = new Batch(left.length);
      for (const { operation } of left) again.push(operation);
      const reader = again.reader();
      const { results, texts } = this.#round(reader.bytes, reader.end, again.size);
      for (const [at, { one }] of left.entries()) {
        one.code = results[at] ?? RunCode.unknown;
        one.text = textOf(texts, at);
      }
      left = left.filter(({ one }) => one.code === IPSET_ERR_HASH_FULL);
    }
  }

  *#operationsOf(open: readonly OpenOperation[]): Generator<[OpenOperation, Operation], void, undefined> {
    const reader = this.#batch.reader();
    let at = 0;
    for (let index = 0; at < open.length && reader.next(); index++) {
      const one = open[at];
      if (one === undefined || one.index !== index) continue;
      yield [one, decodeOperation(reader)];
      at++;
    }
  }

  #failures(open: readonly OpenOperation[]): OperationFailure[] {
    const failed = open.filter(({ code }) => code !== 0);
    return [...this.#operationsOf(failed)].map(([one, operation]) => failureOf(one, operation));
  }
}

function failureOf({ index, code, text, reason }: OpenOperation, operation: Operation): OperationFailure {
  const common = { index, operation: operationText(operation) };
  if (code === RunCode.unknown) return { ...common, outcome: 'unknown', error: lostError(operation) };
  const error = code === RunCode.absent ? absentOperationError(operation) : operationError(operation, code, text);
  return { ...common, outcome: 'failed', error: reason === undefined ? error : { ...error, reason } };
}

/** The refusals that are what was asked for. */
function isSuccess(opcode: number, code: number): boolean {
  switch (opcode) {
    case Opcode.removeService:
      return code === Errno.ESRCH;
    case Opcode.removeDestination:
      return code === Errno.ESRCH || code === Errno.ENOENT;
    case Opcode.removeSet:
    case Opcode.removeEntry:
      return code === Errno.ENOENT;
    case Opcode.removeLink:
      return code === Errno.ENODEV;
    case Opcode.removeAddress:
      return code === Errno.ENODEV || code === Errno.EADDRNOTAVAIL;
    case Opcode.removeLocalRoute:
      return code === Errno.ESRCH || code === Errno.ENODEV;
    case Opcode.removeConnection:
      return code === Errno.ENOENT;
    case Opcode.addAddress:
      return code === Errno.EEXIST;
    default:
      return false;
  }
}
