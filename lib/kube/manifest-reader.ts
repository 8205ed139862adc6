/** The text of a manifest → the objects of it that concern proxying, with the defaults an API server would have filled in. */
import { parseAllDocuments } from 'yaml';
import type { ObjectKey } from '../records.ts';
import { asArray, isAbsent, isObject, type JsonObject, objectOrEmpty, show, stringOrEmpty } from './json.ts';
import { identify } from './projection.ts';
import type { ResourceKind } from './source.ts';

export interface ManifestObject {
  readonly kind: ResourceKind;
  readonly key: ObjectKey;
  readonly object: JsonObject;
}

export interface ManifestContent {
  readonly objects: readonly ManifestObject[];
  /** What was skipped, and what a cluster would have done and nobody does here. */
  readonly problems: readonly ManifestProblem[];
}

export interface ManifestProblem {
  /** Empty when it concerns the file, or an object without a name. */
  readonly object: string;
  readonly kind: ResourceKind | '';
  readonly message: string;
}

/** The text is neither YAML nor JSON. The message says where and why. */
export class ManifestSyntaxError extends Error {
  override readonly name = 'ManifestSyntaxError';
}

/** Lists within lists are followed this far. */
const DEPTH_LIMIT = 10;

/** Several YAML documents, or JSON. Throws {@link ManifestSyntaxError}; any other fault concerns one object and is a problem. */
export function readManifest(text: string): ManifestContent {
  const objects: ManifestObject[] = [];
  const problems: ManifestProblem[] = [];
  const documents = parseText(text);

  const take = (value: unknown, where: string, listKind: string, depth: number): void => {
    if (isAbsent(value)) return;
    if (!isObject(value)) {
      problems.push({
        object: '',
        kind: '',
        message: `${where}: ${show(value)} is not a Kubernetes object; it is skipped`,
      });
      return;
    }
    const kind = stringOrEmpty(value['kind']) || listKind;
    if (kind === '') {
      problems.push({
        object: '',
        kind: '',
        message: `${where}: it has no kind; it is skipped, add apiVersion and kind`,
      });
      return;
    }
    const items = asArray(value['items']);
    if (kind.endsWith('List') && items !== undefined) {
      if (depth >= DEPTH_LIMIT) {
        problems.push({
          object: '',
          kind: '',
          message: `${where}: more than ${DEPTH_LIMIT} lists within each other; it is skipped`,
        });
        return;
      }
      const itemKind = kind.slice(0, -'List'.length);
      for (const [index, item] of items.entries()) take(item, `${where}, items[${index}]`, itemKind, depth + 1);
      return;
    }
    const resource = resourceOf(kind, value['apiVersion']);
    if (resource === undefined) return;
    if (resource === 'outdated') {
      const message = `${where}: apiVersion ${show(value['apiVersion'])} of EndpointSlice is not read; write discovery.k8s.io/v1`;
      problems.push({ object: '', kind: 'EndpointSlice', message });
      return;
    }
    const object = withDefaults(resource, value);
    const identity = identify(resource, object);
    if (typeof identity === 'string') {
      problems.push({ object: '', kind: resource, message: `${where}: ${identity}` });
      return;
    }
    objects.push({ kind: resource, key: identity.key, object });
    if (resource !== 'Service') return;
    for (const message of unallocated(object)) problems.push({ object: identity.key, kind: 'Service', message });
  };

  for (const [index, document] of documents.entries()) take(document, `document ${index + 1}`, '', 0);
  return { objects, problems };
}

/** JSON first: it is much faster, and YAML reads most of it as well, so a JSON text with a fault gets YAML's line and reason. */
function parseText(text: string): unknown[] {
  if (/^\s*[{[]/.test(text)) {
    try {
      return [JSON.parse(text)];
    } catch {
      // Several documents that begin with a flow mapping, or a fault: both are for the YAML parser.
    }
  }
  const values: unknown[] = [];
  for (const document of parseAllDocuments(text, { logLevel: 'silent' })) {
    const error = document.errors[0];
    if (error !== undefined) {
      const place = error.linePos?.[0];
      const where = place === undefined ? '' : `line ${place.line}, column ${place.col}: `;
      throw new ManifestSyntaxError(
        where + (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''),
      );
    }
    try {
      values.push(document.toJS());
    } catch (error) {
      throw new ManifestSyntaxError(error instanceof Error ? error.message : String(error));
    }
  }
  return values;
}

/** Undefined = nothing to do with proxying. Other groups have kinds of these names, too (`serving.knative.dev/v1` Service). */
function resourceOf(kind: string, apiVersion: unknown): ResourceKind | 'outdated' | undefined {
  switch (kind) {
    case 'Service':
    case 'Node':
      return isAbsent(apiVersion) || apiVersion === 'v1' ? kind : undefined;
    case 'EndpointSlice':
      if (isAbsent(apiVersion) || apiVersion === 'discovery.k8s.io/v1') return kind;
      return apiVersion === 'discovery.k8s.io/v1beta1' ? 'outdated' : undefined;
    default:
      return undefined;
  }
}

function withDefaults(kind: ResourceKind, object: JsonObject): JsonObject {
  const metadata = object['metadata'];
  const named =
    kind !== 'Node' && isObject(metadata) && isAbsent(metadata['namespace'])
      ? { ...object, metadata: { ...metadata, namespace: 'default' } }
      : object;
  const ports = asArray(object['ports']);
  if (kind !== 'EndpointSlice' || ports === undefined) return named;
  return {
    ...named,
    ports: ports.map((port) => (isObject(port) && isAbsent(port['name']) ? { ...port, name: '' } : port)),
  };
}

/** What the API server would have given the Service and nobody gives it here. */
function unallocated(object: JsonObject): string[] {
  const spec = objectOrEmpty(object['spec']);
  const { type } = spec;
  if (type === 'ExternalName') return [];
  const address = spec['clusterIP'];
  if ((isAbsent(address) || address === '') && (asArray(spec['clusterIPs'])?.length ?? 0) === 0) {
    return [
      'spec.clusterIP: nothing is set, and without an API server nobody allocates one; it is not served, write the address',
    ];
  }
  if (address === 'None' || type !== 'NodePort') return [];
  return (asArray(spec['ports']) ?? []).flatMap((port, index) => {
    const nodePort = objectOrEmpty(port)['nodePort'];
    const missing = isObject(port) && (isAbsent(nodePort) || nodePort === 0);
    return missing
      ? [
          `spec.ports[${index}].nodePort: nothing is set, and without an API server nobody allocates one; there is no node port, write it`,
        ]
      : [];
  });
}
