/** What sources say over time, taken in as the proxier does it: into the record store, and from there as records. */
import { objectKey } from '../../lib/kube/projection.ts';
import { RecordStore, type StoreSink } from '../../lib/kube/record-store.ts';
import type { ResourceKind } from '../../lib/kube/source.ts';
import { type ClusterEvent, namespace, ownNode } from './arbitrary-objects.ts';
import { ip } from './records.ts';

const kinds: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];

export class ObjectHistory {
  readonly store: RecordStore = new RecordStore({ nodeName: ownNode });
  readonly #sinks = new Map<string, StoreSink>();
  /** What counts in the end: the last object of each source, kind and key. */
  readonly #last = new Map<
    string,
    { readonly source: string; readonly kind: ResourceKind; readonly object: unknown }
  >();
  readonly #saysAddresses: boolean;
  #addresses: readonly string[] = ['192.168.1.10'];

  /** @param options `saysAddresses`: those of this node are records, too; otherwise whoever serves the records reads them himself. */
  constructor(options: { readonly saysAddresses: boolean }) {
    this.#saysAddresses = options.saysAddresses;
    for (const name of ['a', 'b']) this.#sinks.set(name, this.store.sinkFor({ name, kinds }));
    for (const sink of this.#sinks.values()) for (const kind of kinds) sink.synced(kind);
    this.take({ kind: 'nodeAddresses', addresses: this.#addresses });
  }

  /** The addresses on this node's interfaces. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  take(event: ClusterEvent): void {
    if (event.kind === 'nodeAddresses') {
      this.#addresses = event.addresses;
      if (this.#saysAddresses) this.store.setNodeAddresses(event.addresses.map(ip));
      return;
    }
    const { source, resource } = event;
    const sink = this.#sinks.get(source);
    switch (event.kind) {
      case 'upsert':
        sink?.upsert(resource, event.object);
        this.#note(source, resource, event.object);
        break;
      case 'remove':
        sink?.remove(resource, namespace, event.name);
        this.#last.delete(`${source} ${resource} ${resource === 'Node' ? event.name : `${namespace}/${event.name}`}`);
        break;
      case 'replace':
        sink?.replace(resource, event.objects);
        for (const name of [...this.#last.keys()])
          if (name.startsWith(`${source} ${resource} `)) this.#last.delete(name);
        for (const object of event.objects) this.#note(source, resource, object);
        break;
    }
  }

  #note(source: string, kind: ResourceKind, object: unknown): void {
    const key = objectKey(kind, object);
    // Who does not say what it is changes nothing.
    if (key !== undefined) this.#last.set(`${source} ${kind} ${key}`, { source, kind, object });
  }

  /** What somebody hears who comes in only now, in another order. */
  outcome(): ObjectHistory {
    const fresh = new ObjectHistory({ saysAddresses: this.#saysAddresses });
    const objects = [...this.#last.values()].reverse();
    for (const source of ['b', 'a']) {
      for (const resource of kinds) {
        const mine = objects.filter((each) => each.source === source && each.kind === resource);
        fresh.take({ kind: 'replace', source, resource, objects: mine.map(({ object }) => object) });
      }
    }
    fresh.take({ kind: 'nodeAddresses', addresses: this.#addresses });
    return fresh;
  }
}
