/**
 * What a service port has become, in the cheapest of three ways: followed endpoint by endpoint where there are several slices, taken as it is
 * where there is one and nothing special to it, and otherwise derived as a whole, which is what the other two have to come to as well.
 */
import { EndpointBit, type ObjectKey, type ServiceBody, type SliceBody } from '../records.ts';
import { type Endpoint, isOwnVip, mergeEndpoints } from './endpoints.ts';
import type { Exclusions } from './exclusions.ts';
import { type EndpointChange, PortEndpoints, portsIn } from './port-endpoints.ts';
import {
  type Derivation,
  type DirtyPort,
  type ServicePort,
  type ServicePortSpec,
  servicePortId,
} from './service-port.ts';
import { hasHints, type ServiceSlices } from './service-slices.ts';
import { type NodePlace, selectEndpoints } from './topology.ts';

export class PortDeriver {
  readonly #slices: ServiceSlices;
  readonly #exclusions: Exclusions;
  readonly #place: () => NodePlace;
  /** Of the service ports that have several slices. */
  readonly #tables = new Map<string, PortEndpoints>();

  constructor(slices: ServiceSlices, exclusions: Exclusions, place: () => NodePlace) {
    this.#slices = slices;
    this.#exclusions = exclusions;
    this.#place = place;
  }

  /** Its slices as they were are to be kept until the next {@link derive}. */
  followsSlices(id: string): boolean {
    return this.#tables.has(id);
  }

  forget(id: string): void {
    this.#tables.delete(id);
  }

  /** Of a Service that changes: while it is not there, slices come and go that nobody is told of. */
  forgetPortsOf(service: ObjectKey, { ports }: ServiceBody): void {
    if (this.#tables.size === 0) return;
    for (const { name, protocol } of ports) {
      for (const family of ['IPv4', 'IPv6'] as const) this.forget(servicePortId(family, service, name, protocol));
    }
  }

  /** From nothing but the slices. */
  anew(spec: ServicePortSpec): ServicePort {
    return this.#portOf(spec, this.#merged(spec)).port;
  }

  derive(spec: ServicePortSpec, { slices, isWhole }: DirtyPort): Derivation {
    const table = this.#tables.get(spec.id);
    if (table === undefined) return this.#simple(spec) ?? { kind: 'whole', port: this.#whole(spec, undefined) };
    for (const [key, before] of slices ?? []) table.replace(key, before, this.#slices.of(spec.service).get(key));
    const changes = this.#effective(table.take(), spec);
    if (changes !== undefined && !isWhole && !table.isIrregular) {
      const { internalPolicyLocal, externalPolicyLocal } = spec.body;
      const selection = table.follow(changes, internalPolicyLocal || externalPolicyLocal);
      if (selection !== undefined) return { kind: 'changes', changes, selection, place: this.#place() };
    }
    return { kind: 'whole', port: this.#whole(spec, table) };
  }

  /** Of each endpoint what counts. Undefined: some of them are virtual IPs of the Service, which is for all of it to be told. */
  #effective(changes: readonly EndpointChange[], { body }: ServicePortSpec): readonly EndpointChange[] | undefined {
    if (changes.some(({ before, after }) => isCircular(before, body) || isCircular(after, body))) return undefined;
    if (this.#exclusions.isEmpty) return changes;
    const effective = (endpoint: Endpoint | undefined): Endpoint | undefined =>
      endpoint === undefined ? undefined : this.#exclusions.applyToOne(endpoint);
    return changes.map(({ id, before, after }) => ({ id, before: effective(before), after: effective(after) }));
  }

  #simple(spec: ServicePortSpec): Derivation | undefined {
    const only = this.#slices.only(spec.service);
    let slice: SliceBody | undefined;
    let targetPort = 0;
    for (const one of only === undefined ? this.#slices.of(spec.service).values() : [only]) {
      for (const port of portsIn(one, spec)) {
        if (slice !== undefined) return undefined;
        slice = one;
        targetPort = port;
      }
    }
    if (slice !== undefined && !this.#isPlain(slice, spec)) return undefined;
    return { kind: 'simple', spec, slice, targetPort };
  }

  /** Every endpoint is chosen, by whomever. */
  #isPlain(slice: SliceBody, { body }: ServicePortSpec): boolean {
    if (hasHints(slice) || !this.#exclusions.isEmpty || body.tuning?.forward !== undefined) return false;
    for (const conditions of slice.conditions) if ((conditions & EndpointBit.ready) === 0) return false;
    for (const address of slice.addresses) if (isOwnVip({ address }, body)) return false;
    return true;
  }

  /** With a table, that of the service port, which gets its counts by it, or makes way for another. */
  #whole(spec: ServicePortSpec, known: PortEndpoints | undefined): ServicePort {
    const table = known?.isIrregular === false ? known : this.#newTable(spec);
    if (table === undefined || table.isIrregular) {
      this.#tables.delete(spec.id);
      return this.#portOf(spec, this.#merged(spec)).port;
    }
    this.#tables.set(spec.id, table);
    const { port, counted } = this.#portOf(spec, [...table.endpoints()]);
    table.recount(counted, this.#place());
    return port;
  }

  /** Undefined: it has one slice at the most, which costs no more to read again than to compare. */
  #newTable(spec: ServicePortSpec): PortEndpoints | undefined {
    const slices = this.#slices.of(spec.service);
    let count = 0;
    for (const slice of slices.values()) if (portsIn(slice, spec).length > 0) count += 1;
    // Forwarding that the endpoints' ports decide about is decided by all of them.
    if (count < 2 || spec.body.tuning?.forward !== undefined) return undefined;
    const { id, family, service, portName, protocol } = spec;
    const table = new PortEndpoints({ id, family, service, portName, protocol });
    for (const [key, slice] of slices) table.replace(key, undefined, slice);
    table.take();
    return table;
  }

  #merged({ service, family, portName, protocol }: ServicePortSpec): readonly Endpoint[] {
    return mergeEndpoints(this.#slices.of(service), family, portName, protocol);
  }

  #portOf(
    spec: ServicePortSpec,
    merged: readonly Endpoint[],
  ): { readonly port: ServicePort; readonly counted: readonly Endpoint[] } {
    const circular = merged.filter((endpoint) => isOwnVip(endpoint, spec.body));
    if (circular.length > 1) circular.sort((a, b) => (a.id < b.id ? -1 : 1));
    const usable = circular.length === 0 ? merged : merged.filter((endpoint) => !circular.includes(endpoint));
    const counted = this.#exclusions.applyTo(usable);
    return { port: { ...spec, endpoints: selectEndpoints(counted, this.#place()), circular }, counted };
  }
}

function isCircular(endpoint: Endpoint | undefined, body: ServiceBody): boolean {
  return endpoint !== undefined && isOwnVip(endpoint, body);
}
