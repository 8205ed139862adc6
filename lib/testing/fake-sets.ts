/** The fake kernel's sets, and what each command does to them: net/netfilter/ipset/ip_set_core.c. Time stands still: no entry expires. */
import { cidrContains, parseAddress } from '../address.ts';
import { joinOptions, type SplitEntry, splitOptions } from '../kernel/set-options.ts';
import { DEFAULT_HASH_SIZE, DEFAULT_MAX_ELEMENTS } from '../kernel/set-size.ts';
import type { IpsetOperation } from '../operations.ts';
import type { SetEntry, SetRef, SetSpec, SetState } from '../types.ts';
import type { ErrnoName } from './fake-errors.ts';
import { addressesOf, asHeldBy, isEmptyPlace, networksAround } from './fake-set-entry.ts';

export interface FakeSet {
  readonly spec: SetSpec & Required<Pick<SetSpec, 'hashSize' | 'maxElements'>>;
  entries: Set<SetEntry>;
  /** Rules that name the set. */
  references: number;
}

type Sets = Map<string, FakeSet>;
type Refusal = ErrnoName | undefined;

/** IPSET_MIMINAL_HASHSIZE: fewer are not made. */
const leastHashSize = 64;

export function fakeSetState({ references, spec, entries }: FakeSet): SetState {
  const { name, type, family, hashSize, maxElements, timeoutSeconds, comment = false } = spec;
  return {
    ...{ name, type, family, hashSize, maxElements, comment },
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
    otherProperties: false,
    revision: 0,
    entries: entries.size,
    references,
    memoryBytes: 200 + 40 * entries.size,
  };
}

export function applyToSets(sets: Sets, operation: IpsetOperation): Refusal {
  switch (operation.verb) {
    case 'create-set':
    case 'ensure-set':
      return createSet(sets, operation.set, operation.verb === 'ensure-set');
    case 'remove-set': {
      if ((sets.get(operation.name)?.references ?? 0) > 0) return 'IPSET_ERR_BUSY';
      return sets.delete(operation.name) ? undefined : 'ENOENT';
    }
    case 'flush-set': {
      const set = sets.get(operation.name);
      set?.entries.clear();
      return set === undefined ? 'ENOENT' : undefined;
    }
    case 'swap-sets':
      return swap(sets, operation.name, operation.other);
    case 'rename-set':
      return rename(sets, operation.name, operation.newName);
    case 'add-entry': {
      const set = sets.get(operation.set.name);
      return set === undefined ? 'ENOENT' : addEntry(set, operation.set, operation.entry);
    }
    case 'remove-entry': {
      const set = sets.get(operation.set.name);
      return set === undefined ? 'ENOENT' : removeEntry(set, operation.set, operation.entry);
    }
  }
}

/** IPSET_CMD_TEST: whether the set holds the entry, or why that cannot be asked. */
export function testEntry(sets: Sets, ref: SetRef, entry: SetEntry): boolean | ErrnoName {
  const set = sets.get(ref.name);
  if (set === undefined) return 'ENOENT';
  const split = splitOptions(entry);
  const held = asHeldBy(set.spec, ref, split);
  if ('refusal' in held) return held.refusal;
  if (isEmptyPlace(set.spec, held)) return 'IPSET_ERR_HASH_ELEM';
  // Of a range the first address is looked for.
  for (const body of networksAround(set.spec, 'range' in held ? held.range.address : held.body)) {
    const found = findEntry(set, body);
    if (found !== undefined) return splitOptions(found).nomatch === split.nomatch;
  }
  return false;
}

/** Not exclusive: a set that is there will do if all but its family and its buckets are the same. */
function createSet(sets: Sets, spec: SetSpec, exists: boolean): Refusal {
  const made = filled(spec);
  const existing = sets.get(spec.name);
  if (existing === undefined) {
    sets.set(spec.name, { spec: made, entries: new Set(), references: 0 });
    return undefined;
  }
  const { type, maxElements, timeoutSeconds, comment = false } = existing.spec;
  const same =
    type === made.type &&
    maxElements === made.maxElements &&
    timeoutSeconds === made.timeoutSeconds &&
    comment === (made.comment === true);
  return exists && same ? undefined : 'EEXIST';
}

