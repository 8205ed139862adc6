/** Sets and their entries to records: the ipset half of `encode.ts`. */
import { InvalidArgumentError } from '../errors.ts';
import type { SetEntry, SetRef, SetSpec } from '../types.ts';
import {
  checkedBoolean,
  checkedFamily,
  checkedInteger,
  checkedName,
  checkedType,
  checkObject,
  quote,
} from './check.ts';
import type { RecordWriter } from './record-writer.ts';
import { writeEntry } from './set-entry.ts';
import { SET_TIMEOUT_MAX_SECONDS, splitOptions, writeOptions } from './set-options.ts';
import { HEADER_BYTES, Opcode, SET_TYPE_NUMBER, SetFlag } from './wire.ts';

const U32 = 0xffff_ffff;
/** IPSET_MAXNAMELEN without the NUL. */
const NAME_MAX = 31;

export function writeSet(writer: RecordWriter, set: SetSpec): void {
  checkObject('set', set);
  writer.u8(SET_TYPE_NUMBER[checkedType(set.type)]);
  writer.u8(checkedFamily('set.family', set.family) === 'IPv4' ? 4 : 6);
  const { hashSize = 0, maxElements = 0, timeoutSeconds, comment = false } = set;
  checkedBoolean('set.comment', comment);
  writer.u8((timeoutSeconds === undefined ? 0 : SetFlag.timeout) | (comment ? SetFlag.comment : 0));
  writer.u8(0);
  writer.u32(checkedInteger('set.hashSize', hashSize, 0, 0x8000_0000));
  writer.u32(checkedInteger('set.maxElements', maxElements, 0, U32));
  writer.u32(checkedInteger('set.timeoutSeconds', timeoutSeconds ?? 0, 0, SET_TIMEOUT_MAX_SECONDS));
  writer.string(checkedName('set.name', set.name, NAME_MAX));
}

/** Changes the number of buckets in the record of a set that begins there. */
export function setHashSize(writer: RecordWriter, record: number, buckets: number): void {
  writer.view.setUint32(record + HEADER_BYTES + 4, buckets, true);
}

/** Options are for additions: to take an entry out, or to look for it, the kernel wants none but `nomatch`. */
export function writeSetEntry(writer: RecordWriter, set: SetRef, entry: SetEntry, withOptions: boolean): void {
  checkObject('set', set);
  const type = checkedType(set.type);
  const family = checkedFamily('set.family', set.family);
  if (typeof entry !== 'string') throw new InvalidArgumentError('entry', `is ${quote(entry)}, must be a string`);
  const split = splitOptions(entry);
  const { problem, iface } = split.problem === undefined ? writeEntry(writer, type, family, split) : split;
  if (problem !== undefined) throw new InvalidArgumentError('entry', `${quote(entry)} ${problem}`);
  writer.string(checkedName('set.name', set.name, NAME_MAX));
  if (iface !== undefined) writer.string(iface);
  if (withOptions) writeOptions(writer, split);
}

/** The record of a question: does the set hold the entry? */
export function encodeTestEntry(writer: RecordWriter, set: SetRef, entry: SetEntry): void {
  writer.begin(Opcode.testEntry);
  writeSetEntry(writer, set, entry, false);
  writer.commit();
}
