/** The sources of one run, the records they make, and what they say about themselves. */
import { ProxierError } from '../errors.ts';
import { RecordStore, type RecordStoreOptions, type StoreSink } from '../kube/record-store.ts';
import type { ResourceKind, Source, SourceConnection, SourceProblem } from '../kube/source.ts';
import type { SourceHealth } from './health.ts';

export interface IntakeObserver {
  /** Records wait to be taken, or the sources have become synced. */
  onChange(): void;
  onProblem(source: string, problem: SourceProblem): void;
  onConnection(source: string, connection: SourceConnection): void;
}

/** Enough to explain why a source does not sync. */
const KEPT_PROBLEMS = 3;

export class Intake {
  readonly store: RecordStore;
  readonly #sources: readonly Source[];
  /** Plans before the run, and the run. */
  readonly #observers = new Set<IntakeObserver>();
  readonly #stopping = new AbortController();
  readonly #sinks: StoreSink[] = [];
  /** What sources said about themselves or their files, newest last. */
  readonly #problems: string[] = [];
  readonly #connections = new Map<string, Map<ResourceKind, SourceConnection>>();
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    sources: readonly Source[],
    projection: Pick<RecordStoreOptions, 'nodeName' | 'scheduler' | 'hooks' | 'clock'>,
  ) {
    this.#sources = sources;
    this.store = new RecordStore({
      ...projection,
      onChange: () => {
        for (const observer of this.#observers) observer.onChange();
      },
      onProblem: (source, problem) => this.#troubled(source, problem),
      onConnection: (source, connection) => this.#connected(source, connection),
    });
  }

  /** Starts the sources, or, when somebody else did, tells the observer at once that there is something to take. */
  start(observer: IntakeObserver): Promise<void> {
    if (this.#stopped !== undefined) return Promise.reject(new ProxierError('ERR_CLOSED', 'the sources are stopped'));
    this.#observers.add(observer);
    if (this.#started !== undefined) observer.onChange();
    this.#started ??= this.#start();
    return this.#started;
  }

  /** All sinks are there before the first source speaks: none may be taken for synced while another is not known yet. */
  async #start(): Promise<void> {
    const starts = this.#sources.map((source) => ({ source, sink: this.store.sinkFor(source) }));
    this.#sinks.push(...starts.map(({ sink }) => sink));
    await Promise.all(starts.map(async ({ source, sink }) => source.start(sink, this.#stopping.signal)));
  }

  /** The observer hears no more. */
  leave(observer: IntakeObserver): void {
    this.#observers.delete(observer);
  }

  /** Resolves when nothing of any source runs any more. Idempotent. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    for (const sink of this.#sinks) sink.close();
    this.#stopping.abort();
    await Promise.allSettled(this.#sources.map(async (source) => source.stop()));
  }

  health(): SourceHealth[] {
    const { unsynced } = this.store;
    return this.#sources.map(({ name }) => ({
      name,
      synced: this.#sinks.length > 0 && !unsynced.some((what) => what.startsWith(`${name}/`)),
      connections: [...(this.#connections.get(name)?.values() ?? [])],
    }));
  }

  /** What did not come in time, and why: the lists, or, when all are there, the pass after them. */
  unsyncedError(timeoutMs: number): ProxierError {
    const troubles = [...this.#connections].flatMap(([name, connections]) =>
      [...connections.values()].flatMap(({ resource, error }) =>
        error === undefined ? [] : [`${name}/${resource}: ${error.message}`],
      ),
    );
    const reasons = [...troubles, ...this.#problems];
    const why = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
    const { unsynced } = this.store;
    const what =
      unsynced.length === 0
        ? 'the first complete pass was not made'
        : `the first list of ${unsynced.join(', ')} did not arrive`;
    return new ProxierError('ERR_TIMEOUT', `${what} within ${timeoutMs} ms${why}`);
  }

  #troubled(source: string, problem: SourceProblem): void {
    if (problem.kind === '') {
      this.#problems.push(`${problemObject(source, problem)}: ${problem.message}`);
      if (this.#problems.length > KEPT_PROBLEMS) this.#problems.shift();
    }
    for (const observer of this.#observers) observer.onProblem(source, problem);
  }

  /** The error of the last attempt stays until there is a connection: while the next one is under way it is still the reason. */
  #connected(source: string, connection: SourceConnection): void {
    const known = this.#connections.get(source) ?? new Map<ResourceKind, SourceConnection>();
    const last = connection.state === 'listing' ? known.get(connection.resource)?.error : undefined;
    const kept = last === undefined ? connection : { error: last, ...connection };
    this.#connections.set(source, known.set(connection.resource, kept));
    for (const observer of this.#observers) observer.onConnection(source, connection);
  }
}

/** What a problem is about, for people: the object, else the source. */
export function problemObject(source: string, { object, kind }: SourceProblem): string {
  if (object === '') return source;
  return kind === '' ? object : `${kind} ${object}`;
}
