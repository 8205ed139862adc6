/** Service → {@link ServiceBody} (behaviour.md 1.2, with the API server's defaults for objects that never saw one). */
import { familyOf, parseCidr } from '../address.ts';
import type { ServiceBody, ServicePortBody, ServiceTuning } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { unusableVip } from './address-class.ts';
import { readAnnotations, type WeightRules } from './annotations.ts';
import type { SchedulerHook, ServiceObject } from './hooks.ts';
import { asArray, isAbsent, isObject, type JsonObject, objectOrEmpty, show } from './json.ts';
import { serviceView } from './object-views.ts';
import {
  addressOf,
  addressProblem,
  identify,
  isPort,
  type Projection,
  parseProtocol,
  unusableName,
} from './projection.ts';
import { type AskedScheduler, askScheduler, type SchedulerTuning } from './scheduler-choice.ts';

/** `DefaultClientIPServiceAffinitySeconds` and the API's upper bound of it. */
const AFFINITY_DEFAULT_SECONDS = 10_800;
const AFFINITY_MAX_SECONDS = 86_400;

export interface ServiceProjection extends Projection<ServiceBody> {
  /** What its annotations say about weights. */
  readonly weights?: WeightRules;
  /** For hooks. */
  readonly view?: ServiceObject;
  /** What `schedulerFor` did wrong; absent = nothing. */
  readonly hookProblem?: string;
}

export interface ServiceProjectionOptions {
  /** The proxier's own scheduler. Default `rr`. */
  readonly scheduler?: string;
  /** Keep what hooks need to see. */
  readonly withView?: boolean;
  readonly schedulerFor?: SchedulerHook | undefined;
}

export function projectService(object: unknown, options: ServiceProjectionOptions = {}): ServiceProjection {
  const identity = identify('Service', object);
  if (typeof identity === 'string') return { key: undefined, uid: '', body: null, problems: [identity] };
  const { key, uid, metadata } = identity;
  const problems: string[] = [];
  const body = serviceBody(identity.object['spec'], identity.object['status'], metadata, problems);
  if (body === null) return { key, uid, body, problems };
  const { tuning, weights } = readAnnotations(metadata, options.scheduler ?? 'rr', problems);
  const { withView = false, schedulerFor } = options;
  const view = withView || schedulerFor !== undefined ? serviceView(identity) : undefined;
  const asked = schedulerFor === undefined || view === undefined ? UNASKED : askScheduler(schedulerFor, view);
  return {
    key,
    uid,
    body: withTuning(body, asked.choice === undefined ? tuning : overruled(tuning, asked.choice)),
    problems,
    ...(weights === undefined ? {} : { weights }),
    ...(view !== undefined && withView ? { view } : {}),
    ...(asked.problem === '' ? {} : { hookProblem: asked.problem }),
  };
}

const UNASKED: AskedScheduler = { choice: undefined, problem: '' };

/** The hook's word stands for both annotations: flags are nothing without their scheduler. */
function overruled({ forward, drainTimeoutMs }: ServiceTuning, choice: SchedulerTuning): ServiceTuning {
  return {
    ...choice,
    ...(forward === undefined ? {} : { forward }),
    ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
  };
}

function withTuning(body: ServiceBody, tuning: ServiceTuning): ServiceBody {
  return Object.keys(tuning).length === 0 ? body : { ...body, tuning };
}

function serviceBody(spec: unknown, status: unknown, metadata: JsonObject, problems: string[]): ServiceBody | null {
  if (!isObject(spec)) {
    problems.push(`spec: ${show(spec)} is not an object; the Service is not served`);
    return null;
  }
  const type = serviceType(spec['type'], problems);
  if (type === 'ExternalName' || spec['clusterIP'] === 'None') return null;
  const clusterIPs = readClusterIPs(spec, problems);
  if (clusterIPs.length === 0) return null;
  const ports = readPorts(spec['ports'], problems);
  if (ports.length === 0) return null;

  const externalIPs = readVips('spec.externalIPs', spec['externalIPs'], problems);
  const externalPolicyLocal =
    readPolicy('spec.externalTrafficPolicy', spec['externalTrafficPolicy'], problems) &&
    (type === 'LoadBalancer' || type === 'NodePort' || externalIPs.length > 0);
  const ranges = spec['loadBalancerSourceRanges'];
  return {
    createdMs: readTime(metadata['creationTimestamp']),
    clusterIPs,
    ports,
    externalIPs,
    loadBalancerIPs: readIngress(objectOrEmpty(objectOrEmpty(status)['loadBalancer'])['ingress'], problems),
    sourceRanges: readRanges(ranges, problems),
    // Anything there that is not an empty list counts: what cannot be read denies, it must not open the VIP to everybody.
    hasSourceRanges: !isAbsent(ranges) && asArray(ranges)?.length !== 0,
    affinitySeconds: readAffinity(spec, problems),
    internalPolicyLocal: readPolicy('spec.internalTrafficPolicy', spec['internalTrafficPolicy'], problems),
    externalPolicyLocal,
    healthCheckNodePort:
      type === 'LoadBalancer' && externalPolicyLocal ? readHealthCheckPort(spec['healthCheckNodePort'], problems) : 0,
  };
}

