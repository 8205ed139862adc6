/** kube-proxy's bindAddress: this node's primary address is another than its Node object says. */
import type { IpAddress } from '../types.ts';
import { asArray, isObject } from './json.ts';
import type { Source, SourceSink } from './source.ts';

/** The same source, but that the Node of this name names the address first. Other Nodes, and a Node that is not there, are as they are. */
export function withPrimaryAddress(source: Source, nodeName: string, address: IpAddress): Source {
  const changed = (kind: string, object: unknown): unknown =>
    kind === 'Node' ? withAddressFirst(object, nodeName, address) : object;
  const sinkOf = (sink: SourceSink): SourceSink => ({
    upsert: (kind, object) => sink.upsert(kind, changed(kind, object)),
    replace: (kind, objects) => sink.replace(kind, kind === 'Node' ? mapped(objects, changed) : objects),
    remove: (kind, namespace, name) => sink.remove(kind, namespace, name),
    synced: (kind) => sink.synced(kind),
    problem: (problem) => sink.problem(problem),
    connection: (state) => sink.connection(state),
  });
  return {
    name: source.name,
    kinds: source.kinds,
    start: (sink, signal) => source.start(sinkOf(sink), signal),
    stop: () => source.stop(),
  };
}

function* mapped(objects: Iterable<unknown>, changed: (kind: string, object: unknown) => unknown): Generator<unknown> {
  for (const object of objects) yield changed('Node', object);
}

function withAddressFirst(object: unknown, nodeName: string, address: IpAddress): unknown {
  if (!isObject(object)) return object;
  const { metadata, status } = object;
  if (!isObject(metadata) || metadata['name'] !== nodeName) return object;
  const rest = isObject(status) ? status : {};
  const addresses = [{ type: 'InternalIP', address }, ...(asArray(rest['addresses']) ?? [])];
  return { ...object, status: { ...rest, addresses } };
}
