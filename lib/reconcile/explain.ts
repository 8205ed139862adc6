/** The answer to `explain`: what the records say of a thing, what is wanted, what was applied, how it stands and why, and how it came to that. */
import type { PortExplanation } from '../plan/explain-port.ts';
import { type ObjectId, serviceObject } from '../plan/object-id.ts';
import { boundSetOf } from '../plan/sets.ts';
import type { ServiceId } from '../plan/state.ts';
import { vipKinds } from '../plan/vip-binding.ts';
import type { WantedPort } from '../plan/wanted.ts';
import type { ObjectKey } from '../records.ts';
import type { IpAddress } from '../types.ts';
import type { ExplainAnswer, ExplainedPort, ExplainedService, ObjectState, ObjectStatus } from './answers.ts';
import { ExplainConcern, formerServices } from './explain-concern.ts';
import { type ExplainKey, nearestKeys, parseExplainKey } from './explain-key.ts';
import type { FlightRecorder } from './flight-recorder.ts';
import { historyOf } from './history.ts';
import { type ObjectName, objectId } from './object-facts.ts';
import { addressOf, type ObjectStatuses } from './object-status.ts';

/** So much of each is told; what is not in order comes first. */
const mostPorts = 64;
const mostObjects = 200;
const mostEndpoints = 1000;
const mostHistory = 200;

/** What a key comes to. */
interface Subject {
  readonly kind: ExplainAnswer['kind'];
  readonly keys: ReadonlySet<ObjectKey>;
  /** Of the service ports of those Services, the ones that are told of. */
  includes(port: PortExplanation): boolean;
  /** Virtual services that the key names, whoever wants them. */
  readonly services: ReadonlySet<ServiceId>;
  readonly addresses: ReadonlySet<IpAddress>;
  /** Of the endpoints, and what is made for them, only this one is told of. */
  readonly endpoint: IpAddress | undefined;
}

const severity: readonly ObjectState[] = [
  'failing',
  'contested',
  'pending',
  'draining',
  'applied',
  'foreign',
  'absent',
];

export class Explainer {
  readonly #statuses: ObjectStatuses;
  readonly #recorder: FlightRecorder;

  constructor(statuses: ObjectStatuses, recorder: FlightRecorder) {
    this.#statuses = statuses;
    this.#recorder = recorder;
  }