type ServiceType = 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';

function serviceType(value: unknown, problems: string[]): ServiceType {
  switch (value) {
    case 'ClusterIP':
    case 'NodePort':
    case 'LoadBalancer':
    case 'ExternalName':
      return value;
  }
  if (!isAbsent(value) && value !== '') {
    problems.push(
      `spec.type: ${show(value)} is none of ClusterIP, NodePort, LoadBalancer, ExternalName; taken as ClusterIP`,
    );
  }
  return 'ClusterIP';
}

/**
 * One address per family. `ipFamilies[i]` says what `clusterIPs[i]` is; without it the addresses speak for themselves, as the
 * API server's defaulting does, and without `clusterIPs` there is `clusterIP` alone.
 */
function readClusterIPs(spec: JsonObject, problems: string[]): IpAddress[] {
  const single = spec['clusterIP'];
  const list = asArray(spec['clusterIPs']) ?? [];
  const values = list.length > 0 ? list : isAbsent(single) || single === '' ? [] : [single];
  if (values[0] === 'None') return [];
  const field = list.length > 0 ? 'spec.clusterIPs' : 'spec.clusterIP';
  const families = asArray(spec['ipFamilies']) ?? [];
  const found = new Map<IpFamily, IpAddress>();
  for (const [index, value] of values.entries()) {
    if (value === '') continue;
    const where = list.length > 0 ? `${field}[${index}]` : field;
    const address = readVip(where, value, problems);
    if (address === undefined) continue;
    const family = familyOf(address);
    if (families.length > 0 && families[index] !== family) {
      problems.push(
        `${where}: ${address} is ${family}, but spec.ipFamilies[${index}] is ${show(families[index])}; the address is not served`,
      );
    } else if (!found.has(family)) {
      found.set(family, address);
    }
  }
  return [...found.values()];
}

function readPorts(value: unknown, problems: string[]): ServicePortBody[] {
  const list = asArray(value);
  if (list === undefined) {
    if (!isAbsent(value)) problems.push(`spec.ports: ${show(value)} is not a list; the Service is not served`);
    return [];
  }
  const ports: ServicePortBody[] = [];
  const taken = new Set<string>();
  for (const [index, item] of list.entries()) {
    const field = `spec.ports[${index}]`;
    if (!isObject(item)) {
      problems.push(`${field}: ${show(item)} is not a port object; it is skipped`);
      continue;
    }
    const port = item['port'];
    if (!isPort(port)) {
      problems.push(`${field}.port: ${show(port)} is not a port number (1..65535); the port is skipped`);
      continue;
    }
    const protocol = parseProtocol(item['protocol']);
    if (protocol === undefined) {
      problems.push(`${field}.protocol: ${show(item['protocol'])} is none of TCP, UDP, SCTP; the port is skipped`);
      continue;
    }
    const name = isAbsent(item['name']) ? '' : item['name'];
    if (typeof name !== 'string' || (name !== '' && unusableName(name) !== undefined)) {
      problems.push(`${field}.name: ${show(name)} is not a port name; the port is skipped`);
      continue;
    }
    const identity = `${protocol} ${name}`;
    if (taken.has(identity)) {
      problems.push(
        `${field}: name ${show(name)} with protocol ${protocol.toUpperCase()} is there already; the first one is served, give this one another name`,
      );
      continue;
    }
    taken.add(identity);
    ports.push({ name, protocol, port, nodePort: readNodePort(field, item['nodePort'], problems) });
  }
  return ports;
}

function readNodePort(field: string, value: unknown, problems: string[]): number {
  if (isAbsent(value) || value === 0) return 0;
  if (isPort(value)) return value;
  problems.push(
    `${field}.nodePort: ${show(value)} is not a port number (1..65535); the port is served without a node port`,
  );
  return 0;
}

