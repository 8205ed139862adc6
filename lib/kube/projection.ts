/** Kubernetes objects cut down to records: what the projections of the three kinds have in common. */
import { parseAddress } from '../address.ts';
import type { ObjectKey } from '../records.ts';
import type { IpAddress, Protocol } from '../types.ts';
import { isAbsent, isObject, type JsonObject, objectOrEmpty, printable, show, stringOrEmpty } from './json.ts';
import type { ResourceKind } from './source.ts';

/** What an object came to. Never throws its way out: whatever is wrong is a problem, and the rest of the object counts. */
export interface Projection<Body> {
  /** Undefined when the object does not say who it is: nothing can be done with it but name it. */
  readonly key: ObjectKey | undefined;
  readonly uid: string;
  /** null = there is nothing to proxy. */
  readonly body: Body | null;
  /** One sentence each: field, value, what was skipped, remedy. The object is named by the key. */
  readonly problems: readonly string[];
}

/** The identity of an object, checked. */
export interface Identity {
  readonly key: ObjectKey;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly metadata: JsonObject;
  readonly object: JsonObject;
}

/** Longest name of any Kubernetes object (a DNS subdomain). */
const NAME_LIMIT = 253;

/**
 * Reads `metadata`. Names are refused only where they could mislead (a slash joins keys, control characters forge log lines, over
 * long ones are no names): nothing else depends on their spelling.
 */
export function identify(kind: ResourceKind, object: unknown): Identity | string {
  if (!isObject(object)) return `${show(object)} is not a ${kind} object; it is skipped`;
  const metadata = object['metadata'];
  if (!isObject(metadata))
    return `metadata: ${show(metadata)} is not an object; the ${kind} is skipped, give it a name`;
  const name = metadata['name'];
  const badName = unusableName(name);
  if (badName !== undefined) return `metadata.name: ${show(name)} ${badName}; the ${kind} is skipped, give it a name`;
  if (typeof name !== 'string') return '';
  const uid = stringOrEmpty(metadata['uid']);
  if (kind === 'Node') return { key: name, namespace: '', name, uid, metadata, object };
  const namespace = metadata['namespace'];
  const badNamespace = unusableName(namespace);
  if (typeof namespace !== 'string' || badNamespace !== undefined) {
    return `metadata.namespace: ${show(namespace)} of ${kind} ${printable(name)} ${badNamespace}; it is skipped, give it a namespace`;
  }
  return { key: `${namespace}/${name}`, namespace, name, uid, metadata, object };
}

/** `namespace/name` (or the name of a Node) when the object has both, checked no further. */
export function objectKey(kind: ResourceKind, object: unknown): ObjectKey | undefined {
  const identity = identify(kind, object);
  return typeof identity === 'string' ? undefined : identity.key;
}

export function unusableName(name: unknown): string | undefined {
  if (typeof name !== 'string' || name === '') return 'is not a name';
  if (name.length > NAME_LIMIT) return `is longer than ${NAME_LIMIT} characters`;
  return /[\p{Cc}/]/u.test(name) ? 'holds a slash or a control character' : undefined;
}

export function labelsOf(metadata: JsonObject): JsonObject {
  return objectOrEmpty(metadata['labels']);
}

export function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535;
}

/** Absent means TCP, as the API defaults it. Undefined when it is none of the three. */
export function parseProtocol(value: unknown): Protocol | undefined {
  if (isAbsent(value)) return 'tcp';
  return value === 'TCP' ? 'tcp' : value === 'UDP' ? 'udp' : value === 'SCTP' ? 'sctp' : undefined;
}

export function addressOf(value: unknown): IpAddress | undefined {
  return typeof value === 'string' ? parseAddress(value) : undefined;
}

/** Why a value is no address: says what is commonly wrong. */
export function addressProblem(value: unknown): string {
  if (typeof value !== 'string') return 'is not an IP address';
  if (/^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(value))
    return 'is an IPv4-mapped address, which belongs to no family; write it as IPv4';
  if (value.includes('/')) return 'is not an IP address (it has a prefix length)';
  if (/^\d+(\.\d+){3}$/.test(value)) return 'is not an IP address (each part is 0..255 without leading zeros)';
  return 'is not an IP address';
}
