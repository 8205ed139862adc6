/** What hooks are given of an object: copies, so that a source may reuse its own, and frozen, so that no hook changes another's input. */
import { EndpointBit, type SliceBody } from '../records.ts';
import type {
  EndpointSliceObject,
  HookEndpoint,
  NodeObject,
  ObjectMetadata,
  ServiceObject,
  TargetRef,
} from './hooks.ts';
import { asArray, isObject, type JsonObject, objectOrEmpty, stringOrEmpty } from './json.ts';
import type { Identity } from './projection.ts';

/** An EndpointSlice with its usable endpoints, in the order of the record's columns. */
export interface SliceView {
  readonly slice: EndpointSliceObject;
  readonly endpoints: readonly HookEndpoint[];
}

export function serviceView(identity: Identity): ServiceObject {
  const { object } = identity;
  return Object.freeze({
    metadata: metadataOf(identity),
    spec: frozenObject(object['spec']),
    status: frozenObject(object['status']),
  });
}

export function nodeView(identity: Identity): NodeObject {
  const { addresses, allocatable, capacity } = objectOrEmpty(identity.object['status']);
  return Object.freeze({
    metadata: metadataOf(identity),
    spec: frozenObject(identity.object['spec']),
    status: frozenObject(present({ addresses, allocatable, capacity })),
  });
}

/** @param used Index of each endpoint of the body in the object's own list. */
export function sliceView(identity: Identity, body: SliceBody, used: readonly number[]): SliceView {
  const { object } = identity;
  const endpoints = frozenList(object['endpoints']);
  const slice = Object.freeze({
    metadata: metadataOf(identity),
    addressType: body.family,
    ports: frozenList(object['ports']),
    endpoints,
  });
  const seen = used.flatMap((at, index) => {
    const address = body.addresses[index];
    return address === undefined ? [] : [endpointView(address, body.conditions[index] ?? 0, endpoints[at])];
  });
  return { slice, endpoints: seen };
}

function endpointView(address: HookEndpoint['address'], conditions: number, raw: unknown): HookEndpoint {
  const endpoint = objectOrEmpty(raw);
  return Object.freeze({
    address,
    ready: (conditions & EndpointBit.ready) !== 0,
    serving: (conditions & EndpointBit.serving) !== 0,
    terminating: (conditions & EndpointBit.terminating) !== 0,
    nodeName: textOf(endpoint['nodeName']),
    zone: textOf(endpoint['zone']),
    hostname: textOf(endpoint['hostname']),
    targetRef: targetOf(endpoint['targetRef']),
  });
}

function targetOf(value: unknown): TargetRef | undefined {
  if (!isObject(value)) return undefined;
  return Object.freeze({
    kind: stringOrEmpty(value['kind']),
    namespace: stringOrEmpty(value['namespace']),
    name: stringOrEmpty(value['name']),
    uid: stringOrEmpty(value['uid']),
  });
}

function metadataOf({ name, namespace, uid, metadata }: Identity): ObjectMetadata {
  return Object.freeze({
    name,
    namespace,
    uid,
    labels: textsOf(metadata['labels']),
    annotations: textsOf(metadata['annotations']),
  });
}

/** The entries of an object whose values are text, as labels and annotations are. Own properties only, `__proto__` among them. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(objectOrEmpty(value));
  const texts = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return Object.freeze(Object.fromEntries(texts));
}

function present(fields: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function frozenObject(value: unknown): JsonObject {
  return objectOrEmpty(frozenCopy(value));
}

function frozenList(value: unknown): readonly unknown[] {
  return asArray(frozenCopy(value)) ?? [];
}

/** Of plain data. A Date, which client-node makes of times, stays what it is; a cycle ends in a RangeError, as one in JSON does. */
function frozenCopy(value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze(value.map(frozenCopy));
  if (!isObject(value) || value instanceof Date) return value;
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, each]) => [key, frozenCopy(each)])));
}
