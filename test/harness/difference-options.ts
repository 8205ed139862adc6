/** Options of `difference` as the reconciler passes them, and empty state of both families. */
import type { DifferenceOptions } from '../../lib/plan/difference.ts';
import { setSpecs } from '../../lib/plan/sets.ts';
import type { SetSpec } from '../../lib/types.ts';
import { MemoryState } from './memory-state.ts';

export const specs: ReadonlyMap<string, SetSpec> = new Map(
  (['IPv4', 'IPv6'] as const).flatMap(setSpecs).map((spec) => [spec.name, spec]),
);

export const differenceDefaults: DifferenceOptions = {
  mayRemove: true,
  link: 'kube-ipvs0',
  untouchable: new Set(),
  setRef: (name) => {
    const spec = specs.get(name);
    if (spec === undefined) throw new Error(`no set ${name}`);
    return spec;
  },
};

/** All sets, empty; nothing else. */
export function emptyState(): MemoryState {
  const state = new MemoryState();
  for (const name of specs.keys()) state.sets.set(name, new Set());
  return state;
}
