/**
 * What all sources say, as records: projected at once, kept for resending, compared so that noise (metadata, status, resyncs) ends
 * here, numbered, and gathered by key until the worker takes them.
 */
import { toErrorRecord } from '../errors.ts';
import type { NodeAddressesBody, ObjectKey, ObjectRecord, SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { equalData } from './equal-data.ts';
import type { Hooks } from './hooks.ts';
import { printable, reasonOf } from './json.ts';
import { type NodeProjection, projectNode } from './node-projection.ts';
import { type Place, PlaceTable } from './places.ts';
import { objectKey } from './projection.ts';
import { projectService, type ServiceProjection } from './service-projection.ts';
import { projectSlice, type SliceProjection } from './slice-projection.ts';
import { SliceWeigher, UNWEIGHED } from './slice-weigher.ts';
import type { ResourceKind, SourceConnection, SourceProblem, SourceSink } from './source.ts';
import {
  emptyEntries,
  keepEntry,
  newNode,
  newService,
  newSlice,
  type SliceEntry,
  type StoreEntries,
  type StoreEntry,
} from './store-entry.ts';
import type { Weights } from './weights.ts';

export interface RecordStoreOptions {
  /** The node this proxier runs on; decides `local` endpoints and the `self` node. */
  readonly nodeName: string;
  /** The proxier's own scheduler, which scheduler flags count for when a Service names none. Default `rr`. */
  readonly scheduler?: string;
  readonly hooks?: Hooks;
  /** Something may be taken, or `allSynced` became true. Cheap and synchronous; called once for each change. */
  readonly onChange?: () => void;
  readonly onProblem?: (source: string, problem: SourceProblem) => void;
  readonly onConnection?: (source: string, connection: SourceConnection) => void;
}

/** The sink of one source. After `close` every call is ignored; what the source said stays. */
export interface StoreSink extends SourceSink {
  close(): void;
}

/** More problems of one object than this are counted, not told. */
const TOLD_PROBLEMS = 20;

/** Objects that do not say who they are have no key to remember them by; this many different complaints are. */
const REMEMBERED_NAMELESS = 200;

interface SinkState {
  readonly name: string;
  readonly kinds: readonly ResourceKind[];
  readonly entries: StoreEntries;
  readonly nameless: Set<string>;
  readonly synced: Set<ResourceKind>;
  closed: boolean;
}

type Projected =
  | { readonly kind: 'Service'; readonly projection: ServiceProjection }
  | { readonly kind: 'EndpointSlice'; readonly projection: SliceProjection }
  | { readonly kind: 'Node'; readonly projection: NodeProjection };

const NONE: readonly never[] = [];

export class RecordStore {
  readonly #options: RecordStoreOptions;
  readonly #sinks = new Map<string, SinkState>();
  readonly #pending = new Map<string, ObjectRecord>();
  /** In the order in which they count: the model's (`model/record-store.ts`). */
  #entries: readonly StoreEntries[] = NONE;
  readonly #places = new PlaceTable();
  readonly #weigher: SliceWeigher;
  #nodeAddresses: ObjectRecord | undefined;
  #seq = 0;

  constructor(options: RecordStoreOptions) {
    this.#options = options;
    this.#weigher = new SliceWeigher({
      nodeName: options.nodeName,
      weightFor: options.hooks?.weightFor,
      entries: () => this.#entries,
      nodesSynced: () => this.#nodesSynced,
    });
  }

  /** The sink for a source. Names must be unique: a second sink of a name continues what the first one left. */
  sinkFor(source: { readonly name: string; readonly kinds: readonly ResourceKind[] }): StoreSink {
    const before = this.#sinks.get(source.name);
    if (before !== undefined) before.closed = true;
    const state: SinkState = {
      name: source.name,
      kinds: source.kinds,
      entries: before?.entries ?? emptyEntries(),
      nameless: new Set(),
      synced: new Set(),
      closed: false,
    };
    this.#sinks.set(source.name, state);
    const ranked = [...this.#sinks.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
    this.#entries = ranked.map(({ entries }) => entries);
    const guard = (act: () => void): void => {
      if (!state.closed) act();
    };
    return {
      upsert: (kind, object) => guard(() => this.#upsert(state, kind, object)),
      remove: (kind, namespace, name) =>
        guard(() => this.#remove(state, kind, kind === 'Node' ? name : `${namespace}/${name}`)),
      replace: (kind, objects) => guard(() => this.#replace(state, kind, objects)),
      synced: (kind) => guard(() => this.#synced(state, kind)),
      problem: (problem) => guard(() => this.#options.onProblem?.(state.name, problem)),
      connection: (connection) => guard(() => this.#options.onConnection?.(state.name, connection)),
      close: () => {
        state.closed = true;
      },
    };
  }

  /** The addresses on this node's interfaces, which no source delivers. */
  setNodeAddresses(addresses: readonly IpAddress[]): void {
    const body: NodeAddressesBody = { addresses };
    const last = this.#nodeAddresses;
    if (last !== undefined && equalData(last.body, body)) return;
    const record: ObjectRecord = {
      source: '',
      seq: ++this.#seq,
      kind: 'nodeAddresses',
      key: this.#options.nodeName,
      uid: '',
      body,
    };
    this.#nodeAddresses = record;
    this.#queue(record);
  }

  /** Every kind of every source has been delivered once. False without a source: nothing may be removed on nobody's word. */
  get allSynced(): boolean {
    if (this.#sinks.size === 0) return false;
    for (const state of this.#sinks.values()) {
      if (!state.kinds.every((kind) => state.synced.has(kind))) return false;
    }
    return true;
  }

  /** `source/kind` of what has not synced yet, for messages. */
  get unsynced(): readonly string[] {
    return [...this.#sinks.values()].flatMap((state) =>
      state.kinds.filter((kind) => !state.synced.has(kind)).map((kind) => `${state.name}/${kind}`),
    );
  }

  /** Records waiting to be taken. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Highest `seq` given so far. */
  get seq(): number {
    return this.#seq;
  }

  /** The oldest pending records, each key once with its latest state, in the order of `seq`; at most `max` of them. */
  takePending(max: number = Number.POSITIVE_INFINITY): ObjectRecord[] {
    const taken: ObjectRecord[] = [];
    for (const [key, record] of this.#pending) {
      if (taken.length >= max) break;
      taken.push(record);
      this.#pending.delete(key);
    }
    return taken;
  }

  /** All that is there now. Pending records stay pending: delivering them again is harmless. */
  snapshot(): ObjectRecord[] {
    const records: ObjectRecord[] = [];
    if (this.#nodeAddresses !== undefined) records.push(this.#nodeAddresses);
    for (const state of this.#sinks.values()) {
      for (const kind of KINDS) {
        for (const { record } of state.entries[kind].values()) if (record !== undefined) records.push(record);
      }
    }
    return records;
  }

  #upsert(state: SinkState, kind: ResourceKind, object: unknown): ObjectKey | undefined {
    let projected: Projected;
    try {
      projected = this.#project(kind, object);
    } catch (error) {
      // Only an object with code in it (a throwing getter) comes here. It keeps what it had, and harms itself alone.
      this.#tellNameless(state, kind, [`an object cannot be read (${reasonOf(error)}); it is skipped`]);
      return keyOrUndefined(kind, object);
    }
    const { key, problems } = projected.projection;
    if (key === undefined) {
      this.#tellNameless(state, kind, problems);
      return undefined;
    }
    switch (projected.kind) {
      case 'Service':
        this.#upsertService(state, key, projected.projection);
        break;
      case 'EndpointSlice':
        this.#upsertSlice(state, key, projected.projection);
        break;
      case 'Node':
        this.#upsertNode(state, key, projected.projection);
        break;
    }
    return key;
  }

  #project(kind: ResourceKind, object: unknown): Projected {
    const { nodeName, scheduler = 'rr', hooks = {} } = this.#options;
    const withView = hooks.weightFor !== undefined;
    switch (kind) {
      case 'Service': {
        const { schedulerFor } = hooks;
        return { kind, projection: projectService(object, { scheduler, withView, schedulerFor }) };
      }
      case 'EndpointSlice':
        return { kind, projection: projectSlice(object, nodeName, { places: this.#places, withView }) };
      case 'Node':
        return { kind, projection: projectNode(object, nodeName, withView) };
    }
  }

  #upsertService(state: SinkState, key: ObjectKey, projection: ServiceProjection): void {
    const { uid, body, weights, view, hookProblem = '' } = projection;
    const entries = state.entries.Service;
    const entry = entries.get(key) ?? newService();
    const before = { ...entry };
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.weights = weights;
    entry.view = view;
    this.#tell(state, 'Service', key, entry, NONE, hookProblem);
    this.#number(entry, { source: state.name, seq: 0, kind: 'service', key, uid, body });
    keepEntry(entries, key, entry);
    // With several sources the one that counts may be another one now.
    const exchanged = this.#sinks.size > 1 && (before.record === undefined) !== (entry.record === undefined);
    if (exchanged || !equalData(before.weights, weights) || !equalData(before.view, view)) this.#weighService(key);
  }

  #upsertSlice(state: SinkState, key: ObjectKey, projection: SliceProjection): void {
    const { uid, body } = projection;
    const entries = state.entries.EndpointSlice;
    const entry = entries.get(key) ?? newSlice();
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.places = projection.places;
    entry.view = projection.view;
    this.#weigher.moved(entry, body?.service);
    const weights = body === null ? UNWEIGHED : this.#weigher.weigh(entry, body.service);
    this.#tell(state, 'EndpointSlice', key, entry, weights.problems, weights.hookProblem);
    const whole = body === null ? null : withWeights(body, weights);
    this.#number(entry, { source: state.name, seq: 0, kind: 'slice', key, uid, body: whole });
    keepEntry(entries, key, entry);
    this.#places.sweep(() => this.#usedPlaces());
  }

  #upsertNode(state: SinkState, key: ObjectKey, projection: NodeProjection): void {
    const { uid, body, facts } = projection;
    const entries = state.entries.Node;
    const entry = entries.get(key) ?? newNode();
    const before = entry.facts;
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.facts = facts;
    this.#tell(state, 'Node', key, entry, NONE, '');
    this.#number(entry, { source: state.name, seq: 0, kind: 'node', key, uid, body });
    keepEntry(entries, key, entry);
    if (!equalData(before, facts)) for (const slice of this.#weigher.onNode(key)) this.#weighAgain(slice);
  }

  /** Gives the record its number and passes it on, if it says anything new. */
  #number<Kind extends ObjectRecord>(entry: StoreEntry<Kind>, record: Kind): void {
    const known = entry.record;
    const changed =
      known === undefined ? record.body !== null : known.uid !== record.uid || !equalData(known.body, record.body);
    if (!changed) return;
    const numbered = { ...record, seq: ++this.#seq };
    entry.record = numbered.body === null ? undefined : numbered;
    this.#queue(numbered);
  }

  #remove(state: SinkState, kind: ResourceKind, key: ObjectKey): void {
    const record = state.entries[kind].get(key)?.record;
    const slice = kind === 'EndpointSlice' ? state.entries.EndpointSlice.get(key) : undefined;
    if (slice !== undefined) this.#weigher.moved(slice, undefined);
    state.entries[kind].delete(key);
    if (record !== undefined) this.#queue({ ...record, seq: ++this.#seq, body: null });
    if (kind === 'Service') this.#weighService(key);
    if (kind === 'Node') for (const each of this.#weigher.onNode(key)) this.#weighAgain(each);
  }

  #weighService(key: ObjectKey): void {
    for (const slice of this.#weigher.ofService(key)) this.#weighAgain(slice);
  }

  #weighAgain(entry: SliceEntry): void {
    const { record } = entry;
    const state = record === undefined ? undefined : this.#sinks.get(record.source);
    if (record === undefined || state === undefined || record.body === null) return;
    const { weights: _, ...body } = record.body;
    const weights = this.#weigher.weigh(entry, body.service);
    this.#tell(state, 'EndpointSlice', record.key, entry, weights.problems, weights.hookProblem);
    this.#number(entry, { ...record, body: withWeights(body, weights) });
  }

  /** Every source that has Nodes has delivered them once. */
  get #nodesSynced(): boolean {
    return [...this.#sinks.values()].every(({ kinds, synced }) => !kinds.includes('Node') || synced.has('Node'));
  }

  *#usedPlaces(): IterableIterator<Place> {
    for (const { EndpointSlice } of this.#entries) for (const { places } of EndpointSlice.values()) yield* places;
  }

  #replace(state: SinkState, kind: ResourceKind, objects: Iterable<unknown>): void {
    const seen = new Set<ObjectKey>();
    try {
      for (const object of objects) {
        const key = this.#upsert(state, kind, object);
        if (key !== undefined) seen.add(key);
      }
    } catch (error) {
      const message = `the list of ${kind} objects broke off, nothing is removed on its word`;
      this.#options.onProblem?.(state.name, { object: '', kind, message, error: toErrorRecord(error, 'ERR_KUBE_API') });
      return;
    }
    for (const key of [...state.entries[kind].keys()]) {
      if (!seen.has(key)) this.#remove(state, kind, key);
    }
  }

  #synced(state: SinkState, kind: ResourceKind): void {
    if (state.synced.has(kind)) return;
    state.synced.add(kind);
    // Only now a Node that is not there is one that does not come.
    if (kind === 'Node' && this.#nodesSynced) {
      for (const slice of this.#weigher.annotated) this.#weighAgain(slice);
    }
    this.#options.onChange?.();
  }

  #queue(record: ObjectRecord): void {
    const key = `${record.kind}\n${record.source}\n${record.key}`;
    this.#pending.delete(key);
    this.#pending.set(key, record);
    this.#options.onChange?.();
  }

  /** A problem is told when it appears, and again when it comes back after having been mended. */
  #tell(
    state: SinkState,
    kind: ResourceKind,
    key: ObjectKey,
    entry: StoreEntry<ObjectRecord>,
    more: readonly string[],
    hookProblem: string,
  ): void {
    entry.hookProblem = hookProblem === '' || entry.hookProblem === '' ? hookProblem : entry.hookProblem;
    const problems = [...entry.problems, ...more, ...(entry.hookProblem === '' ? NONE : [entry.hookProblem])];
    const joined = problems.join('\n');
    if (joined === entry.told) return;
    const before = new Set(entry.told.split('\n').map(withoutPlaces));
    entry.told = joined;
    const fresh = problems.filter((message) => !before.has(withoutPlaces(message)));
    for (const message of fresh.slice(0, TOLD_PROBLEMS)) {
      this.#options.onProblem?.(state.name, { object: printable(key), kind, message });
    }
    if (fresh.length > TOLD_PROBLEMS) {
      const message = `${fresh.length - TOLD_PROBLEMS} more problems of this object`;
      this.#options.onProblem?.(state.name, { object: printable(key), kind, message });
    }
  }

  #tellNameless(state: SinkState, kind: ResourceKind, problems: readonly string[]): void {
    for (const message of problems) {
      const remembered = `${kind} ${message}`;
      if (state.nameless.has(remembered)) continue;
      if (state.nameless.size >= REMEMBERED_NAMELESS) state.nameless.clear();
      state.nameless.add(remembered);
      this.#options.onProblem?.(state.name, { object: '', kind, message });
    }
  }
}

/** `endpoints[3].addresses[0]: …` is what `endpoints[2].addresses[0]: …` was before its neighbour went. */
function withoutPlaces(message: string): string {
  return message.replace(/\[\d+\]/g, '[]');
}

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];

function withWeights(body: SliceBody, { weights }: Weights): SliceBody {
  return weights === undefined ? body : { ...body, weights };
}

function keyOrUndefined(kind: ResourceKind, object: unknown): ObjectKey | undefined {
  try {
    return objectKey(kind, object);
  } catch {
    return undefined;
  }
}
