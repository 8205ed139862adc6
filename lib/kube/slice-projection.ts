/** EndpointSlice → {@link SliceBody} (behaviour.md 1.3). */
import { familyOf } from '../address.ts';
import { EndpointBit, type SliceBody, type SlicePortBody } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { specialAddress } from './address-class.ts';
import { asArray, isAbsent, isObject, type JsonObject, objectOrEmpty, show } from './json.ts';
import { type SliceView, sliceView } from './object-views.ts';
import { type Place, PlaceTable } from './places.ts';
import {
  addressOf,
  addressProblem,
  identify,
  isPort,
  labelsOf,
  type Projection,
  parseProtocol,
  unusableName,
} from './projection.ts';
import { triggerTimeOf } from './trigger-time.ts';

const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

/** Of one kind of trouble this many are told one by one: a slice holds a thousand endpoints. */
const TOLD_ENDPOINTS = 5;

export interface SliceProjection extends Projection<SliceBody> {
  /** Where each endpoint of the body is. */
  readonly places: readonly Place[];
  /** For hooks. */
  readonly view?: SliceView | undefined;
  /** When this state was caused, ms since 1970; 0 = it does not say. Not a part of the record: by itself it changes nothing. */
  readonly triggerMs: number;
}

export interface SliceProjectionOptions {
  readonly places?: PlaceTable;
  /** Keep what hooks need to see. */
  readonly withView?: boolean;
}

const NO_PLACES: readonly Place[] = [];

/** `nodeName`: the node this proxier runs on, for the `local` bit; empty = no endpoint is local. The body is without weights. */
export function projectSlice(
  object: unknown,
  nodeName: string,
  { places = new PlaceTable(), withView = false }: SliceProjectionOptions = {},
): SliceProjection {
  const identity = identify('EndpointSlice', object);
  if (typeof identity === 'string') {
    return { key: undefined, uid: '', body: null, problems: [identity], places: NO_PLACES, triggerMs: 0 };
  }
  const problems: string[] = [];
  const { key, uid, namespace, metadata } = identity;
  const triggerMs = triggerTimeOf(metadata);
  const nothing = { key, uid, body: null, problems, places: NO_PLACES, triggerMs };

  const addressType = identity.object['addressType'];
  if (addressType === 'FQDN') return nothing;
  if (addressType !== 'IPv4' && addressType !== 'IPv6') {
    problems.push(`addressType: ${show(addressType)} is neither IPv4 nor IPv6; the slice is skipped`);
    return nothing;
  }
  const service = labelsOf(metadata)[SERVICE_NAME_LABEL];
  if (typeof service !== 'string' || unusableName(service) !== undefined) {
    problems.push(
      `metadata.labels["${SERVICE_NAME_LABEL}"]: ${show(service)} names no Service; the slice is skipped, set it to the Service's name`,
    );
    return nothing;
  }
  const ports = readPorts(identity.object['ports'], problems);
  const list = identity.object['endpoints'];
  const { columns, used } = readEndpoints(list, addressType, nodeName, problems);
  const body: SliceBody = { service: `${namespace}/${service}`, family: addressType, ports, ...columns };
  return {
    key,
    uid,
    body,
    problems,
    places: readPlaces(asArray(list) ?? [], used, places),
    view: withView ? sliceView(identity, body, used) : undefined,
    triggerMs,
  };
}

function readPlaces(list: readonly unknown[], used: readonly number[], table: PlaceTable): readonly Place[] {
  if (used.length === 0) return NO_PLACES;
  return used.map((at) => {
    const endpoint = objectOrEmpty(list[at]);
    return table.of(placeName(endpoint['nodeName']), placeName(endpoint['zone']));
  });
}

function placeName(value: unknown): string {
  return typeof value === 'string' && unusableName(value) === undefined ? value : '';
}

function readPorts(value: unknown, problems: string[]): SlicePortBody[] {
  if (isAbsent(value)) return [];
  const list = asArray(value);
  if (list === undefined) {
    problems.push(`ports: ${show(value)} is not a list; the slice has no ports`);
    return [];
  }
  const ports: SlicePortBody[] = [];
  const taken = new Set<string>();
  for (const [index, item] of list.entries()) {
    const entry = objectOrEmpty(item);
    const name = entry['name'];
    const port = entry['port'];
    const protocol = parseProtocol(entry['protocol']);
    if (typeof name !== 'string' || (name !== '' && unusableName(name) !== undefined)) {
      problems.push(`ports[${index}].name: ${show(name)} is not a port name (it may be ""); the port is skipped`);
    } else if (!isPort(port)) {
      problems.push(`ports[${index}].port: ${show(port)} is not a port number (1..65535); the port is skipped`);
    } else if (protocol === undefined) {
      problems.push(
        `ports[${index}].protocol: ${show(entry['protocol'])} is none of TCP, UDP, SCTP; the port is skipped`,
      );
    } else {
      const identity = `${protocol} ${port} ${name}`;
      if (!taken.has(identity)) ports.push({ name, protocol, port });
      taken.add(identity);
    }
  }
  return ports;
}

