/**
 * One `run` of a batch. Here is the policy that the addon leaves out: which refusals of the kernel are what was asked for (a missing thing
 * on remove), and what an `ensure` does next (an update).
 */
import type { Operation } from '../operations.ts';
import type { LocalRouteState, SetEntry, SetState } from '../types.ts';
import { Batch } from './batch.ts';
import { RunCode } from './binding.ts';
import { decodeOperation } from './decode.ts';
import { absentOperationError, Errno, IPSET_ERR_HASH_FULL, lostError, operationError } from './errno.ts';
import { settleTakenRoutes } from './route-policy.ts';
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
import { objectText, operationText, serviceKeyText } from './text.ts';
import { HEADER_BYTES, Opcode, RecordWriter } from './wire.ts';

/** An object can come and go between create and update only as often as somebody else writes; then the failure is the answer. */
const ENSURE_ROUNDS = 4;
/** The first is enough unless others fill the set as fast. */
const GROW_ROUNDS = 3;

/** What the addon said of one round. */
export interface Ran {
  /** Good until the next run. */
  readonly results: Int32Array;
  readonly texts: readonly (number | string)[] | undefined;
}

/** Runs `count` records; the statistics of the round are in the array given with it. */
export type RunRecords = (records: Uint8Array, length: number, count: number) => Ran;

/** What a run reads of the kernel, where the batch needs it. */
export interface BatchReads {
  sets(): Cursor<SetState>;
  entries(set: string): Cursor<SetEntry>;
  localRoutes(): Cursor<LocalRouteState>;
}

