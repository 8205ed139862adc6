/** What the record store keeps of one object of one source. Without weight hooks and weight annotations: its record, and its places. */
import type { NodeRecord, ObjectKey, ObjectRecord, ServiceRecord, SliceRecord } from '../records.ts';
import type { WeightRules } from './annotations.ts';
import type { ServiceObject } from './hooks.ts';
import type { SliceView } from './object-views.ts';
import type { Place } from './places.ts';
import type { NodeFacts } from './weights.ts';

export interface StoreEntry<Kind extends ObjectRecord> {
  /** The last one numbered; undefined when there is nothing to proxy. */
  record: Kind | undefined;
  /** What is wrong with the object itself. */
  problems: readonly string[];
  /** The first thing that the hook did wrong; empty once it does well. Others like it are not told: a text may differ each time. */
  hookProblem: string;
  /** The problems told last, joined; empty = none. */
  told: string;
}

export interface ServiceEntry extends StoreEntry<ServiceRecord> {
  weights: WeightRules | undefined;
  /** Only where there is a hook for weights. */
  view: ServiceObject | undefined;
}

export interface SliceEntry extends StoreEntry<SliceRecord> {
  /** One for each endpoint of the record: a Service may ask for weights at any time. */
  places: readonly Place[];
  /** Only where there is a hook for weights. */
  view: SliceView | undefined;
  /** The Nodes that its weights depend on, noted by `SliceIndex`; undefined = weights do not matter. */
  on: ReadonlySet<string> | undefined;
  /** When its last change was caused, as the last state seen says it, ms since 1970; 0 = it does not say. */
  triggerMs: number;
}

export interface NodeEntry extends StoreEntry<NodeRecord> {
  facts: NodeFacts | undefined;
}

/** The objects of one source. */
export interface StoreEntries {
  readonly Service: Map<ObjectKey, ServiceEntry>;
  readonly EndpointSlice: Map<ObjectKey, SliceEntry>;
  readonly Node: Map<ObjectKey, NodeEntry>;
}

const NO_PROBLEMS: readonly string[] = [];
const NO_PLACES: readonly Place[] = [];

export function emptyEntries(): StoreEntries {
  return { Service: new Map(), EndpointSlice: new Map(), Node: new Map() };
}

export function newService(): ServiceEntry {
  return { record: undefined, problems: NO_PROBLEMS, hookProblem: '', told: '', weights: undefined, view: undefined };
}

export function newSlice(): SliceEntry {
  const places = NO_PLACES;
  return {
    record: undefined,
    problems: NO_PROBLEMS,
    hookProblem: '',
    told: '',
    places,
    view: undefined,
    on: undefined,
    triggerMs: 0,
  };
}

export function newNode(): NodeEntry {
  return { record: undefined, problems: NO_PROBLEMS, hookProblem: '', told: '', facts: undefined };
}

/** An object with nothing to proxy and nothing wrong need not be remembered. */
export function keepEntry<Entry extends StoreEntry<ObjectRecord>>(
  entries: Map<ObjectKey, Entry>,
  key: ObjectKey,
  entry: Entry,
): void {
  if (entry.record === undefined && entry.told === '') entries.delete(key);
  else entries.set(key, entry);
}
