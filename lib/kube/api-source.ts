/** Services, EndpointSlices and Nodes, from a Kubernetes API server. */
import { InvalidArgumentError } from '../errors.ts';
import type { BackoffOptions } from './backoff.ts';
import type { Clock } from './clock.ts';
import { type KubeConfigOption, resolveCredentials } from './credentials.ts';
import { objectKey, unusableName } from './projection.ts';
import { Reflector } from './reflector.ts';
import { labelSelector } from './selection.ts';
import type { ResourceKind, Source, SourceSink } from './source.ts';
import { HttpTransport, type Transport } from './transport.ts';

export interface ApiSourceOptions {
  /** Name of this node's Node object; one that does not exist means that no endpoint is ever local. */
  readonly nodeName: string;
  /** `own` (default): only the Node of that name. `all`: every Node of the cluster. */
  readonly watchNodes?: 'own' | 'all';
  /** Default `default`. */
  readonly kubeConfig?: KubeConfigOption;
  /** Serve what is labelled with this `service.kubernetes.io/service-proxy-name`. Default: what has no such label. */
  readonly serviceProxyName?: string;
  /** Default `api`. */
  readonly name?: string;
  /** Instead of HTTPS with `kubeConfig`. */
  readonly transport?: Transport;
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly backoff?: Omit<BackoffOptions, 'random'>;
  readonly idleMs?: number;
}

export class ApiSource implements Source {
  readonly name: string;
  readonly kinds: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];
  readonly #options: ApiSourceOptions;
  readonly #abort = new AbortController();
  #transport: Transport | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #started = false;

  constructor(options: ApiSourceOptions) {
    if (unusableName(options.nodeName) !== undefined) {
      throw new InvalidArgumentError(
        'nodeName',
        `${JSON.stringify(options.nodeName)} is not the name of a Node; see kubectl get nodes`,
      );
    }
    const { watchNodes } = options;
    if (watchNodes !== undefined && watchNodes !== 'own' && watchNodes !== 'all') {
      throw new InvalidArgumentError('watchNodes', `${JSON.stringify(watchNodes)} is not own or all`);
    }
    const proxy = options.serviceProxyName;
    if (proxy !== undefined && !/^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/.test(proxy)) {
      throw new InvalidArgumentError(
        'serviceProxyName',
        `${JSON.stringify(proxy)} is not a label value (at most 63 letters, digits, - _ .)`,
      );
    }
    this.#options = options;
    this.name = options.name ?? 'api';
  }

  async start(sink: SourceSink, signal: AbortSignal): Promise<void> {
    if (this.#started) throw new InvalidArgumentError('source', `${this.name} was started before; make a new one`);
    this.#started = true;
    const transport =
      this.#options.transport ?? new HttpTransport(await resolveCredentials(this.#options.kubeConfig ?? 'default'));
    this.#transport = transport;
    if (this.#abort.signal.aborted) return;
    if (signal.aborted) this.#abort.abort();
    else signal.addEventListener('abort', () => this.#abort.abort(), { once: true, signal: this.#abort.signal });
    const reflectors = this.#reflectors(transport, this.#nodeWatcher(sink));
    this.#running = Promise.all(reflectors.map((reflector) => reflector.run(this.#abort.signal))).then(() =>
      transport.close(),
    );
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
    await this.#transport?.close();
  }

  #reflectors(transport: Transport, sink: SourceSink): Reflector[] {
    const { clock, random, backoff, idleMs, nodeName, watchNodes, serviceProxyName } = this.#options;
    const selector = labelSelector(serviceProxyName);
    const common = {
      transport,
      sink,
      ...(clock === undefined ? {} : { clock }),
      ...(random === undefined ? {} : { random }),
      ...(backoff === undefined ? {} : { backoff }),
      ...(idleMs === undefined ? {} : { idleMs }),
    };
    return [
      new Reflector({ ...common, kind: 'Service', path: '/api/v1/services', group: '', labelSelector: selector }),
      new Reflector({
        ...common,
        kind: 'EndpointSlice',
        path: '/apis/discovery.k8s.io/v1/endpointslices',
        group: 'discovery.k8s.io',
        labelSelector: selector,
      }),
      new Reflector({
        ...common,
        kind: 'Node',
        path: '/api/v1/nodes',
        group: '',
        ...(watchNodes === 'all' ? {} : { fieldSelector: `metadata.name=${nodeName}` }),
      }),
    ];
  }

  /** Tells when the first list does not hold the Node: the likeliest cause of "no endpoint is local". */
  #nodeWatcher(sink: SourceSink): SourceSink {
    const { nodeName } = this.#options;
    let seen = false;
    let told = false;
    return {
      remove: (kind, namespace, name) => sink.remove(kind, namespace, name),
      replace: (kind, objects) => sink.replace(kind, objects),
      problem: (problem) => sink.problem(problem),
      connection: (state) => sink.connection(state),
      upsert: (kind, object) => {
        if (kind === 'Node' && objectKey(kind, object) === nodeName) seen = true;
        sink.upsert(kind, object);
      },
      synced: (kind) => {
        if (kind === 'Node' && !seen && !told) {
          told = true;
          const message = 'the cluster has no Node of this name, so no endpoint counts as local; correct the node name';
          sink.problem({ object: nodeName, kind, message });
        }
        sink.synced(kind);
      },
    };
  }
}
