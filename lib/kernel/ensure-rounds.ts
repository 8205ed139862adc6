/** What an `ensure` of IPVS does after its create was refused: updates and creates in turns, until one of them is right. */
import type { Batch } from './batch.ts';
import { RunCode } from './binding.ts';
import { Errno } from './errno.ts';
import { RecordWriter } from './record-writer.ts';
import { type OpenOperation, type RunRecords, textOf } from './run-round.ts';
import { objectText, serviceKeyText } from './text.ts';
import { HEADER_BYTES, Opcode } from './wire.ts';

/** An object can come and go between create and update only as often as somebody else writes; then the failure is the answer. */
const ENSURE_ROUNDS = 4;

/** EEXIST of an `ensure` becomes an update; an update that finds nothing a create again. */
export function finishEnsures(batch: Batch, open: readonly OpenOperation[], run: RunRecords): void {
  if (!open.some(({ code }) => code === Errno.EEXIST)) return;
  const records = recordsOf(batch, open);
  const refused = open.filter((one) => one.code === Errno.EEXIST && isEnsure(records.get(one.index)?.opcode ?? 0));
  let pending = withoutSuperseded(batch, refused, open);
  for (let round = 0; round < ENSURE_ROUNDS && pending.length > 0; round++) {
    const update = round % 2 === 0;
    const writer = new RecordWriter();
    for (const { index } of pending) {
      const record = records.get(index);
      if (record === undefined) throw new RangeError('unreachable: every open operation has a record');
      appendRecord(writer, record.bytes, update ? updateOpcode(record.opcode) : record.opcode);
    }
    const { results, texts } = run(writer.bytes, writer.length, pending.length);
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
 * An update made now comes after the whole batch. Where a later operation of it about the same object has been done, that one has had the last
 * word already, and the object is as the batch wants it; where nobody knows whether it has been done, nobody knows that either. One that was
 * refused has had no word, and one that is still to be finished will have it in its turn.
 */
function withoutSuperseded(
  batch: Batch,
  ensures: readonly OpenOperation[],
  open: readonly OpenOperation[],
): OpenOperation[] {
  if (ensures.length === 0) return [];
  const codes = new Map(open.map(({ index, code }) => [index, code]));
  const lastWord = new Map<string, number>();
  let flushed = -1;
  const objects = new Map<number, readonly [object: string, service: string]>();
  const wanted = new Set(ensures.map(({ index }) => index));
  let index = 0;
  for (const operation of batch) {
    const object = objectText(operation);
    const code = codes.get(index) ?? 0;
    if (code === 0 || code === RunCode.unknown) {
      // To zero an object says nothing of what it is.
      if (operation.verb !== 'zero-service') lastWord.set(object, index);
      if (operation.verb === 'remove-service') lastWord.set(`under ${object}`, index);
      if (operation.verb === 'flush-services') flushed = index;
    }
    if (wanted.has(index)) objects.set(index, [object, 'key' in operation ? serviceKeyText(operation.key) : '']);
    index++;
  }
  return ensures.filter((one) => {
    const [object = '', service = ''] = objects.get(one.index) ?? [];
    const last = Math.max(lastWord.get(object) ?? -1, lastWord.get(`under ${service}`) ?? -1, flushed);
    if (last < one.index) return true;
    one.code = codes.get(last) ?? 0;
    return false;
  });
}

function isEnsure(opcode: number): boolean {
  return opcode === Opcode.ensureService || opcode === Opcode.ensureDestination;
}

function updateOpcode(opcode: number): number {
  return opcode === Opcode.ensureService ? Opcode.updateService : Opcode.updateDestination;
}

interface RecordCopy {
  readonly opcode: number;
  readonly bytes: Uint8Array;
}

function recordsOf(batch: Batch, open: readonly OpenOperation[]): Map<number, RecordCopy> {
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