/** What the kernel lists of a set that was created like this. */
function filled(spec: SetSpec): FakeSet['spec'] {
  if (spec.type === 'bitmap:port') return { ...spec, family: 'IPv4', hashSize: 0, maxElements: 0 };
  const buckets = Math.max(spec.hashSize || DEFAULT_HASH_SIZE, leastHashSize);
  return {
    ...spec,
    hashSize: 2 ** Math.ceil(Math.log2(buckets)),
    maxElements: spec.maxElements || DEFAULT_MAX_ELEMENTS,
  };
}

/** References belong to the name. */
function swap(sets: Sets, name: string, otherName: string): Refusal {
  const set = sets.get(name);
  const other = sets.get(otherName);
  if (set === undefined) return 'ENOENT';
  if (other === undefined) return 'IPSET_ERR_EXIST_SETNAME2';
  // By the properties of the types, which no two of those known here share.
  if (set.spec.type !== other.spec.type || set.spec.family !== other.spec.family) return 'IPSET_ERR_TYPE_MISMATCH';
  sets.set(name, { ...other, spec: { ...other.spec, name }, references: set.references });
  sets.set(otherName, { ...set, spec: { ...set.spec, name: otherName }, references: other.references });
  return undefined;
}

function rename(sets: Sets, name: string, newName: string): Refusal {
  const set = sets.get(name);
  if (set === undefined) return 'ENOENT';
  if (set.references > 0) return 'IPSET_ERR_REFERENCED';
  if (sets.has(newName)) return 'IPSET_ERR_EXIST_SETNAME2';
  sets.delete(name);
  sets.set(newName, { ...set, spec: { ...set.spec, name: newName } });
  return undefined;
}

/** Of a range, those before the first that is refused are added. */
function addEntry(set: FakeSet, ref: SetRef, entry: SetEntry): Refusal {
  const split = splitOptions(entry);
  const held = asHeldBy(set.spec, ref, split);
  if ('refusal' in held) return held.refusal;
  if (split.timeoutSeconds !== undefined && set.spec.timeoutSeconds === undefined) return 'IPSET_ERR_TIMEOUT';
  if (split.comment !== undefined && set.spec.comment !== true) return 'IPSET_ERR_COMMENT';
  if (isEmptyPlace(set.spec, held)) return 'IPSET_ERR_HASH_ELEM';
  if ('body' in held) return addOne(set, held.body, split);
  for (const address of addressesOf(held.range)) {
    const refused = addOne(set, address, split);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

/** One that is there is written anew with its options: those that are not given are gone. */
function addOne(set: FakeSet, body: string, { nomatch, timeoutSeconds, comment }: SplitEntry): Refusal {
  const present = findEntry(set, body);
  if (present !== undefined) set.entries.delete(present);
  else if (set.spec.type !== 'bitmap:port' && set.entries.size >= set.spec.maxElements) return 'IPSET_ERR_HASH_FULL';
  const left = timeoutSeconds ?? set.spec.timeoutSeconds;
  const options = {
    ...(left === undefined ? {} : { timeoutSeconds: left }),
    ...(comment === undefined ? {} : { comment }),
  };
  set.entries.add(joinOptions(body, nomatch, options));
  return undefined;
}

/** One that is not there is success: nobody asks for IPSET_ERR_EXIST. */
function removeEntry(set: FakeSet, ref: SetRef, entry: SetEntry): Refusal {
  const held = asHeldBy(set.spec, ref, splitOptions(entry));
  if ('refusal' in held) return held.refusal;
  if (isEmptyPlace(set.spec, held)) return 'IPSET_ERR_HASH_ELEM';
  if ('body' in held) {
    const present = findEntry(set, held.body);
    if (present !== undefined) set.entries.delete(present);
    return undefined;
  }
  for (const present of set.entries) {
    const address = parseAddress(splitOptions(present).body);
    if (address !== undefined && cidrContains(held.range, address)) set.entries.delete(present);
  }
  return undefined;
}

/** The entry of that name, with the options it has: `10.0.0.0/8 nomatch` is a state of `10.0.0.0/8`. */
function findEntry(set: FakeSet, body: string): SetEntry | undefined {
  if (set.entries.has(body)) return body;
  const { timeoutSeconds, comment = false } = set.spec;
  if (timeoutSeconds === undefined && !comment) {
    const nomatch = `${body} nomatch`;
    return set.entries.has(nomatch) ? nomatch : undefined;
  }
  const start = `${body} `;
  for (const entry of set.entries) if (entry.startsWith(start)) return entry;
  return undefined;
}
