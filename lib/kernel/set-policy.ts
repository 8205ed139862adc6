/**
 * What the kernel has no command for: to give a set other properties, or to make it larger. A new set is filled beside it and swapped in, so that
 * its name and the rules that refer to it stay. Which sets an `ensure-set` finds as they should be is decided here too, by their headers: Linux 6.1
 * compares everything but the family (ip_set_create of net/netfilter/ipset/ip_set_core.c).
 */
import { NetlinkError } from '../errors.ts';
import type { SetEntry, SetSpec, SetState } from '../types.ts';
import { Batch } from './batch.ts';
import { decodeOperation } from './decode.ts';
import { Errno, errnoName } from './errno.ts';
import type { Cursor, GrownSet } from './session.ts';
import { withoutOptions } from './set-options.ts';
import { DEFAULT_MAX_ELEMENTS, setFor } from './set-size.ts';
import { isAbandonedSet, temporarySetName } from './temporary-set.ts';
import { Opcode } from './wire.ts';

const U32 = 0xffff_ffff;
/** The part of a session that the policy works with. */
export interface SetKernel {
  /** Runs the operations of the batch as they are; one code each, as the addon gives it. */
  run(batch: Batch): readonly number[];
  /** Headers of all sets. */
  sets(): readonly SetState[];
  entries(name: string): Cursor<SetEntry>;
}

/** What an operation came to: 0, an errno or a code of the addon; and why, where the code does not say it. */
export interface Settled {
  readonly code: number;
  readonly reason?: string;
}

const DONE: Settled = { code: 0 };

/** An ensure-set that is not simply sent. */
export interface UnsettledSet {
  /** Position in the batch. */
  readonly index: number;
  readonly set: SetSpec;
}

export class SetPolicy {
  readonly #kernel: SetKernel;
  #cleared = false;

  constructor(kernel: SetKernel) {
    this.#kernel = kernel;
  }

  /** The ensure-sets of the batch that find a set of other properties, or whose set the batch itself has changed before. */
  unsettled(batch: Batch): readonly UnsettledSet[] {
    const ensures = findOpcode(batch, Opcode.ensureSet);
    if (!ensures) return [];
    const states = this.#states();
    // The operations will say themselves what is wrong.
    if (states === undefined) return [];
    const found: UnsettledSet[] = [];
    const changed = new Set<string>();
    const reader = batch.reader();
    for (let index = 0; reader.next(); index++) {
      if (reader.opcode < Opcode.createSet || reader.opcode > Opcode.renameSet) continue;
      if (reader.opcode === Opcode.addEntry || reader.opcode === Opcode.removeEntry) continue;
      const operation = decodeOperation(reader);
      if (operation.verb === 'ensure-set') {
        const { set } = operation;
        const state = states.get(set.name);
        if (changed.has(set.name) || (state !== undefined && !holds(state, set))) found.push({ index, set });
        changed.add(set.name);
      } else if (operation.verb === 'create-set') changed.add(operation.set.name);
      else if (operation.verb === 'swap-sets') changed.add(operation.name).add(operation.other);
      else if (operation.verb === 'rename-set') changed.add(operation.name).add(operation.newName);
      else if (operation.verb === 'remove-set') changed.add(operation.name);
    }
    return found;
  }

  /** Carries out one ensure-set. */
  settle(wanted: SetSpec): Settled {
    const states = this.#states();
    const state = states?.get(wanted.name);
    if (state === undefined) {
      const [code = 0] = this.#kernel.run(new Batch().ensureSet(wanted));
      if (code !== Errno.EEXIST || states === undefined) return { code };
      return { code, reason: 'a set of that name exists, of a type that this library does not know: remove it first' };
    }
    if (holds(state, wanted)) return DONE;
    if (!isSameKind(state, wanted)) return this.#exchange(state, wanted);
    const asked = wanted.maxElements || DEFAULT_MAX_ELEMENTS;
    // A set that has grown is not cut down to less than it holds.
    const spec = { ...wanted, maxElements: state.entries > asked ? state.maxElements : asked };
    return holds(state, spec) ? DONE : this.#copy(state, spec, state.entries);
  }

  /**
   * Makes room for so many more entries. Undefined: there is no such set, or none that can grow.
   * `isSure`: the kernel found it full although its header says otherwise.
   */
  grow(name: string, more: number, isSure: boolean): GrownSet | Settled | undefined {
    const state = this.#states()?.get(name);
    if (state === undefined || state.type === 'bitmap:port') return undefined;
    const { maxElements: from, entries } = state;
    const needed = entries + more;
    if (needed <= from && !isSure) return DONE;
    if (state.otherProperties) {
      return { code: Errno.EOPNOTSUPP, reason: 'it has properties, such as counters, that would be lost' };
    }
    let to = from;
    while (to < U32 && (to === from || to < needed)) to = Math.min(2 * to, U32);
    if (to === from) return { code: Errno.ERANGE, reason: 'there is no larger set' };
    const copied = this.#copy(state, { ...specOf(state), maxElements: to }, needed);
    return copied.code === 0 ? { name, from, to } : copied;
  }

