/** A simulated cluster as a source of a Proxier. */
import { InvalidArgumentError } from '../../errors.ts';
import { reasonOf } from '../../kube/json.ts';
import type { ResourceKind, Source, SourceSink } from '../../kube/source.ts';
import type { SimulationEvent } from './churn.ts';
import { Pace, type PaceOptions } from './pace.ts';
import type { SimulatedCluster } from './simulated-cluster.ts';

export interface SimulatedSourceOptions extends PaceOptions {
  readonly cluster: SimulatedCluster;
  /** What happens once everything has been listed: a `churn` of the cluster. Default: nothing. */
  readonly events?: Iterable<SimulationEvent>;
  /** Default `simulation`. */
  readonly name?: string;
}

const KINDS: readonly ResourceKind[] = ['Node', 'Service', 'EndpointSlice'];

/** Lists what the cluster holds when it is started, says that it is synced, and then lives through the events in their time. */
export class SimulatedSource implements Source {
  readonly name: string;
  readonly kinds: readonly ResourceKind[] = KINDS;
  /** Resolves after the last event, or when it was stopped before. Never for a churn without an end that nobody stops. */
  readonly finished: Promise<void>;
  readonly #cluster: SimulatedCluster;
  readonly #events: Iterable<SimulationEvent>;
  readonly #pace: Pace;
  readonly #abort = new AbortController();
  #finish: () => void = () => {};
  #running: Promise<void> | undefined;
  #played = 0;

  /** @throws InvalidArgumentError for a speed that is none. */
  constructor(options: SimulatedSourceOptions) {
    this.name = options.name ?? 'simulation';
    this.#cluster = options.cluster;
    this.#events = options.events ?? [];
    this.#pace = new Pace(options);
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Events that were delivered, without the lists before them. */
  get played(): number {
    return this.#played;
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#running !== undefined) {
      throw new InvalidArgumentError('source', `${this.name} was started before; make a new one`);
    }
    if (signal.aborted) this.#abort.abort();
    signal.addEventListener('abort', () => this.#abort.abort(), { once: true, signal: this.#abort.signal });
    this.#running = this.#play(sink)
      .catch((error: unknown) => {
        sink.problem({ object: '', kind: '', message: `the simulation broke off: ${reasonOf(error)}` });
      })
      .finally(this.#finish);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    this.#finish();
  }

  async #play(sink: SourceSink): Promise<void> {
    const { signal } = this.#abort;
    this.#pace.begin();
    for (const kind of KINDS) {
      for (const object of this.#cluster.objects(kind)) {
        if (signal.aborted) return;
        sink.upsert(kind, object);
        await this.#pace.until(0, signal);
      }
      if (!signal.aborted) sink.synced(kind);
    }
    for (const event of this.#events) {
      await this.#pace.until(event.atMs, signal);
      if (signal.aborted) return;
      if (event.op === 'upsert') sink.upsert(event.kind, event.object);
      else sink.remove(event.kind, event.namespace, event.name);
      this.#played += 1;
    }
  }
}