function readVip(field: string, value: unknown, problems: string[]): IpAddress | undefined {
  const address = addressOf(value);
  if (address === undefined) {
    problems.push(`${field}: ${show(value)} ${addressProblem(value)}; it is skipped`);
    return undefined;
  }
  const special = unusableVip(address);
  if (special === undefined) return address;
  problems.push(`${field}: ${address} is a ${special} address, which cannot be a virtual IP; it is skipped`);
  return undefined;
}

function readVips(field: string, value: unknown, problems: string[]): IpAddress[] {
  if (isAbsent(value)) return [];
  const list = asArray(value);
  if (list === undefined) {
    problems.push(`${field}: ${show(value)} is not a list of addresses; it is skipped`);
    return [];
  }
  const addresses = new Set<IpAddress>();
  for (const [index, item] of list.entries()) {
    if (typeof item === 'string' && item.trim() === '') continue;
    const address = readVip(`${field}[${index}]`, item, problems);
    if (address !== undefined) addresses.add(address);
  }
  return [...addresses];
}

function readIngress(value: unknown, problems: string[]): IpAddress[] {
  const addresses = new Set<IpAddress>();
  for (const [index, item] of (asArray(value) ?? []).entries()) {
    const ingress = objectOrEmpty(item);
    const mode = ingress['ipMode'];
    // Hostname-only entries are reached by name, `Proxy` ones through the balancer itself.
    if (isAbsent(ingress['ip']) || ingress['ip'] === '' || mode === 'Proxy') continue;
    const field = `status.loadBalancer.ingress[${index}]`;
    if (!isAbsent(mode) && mode !== 'VIP') {
      problems.push(`${field}.ipMode: ${show(mode)} is neither VIP nor Proxy; the address is skipped`);
      continue;
    }
    const address = readVip(`${field}.ip`, ingress['ip'], problems);
    if (address !== undefined) addresses.add(address);
  }
  return [...addresses];
}

function readRanges(value: unknown, problems: string[]): string[] {
  if (isAbsent(value)) return [];
  const list = asArray(value);
  if (list === undefined) {
    problems.push(`spec.loadBalancerSourceRanges: ${show(value)} is not a list; every source is denied`);
    return [];
  }
  const ranges = new Set<string>();
  for (const [index, item] of list.entries()) {
    const cidr = typeof item === 'string' ? parseCidr(item.trim()) : undefined;
    if (cidr === undefined) {
      problems.push(
        `spec.loadBalancerSourceRanges[${index}]: ${show(item)} is not a CIDR such as 10.0.0.0/8; it is skipped`,
      );
    } else {
      ranges.add(cidr.text);
    }
  }
  return [...ranges];
}

function readAffinity(spec: JsonObject, problems: string[]): number {
  const affinity = spec['sessionAffinity'];
  if (isAbsent(affinity) || affinity === '' || affinity === 'None') return 0;
  if (affinity !== 'ClientIP') {
    problems.push(`spec.sessionAffinity: ${show(affinity)} is neither None nor ClientIP; taken as None`);
    return 0;
  }
  const value = objectOrEmpty(objectOrEmpty(spec['sessionAffinityConfig'])['clientIP'])['timeoutSeconds'];
  if (isAbsent(value)) return AFFINITY_DEFAULT_SECONDS;
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  if (typeof value !== 'number' || !Number.isInteger(value) || value <= 0) {
    problems.push(`${field}: ${show(value)} is not 1..${AFFINITY_MAX_SECONDS}; taken as ${AFFINITY_DEFAULT_SECONDS}`);
    return AFFINITY_DEFAULT_SECONDS;
  }
  if (value <= AFFINITY_MAX_SECONDS) return value;
  problems.push(`${field}: ${value} is not 1..${AFFINITY_MAX_SECONDS}; taken as ${AFFINITY_MAX_SECONDS}`);
  return AFFINITY_MAX_SECONDS;
}

/** True for Local. */
function readPolicy(field: string, value: unknown, problems: string[]): boolean {
  if (value === 'Local') return true;
  if (!isAbsent(value) && value !== '' && value !== 'Cluster') {
    problems.push(`${field}: ${show(value)} is neither Cluster nor Local; taken as Cluster`);
  }
  return false;
}

function readHealthCheckPort(value: unknown, problems: string[]): number {
  if (isPort(value)) return value;
  problems.push(
    `spec.healthCheckNodePort: ${show(value)} is not a port number (1..65535) though type is LoadBalancer and externalTrafficPolicy Local; no health check is served`,
  );
  return 0;
}

/** Watch lines give text, client-node's typed lists a Date. */
function readTime(value: unknown): number {
  const time = value instanceof Date ? value.getTime() : typeof value === 'string' ? Date.parse(value) : 0;
  return Number.isFinite(time) ? time : 0;
}
