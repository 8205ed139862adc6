/**
 * What all sources say, as records: projected at once, kept for resending, compared so that noise (metadata, status, resyncs) ends
 * here, numbered, and gathered by key until the worker takes them.
 */
import { toErrorRecord } from '../errors.ts';
import type { NodeAddressesRecord, ObjectKey, ObjectRecord, SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { ChangeQueue, type StoreClock } from './change-queue.ts';
import { equalData } from './equal-data.ts';
import type { Hooks } from './hooks.ts';
import { reasonOf } from './json.ts';
import type { NodeProjection } from './node-projection.ts';
import type { PendingChange, RoundLimits } from './pending-records.ts';
import { type Place, PlaceTable } from './places.ts';
import { type ProjectedObject, projectObject } from './project-object.ts';
import { objectKey } from './projection.ts';
import type { ServiceProjection } from './service-projection.ts';
import type { SliceProjection } from './slice-projection.ts';
import { SliceWeigher, UNWEIGHED } from './slice-weigher.ts';
import type { ResourceKind, SourceConnection, SourceProblem, SourceSink } from './source.ts';
import { keepEntry, newNode, newService, newSlice, type SliceEntry } from './store-entry.ts';
import { type SourceState, StoreSources } from './store-sources.ts';
import type { Weights } from './weights.ts';

export interface RecordStoreOptions {
  /** The node this proxier runs on; decides `local` endpoints and the `self` node. */
  readonly nodeName: string;
  /** The proxier's own scheduler, which scheduler flags count for when a Service names none. Default `rr`. */
  readonly scheduler?: string;
  readonly hooks?: Hooks;
  /** Default: the machine's. */
  readonly clock?: StoreClock;
  /** Something may be taken, or `allSynced` became true. Cheap and synchronous; called once for each change. */
  readonly onChange?: () => void;
  readonly onProblem?: (source: string, problem: SourceProblem) => void;
  readonly onConnection?: (source: string, connection: SourceConnection) => void;
}

/** The sink of one source. After `close` every call is ignored; what the source said stays. */
export interface StoreSink extends SourceSink {
  close(): void;
}

const NONE: readonly never[] = [];

export class RecordStore {
  readonly #options: RecordStoreOptions;
  readonly #sources = new StoreSources();
  readonly #queue: ChangeQueue;
  readonly #places = new PlaceTable();
  readonly #weigher: SliceWeigher;
  readonly #nodeAddresses: { record: NodeAddressesRecord | undefined } = { record: undefined };

  constructor(options: RecordStoreOptions) {
    this.#options = options;
    this.#queue = new ChangeQueue({
      clock: options.clock,
      portsOf: (service) => this.#sources.service(service)?.record?.body?.ports,
      onChange: options.onChange,
    });
    this.#weigher = new SliceWeigher({
      nodeName: options.nodeName,
      weightFor: options.hooks?.weightFor,
      entries: () => this.#sources.entries,
      nodesSynced: () => this.#sources.nodesSynced,
    });
  }

  /** The sink for a source. Names must be unique: a second sink of a name continues what the first one left. */
  sinkFor(source: { readonly name: string; readonly kinds: readonly ResourceKind[] }): StoreSink {
    const state = this.#sources.add(source, (problem) => this.#options.onProblem?.(source.name, problem));
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
    const { nodeName } = this.#options;
    const said = { source: '', seq: 0, kind: 'nodeAddresses', key: nodeName, uid: '', body: { addresses } } as const;
    this.#queue.update(this.#nodeAddresses, said);
  }

  /** Every kind of every source has been delivered once. False without a source: nothing may be removed on nobody's word. */
  get allSynced(): boolean {
    return this.#sources.allSynced;
  }

  /** `source/kind` of what has not synced yet, for messages. */
  get unsynced(): readonly string[] {
    return this.#sources.unsynced;
  }

  /** Records waiting to be taken. */
  get pending(): number {
    return this.#queue.pending.size;
  }

  /** Highest `seq` given so far. */
  get seq(): number {
    return this.#queue.seq;
  }

  /** The change that has waited longest to be taken. */
  get oldestPending(): PendingChange | undefined {
    return this.#queue.pending.oldest;
  }

  /** The next round: what is urgent first, in the limits; the rest stays pending. */
  takeRound(limits: RoundLimits): PendingChange[] {
    return this.#queue.pending.take(limits);
  }

  /** Pending records, each key once with its latest state, in the order of `seq`; at most `max` of them, those that changed least lately. */
  takePending(max: number = Number.POSITIVE_INFINITY): ObjectRecord[] {
    return this.#queue.pending.takeBySeq(max);
  }

  /** All that is there now. Pending records stay pending: delivering them again is harmless. */
  snapshot(): ObjectRecord[] {
    const records: ObjectRecord[] = [];
    const { record: nodeAddresses } = this.#nodeAddresses;
    if (nodeAddresses !== undefined) records.push(nodeAddresses);
    for (const state of this.#sources.all()) {
      for (const kind of KINDS) {
        for (const { record } of state.entries[kind].values()) if (record !== undefined) records.push(record);
      }
    }
    return records;
  }

  #upsert(state: SourceState, kind: ResourceKind, object: unknown): ObjectKey | undefined {
    let projected: ProjectedObject;
    try {
      projected = projectObject(kind, object, { ...this.#options, places: this.#places });
    } catch (error) {
      // Only an object with code in it (a throwing getter) comes here. It keeps what it had, and harms itself alone.
      state.problems.tellNameless(kind, [`an object cannot be read (${reasonOf(error)}); it is skipped`]);
      return keyOrUndefined(kind, object);
    }
    const { key, problems } = projected.projection;
    if (key === undefined) {
      state.problems.tellNameless(kind, problems);
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

  #upsertService(state: SourceState, key: ObjectKey, projection: ServiceProjection): void {
    const { uid, body, weights, view, hookProblem = '' } = projection;
    const entries = state.entries.Service;
    const entry = entries.get(key) ?? newService();
    const before = { ...entry };
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.weights = weights;
    entry.view = view;
    state.problems.update('Service', key, entry, NONE, hookProblem);
    this.#queue.update(entry, { source: state.name, seq: 0, kind: 'service', key, uid, body });
    keepEntry(entries, key, entry);
    // With several sources the one that counts may be another one now.
    const exchanged = this.#sources.size > 1 && (before.record === undefined) !== (entry.record === undefined);
    if (exchanged || !equalData(before.weights, weights) || !equalData(before.view, view)) this.#weighService(key);
  }

  #upsertSlice(state: SourceState, key: ObjectKey, projection: SliceProjection): void {
    const { uid, body } = projection;
    const entries = state.entries.EndpointSlice;
    const entry = entries.get(key) ?? newSlice();
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.places = projection.places;
    entry.view = projection.view;
    this.#weigher.moved(entry, body?.service);
    const weights = body === null ? UNWEIGHED : this.#weigher.weigh(entry, body.service);
    state.problems.update('EndpointSlice', key, entry, weights.problems, weights.hookProblem);
    const whole = body === null ? null : withWeights(body, weights);
    // The same as with the state before: it was not this change that it was said of.
    const triggerMs = projection.triggerMs === entry.triggerMs ? 0 : projection.triggerMs;
    entry.triggerMs = projection.triggerMs;
    this.#queue.update(entry, { source: state.name, seq: 0, kind: 'slice', key, uid, body: whole }, triggerMs);
    keepEntry(entries, key, entry);
    this.#places.sweep(() => this.#usedPlaces());
  }

  #upsertNode(state: SourceState, key: ObjectKey, projection: NodeProjection): void {
    const { uid, body, facts } = projection;
    const entries = state.entries.Node;
    const entry = entries.get(key) ?? newNode();
    const before = entry.facts;
    entry.problems = projection.problems.length === 0 ? NONE : projection.problems;
    entry.facts = facts;
    state.problems.update('Node', key, entry, NONE, '');
    this.#queue.update(entry, { source: state.name, seq: 0, kind: 'node', key, uid, body });
    keepEntry(entries, key, entry);
    if (!equalData(before, facts)) for (const slice of this.#weigher.onNode(key)) this.#weighAgain(slice);
  }

  #remove(state: SourceState, kind: ResourceKind, key: ObjectKey): void {
    const record = state.entries[kind].get(key)?.record;
    const slice = kind === 'EndpointSlice' ? state.entries.EndpointSlice.get(key) : undefined;
    if (slice !== undefined) this.#weigher.moved(slice, undefined);
    state.entries[kind].delete(key);
    if (record !== undefined) this.#queue.remove(record);
    if (kind === 'Service') this.#weighService(key);
    if (kind === 'Node') for (const each of this.#weigher.onNode(key)) this.#weighAgain(each);
  }

  #weighService(key: ObjectKey): void {
    for (const slice of this.#weigher.ofService(key)) this.#weighAgain(slice);
  }

  #weighAgain(entry: SliceEntry): void {
    const { record } = entry;
    const state = record === undefined ? undefined : this.#sources.get(record.source);
    if (record === undefined || state === undefined || record.body === null) return;
    const { weights: _, ...body } = record.body;
    const weights = this.#weigher.weigh(entry, body.service);
    state.problems.update('EndpointSlice', record.key, entry, weights.problems, weights.hookProblem);
    this.#queue.update(entry, { ...record, body: withWeights(body, weights) });
  }

  *#usedPlaces(): IterableIterator<Place> {
    for (const { EndpointSlice } of this.#sources.entries)
      for (const { places } of EndpointSlice.values()) yield* places;
  }

  #replace(state: SourceState, kind: ResourceKind, objects: Iterable<unknown>): void {
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

  #synced(state: SourceState, kind: ResourceKind): void {
    if (state.synced.has(kind)) return;
    state.synced.add(kind);
    // Only now a Node that is not there is one that does not come.
    if (kind === 'Node' && this.#sources.nodesSynced) {
      for (const slice of this.#weigher.annotated) this.#weighAgain(slice);
    }
    this.#options.onChange?.();
  }
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
