/** Objects from the embedding program itself: an informer it has already, a test, another orchestrator. */
import { InvalidArgumentError } from '../errors.ts';
import { isObject, show } from './json.ts';
import { objectKey } from './projection.ts';
import type { ResourceKind, Source, SourceSink } from './source.ts';

export interface ObjectSourceOptions {
  /** Default `objects`. */
  readonly name?: string;
  /** What will be delivered, and so what `synced` is waited for. Default: Service, EndpointSlice and Node. */
  readonly kinds?: readonly ResourceKind[];
}

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];

/**
 * Calls may come before the proxier runs: they are kept and delivered when it starts. After it has stopped they do nothing.
 * The objects are read at once and not kept; the caller may reuse them afterwards, but not before the proxier runs.
 */
export class ObjectSource implements Source {
  readonly name: string;
  readonly kinds: readonly ResourceKind[];
  #sink: SourceSink | undefined;
  #waiting: ((sink: SourceSink) => void)[] = [];
  #stopped = false;

  constructor(options: ObjectSourceOptions = {}) {
    this.name = options.name ?? 'objects';
    this.kinds = options.kinds ?? KINDS;
    for (const kind of this.kinds) {
      if (!KINDS.includes(kind))
        throw new InvalidArgumentError('kinds', `${show(kind)} is none of ${KINDS.join(', ')}`);
    }
  }

  /**
   * A new object or a new state of one. Needs `kind`, which client-node's lists leave out: see `replace`. Throws
   * InvalidArgumentError when the kind is none of this source's; any other fault of the object is told as a warning by the proxier.
   */
  apply(object: object): void {
    const kind = this.#kindOf(isObject(object) ? object['kind'] : undefined, 'object.kind');
    this.#send((sink) => sink.upsert(kind, object));
  }

  /** Namespace is ignored for a Node. Deleting what is not there does nothing. */
  delete(reference: { readonly kind: ResourceKind; readonly namespace?: string; readonly name: string }): void {
    const kind = this.#kindOf(reference.kind, 'reference.kind');
    const { name, namespace = '' } = reference;
    if (objectKey(kind, { metadata: { name, namespace } }) === undefined) {
      throw new InvalidArgumentError('reference', `${show(reference)} names no ${kind}: give name and namespace`);
    }
    this.#send((sink) => sink.remove(kind, namespace, name));
  }

  /** All objects of a kind: others that were there are gone. */
  replace(kind: ResourceKind, objects: Iterable<object>): void {
    const checked = this.#kindOf(kind, 'kind');
    const list = [...objects];
    this.#send((sink) => sink.replace(checked, list));
  }

  /** Everything of this kind (default: of all kinds) has been applied. Until then the proxier removes nothing. */
  synced(kind?: ResourceKind): void {
    const kinds = kind === undefined ? this.kinds : [this.#kindOf(kind, 'kind')];
    this.#send((sink) => {
      for (const each of kinds) sink.synced(each);
    });
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#sink !== undefined)
      throw new InvalidArgumentError('source', `${this.name} was started before; make a new one`);
    if (this.#stopped || signal.aborted) return;
    this.#sink = sink;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const send of waiting) send(sink);
    signal.addEventListener('abort', () => this.#end(), { once: true });
  }

  async stop(): Promise<void> {
    this.#end();
  }

  #end(): void {
    this.#stopped = true;
    this.#waiting = [];
  }

  #send(send: (sink: SourceSink) => void): void {
    if (this.#stopped) return;
    if (this.#sink === undefined) this.#waiting.push(send);
    else send(this.#sink);
  }

  #kindOf(value: unknown, field: string): ResourceKind {
    const kind = this.kinds.find((each) => each === value);
    if (kind === undefined) {
      throw new InvalidArgumentError(field, `${show(value)} is none of this source's kinds (${this.kinds.join(', ')})`);
    }
    return kind;
  }
}
