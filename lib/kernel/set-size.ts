/** How large hash sets are made. */
import type { SetSpec } from '../types.ts';

/** What a hash set gets when nothing is asked for (IPSET_DEFAULT_MAXELEM, IPSET_DEFAULT_HASHSIZE). */
export const DEFAULT_MAX_ELEMENTS = 65536;
export const DEFAULT_HASH_SIZE = 1024;
/** Largest table to ask for in advance: half a gigabyte of buckets is enough of a guess. */
const HASH_SIZE_MAX = 2 ** 26;

/** The number of buckets for so many entries: a table that is too small is doubled while they come, and waits for all processors each time. */
export function tableFor(entries: number): number {
  return Math.min(HASH_SIZE_MAX, 2 ** Math.ceil(Math.log2(Math.max(entries, 1))));
}

/** The same set, large enough for so many entries at least. */
export function setFor(set: SetSpec, entries: number): SetSpec {
  if (set.type === 'bitmap:port') return set;
  const maxElements = set.maxElements || DEFAULT_MAX_ELEMENTS;
  const hashSize = Math.max(set.hashSize || DEFAULT_HASH_SIZE, tableFor(entries));
  return {
    ...set,
    ...(hashSize === DEFAULT_HASH_SIZE ? {} : { hashSize }),
    ...(entries > maxElements ? { maxElements: 2 ** Math.ceil(Math.log2(entries)) } : {}),
  };
}
