/**
 * A recording: what sources said, one line of JSON each (docs/simulation.md). The first line says what it is; then, in the order in which
 * it happened, with milliseconds since the beginning:
 *
 *     {"at":0.8,"source":"api","op":"upsert","kind":"Service","object":{…}}
 *     {"at":1.2,"source":"api","op":"remove","kind":"Service","namespace":"default","name":"web"}
 *     {"at":1.3,"source":"api","op":"synced","kind":"Service"}
 *     {"at":2,"source":"api","op":"list","kind":"Node"}      a whole list begins: its items follow, then
 *     {"at":2,"source":"api","op":"item","kind":"Node","object":{…}}
 *     {"at":2,"source":"api","op":"listed","kind":"Node","complete":true}
 *     {"at":9000,"op":"end","reason":"stopped"}      the last line; without it the writer was killed, or still writes
 */
import { asArray, isObject, type JsonObject, show } from './json.ts';
import type { ResourceKind } from './source.ts';

export const RECORDING_FORMAT = 'ipvs-proxier recording';
export const RECORDING_VERSION = 1;

export interface RecordingHeader {
  readonly format: typeof RECORDING_FORMAT;
  readonly version: typeof RECORDING_VERSION;
  /** Of ipvs-proxier. */
  readonly packageVersion: string;
  /** When `at` was 0, ISO 8601. */
  readonly startedAt: string;
  readonly nodeName: string;
  readonly sources: readonly { readonly name: string; readonly kinds: readonly ResourceKind[] }[];
  /** The options the proxier ran with, as its constructor takes them, without the origin of the objects and without functions. */
  readonly settings: JsonObject;
  /** Options that are functions, and so cannot be recorded, that it had. */
  readonly hooks: readonly string[];
}

export type RecordingLine =
  | {
      readonly op: 'upsert' | 'item';
      readonly at: number;
      readonly source: string;
      readonly kind: ResourceKind;
      readonly object: unknown;
    }
  | {
      readonly op: 'remove';
      readonly at: number;
      readonly source: string;
      readonly kind: ResourceKind;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly op: 'synced' | 'list'; readonly at: number; readonly source: string; readonly kind: ResourceKind }
  | {
      readonly op: 'listed';
      readonly at: number;
      readonly source: string;
      readonly kind: ResourceKind;
      readonly complete: boolean;
    }
  | { readonly op: 'end'; readonly at: number; readonly reason: string };

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];

/** The header, or what is wrong with it. */
export function parseRecordingHeader(text: string): RecordingHeader | string {
  const value = parseJson(text);
  if (typeof value === 'string') return value;
  const { format, version, packageVersion, startedAt, nodeName, settings, sources, hooks } = value;
  if (format !== RECORDING_FORMAT) return `it does not begin with the header of an ${RECORDING_FORMAT}`;
  if (version !== RECORDING_VERSION) {
    return `version: ${show(version)} is not ${RECORDING_VERSION}, the one that this ipvs-proxier reads; use the one that wrote it`;
  }
  const list = (asArray(sources) ?? []).map(sourceOf);
  const known = list.filter((source) => source !== undefined);
  if (known.length === 0 || known.length < list.length)
    return `sources: ${show(sources)} is not a list of names and kinds`;
  return {
    format,
    version,
    packageVersion: typeof packageVersion === 'string' ? packageVersion : 'unknown',
    startedAt: typeof startedAt === 'string' ? startedAt : '',
    nodeName: typeof nodeName === 'string' ? nodeName : '',
    settings: isObject(settings) ? settings : {},
    sources: known,
    hooks: (asArray(hooks) ?? []).filter((name) => typeof name === 'string'),
  };
}

function sourceOf(value: unknown): RecordingHeader['sources'][number] | undefined {
  if (!isObject(value) || typeof value['name'] !== 'string') return undefined;
  const kinds = (asArray(value['kinds']) ?? []).map(kindOf).filter((kind) => kind !== undefined);
  return kinds.length === 0 ? undefined : { name: value['name'], kinds };
}

/** The line, or what is wrong with it. */
export function parseRecordingLine(text: string): RecordingLine | string {
  const value = parseJson(text);
  if (typeof value === 'string') return value;
  const { at, op, source } = value;
  if (typeof at !== 'number' || !(at >= 0)) return `at: ${show(at)} is not a number of milliseconds`;
  if (op === 'end') return { op, at, reason: typeof value['reason'] === 'string' ? value['reason'] : '' };
  if (typeof source !== 'string') return `source: ${show(source)} is not a name`;
  const kind = kindOf(value['kind']);
  if (kind === undefined) return `kind: ${show(value['kind'])} is none of ${KINDS.join(', ')}`;
  switch (op) {
    case 'upsert':
    case 'item':
      if (!Object.hasOwn(value, 'object')) return `object: is missing`;
      return { op, at, source, kind, object: value['object'] };
    case 'remove': {
      const { namespace, name } = value;
      if (typeof namespace !== 'string' || typeof name !== 'string') return 'namespace, name: are not both texts';
      return { op, at, source, kind, namespace, name };
    }
    case 'synced':
    case 'list':
      return { op, at, source, kind };
    case 'listed':
      return { op, at, source, kind, complete: value['complete'] === true };
  }
  return `op: ${show(op)} is none of upsert, remove, synced, list, item, listed, end`;
}

function parseJson(text: string): JsonObject | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `${show(text)} is not JSON`;
  }
  return isObject(value) ? value : `${show(value)} is not an object`;
}

function kindOf(value: unknown): ResourceKind | undefined {
  return KINDS.find((kind) => kind === value);
}