  explain(text: string): ExplainAnswer {
    const key = parseExplainKey(text);
    const subject = this.#subjectOf(key);
    if (subject === undefined) return this.#unknown(text, key);
    const { planner } = this.#statuses.parts;
    const services: ExplainedService[] = [];
    const made = new Set<ObjectId>();
    const wanted: WantedPort[] = [];
    let omittedPorts = 0;
    for (const service of subject.keys) {
      const ports: ExplainedPort[] = [];
      for (const explanation of planner.explainService(service).filter((each) => subject.includes(each))) {
        const port = planner.ports.get(explanation.port);
        if (port === undefined) continue;
        if (wanted.length >= mostPorts) {
          omittedPorts += 1;
          continue;
        }
        wanted.push(port);
        ports.push(this.#port(explanation, port, subject, made));
      }
      const record = planner.records.serviceBody(service);
      services.push({ service, ...(record === undefined ? {} : { record }), ports });
    }
    const others = this.#others(subject, made);
    const concern = new ExplainConcern({ ...subject, wanted, former: formerServices(this.#recorder, subject.keys) });
    const { entries: history, omitted: omittedHistory } = historyOf(
      this.#recorder,
      concern,
      this.#statuses.toDate,
      mostHistory,
    );
    const states = [
      ...services.flatMap(({ ports }) => ports.map(({ state }) => state)),
      ...others.map(({ state }) => state),
    ];
    const message = gone(services);
    return {
      key: text,
      kind: subject.kind,
      ...(message === undefined ? {} : { message }),
      nearest: [],
      state: worst(states),
      services,
      omittedPorts,
      others,
      history,
      omittedHistory,
    };
  }

  #subjectOf(key: ExplainKey): Subject | undefined {
    const { planner, applied, foreign } = this.#statuses.parts;
    const { records } = planner;
    const none = { services: new Set<ServiceId>(), addresses: new Set<IpAddress>(), endpoint: undefined };
    const all = (): boolean => true;
    switch (key.kind) {
      case 'Service': {
        const service =
          records.serviceBody(key.service) === undefined ? records.serviceOfSlice(key.service) : key.service;
        const isKnown = service !== undefined || this.#isRemembered(key.service);
        if (!isKnown) return undefined;
        return { kind: key.kind, keys: new Set([service ?? key.service]), includes: all, ...none };
      }
      case 'service port': {
        const includes = ({ port }: PortExplanation): boolean => key.matches(port);
        if (!planner.explainService(key.service).some(includes)) return undefined;
        return { kind: key.kind, keys: new Set([key.service]), includes, ...none };
      }
      case 'virtual service': {
        const { endpoint } = key;
        const services = key.services.filter(
          (id) => planner.desired.services.has(id) || applied.services.has(id) || foreign.get(id) !== undefined,
        );
        if (services.length > 0) return this.#ofServices(key.kind, services, new Set());
        if (endpoint === undefined) return undefined;
        return this.#ofEndpoint(key.kind, endpoint.address, endpoint.port);
      }
      case 'address': {
        const { address } = key;
        const known = [...planner.desired.services.keys(), ...applied.services.keys(), ...foreign.untouchable];
        const services = known.filter((id) => id.includes(address) && addressOf(id) === address);
        const isBound = vipKinds.some((vip) => applied[vip].has(address) || planner.desired[vip].has(address));
        if (services.length > 0 || isBound) return this.#ofServices(key.kind, services, new Set([address]));
        return this.#ofEndpoint(key.kind, address, undefined);
      }
      case 'unknown':
        return undefined;
    }
  }

  #ofServices(kind: Subject['kind'], ids: readonly ServiceId[], addresses: ReadonlySet<IpAddress>): Subject {
    const { planner } = this.#statuses.parts;
    const services = new Set(ids);
    const ports = new Set(ids.flatMap((id) => planner.wantedBy(serviceObject(id))));
    const keys = new Set([...ports].flatMap((port) => serviceKeyOf(port) ?? []));
    return { kind, keys, includes: ({ port }) => ports.has(port), services, addresses, endpoint: undefined };
  }

  #ofEndpoint(kind: Subject['kind'], address: IpAddress, port: number | undefined): Subject | undefined {
    const keys = this.#statuses.parts.planner.records.servicesWithEndpoint(address);
    const includes = ({ endpoints }: PortExplanation): boolean =>
      endpoints.some((endpoint) => endpoint.address === address && (port === undefined || endpoint.port === port));
    const isDraining = [...this.#endpointDestinations(address)].length > 0;
    if (keys.size === 0 && !isDraining) return undefined;
    return { kind, keys, includes, services: new Set(), addresses: new Set(), endpoint: address };
  }

  /** The destinations of an endpoint that are there, in all virtual services. Looks at all of them. */
  *#endpointDestinations(address: IpAddress): IterableIterator<ObjectName> {
    const start = address.includes(':') ? `[${address}]:` : `${address}:`;
    for (const [service, { destinations }] of this.#statuses.parts.applied.services) {
      for (const destination of destinations.keys()) {
        if (destination.startsWith(start)) yield { kind: 'destination', service, destination };
      }
    }
  }

  #port(explanation: PortExplanation, port: WantedPort, subject: Subject, made: Set<ObjectId>): ExplainedPort {
    const { endpoint } = subject;
    const found: { readonly name: ObjectName; readonly state: ObjectState }[] = [];
    for (const name of this.#objectsOf(port)) {
      made.add(objectId(name));
      if (endpoint !== undefined && name.kind !== 'service' && !speaksOf(name, endpoint)) continue;
      const state = this.#statuses.state(name);
      if (state !== 'absent') found.push({ name, state });
    }
    found.sort((a, b) => severity.indexOf(a.state) - severity.indexOf(b.state));
    const { endpoints } = explanation;
    const told = endpoint === undefined ? endpoints : endpoints.filter(({ address }) => address === endpoint);
    const { planner } = this.#statuses.parts;
    return {
      ...explanation,
      endpoints: told.slice(0, mostEndpoints),
      state: found[0]?.state ?? 'absent',
      objects: found.slice(0, mostObjects).map(({ name }) => this.#statuses.named(name)),
      omitted: Math.max(0, found.length - mostObjects),
      warnings: [...port.warnings, ...planner.losses(port.id)],
    };
  }

  /** What the service port wants, and what of that is to go. */
  *#objectsOf(port: WantedPort): IterableIterator<ObjectName> {
    const { applied } = this.#statuses.parts;
    for (const { id: service } of port.virtualServices) yield { kind: 'service', service };
    for (const address of port.addresses) {
      for (const vip of vipKinds) yield { kind: 'binding', vip, address };
      yield { kind: 'entry', set: boundSetOf(address), entry: address };
    }
    for (const { set, entry } of port.entries) yield { kind: 'entry', set, entry };
    for (const { id: service, destinations } of port.virtualServices) {
      // Those that are not wanted any more come first: they drain.
      for (const destination of applied.services.get(service)?.destinations.keys() ?? []) {
        if (!destinations.has(destination)) yield { kind: 'destination', service, destination };
      }
      for (const destination of destinations.keys()) yield { kind: 'destination', service, destination };
    }
  }

