/** What stands where in a batch, as far as sets are concerned. */
import type { IpsetOperation } from '../operations.ts';
import type { Batch } from './batch.ts';
import { RunCode } from './binding.ts';
import { decodeOperation } from './decode.ts';
import { splitOptions } from './set-options.ts';
import { Opcode } from './wire.ts';

/** One whose verb is `add-entry`. */
export type Addition = Extract<IpsetOperation, { readonly verb: 'add-entry' | 'remove-entry' }>;

/** Where the records of these operations begin and end, by rising index. */
export function startsOf(
  batch: Batch,
  wanted: readonly { readonly index: number }[],
): readonly { readonly start: number; readonly end: number }[] {
  const places: { readonly start: number; readonly end: number }[] = [];
  const reader = batch.reader();
  for (let index = 0; places.length < wanted.length && reader.next(); index++) {
    if (wanted[places.length]?.index === index) places.push({ start: reader.start, end: reader.start + reader.length });
  }
  return places;
}

/**
 * Takes out additions that must not be repeated at the end of their batch, because a later operation has had the last word on them: those whose entry
 * or whose set was removed or emptied are as the batch wants them (code 0); those whose set was swapped or renamed stay failed. An operation that
 * was refused has had no word. Where nobody knows whether one was done, nobody knows that of the addition either.
 *
 * @param codes of the operations that were not simply done, by index.
 */
export function dropOvertaken(
  batch: Batch,
  pending: Map<string, { readonly one: { readonly index: number; code: number }; readonly operation: Addition }[]>,
  codes: ReadonlyMap<number, number>,
): void {
  const reader = batch.reader();
  for (let index = 0; reader.next(); index++) {
    if (reader.opcode < Opcode.createSet || reader.opcode > Opcode.renameSet || reader.opcode === Opcode.addEntry)
      continue;
    const code = codes.get(index) ?? 0;
    if (code !== 0 && code !== RunCode.unknown) continue;
    const operation = decodeOperation(reader);
    if (operation.verb === 'remove-entry') {
      drop(operation.set.name, index, true, splitOptions(operation.entry).body);
    } else if (operation.verb === 'remove-set' || operation.verb === 'flush-set') {
      drop(operation.name, index, true);
    } else if (operation.verb === 'swap-sets' || operation.verb === 'rename-set') {
      drop(operation.name, index, false);
      drop(operation.verb === 'swap-sets' ? operation.other : operation.newName, index, false);
    }
  }

  function drop(name: string, index: number, isDone: boolean, entry?: string): void {
    const ofSet = pending.get(name);
    if (ofSet === undefined) return;
    const left = ofSet.filter(({ one, operation }) => {
      if (one.index > index || (entry !== undefined && splitOptions(operation.entry).body !== entry)) return true;
      if (isDone || codes.has(index)) one.code = codes.get(index) ?? 0;
      return false;
    });
    if (left.length === 0) pending.delete(name);
    else pending.set(name, left);
  }
}
