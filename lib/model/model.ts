/**
 * Records → service ports. Keeps the objects, and which service ports an event touched: an event costs what it touches, whatever
 * the size of the cluster.
 */
import { familyOf } from '../address.ts';
import type { NodeBody, ObjectKey, ObjectRecord, ServiceBody, SliceBody } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { AddressIndex } from './address-index.ts';
import { Compactor } from './compact.ts';
import { type EndpointRef, Exclusions } from './exclusions.ts';
import { type EndpointVerdict, explainEndpoints } from './explain-endpoints.ts';
import { PortDeriver } from './port-deriver.ts';
import { type Change, RecordStore } from './record-store.ts';
import { type Rival, Rivals } from './rivals.ts';
import {
  type Derivation,
  type DirtyPort,
  type ServicePort,
  type ServicePortRef,
  type ServicePortSpec,
  servicePortId,
} from './service-port.ts';
import { ServiceSlices } from './service-slices.ts';
import type { NodePlace } from './topology.ts';

export interface ModelOptions {
  /** Families that are proxied; what is said of others is kept and ignored. */
  readonly families: readonly IpFamily[];
  /** Name of this node, as Nodes and endpoints spell it. Decides node hints. */
  readonly nodeName: string;
}

export interface ModelWarning {
  /** `service ns1/svc1` */
  readonly object: string;
  readonly message: string;
}

