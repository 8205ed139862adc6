/**
 * An object as it may be kept in a file that people send to each other: what a proxier reads, and what says which object it is. Annotations of others,
 * which hold whatever people put there (credentials of load balancers, the last manifest that was applied), are left out, as are managed fields and
 * what a kubelet says about images and volumes.
 */
import { isObject, type JsonObject, objectOrEmpty } from './json.ts';
import type { ResourceKind } from './source.ts';

const METADATA = [
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'deletionTimestamp',
  'labels',
] as const;
const NODE_SPEC = ['podCIDR', 'podCIDRs', 'unschedulable'] as const;
const NODE_STATUS = ['addresses', 'allocatable', 'capacity'] as const;
/** Before the slash. */
const ANNOTATIONS: readonly string[] = ['ipvs-proxier.io', 'service.kubernetes.io', 'endpoints.kubernetes.io'];

/** What is no object stays what it is: that it was delivered is worth knowing. */
export function recordableObject(kind: ResourceKind, object: unknown): unknown {
  if (!isObject(object)) return object;
  const { apiVersion, kind: ownKind, metadata, spec, status, addressType, ports, endpoints } = object;
  const parts: JsonObject = { apiVersion, kind: ownKind, metadata: recordableMetadata(metadata) };
  switch (kind) {
    case 'Service':
      return { ...parts, spec, status };
    case 'EndpointSlice':
      return { ...parts, addressType, ports, endpoints };
    case 'Node':
      return { ...parts, spec: only(spec, NODE_SPEC), status: only(status, NODE_STATUS) };
  }
}

function recordableMetadata(metadata: unknown): unknown {
  if (!isObject(metadata)) return metadata;
  const annotations = Object.entries(objectOrEmpty(metadata['annotations'])).filter(([key]) =>
    ANNOTATIONS.includes(key.slice(0, Math.max(0, key.indexOf('/')))),
  );
  const kept = objectOrEmpty(only(metadata, METADATA));
  return annotations.length === 0 ? kept : { ...kept, annotations: Object.fromEntries(annotations) };
}

function only(value: unknown, names: readonly string[]): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(names.filter((name) => Object.hasOwn(value, name)).map((name) => [name, value[name]]));
}
