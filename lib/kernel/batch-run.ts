/**
 * One `run` of a batch. Here is the policy that the addon leaves out: which refusals of the kernel are what was asked for (a missing thing
 * on remove), and what an `ensure` does next (an update).
 */
import type { Operation } from '../operations.ts';
import type { Batch } from './batch.ts';
import { RunCode } from './binding.ts';
import { decodeOperation } from './decode.ts';
import { absentOperationError, Errno, lostError, operationError } from './errno.ts';
import type { BatchResult, OperationFailure } from './session.ts';
import { objectText, operationText, serviceKeyText } from './text.ts';
import { HEADER_BYTES, Opcode, RecordWriter } from './wire.ts';

/** An object can come and go between create and update only as often as somebody else writes; then the failure is the answer. */
const ENSURE_ROUNDS = 4;

/** What the addon said of one round. */
export interface Ran {
  /** Good until the next run. */
  readonly results: Int32Array;
  readonly texts: readonly (number | string)[] | undefined;
}

/** Runs `count` records; the statistics of the round are in the array given with it. */
export type RunRecords = (records: Uint8Array, length: number, count: number) => Ran;

/** Operations that the first round left undecided, and what became of them since. */
interface Open {
  readonly index: number;
  code: number;
  text: string | undefined;
}

/** One `run`: the first round is the batch itself, later ones only what an `ensure` still has to do. */
export class BatchRun {
  readonly #batch: Batch;
  readonly #run: RunRecords;
  readonly #stats: Int32Array;
  #messages = 0;
  #roundTrips = 0;
  #micros = 0;

  constructor(batch: Batch, run: RunRecords, stats: Int32Array) {
    this.#batch = batch;
    this.#run = run;
    this.#stats = stats;
  }

  result(): BatchResult {
    const open = this.#first();
    this.#finishEnsures(open);
    const failures = this.#failures(open);
    return {
      applied: this.#batch.size - failures.length,
      failures,
      messages: this.#messages,
      roundTrips: this.#roundTrips,
      kernelMicros: this.#micros,
    };
  }

  #round(records: Uint8Array, length: number, count: number): Ran {
    const ran = this.#run(records, length, count);
    this.#messages += this.#stats[0] ?? 0;
    this.#roundTrips += this.#stats[1] ?? 0;
    this.#micros += this.#stats[2] ?? 0;
    return ran;
  }

  /** Runs the batch. What is not simply done, in order. */
  #first(): Open[] {
    const { size } = this.#batch;
    if (size === 0) return [];
    const reader = this.#batch.reader();
    const { results, texts } = this.#round(reader.bytes, reader.end, size);
    const open: Open[] = [];
    for (let index = 0; index < size; index++) {
      const code = results[index] ?? RunCode.unknown;
      if (code !== 0) open.push({ index, code, text: textOf(texts, index) });
    }
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
    const objects = new Map<number, readonly [object: string, service: string]>();
    const wanted = new Set(ensures.map(({ index }) => index));
    let index = 0;
    for (const operation of this.#batch) {
      const object = objectText(operation);
      lastWord.set(object, index);
      if (operation.verb === 'remove-service') lastWord.set(`under ${object}`, index);
      if (wanted.has(index)) objects.set(index, [object, 'key' in operation ? serviceKeyText(operation.key) : '']);
      index++;
    }
    return ensures.filter((one) => {
      const [object = '', service = ''] = objects.get(one.index) ?? [];
      const superseded =
        (lastWord.get(object) ?? -1) > one.index || (lastWord.get(`under ${service}`) ?? -1) > one.index;
      if (superseded) one.code = 0;
      return !superseded;
    });
  }

  #failures(open: readonly Open[]): OperationFailure[] {
    const failed = open.filter(({ code }) => code !== 0);
    if (failed.length === 0) return [];
    const failures: OperationFailure[] = [];
    const reader = this.#batch.reader();
    let at = 0;
    for (let index = 0; at < failed.length && reader.next(); index++) {
      const one = failed[at];
      if (one === undefined || one.index !== index) continue;
      failures.push(failureOf(one, decodeOperation(reader)));
      at++;
    }
    return failures;
  }
}

function failureOf({ index, code, text }: Open, operation: Operation): OperationFailure {
  const common = { index, operation: operationText(operation) };
  if (code === RunCode.unknown) return { ...common, outcome: 'unknown', error: lostError(operation) };
  const error = code === RunCode.absent ? absentOperationError(operation) : operationError(operation, code, text);
  return { ...common, outcome: 'failed', error };
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
