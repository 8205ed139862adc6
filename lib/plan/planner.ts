/** Records in, desired kernel state out: the pure half of the worker. */
import { type Cidr, cidrContains, familyOf, parseAddress, parseCidr } from '../address.ts';
import type { EndpointRef } from '../model/exclusions.ts';
import { Model, primaryOf } from '../model/model.ts';
import type { ServicePort, ServicePortRef } from '../model/service-port.ts';
import type { NodeBody, ObjectKey, RecordMessage } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { DesiredState } from './desired-state.ts';
import type { DirtyObjects } from './dirty.ts';
import { type ExplainContext, explainPort, type PortExplanation } from './explain-port.ts';
import type { FrontendContext } from './frontends/frontend.ts';
import { addHash, nameHash, subtractHash } from './hash.ts';
import type { ObjectId } from './object-id.ts';
import { StandingProblems } from './standing-problems.ts';
import type { ServiceId, ServiceNode } from './state.ts';
import type { ServicePortId, WantedEntry, WantedPort, WantedState } from './wanted.ts';
import { wantedPort } from './wanted-port.ts';
import { WantedRules } from './wanted-rules.ts';

/** The part of the proxier's options that decides what is wanted. */
export interface PlanOptions {
  /** Name of this node, as Nodes and endpoints spell it. */
  readonly nodeName: string;
  /** Families that are proxied. */
  readonly families: readonly IpFamily[];
  /** IPVS scheduler of every virtual service. */
  readonly scheduler: string;
  /** Canonical CIDRs, or `primary` (the Node's first address of each family); empty, or none of a family = all its addresses. */
  readonly nodePortAddresses: readonly string[] | 'primary';
  /** Where external traffic of policy Local goes on a node without a local endpoint. */
  readonly externalLocalFallback: 'cluster' | 'none';
  /** A Service that lists source ranges, but none of a VIP's family: nobody may reach that VIP, or everybody. */
  readonly sourceRangesOfOtherFamily: 'deny' | 'allow';
  /** Canonical CIDRs; an entry of `spec.externalIPs` outside them is not served. */
  readonly allowedExternalIPs: readonly string[] | 'any';
  /** How VIPs are bound: by an address on the VIP device, or by a local route. */
  readonly vipBinding: 'address' | 'local-route';
}

/** Something a user should know about one object; it is said once for as long as it stays true. */
export interface PlanWarning {
  /** `service ns1/svc1` */
  readonly object: string;
  readonly message: string;
}

export class Planner {
  /** What the Services ask of the iptables rules, as of the last {@link project}. */
  readonly rules: WantedRules;
  readonly #options: PlanOptions;
  readonly #model: Model;
  readonly #desired: DesiredState;
  readonly #ports = new Map<ServicePortId, WantedPort>();
  readonly #nodePortCidrs: readonly Cidr[];
  /** Undefined = any. */
  readonly #allowedExternalIPs: readonly Cidr[] | undefined;
  /** Per family: the service ports of each Service and the sum of their hashes. */
  readonly #serviceSums = new Map<IpFamily, Map<ObjectKey, PortSum>>();
  readonly #familyHashes = new Map<IpFamily, number>();
  #unknownSchedulers: ReadonlySet<string> = new Set();
  readonly #standing = new StandingProblems();
  #warnings: PlanWarning[] = [];

  constructor(options: PlanOptions) {
    this.#options = options;
    this.#model = new Model(options);
    this.#desired = new DesiredState(options.families, options.vipBinding);
    this.rules = new WantedRules(this.#desired, options);
    const { nodePortAddresses, allowedExternalIPs } = options;
    this.#nodePortCidrs = nodePortAddresses === 'primary' ? [] : cidrsOf(nodePortAddresses);
    this.#allowedExternalIPs = allowedExternalIPs === 'any' ? undefined : cidrsOf(allowedExternalIPs);
  }

  /** What the records ask of this node, as of the last {@link project}. All sets are there, empty ones too. */
  get desired(): WantedState {
    return this.#desired;
  }

  get ports(): ReadonlyMap<ServicePortId, WantedPort> {
    return this.#ports;
  }

  /** This node's own record, undefined while it is unknown: its pod CIDRs and addresses. */
  get self(): NodeBody | undefined {
    return this.#model.self;
  }

  /** Content hash of everything one family wants; equal content, equal hash, whatever the order it came in. */
  hash(family: IpFamily): number {
    return this.#familyHashes.get(family) ?? 0;
  }

  apply(message: RecordMessage): void {
    if (message.snapshot === 'begin' || message.snapshot === 'whole') this.#model.beginSnapshot();
    for (const record of message.records) this.#model.apply(record);
    if (message.snapshot === 'end' || message.snapshot === 'whole') this.#model.endSnapshot();
    this.#warnings.push(...this.#model.takeWarnings());
  }

  /** Recomputes the service ports that records touched, and returns the kernel objects that may have changed by it. */
  project(): DirtyObjects {
    const context = this.#context();
    for (const ref of this.#model.takeDirty()) this.#projectPort(ref, context);
    this.rules.update();
    return this.#desired.takeDirty();
  }

  get unknownSchedulers(): ReadonlySet<string> {
    return this.#unknownSchedulers;
  }

  /** This kernel does not have these, as far as is known: Services that ask for one of them are projected to the proxier's own. */
  lackSchedulers(names: ReadonlySet<string>): void {
    const before = this.#unknownSchedulers;
    this.#unknownSchedulers = names;
    this.#model.touchWhere(({ tuning: { scheduler } = {} }) => {
      return scheduler !== undefined && before.has(scheduler) !== names.has(scheduler);
    });
  }

