/**
 * What all sources say, as records: projected at once, kept for resending, compared so that noise (metadata, status, resyncs) ends
 * here, numbered, and gathered by key until the worker takes them.
 */
import { toErrorRecord } from '../errors.ts';
import type { NodeAddressesBody, ObjectKey, ObjectRecord } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { equalData } from './equal-data.ts';
import { printable } from './json.ts';
import { projectNode } from './node-projection.ts';
import { objectKey, type Projection } from './projection.ts';
import { projectService } from './service-projection.ts';
import { projectSlice } from './slice-projection.ts';
import type { ResourceKind, SourceConnection, SourceProblem, SourceSink } from './source.ts';

export interface RecordStoreOptions {
  /** The node this proxier runs on; decides `local` endpoints and the `self` node. */
  readonly nodeName: string;
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

/** One object of one source. The record is the last one numbered; its body is null when there is nothing to proxy. */
interface Entry {
  record: ObjectRecord | undefined;
  /** The problems told last, joined; empty = none. */
  problems: string;
}

interface SinkState {
  readonly name: string;
  readonly kinds: readonly ResourceKind[];
  readonly entries: ReadonlyMap<ResourceKind, Map<ObjectKey, Entry>>;
  readonly nameless: Set<string>;
  readonly synced: Set<ResourceKind>;
  closed: boolean;
}

export class RecordStore {
  readonly #options: RecordStoreOptions;
  readonly #sinks = new Map<string, SinkState>();
  readonly #pending = new Map<string, ObjectRecord>();
  #nodeAddresses: ObjectRecord | undefined;
  #seq = 0;

  constructor(options: RecordStoreOptions) {
    this.#options = options;
  }

  /** The sink for a source. Names must be unique: a second sink of a name continues what the first one left. */
  sinkFor(source: { readonly name: string; readonly kinds: readonly ResourceKind[] }): StoreSink {
    const before = this.#sinks.get(source.name);
    if (before !== undefined) before.closed = true;
    const state: SinkState = {
      name: source.name,
      kinds: source.kinds,
      entries: before?.entries ?? new Map(KINDS.map((kind) => [kind, new Map<ObjectKey, Entry>()])),
      nameless: new Set(),
      synced: new Set(),
      closed: false,
    };
    this.#sinks.set(source.name, state);
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
      for (const entries of state.entries.values()) {
        for (const { record } of entries.values()) {
          if (record !== undefined && record.body !== null) records.push(record);
        }
      }
    }
    return records;
  }

  #upsert(state: SinkState, kind: ResourceKind, object: unknown): ObjectKey | undefined {
    const entries = entriesOf(state, kind);
    const fields = { source: state.name, nodeName: this.#options.nodeName };
    let candidate: Candidate;
    try {
      candidate = project(kind, object, fields);
    } catch (error) {
      // Only an object with code in it (a throwing getter) comes here. It keeps what it had, and harms itself alone.
      this.#tellNameless(state, kind, [`an object cannot be read (${printable(String(error))}); it is skipped`]);
      return keyOrUndefined(kind, object);
    }
    const { projection, record } = candidate;
    if (projection.key === undefined) {
      this.#tellNameless(state, kind, projection.problems);
      return undefined;
    }
    const key = projection.key;
    const entry = entries.get(key) ?? { record: undefined, problems: '' };
    this.#tell(state, kind, key, entry, projection.problems);
    const known = entry.record;
    const changed =
      known === undefined ? record.body !== null : known.uid !== record.uid || !equalData(known.body, record.body);
    if (changed) {
      entry.record = { ...record, seq: ++this.#seq };
      this.#queue(entry.record);
    }
    if (entry.record?.body === null) entry.record = undefined;
    if (entry.record === undefined && entry.problems === '') entries.delete(key);
    else entries.set(key, entry);
    return key;
  }

  #remove(state: SinkState, kind: ResourceKind, key: ObjectKey): void {
    const entries = entriesOf(state, kind);
    const record = entries.get(key)?.record;
    entries.delete(key);
    if (record !== undefined) this.#queue({ ...record, seq: ++this.#seq, body: null });
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
    for (const key of [...entriesOf(state, kind).keys()]) {
      if (!seen.has(key)) this.#remove(state, kind, key);
    }
  }

  #synced(state: SinkState, kind: ResourceKind): void {
    if (state.synced.has(kind)) return;
    state.synced.add(kind);
    this.#options.onChange?.();
  }

  #queue(record: ObjectRecord): void {
    const key = `${record.kind}\n${record.source}\n${record.key}`;
    this.#pending.delete(key);
    this.#pending.set(key, record);
    this.#options.onChange?.();
  }

  /** A problem is told when it appears, and again when it comes back after having been mended. */
  #tell(state: SinkState, kind: ResourceKind, key: ObjectKey, entry: Entry, problems: readonly string[]): void {
    const joined = problems.join('\n');
    if (joined === entry.problems) return;
    const before = new Set(entry.problems.split('\n'));
    entry.problems = joined;
    const fresh = problems.filter((message) => !before.has(message));
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

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];

interface Candidate {
  readonly projection: Projection<unknown>;
  /** Without a number yet: `seq` is 0. */
  readonly record: ObjectRecord;
}

function project(
  kind: ResourceKind,
  object: unknown,
  by: { readonly source: string; readonly nodeName: string },
): Candidate {
  const seq = 0;
  const source = by.source;
  switch (kind) {
    case 'Service': {
      const projection = projectService(object);
      const { key = '', uid, body } = projection;
      return { projection, record: { source, seq, kind: 'service', key, uid, body } };
    }
    case 'EndpointSlice': {
      const projection = projectSlice(object, by.nodeName);
      const { key = '', uid, body } = projection;
      return { projection, record: { source, seq, kind: 'slice', key, uid, body } };
    }
    case 'Node': {
      const projection = projectNode(object, by.nodeName);
      const { key = '', uid, body } = projection;
      return { projection, record: { source, seq, kind: 'node', key, uid, body } };
    }
  }
}

function keyOrUndefined(kind: ResourceKind, object: unknown): ObjectKey | undefined {
  try {
    return objectKey(kind, object);
  } catch {
    return undefined;
  }
}

function entriesOf(state: SinkState, kind: ResourceKind): Map<ObjectKey, Entry> {
  return state.entries.get(kind) ?? new Map<ObjectKey, Entry>();
}
