/** What each source of a record store has said, and whether it has said all of it. */
import type { ObjectKey } from '../records.ts';
import { ObjectProblems } from './object-problems.ts';
import type { ResourceKind, SourceProblem } from './source.ts';
import { emptyEntries, type ServiceEntry, type StoreEntries } from './store-entry.ts';

export interface SourceState {
  readonly name: string;
  readonly kinds: readonly ResourceKind[];
  readonly entries: StoreEntries;
  readonly problems: ObjectProblems;
  readonly synced: Set<ResourceKind>;
  closed: boolean;
}

export class StoreSources {
  readonly #states = new Map<string, SourceState>();
  #entries: readonly StoreEntries[] = [];

  /** Names must be unique: a second source of a name continues what the first one left, and the first one is closed. */
  add(
    source: { readonly name: string; readonly kinds: readonly ResourceKind[] },
    onProblem: (problem: SourceProblem) => void,
  ): SourceState {
    const { name, kinds } = source;
    const before = this.#states.get(name);
    if (before !== undefined) before.closed = true;
    const entries = before?.entries ?? emptyEntries();
    const problems = new ObjectProblems(onProblem);
    const state: SourceState = { name, kinds, entries, problems, synced: new Set(), closed: false };
    this.#states.set(name, state);
    const ranked = [...this.#states.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
    this.#entries = ranked.map((each) => each.entries);
    return state;
  }

  get(name: string): SourceState | undefined {
    return this.#states.get(name);
  }

  get size(): number {
    return this.#states.size;
  }

  /** In the order in which they count: the model's (`model/record-store.ts`). */
  get entries(): readonly StoreEntries[] {
    return this.#entries;
  }

  all(): IterableIterator<SourceState> {
    return this.#states.values();
  }

  /** The one that counts. */
  service(key: ObjectKey): ServiceEntry | undefined {
    for (const { Service } of this.#entries) {
      const entry = Service.get(key);
      if (entry?.record !== undefined) return entry;
    }
    return undefined;
  }

  /** Every kind of every source has been delivered once. False without a source: nothing may be removed on nobody's word. */
  get allSynced(): boolean {
    if (this.#states.size === 0) return false;
    for (const state of this.#states.values()) {
      if (!state.kinds.every((kind) => state.synced.has(kind))) return false;
    }
    return true;
  }

  /** Every source that has Nodes has delivered them once. */
  get nodesSynced(): boolean {
    return [...this.#states.values()].every(({ kinds, synced }) => !kinds.includes('Node') || synced.has('Node'));
  }

  /** `source/kind` of what has not synced yet, for messages. */
  get unsynced(): readonly string[] {
    return [...this.#states.values()].flatMap((state) =>
      state.kinds.filter((kind) => !state.synced.has(kind)).map((kind) => `${state.name}/${kind}`),
    );
  }
}