  /** Undefined when they cannot be read. The first time, what crashed writers have left behind is removed. */
  #states(): Map<string, SetState> | undefined {
    let states: readonly SetState[];
    try {
      states = this.#kernel.sets();
    } catch (error) {
      if (error instanceof NetlinkError) return undefined;
      throw error;
    }
    if (!this.#cleared) {
      this.#cleared = true;
      const batch = new Batch();
      for (const { name, references } of states) if (references === 0 && isAbandonedSet(name)) batch.removeSet(name);
      if (batch.size > 0) this.#kernel.run(batch);
    }
    return new Map(states.map((state) => [state.name, state]));
  }

  /** The kernel swaps only sets of one kind, so the name is free for a moment: not while a rule refers to it. */
  #exchange(state: SetState, wanted: SetSpec): Settled {
    const [removed = 0] = state.references > 0 ? [BUSY] : this.#kernel.run(new Batch().removeSet(state.name));
    if (removed === BUSY) {
      const kind = state.type === 'bitmap:port' ? state.type : `${state.type} of ${state.family}`;
      const reason = `a set of that name exists that is a ${kind}, and a rule or another set refers to it (${state.references} references): remove those first, or use another name`;
      return { code: Errno.EEXIST, reason };
    }
    if (removed !== 0 && removed !== Errno.ENOENT) return { code: removed };
    const [code = 0] = this.#kernel.run(new Batch().ensureSet(wanted));
    return { code };
  }

  /** Fills a set of these properties from the present one, swaps them, and removes the old one. */
  #copy(state: SetState, spec: SetSpec, expected: number): Settled {
    const target: SetSpec = { ...setFor(spec, expected), name: temporarySetName() };
    const [created = 0] = this.#kernel.run(new Batch().createSet(target));
    if (created !== 0) return { code: created, reason: `${errnoName(created)} creating its replacement` };
    const filled = this.#fill(state.name, target);
    const [swapped = 0] = filled.code === 0 ? this.#kernel.run(new Batch().swapSets(state.name, target.name)) : [];
    if (filled.code !== 0 || swapped !== 0) {
      this.#kernel.run(new Batch().removeSet(target.name));
      if (filled.code !== 0) return { code: filled.code, reason: `${errnoName(filled.code)} filling its replacement` };
      return { code: swapped, reason: `${errnoName(swapped)} swapping it with its replacement` };
    }
    // Somebody may have added to the old one between its being read and the swap; nobody does now, for its name is ours.
    const old = this.#states()?.get(target.name);
    const late = old === undefined || old.entries === filled.count ? DONE : this.#fill(target.name, spec);
    this.#kernel.run(new Batch().removeSet(target.name));
    return late.code === 0 ? DONE : { code: late.code, reason: `${errnoName(late.code)} adding what came late` };
  }

  /** Adds all entries of one set to another. Ends at the first that is refused. */
  #fill(from: string, to: SetSpec): { readonly code: number; readonly count: number } {
    const room = { timeouts: to.timeoutSeconds !== undefined, comments: to.comment === true };
    let count = 0;
    let cursor: Cursor<SetEntry> | undefined;
    try {
      cursor = this.#kernel.entries(from);
      for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
        const batch = new Batch(slice.length);
        for (const entry of slice) batch.addEntry(to, withoutOptions(entry, room));
        const refused = this.#kernel.run(batch).find((code) => code !== 0);
        if (refused !== undefined) return { code: refused, count };
        count += slice.length;
      }
      return { code: 0, count };
    } catch (error) {
      if (error instanceof NetlinkError) return { code: error.errno, count };
      throw error;
    } finally {
      // A set that is being dumped cannot be swapped.
      cursor?.close();
    }
  }
}

/** IPSET_ERR_BUSY */
const BUSY = 4100;

/** What would make a set like this one. */
export function specOf(state: SetState): SetSpec {
  const { name, type, family, hashSize, maxElements, timeoutSeconds, comment } = state;
  return {
    name,
    type,
    family,
    ...(type === 'bitmap:port' ? {} : { hashSize, maxElements }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    ...(comment ? { comment } : {}),
  };
}

/** Of one type and family: what the kernel swaps. */
function isSameKind(state: SetState, wanted: SetSpec): boolean {
  return state.type === wanted.type && (wanted.type === 'bitmap:port' || state.family === wanted.family);
}

/** The set has every property that is asked for; the number of buckets is none. */
function holds(state: SetState, wanted: SetSpec): boolean {
  return (
    isSameKind(state, wanted) &&
    (wanted.type === 'bitmap:port' || state.maxElements === (wanted.maxElements || DEFAULT_MAX_ELEMENTS)) &&
    state.timeoutSeconds === wanted.timeoutSeconds &&
    state.comment === (wanted.comment === true) &&
    !state.otherProperties
  );
}

function findOpcode(batch: Batch, opcode: number): boolean {
  const reader = batch.reader();
  while (reader.next()) if (reader.opcode === opcode) return true;
  return false;
}