  #others({ services, addresses, endpoint }: Subject, made: ReadonlySet<ObjectId>): readonly ObjectStatus[] {
    const names: ObjectName[] = [];
    for (const service of services) {
      names.push({ kind: 'service', service });
      const destinations = this.#statuses.parts.applied.services.get(service)?.destinations.keys() ?? [];
      for (const destination of destinations) names.push({ kind: 'destination', service, destination });
    }
    for (const address of addresses) for (const vip of vipKinds) names.push({ kind: 'binding', vip, address });
    if (endpoint !== undefined) names.push(...this.#endpointDestinations(endpoint));
    return names
      .filter((name) => !made.has(objectId(name)))
      .slice(0, mostObjects)
      .map((name) => this.#statuses.named(name))
      .filter(({ state }) => state !== 'absent');
  }

  #isRemembered(service: ObjectKey): boolean {
    for (const { kind, key } of this.#recorder.records) if (kind === 'service' && key === service) return true;
    return false;
  }

  #unknown(text: string, key: ExplainKey): ExplainAnswer {
    const { planner, applied } = this.#statuses.parts;
    const candidates: Iterable<string> =
      key.kind === 'virtual service' || key.kind === 'address'
        ? new Set([...planner.desired.services.keys(), ...applied.services.keys()])
        : key.kind === 'service port'
          ? planner.ports.keys()
          : planner.records.serviceNames();
    const waitsFor = this.#statuses.parts.waitsFor();
    const message = `${unknownMessage[key.kind]}${waitsFor === undefined ? '' : `; it waits for ${waitsFor} still`}`;
    return {
      key: text,
      kind: 'unknown',
      message,
      nearest: nearestKeys(text, candidates),
      state: 'absent',
      services: [],
      omittedPorts: 0,
      others: [],
      history: [],
      omittedHistory: 0,
    };
  }
}

const unknownMessage: Readonly<Record<ExplainKey['kind'], string>> = {
  Service: 'no record has a Service or an EndpointSlice of that name that is served here',
  'service port': 'no Service that is served here has such a port',
  'virtual service': 'nobody wants such a virtual service, none is there, and no endpoint has that address',
  address: 'no virtual service and no endpoint has that address',
  unknown:
    'a key is a Service (ns1/svc1), a service port (IPv4 ns1/svc1:p80/tcp), a virtual service (tcp 10.96.0.10:80), an address with or without a port',
};

function gone(services: readonly ExplainedService[]): string | undefined {
  const names = services.filter(({ record }) => record === undefined).map(({ service }) => service);
  return names.length === 0 ? undefined : `the records do not have the Service ${names.join(', ')} any more`;
}

/** `IPv4 ns1/svc1:p80/tcp` → `ns1/svc1`; undefined for what is left over. */
function serviceKeyOf(port: string): ObjectKey | undefined {
  return /^IPv[46] ([^:]*):/.exec(port)?.[1];
}

function speaksOf(name: ObjectName, endpoint: IpAddress): boolean {
  if (name.kind === 'destination') {
    return name.destination.startsWith(endpoint.includes(':') ? `[${endpoint}]:` : `${endpoint}:`);
  }
  return name.kind === 'entry' && name.entry.startsWith(`${endpoint},`);
}

function worst(states: readonly ObjectState[]): ObjectState {
  return severity.find((state) => states.includes(state)) ?? 'absent';
}