/** Operations that the first round left undecided, and what became of them since. */
interface Open {
  readonly index: number;
  code: number;
  text: string | undefined;
  /** Why, where this side knows more than the code says. */
  reason?: string | undefined;
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
    this.#finishEnsures(open);
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
  #first(): Open[] {
    const { size } = this.#batch;
    if (size === 0) return [];
    const reader = this.#batch.reader();
    const open: Open[] = [];
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
    const undecided: Open[] = [];
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
  #segment(records: Uint8Array, from: number, count: number, open: Open[]): void {
    const { results, texts } = this.#round(records, records.length, count);
    for (let at = 0; at < count; at++) {
      const code = results[at] ?? RunCode.unknown;
      if (code !== 0) open.push({ index: from + at, code, text: textOf(texts, at) });
    }
  }

  /** An ensure-set that was in order when its batch was started, and no longer when it came to it; or whose set is of a strange type. */
  #settleSets(open: readonly Open[]): void {
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
  #settleRoutes(open: readonly Open[]): void {
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
  #growFullSets(open: readonly Open[]): void {
    const full = open.filter(({ code }) => code === IPSET_ERR_HASH_FULL);
    if (full.length === 0) return;
    const pending = new Map<string, { one: Open; operation: Addition }[]>();
    for (const [one, operation] of this.#operationsOf(full)) {
      if (operation.verb !== 'add-entry' || operation.set.type === 'bitmap:port') continue;
      const ofSet = pending.get(operation.set.name);
      if (ofSet === undefined) pending.set(operation.set.name, [{ one, operation }]);
      else ofSet.push({ one, operation });
    }
    dropOvertaken(this.#batch, pending);
    for (const [name, additions] of pending) this.#growFullSet(name, additions);
  }

  #growFullSet(name: string, additions: readonly { one: Open; operation: Addition }[]): void {
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

  *#operationsOf(open: readonly Open[]): Generator<[Open, Operation], void, undefined> {
    const reader = this.#batch.reader();
    let at = 0;
    for (let index = 0; at < open.length && reader.next(); index++) {
      const one = open[at];
      if (one === undefined || one.index !== index) continue;
      yield [one, decodeOperation(reader)];
      at++;
    }
  }

  /** EEXIST of an `ensure` becomes an update; an update that finds nothing a create again. */
  #finishEnsures(open: readonly Open[]): void {
    if (!open.some(({ code }) => code === Errno.EEXIST)) return;
    const records = recordsOf(this.#batch, open);
    const refused = open.filter((one) => one.code === Errno.EEXIST && isEnsure(records.get(one.index)?.opcode ?? 0));
    let pending = this.#withoutSuperseded(refused);
    for (let round = 0; round < ENSURE_ROUNDS && pending.length > 0; round++) {
      const update = round % 2 === 0;
      const writer = new RecordWriter();
      for (const { index } of pending) {
        const record = records.get(index);
        if (record === undefined) throw new RangeError('unreachable: every open operation has a record');
        appendRecord(writer, record.bytes, update ? updateOpcode(record.opcode) : record.opcode);
      }
      const { results, texts } = this.#round(writer.bytes, writer.length, pending.length);
      for (const [at, one] of pending.entries()) {
        one.code = results[at] ?? RunCode.unknown;
        one.text = textOf(texts, at);
      }
      pending = pending.filter((one) => {
        if (!update) return one.code === Errno.EEXIST;
        const service = records.get(one.index)?.opcode === Opcode.ensureService;
        return one.code === (service ? Errno.ESRCH : Errno.ENOENT);
      });
    }
  }

  /**
   * An update made now comes after the whole batch. Where a later operation of it is about the same object, that one has had the last word
   * already, and the object is as the batch wants it.
   */
  #withoutSuperseded(ensures: readonly Open[]): Open[] {
    if (ensures.length === 0) return [];
    const lastWord = new Map<string, number>();
    let flushed = -1;
    const objects = new Map<number, readonly [object: string, service: string]>();
    const wanted = new Set(ensures.map(({ index }) => index));
    let index = 0;
    for (const operation of this.#batch) {
      const object = objectText(operation);
      // To zero an object says nothing of what it is.
      if (operation.verb !== 'zero-service') lastWord.set(object, index);
      if (operation.verb === 'remove-service') lastWord.set(`under ${object}`, index);
      if (operation.verb === 'flush-services') flushed = index;
      if (wanted.has(index)) objects.set(index, [object, 'key' in operation ? serviceKeyText(operation.key) : '']);
      index++;
    }
    return ensures.filter((one) => {
      const [object = '', service = ''] = objects.get(one.index) ?? [];
      const superseded =
        Math.max(lastWord.get(object) ?? -1, lastWord.get(`under ${service}`) ?? -1, flushed) > one.index;
      if (superseded) one.code = 0;
      return !superseded;
    });
  }

  #failures(open: readonly Open[]): OperationFailure[] {
    const failed = open.filter(({ code }) => code !== 0);
    return [...this.#operationsOf(failed)].map(([one, operation]) => failureOf(one, operation));
  }
}

function failureOf({ index, code, text, reason }: Open, operation: Operation): OperationFailure {
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

function isEnsure(opcode: number): boolean {
  return opcode === Opcode.ensureService || opcode === Opcode.ensureDestination;
}

function updateOpcode(opcode: number): number {
  return opcode === Opcode.ensureService ? Opcode.updateService : Opcode.updateDestination;
}

function textOf(texts: readonly (number | string)[] | undefined, index: number): string | undefined {
  const at = texts?.indexOf(index) ?? -1;
  const text = texts?.[at + 1];
  return at >= 0 && typeof text === 'string' ? text : undefined;
}

interface RecordCopy {
  readonly opcode: number;
  readonly bytes: Uint8Array;
}

function recordsOf(batch: Batch, open: readonly Open[]): Map<number, RecordCopy> {
  const wanted = new Set(open.map(({ index }) => index));
  const records = new Map<number, RecordCopy>();
  const reader = batch.reader();
  for (let index = 0; reader.next(); index++) {
    if (!wanted.has(index)) continue;
    const bytes = reader.bytes.subarray(reader.start, reader.start + reader.length);
    records.set(index, { opcode: reader.opcode, bytes });
  }
  return records;
}

function appendRecord(writer: RecordWriter, record: Uint8Array, opcode: number): void {
  writer.begin(opcode);
  writer.bytes.set(record.subarray(HEADER_BYTES), writer.at);
  writer.at += record.length - HEADER_BYTES;
  writer.commit();
}