export class Model {
  readonly #families: readonly IpFamily[];
  readonly #nodeName: string;
  readonly #services = new RecordStore<ServiceBody>();
  readonly #slices = new RecordStore<SliceBody>();
  readonly #nodes = new RecordStore<NodeBody>();
  readonly #nodeAddresses = new RecordStore<{ readonly addresses: readonly IpAddress[] }>();
  readonly #stores = {
    service: this.#services,
    slice: this.#slices,
    node: this.#nodes,
    nodeAddresses: this.#nodeAddresses,
  };
  readonly #compactor = new Compactor();
  readonly #serviceSlices = new ServiceSlices();
  /** Services with a node port: what a change of the node's addresses touches. */
  readonly #withNodePort = new Set<ObjectKey>();
  /** Services with source ranges for a load balancer IP: what a change of the node's primary address touches. */
  readonly #withRanges = new Set<ObjectKey>();
  readonly #addresses = new AddressIndex();
  readonly #exclusions = new Exclusions();
  /** Slices changed that may have had the last word on an excluded endpoint. */
  #recheckExclusions = false;
  #self: NodeBody | undefined;
  /** By Service: so a name is made once for each service port, however many records touch it. */
  #dirty = new Map<ObjectKey, DirtyPort[]>();
  readonly #deriver: PortDeriver;
  readonly #rivals = new Rivals();
  #warnings: ModelWarning[] = [];

  constructor(options: ModelOptions) {
    this.#families = options.families;
    this.#nodeName = options.nodeName;
    this.#deriver = new PortDeriver(this.#serviceSlices, this.#exclusions, () => this.#place());
  }

  /** The Node this proxier runs on, undefined while it is unknown. */
  get self(): NodeBody | undefined {
    return this.#self;
  }

  /** Addresses on the interfaces of this node (behaviour.md 2.4), sorted by text. */
  nodeAddresses(family: IpFamily): ReadonlySet<IpAddress> {
    return this.#addresses.onInterfaces(family);
  }

  /** Name of another Node that has this address, the lowest of several; undefined = none that is known. */
  otherNodeWith(address: IpAddress): ObjectKey | undefined {
    return this.#addresses.otherNodeWith(address);
  }

  apply(record: ObjectRecord): void {
    switch (record.kind) {
      case 'service':
        this.#serviceChanged(
          this.#services.put(record.key, record.source, record.body && this.#compactor.service(record.body)),
        );
        break;
      case 'slice':
        this.#sliceChanged(
          this.#slices.put(record.key, record.source, record.body && this.#compactor.slice(record.body)),
        );
        break;
      case 'node':
        this.#nodeChanged(this.#nodes.put(record.key, record.source, record.body));
        break;
      case 'nodeAddresses':
        this.#nodeAddresses.put(record.key, record.source, record.body);
        this.#nodeAddressesChanged();
        break;
    }
    this.#warnOfRivals(record);
  }

  /** From here on, what is not said again before {@link endSnapshot} is gone. Until then nothing is dropped. */
  beginSnapshot(): void {
    for (const store of Object.values(this.#stores)) store.begin();
  }

  endSnapshot(): void {
    for (const change of this.#services.end()) this.#serviceChanged(change);
    for (const change of this.#slices.end()) this.#sliceChanged(change);
    for (const change of this.#nodes.end()) this.#nodeChanged(change);
    if (this.#nodeAddresses.end().length > 0) this.#nodeAddressesChanged();
    for (const rival of this.#rivals.known) this.#warnOfRivals(rival);
  }

  /** Service ports that an event touched since the last call, those that are gone included. */
  takeDirty(): readonly DirtyPort[] {
    const dirty: DirtyPort[] = [];
    for (const ports of this.#dirty.values()) dirty.push(...ports);
    this.#dirty = new Map();
    return dirty;
  }

  /** Takes these endpoints out, whatever the slices say, and gives back those that were out before and are not among them. */
  exclude(endpoints: readonly EndpointRef[]): void {
    const changed = this.#exclusions.replace(endpoints);
    this.#recheckExclusions = endpoints.length > 0;
    if (changed.size === 0) return;
    for (const [, slice] of this.#slices.entries()) {
      if (slice.addresses.some((address) => changed.has(address))) this.#touchSlice(slice);
    }
  }

  /** Excluded endpoints that no slice lists (any more); looked for only after something changed. */
  takeUnlisted(): readonly EndpointRef[] {
    if (!this.#recheckExclusions) return [];
    this.#recheckExclusions = false;
    return this.#exclusions.unlistedIn([...this.#slices.entries()].map(([, slice]) => slice));
  }

  /** What came up since the last call. */
  takeWarnings(): readonly ModelWarning[] {
    const warnings = this.#warnings;
    this.#warnings = [];
    return warnings;
  }

  /** What has become of a service port that {@link takeDirty} gave, which is to be asked for each of them, and once. */
  derive(dirty: DirtyPort): Derivation {
    const spec = this.#spec(dirty);
    if (spec !== undefined) return this.#deriver.derive(spec, dirty);
    this.#deriver.forget(dirty.id);
    return { kind: 'gone' };
  }

  /** The service port as it stands, undefined when there is none (any more). Made from nothing but the records. */
  servicePort(ref: ServicePortRef): ServicePort | undefined {
    const spec = this.#spec(ref);
    return spec === undefined ? undefined : this.#deriver.anew(spec);
  }

  #spec({ id, family, service, portName, protocol }: ServicePortRef): ServicePortSpec | undefined {
    const body = this.#services.get(service);
    const clusterIP = body === undefined ? undefined : clusterIpOf(body, family);
    if (body === undefined || clusterIP === undefined || !this.#families.includes(family)) return undefined;
    const found = body.ports.findLast((port) => port.name === portName && port.protocol === protocol);
    if (found === undefined) return undefined;
    const { port, nodePort } = found;
    return { id, family, service, portName, protocol, clusterIP, port, nodePort, body };
  }

  /** All service ports as they stand, sorted by id. */
  servicePorts(): readonly ServicePort[] {
    return [...this.#services.entries()].flatMap(([service]) => this.servicePortsOf(service)).sort(byId);
  }

  /** Those of one Service, sorted by id. */
  servicePortsOf(service: ObjectKey): readonly ServicePort[] {
    const ports = new Map<string, ServicePort>();
    for (const { name: portName, protocol } of this.#services.get(service)?.ports ?? []) {
      for (const family of this.#families) {
        const id = servicePortId(family, service, portName, protocol);
        const port = ports.has(id) ? undefined : this.servicePort({ id, family, service, portName, protocol });
        if (port !== undefined) ports.set(id, port);
      }
    }
    return [...ports.values()].sort(byId);
  }

  /** As the records have it; undefined when they do not. */
  serviceBody(service: ObjectKey): ServiceBody | undefined {
    return this.#services.get(service);
  }

  *serviceNames(): IterableIterator<ObjectKey> {
    for (const [service] of this.#services.entries()) yield service;
  }

  /** Whose EndpointSlice this is; undefined when there is none of that name. */
  serviceOfSlice(slice: ObjectKey): ObjectKey | undefined {
    return this.#slices.get(slice)?.service;
  }

  /** Services with an endpoint of this address. Not for a hot path: it looks at all slices. */
  servicesWithEndpoint(address: IpAddress): ReadonlySet<ObjectKey> {
    const services = new Set<ObjectKey>();
    for (const [, { service, addresses }] of this.#slices.entries())
      if (addresses.includes(address)) services.add(service);
    return services;
  }

  /** Every endpoint of a service port, used or not, and why. Not for a hot path: it looks at all slices of the Service anew. */
  explain(port: ServicePort): readonly EndpointVerdict[] {
    const slices = this.#serviceSlices.of(port.service);
    return explainEndpoints(slices, port, this.#place(), this.#exclusions);
  }

  #place(): NodePlace {
    return { name: this.#nodeName, zone: this.#self?.zone ?? '' };
  }

  #serviceChanged(change: Change<ServiceBody> | undefined): void {
    if (change === undefined) return;
    const { key, before, after } = change;
    if (before !== undefined) {
      this.#touch(key, before, this.#families, anyPort);
      this.#deriver.forgetPortsOf(key, before);
    }
    if (after !== undefined) this.#touch(key, after, this.#families, anyPort);
    mark(this.#withNodePort, key, after?.ports.some(({ nodePort }) => nodePort !== 0) ?? false);
    mark(this.#withRanges, key, after?.hasSourceRanges === true && after.loadBalancerIPs.length > 0);
    this.#addresses.serviceChanged(change);
  }

  #sliceChanged(change: Change<SliceBody> | undefined): void {
    if (change === undefined) return;
    this.#serviceSlices.changed(change);
    const { before, after } = change;
    if (before !== undefined) this.#touchSlice(before, change);
    if (after !== undefined) this.#touchSlice(after, change);
    if (this.#exclusions.concern(before)) this.#recheckExclusions = true;
  }

  #touchSlice(slice: SliceBody, change?: Change<SliceBody>): void {
    const body = this.#services.get(slice.service);
    if (body === undefined || !this.#families.includes(slice.family)) return;
    const applies: PortTest = (name, protocol) =>
      slice.ports.some((port) => port.name === name && port.protocol === protocol);
    this.#touch(slice.service, body, [slice.family], applies, change);
  }

  #nodeChanged(change: Change<NodeBody> | undefined): void {
    if (change === undefined) return;
    // A VIP that is the address of another Node is not served.
    for (const address of this.#addresses.nodeChanged(change)) this.#touchVip(address);
    if (!(change.before?.self || change.after?.self)) return;
    const before = this.#self;
    this.#self = change.after?.self ? change.after : undefined;
    if ((before?.zone ?? '') !== (this.#self?.zone ?? '')) {
      for (const service of this.#serviceSlices.hinted) this.#touchService(service, this.#families, anyPort);
    }
    const moved = this.#families.filter((family) => primaryOf(before, family) !== primaryOf(this.#self, family));
    if (moved.length === 0) return;
    this.#touchNodePorts(moved);
    for (const service of this.#withRanges) this.#touchService(service, moved, anyPort);
  }

  /** A VIP that is on an interface of this node is not bound. */
  #nodeAddressesChanged(): void {
    const all = new Set<IpAddress>();
    for (const [, { addresses }] of this.#nodeAddresses.entries()) for (const address of addresses) all.add(address);
    const sorted = [...all].sort();
    const moved = this.#families.filter((family) => {
      const ofFamily = sorted.filter((address) => familyOf(address) === family);
      const changed = this.#addresses.interfacesChanged(family, ofFamily);
      for (const address of changed) this.#touchVip(address);
      return changed.length > 0;
    });
    if (moved.length > 0) this.#touchNodePorts(moved);
  }

  #touchVip(address: IpAddress): void {
    if (!this.#families.includes(familyOf(address))) return;
    for (const service of this.#addresses.servicesWith(address)) {
      this.#touchService(service, [familyOf(address)], anyPort);
    }
  }

  #touchNodePorts(families: readonly IpFamily[]): void {
    for (const service of this.#withNodePort)
      this.#touchService(service, families, (_name, _protocol, nodePort) => nodePort !== 0);
  }

  /** What decides about these Services has changed, and is not in the records. */
  touchWhere(test: (body: ServiceBody) => boolean): void {
    for (const [key, body] of this.#services.entries()) if (test(body)) this.#touch(key, body, this.#families, anyPort);
  }

  #touchService(service: ObjectKey, families: readonly IpFamily[], applies: PortTest): void {
    const body = this.#services.get(service);
    if (body !== undefined) this.#touch(service, body, families, applies);
  }

  /** @param change What changed of a slice; absent = something else has. */
  #touch(
    service: ObjectKey,
    body: ServiceBody,
    families: readonly IpFamily[],
    applies: PortTest,
    change?: Change<SliceBody>,
  ): void {
    let ports = this.#dirty.get(service);
    for (const family of families) {
      if (clusterIpOf(body, family) === undefined) continue;
      for (const { name: portName, protocol, nodePort } of body.ports) {
        if (!applies(portName, protocol, nodePort)) continue;
        let dirty = ports?.find(
          (one) => one.portName === portName && one.protocol === protocol && one.family === family,
        );
        if (dirty === undefined) {
          const id = servicePortId(family, service, portName, protocol);
          dirty = { id, family, service, portName, protocol, isWhole: false, slices: undefined };
          if (ports === undefined) {
            ports = [dirty];
            this.#dirty.set(service, ports);
          } else {
            ports.push(dirty);
          }
        }
        if (change === undefined) {
          dirty.isWhole = true;
        } else if (this.#deriver.followsSlices(dirty.id)) {
          dirty.slices ??= new Map();
          if (!dirty.slices.has(change.key)) dirty.slices.set(change.key, change.before);
        }
      }
    }
  }

  #warnOfRivals(rival: Rival): void {
    if (this.#rivals.isEmpty && !this.#stores[rival.kind].isShared(rival.key)) return;
    const warning = this.#rivals.update(rival, this.#stores[rival.kind].sources(rival.key));
    if (warning !== undefined) this.#warnings.push(warning);
  }
}

const anyPort: PortTest = () => true;

function byId(a: ServicePort, b: ServicePort): number {
  return a.id < b.id ? -1 : 1;
}

function mark(keys: Set<ObjectKey>, key: ObjectKey, isMember: boolean): void {
  if (isMember) keys.add(key);
  else keys.delete(key);
}

type PortTest = (name: string, protocol: ServicePortRef['protocol'], nodePort: number) => boolean;

function clusterIpOf(body: ServiceBody, family: IpFamily): IpAddress | undefined {
  return body.clusterIPs.find((address) => familyOf(address) === family);
}

/** The node's own IP (behaviour.md 1.6): what `nodePortAddresses: primary` stands for, and what source ranges have to contain. */
export function primaryOf(node: NodeBody | undefined, family: IpFamily): IpAddress | undefined {
  return node?.addresses.find((address) => familyOf(address) === family);
}
