/** Whether an entry of the flight recorder is about what somebody asks for. */
import { entryObject, type ObjectId } from '../plan/object-id.ts';
import { boundSetOf, serviceOfTuple } from '../plan/sets.ts';
import { hostPort, type ServiceId } from '../plan/state.ts';
import type { WantedPort } from '../plan/wanted.ts';
import type { ObjectKey } from '../records.ts';
import type { IpAddress } from '../types.ts';
import type { FlightRecorder } from './flight-recorder.ts';
import type { Concern } from './history.ts';
import { objectName } from './object-facts.ts';

export interface ConcernInput {
  readonly keys: ReadonlySet<ObjectKey>;
  readonly services: ReadonlySet<ServiceId>;
  readonly addresses: ReadonlySet<IpAddress>;
  /** Of a single endpoint: only what is made for it. */
  readonly endpoint: IpAddress | undefined;
  readonly wanted: readonly WantedPort[];
  /** See {@link formerServices}. */
  readonly former: Former;
}

/** What Services asked for some time ago. */
export interface Former {
  readonly services: ReadonlySet<ServiceId>;
  readonly addresses: ReadonlySet<IpAddress>;
  /** `tcp :30080`, on whatever address. */
  readonly nodePorts: ReadonlySet<string>;
}

/** By what the recorder has of their records: they may have been changed, or be gone, since. */
export function formerServices(recorder: FlightRecorder, keys: ReadonlySet<ObjectKey>): Former {
  const services = new Set<ServiceId>();
  const addresses = new Set<IpAddress>();
  const nodePorts = new Set<string>();
  for (const { kind, key, body } of recorder.records) {
    if (kind !== 'service' || body === undefined || !keys.has(key)) continue;
    for (const address of [...body.clusterIPs, ...body.externalIPs, ...body.loadBalancerIPs]) {
      addresses.add(address);
      for (const { protocol, port } of body.ports) services.add(`${protocol} ${hostPort(address, port)}`);
    }
    for (const { protocol, nodePort } of body.ports) if (nodePort !== 0) nodePorts.add(`${protocol} :${nodePort}`);
  }
  return { services, addresses, nodePorts };
}

export class ExplainConcern implements Concern {
  readonly keys: ReadonlySet<ObjectKey>;
  readonly services: ReadonlySet<ServiceId>;
  readonly #addresses: ReadonlySet<IpAddress>;
  readonly #objects = new Set<ObjectId>();
  readonly #endpoint: IpAddress | undefined;
  readonly #nodePorts: ReadonlySet<string>;

  constructor({ keys, services, addresses, endpoint, wanted, former }: ConcernInput) {
    this.keys = keys;
    this.#endpoint = endpoint;
    this.#nodePorts = former.nodePorts;
    const all = new Set(services);
    const vips = new Set(addresses);
    // A virtual service that was asked for by name is not all that its Service has; one of an endpoint is not what was asked for.
    const isNamed = services.size > 0 || addresses.size > 0;
    for (const port of isNamed ? [] : wanted) {
      for (const { id } of port.virtualServices) all.add(id);
      for (const address of port.addresses) vips.add(address);
      for (const { set, entry } of port.entries) this.#objects.add(entryObject(set, entry));
    }
    if (!isNamed) {
      for (const service of former.services) all.add(service);
      for (const address of former.addresses) vips.add(address);
    }
    for (const address of vips) this.#objects.add(entryObject(boundSetOf(address), address));
    this.services = all;
    this.#addresses = vips;
  }

  concerns(object: string): boolean {
    const name = objectName(object);
    if (name === undefined) return false;
    const endpoint = this.#endpoint;
    if (endpoint !== undefined) {
      const host = endpoint.includes(':') ? `[${endpoint}]:` : `${endpoint}:`;
      if (name.kind === 'destination') return name.destination.startsWith(host);
      return name.kind === 'entry' && name.entry.startsWith(`${endpoint},`);
    }
    switch (name.kind) {
      case 'service':
      case 'destination':
        return this.#concernsService(name.service);
      case 'binding':
        return this.#addresses.has(name.address);
      case 'entry': {
        if (this.#objects.has(object)) return true;
        const service = serviceOfTuple(name.entry);
        return service !== undefined && this.services.has(service);
      }
    }
  }

  #concernsService(service: ServiceId): boolean {
    if (this.services.has(service)) return true;
    const [protocol = ''] = service.split(' ');
    return this.#nodePorts.has(`${protocol} ${service.slice(service.lastIndexOf(':'))}`);
  }
}