  /** Takes these endpoints out of everything from the next {@link project} on, in the place of those that were out before. */
  exclude(endpoints: readonly EndpointRef[]): void {
    this.#model.exclude(endpoints);
  }

  /** Excluded endpoints that the records do not list (any more); each is told once. */
  takeUnlisted(): readonly EndpointRef[] {
    return this.#model.takeUnlisted();
  }

  /** Virtual services that nobody wants any more and that are kept for their connections. */
  get leftOvers(): ReadonlySet<ServiceId> {
    return this.#desired.leftOvers;
  }

  /** See `DesiredState.keep`. Returns what is to be compared for it. */
  keep(
    node: ServiceNode,
    entries: readonly Omit<WantedEntry, 'follows'>[],
    addresses: readonly IpAddress[],
  ): DirtyObjects {
    this.#desired.keep(node, entries, addresses);
    this.rules.update();
    return this.#desired.takeDirty();
  }

  letGo(service: ServiceId): DirtyObjects {
    this.#desired.letGo(service);
    this.rules.update();
    return this.#desired.takeDirty();
  }

  drainTimeoutOf(service: ServiceId): number | undefined {
    return this.#desired.drainTimeoutOf(service);
  }

  /** The node answers on this address with its node ports. */
  hasNodeAddress(address: IpAddress): boolean {
    return this.#model.nodeAddresses(familyOf(address)).has(address);
  }

  /** Service ports that want a kernel object, the one it is made for first. Empty = nobody does (any more). */
  wantedBy(object: ObjectId): readonly ServicePortId[] {
    const [kind = '', ...words] = object.split(' ');
    const [first = '', second = ''] = words;
    switch (kind) {
      case 'service':
        return this.#desired.claimantsOf(words.join(' '));
      case 'destination': {
        const service = `${first} ${second}`;
        const wanted = this.#desired.services.get(service)?.destinations.has(words[2] ?? '');
        return wanted ? this.#desired.claimantsOf(service).slice(0, 1) : [];
      }
      case 'entry':
        return this.#desired.sets.get(first)?.ownersOf(second) ?? [];
      case 'address': {
        const address = parseAddress(first);
        return address === undefined ? [] : this.#desired.addresses.ownersOf(address);
      }
      case 'route': {
        const address = parseAddress(first.slice(0, first.indexOf('/')));
        return address === undefined ? [] : this.#desired.routes.ownersOf(address);
      }
      default:
        return [];
    }
  }

  /** Why each service port is served as it is, as of the last {@link project}, sorted by service port. Costs what all endpoints cost. */
  explain(): readonly PortExplanation[] {
    return this.#explained(this.#model.servicePorts());
  }

  /** The same of one Service. */
  explainService(service: ObjectKey): readonly PortExplanation[] {
    return this.#explained(this.#model.servicePortsOf(service));
  }

  /** What the records say, for who asks why. */
  get records(): Pick<Model, 'serviceBody' | 'serviceNames' | 'serviceOfSlice' | 'servicesWithEndpoint'> {
    return this.#model;
  }