interface Endpoints {
  readonly columns: Pick<SliceBody, 'addresses' | 'conditions' | 'zoneHints' | 'nodeHints'>;
  /** Where in the list each of them is. */
  readonly used: readonly number[];
}

function readEndpoints(value: unknown, family: IpFamily, nodeName: string, problems: string[]): Endpoints {
  const used: number[] = [];
  const addresses: IpAddress[] = [];
  const conditions: number[] = [];
  const zoneHints: (readonly string[])[] = [];
  const nodeHints: (readonly string[])[] = [];
  let hasZoneHints = false;
  let hasNodeHints = false;
  let skipped = 0;
  const list = asArray(value);
  if (list === undefined && !isAbsent(value)) {
    problems.push(`endpoints: ${show(value)} is not a list; the slice has no endpoints`);
  }
  for (const [index, item] of (list ?? []).entries()) {
    const endpoint = objectOrEmpty(item);
    const address = readAddress(endpoint['addresses'], family);
    if (address.value === undefined) {
      skipped++;
      if (skipped <= TOLD_ENDPOINTS)
        problems.push(`endpoints[${index}].addresses${address.problem}; the endpoint is skipped`);
      continue;
    }
    used.push(index);
    addresses.push(address.value);
    conditions.push(readConditions(endpoint, nodeName));
    const hints = objectOrEmpty(endpoint['hints']);
    const zones = readHints(hints['forZones']);
    const nodes = readHints(hints['forNodes']);
    hasZoneHints ||= zones.length > 0;
    hasNodeHints ||= nodes.length > 0;
    zoneHints.push(zones);
    nodeHints.push(nodes);
  }
  if (skipped > TOLD_ENDPOINTS)
    problems.push(`endpoints: more than ${TOLD_ENDPOINTS} endpoints are skipped, for reasons like these`);
  const columns = {
    addresses,
    conditions,
    ...(hasZoneHints ? { zoneHints } : {}),
    ...(hasNodeHints ? { nodeHints } : {}),
  };
  return { columns, used };
}

/** Only the first address counts: the others are the same endpoint once more. */
function readAddress(value: unknown, family: IpFamily): { readonly value?: IpAddress; readonly problem: string } {
  const list = asArray(value);
  const first = list?.[0];
  if (first === undefined) return { problem: `: ${show(value)} holds no address` };
  const address = addressOf(first);
  if (address === undefined) return { problem: `[0]: ${show(first)} ${addressProblem(first)}` };
  if (familyOf(address) !== family) return { problem: `[0]: ${address} is not ${family} as addressType says` };
  const special = specialAddress(address);
  if (special !== undefined) return { problem: `[0]: ${address} is a ${special} address, which cannot be an endpoint` };
  return { value: address, problem: '' };
}

/** Absent ready and serving mean true, absent terminating means false. */
function readConditions(endpoint: JsonObject, nodeName: string): number {
  const conditions = objectOrEmpty(endpoint['conditions']);
  let bits = 0;
  if (isTrueOrAbsent(conditions['ready'])) bits |= EndpointBit.ready;
  if (isTrueOrAbsent(conditions['serving'])) bits |= EndpointBit.serving;
  if (conditions['terminating'] === true) bits |= EndpointBit.terminating;
  if (nodeName !== '' && endpoint['nodeName'] === nodeName) bits |= EndpointBit.local;
  return bits;
}

function isTrueOrAbsent(value: unknown): boolean {
  return value === true || isAbsent(value);
}

const NO_HINTS: readonly string[] = [];

function readHints(value: unknown): readonly string[] {
  const list = asArray(value);
  if (list === undefined || list.length === 0) return NO_HINTS;
  const names: string[] = [];
  for (const item of list) {
    if (isObject(item) && typeof item['name'] === 'string' && item['name'] !== '') names.push(item['name']);
  }
  return names;
}
