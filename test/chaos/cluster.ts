/** What the API says, by two sources, over the lives of several processes: each new one hears all there is, and then what happens. */
import { objectKey } from '../../lib/kube/projection.ts';
import type { ResourceKind, Source, SourceSink } from '../../lib/kube/source.ts';
import { namespace, type ObjectEvent } from '../harness/arbitrary-objects.ts';

const kinds: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];
const names = ['a', 'b'] as const;

export class Cluster {
  /** `source kind key` → the last object. */
  readonly #objects = new Map<string, { readonly kind: ResourceKind; readonly object: unknown }>();
  readonly #sinks = new Map<string, SourceSink>();

  /** For a new process; the one before hears no more. */
  sources(): Source[] {
    this.#sinks.clear();
    return names.map((name) => ({
      name,
      kinds,
      start: async (sink) => {
        for (const kind of kinds) {
          sink.replace(kind, this.#said(`${name} ${kind} `));
          sink.synced(kind);
        }
        this.#sinks.set(name, sink);
      },
      stop: async () => {},
    }));
  }

  say(event: ObjectEvent): void {
    const { source, resource } = event;
    const sink = this.#sinks.get(source);
    switch (event.kind) {
      case 'upsert':
        this.#note(source, resource, event.object);
        sink?.upsert(resource, event.object);
        break;
      case 'remove':
        this.#objects.delete(`${source} ${resource} ${resource === 'Node' ? '' : `${namespace}/`}${event.name}`);
        sink?.remove(resource, namespace, event.name);
        break;
      case 'replace':
        for (const key of [...this.#objects.keys()])
          if (key.startsWith(`${source} ${resource} `)) this.#objects.delete(key);
        for (const object of event.objects) this.#note(source, resource, object);
        sink?.replace(resource, event.objects);
        break;
    }
  }

  /** Who does not say what it is changes nothing. */
  #note(source: string, kind: ResourceKind, object: unknown): void {
    const key = objectKey(kind, object);
    if (key !== undefined) this.#objects.set(`${source} ${kind} ${key}`, { kind, object });
  }

  #said(start: string): unknown[] {
    return [...this.#objects].flatMap(([key, { object }]) => (key.startsWith(start) ? [object] : []));
  }
}
