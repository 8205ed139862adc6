/** Records in, desired kernel state out: the pure half of the worker. */
import { type Cidr, cidrContains, familyOf, parseAddress, parseCidr } from '../address.ts';
import type { EndpointRef } from '../model/exclusions.ts';
import { Model, primaryOf } from '../model/model.ts';
import type { Derivation, DirtyPort, ServicePort, ServicePortRef } from '../model/service-port.ts';
import type { NodeBody, ObjectKey, RecordMessage } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { DesiredState } from './desired-state.ts';
import type { DirtyObjects } from './dirty.ts';
import { type ExplainContext, explainPort, type PortExplanation } from './explain-port.ts';
import type { FrontendContext } from './frontends/frontend.ts';
import { addHash, nameHash, subtractHash } from './hash.ts';
import type { LivePort } from './live-port.ts';
import type { ObjectId } from './object-id.ts';
import { StandingProblems } from './standing-problems.ts';
import type { ServiceId, ServiceNode } from './state.ts';
import type { ServicePortId, WantedEntry, WantedState } from './wanted.ts';
import { simplePort, wantedPort } from './wanted-port.ts';
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

  get ports(): ReadonlyMap<ServicePortId, LivePort> {
    return this.#desired.ports;
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
    for (const dirty of this.#model.takeDirty()) this.#projectPort(dirty, context);
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

  /** Service ports that share a VIP, if there are several: they want it bound in the same way. */
  sharersOf(address: IpAddress): readonly ServicePortId[] {
    const { addresses, routes } = this.#desired;
    const bound = addresses.isShared(address) ? addresses : routes;
    return bound.isShared(address) ? bound.ownersOf(address) : [];
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
      const wanted = this.#desired.ports.get(port.id);
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

  #projectPort(dirty: DirtyPort, context: FrontendContext): void {
    const known = this.#desired.ports.get(dirty.id);
    const before = known?.hash;
    const derived = this.#model.derive(dirty);
    if (derived.kind === 'changes' && known !== undefined) {
      known.follow(derived.changes, derived.selection, derived.place, this.#desired);
      if (known.hash !== before) this.#rehash(dirty, before, known.hash);
      return;
    }
    const wanted = this.#wanted(derived, dirty, context);
    if (before === wanted?.hash) return;
    this.#rehash(dirty, before, wanted?.hash);
    if (known !== undefined && known.shape === wanted?.shape) {
      known.becomeLike(wanted, this.#desired);
      return;
    }
    for (const party of this.#desired.replace(dirty.id, wanted)) this.#warn(party);
  }

  /** From nothing but the records: what {@link LivePort.follow} leads to as well. */
  #wanted(derived: Derivation, dirty: DirtyPort, context: FrontendContext): LivePort | undefined {
    if (derived.kind === 'gone') return undefined;
    const simple = derived.kind === 'simple' ? simplePort(derived, context) : undefined;
    const port = derived.kind === 'whole' ? derived.port : undefined;
    if (simple !== undefined) return simple;
    const whole = port ?? this.#model.servicePort(dirty);
    return whole === undefined ? undefined : wantedPort(whole, context);
  }

  #rehash({ family, service }: ServicePortRef, before: number | undefined, after: number | undefined): void {
    let services = this.#serviceSums.get(family);
    if (services === undefined) {
      services = new Map();
      this.#serviceSums.set(family, services);
    }
    const known = services.get(service);
    const sums = known ?? { ports: 0, sum: 0 };
    let hash = this.hash(family);
    if (known !== undefined) hash = subtractHash(hash, nameHash(service, known.sum));
    if (before !== undefined) {
      sums.ports -= 1;
      sums.sum = subtractHash(sums.sum, before);
    }
    if (after !== undefined) {
      sums.ports += 1;
      sums.sum = addHash(sums.sum, after);
    }
    if (sums.ports > 0) {
      hash = addHash(hash, nameHash(service, sums.sum));
      if (known === undefined) services.set(service, sums);
    } else {
      services.delete(service);
    }
    this.#familyHashes.set(family, hash);
  }

  #warn(id: ServicePortId): void {
    const warnings = this.#desired.ports.get(id)?.warnings ?? [];
    const losses = this.#desired.losses(id);
    if (warnings.length === 0 && losses.length === 0 && !this.#standing.has(id)) return;
    const object = `service ${this.#desired.serviceOf(id)}`;
    const messages = new Set([...warnings, ...losses]);
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