  #explained(ports: readonly ServicePort[]): readonly PortExplanation[] {
    const context: ExplainContext = {
      externalLocalFallback: this.#options.externalLocalFallback,
      winnerOf: (service) => {
        const port = this.#desired.claimantsOf(service)[0];
        const wanted = this.#desired.services.get(service);
        return port === undefined || wanted === undefined ? undefined : { port, wanted };
      },
    };
    return ports.flatMap((port) => {
      const wanted = this.#ports.get(port.id);
      return wanted === undefined ? [] : [explainPort(port, wanted, this.#model.explain(port), context)];
    });
  }

  /** Virtual services that the port wants and that are served for another one, in words. */
  losses(port: ServicePortId): readonly string[] {
    return this.#desired.losses(port);
  }

  /** New since the last call. */
  warnings(): readonly PlanWarning[] {
    const warnings = this.#warnings;
    this.#warnings = [];
    return warnings;
  }

  #projectPort(ref: ServicePortRef, context: FrontendContext): void {
    const port = this.#model.servicePort(ref);
    const before = this.#ports.get(ref.id);
    const wanted = port === undefined ? undefined : wantedPort(port, context);
    if (before?.hash === wanted?.hash) return;
    if (wanted === undefined) this.#ports.delete(ref.id);
    else this.#ports.set(ref.id, wanted);
    this.#rehash(ref, before?.hash, wanted?.hash);
    const claimant =
      port === undefined || wanted === undefined
        ? undefined
        : { id: ref.id, service: ref.service, portName: ref.portName, createdMs: port.body.createdMs, wanted };
    for (const party of this.#desired.replace(ref.id, claimant)) this.#warn(party);
  }

  #rehash(ref: ServicePortRef, before: number | undefined, after: number | undefined): void {
    const services = this.#serviceSums.get(ref.family) ?? new Map<ObjectKey, PortSum>();
    this.#serviceSums.set(ref.family, services);
    const old = services.get(ref.service);
    const next: PortSum = { ports: old?.ports ?? 0, sum: old?.sum ?? 0 };
    if (before !== undefined) {
      next.ports -= 1;
      next.sum = subtractHash(next.sum, before);
    }
    if (after !== undefined) {
      next.ports += 1;
      next.sum = addHash(next.sum, after);
    }
    let family = this.hash(ref.family);
    if (old !== undefined) family = subtractHash(family, nameHash(ref.service, old.sum));
    if (next.ports > 0) {
      family = addHash(family, nameHash(ref.service, next.sum));
      services.set(ref.service, next);
    } else {
      services.delete(ref.service);
    }
    this.#familyHashes.set(ref.family, family);
  }

  #warn(id: ServicePortId): void {
    const wanted = this.#ports.get(id);
    const messages = new Set([...(wanted?.warnings ?? []), ...this.#desired.losses(id)]);
    const object = `service ${this.#desired.serviceOf(id)}`;
    for (const message of this.#standing.update(id, object, messages)) this.#warnings.push({ object, message });
  }

  #context(): FrontendContext {
    const known = new Map<IpFamily, readonly IpAddress[]>();
    const { scheduler, externalLocalFallback, sourceRangesOfOtherFamily } = this.#options;
    return {
      scheduler,
      unknownSchedulers: this.#unknownSchedulers,
      externalLocalFallback,
      sourceRangesOfOtherFamily,
      isInterfaceAddress: (address) => this.#model.nodeAddresses(familyOf(address)).has(address),
      otherNodeWith: (address) => this.#model.otherNodeWith(address),
      isAllowedExternalIP: (address) => this.#allowedExternalIPs?.some((cidr) => cidrContains(cidr, address)) ?? true,
      nodeIP: (family) => primaryOf(this.#model.self, family),
      nodePortAddresses: (family) => {
        const addresses = known.get(family) ?? this.#nodePortAddresses(family);
        known.set(family, addresses);
        return addresses;
      },
    };
  }

  /** behaviour.md 2.4: CIDRs choose among the addresses on the interfaces; the primary address counts only if it is on one. */
  #nodePortAddresses(family: IpFamily): readonly IpAddress[] {
    const all = [...this.#model.nodeAddresses(family)];
    if (this.#options.nodePortAddresses === 'primary') {
      const primary = primaryOf(this.#model.self, family);
      return all.filter((address) => address === primary);
    }
    const cidrs = this.#nodePortCidrs.filter((cidr) => cidr.family === family);
    return cidrs.length === 0 ? all : all.filter((address) => cidrs.some((cidr) => cidrContains(cidr, address)));
  }
}

function cidrsOf(texts: readonly string[]): readonly Cidr[] {
  return texts.map(parseCidr).filter((cidr) => cidr !== undefined);
}

interface PortSum {
  ports: number;
  sum: number;
}
