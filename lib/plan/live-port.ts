/**
 * What a service port wants, kept up to date in place: an endpoint that comes, goes or changes costs what it changes in the lists that
 * frontends look at, and one addition or subtraction in each hash above it. All else that changes makes another one (wanted-port.ts).
 */
import { type Endpoint, isLocal, isServing } from '../model/endpoints.ts';
import type { EndpointChange } from '../model/port-endpoints.ts';
import { isInCluster, isInLocal, type Selection } from '../model/selection.ts';
import type { NodePlace } from '../model/topology.ts';
import type { DestinationKey, ForwardMethod, IpAddress, IpFamily, Protocol, SetEntry } from '../types.ts';
import type { DestinationList } from './destination-list.ts';
import { addHash, hashText, nameHash, subtractHash } from './hash.ts';
import { setName, tupleEntry } from './sets.ts';
import type { DestinationId, ServiceId } from './state.ts';
import type { ServicePortId, WantedEntry, WantedPort, WantedService } from './wanted.ts';

/** What a service port is, whatever its endpoints are. */
export interface PortIdentity {
  readonly id: ServicePortId;
  readonly family: IpFamily;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly createdMs: number;
  readonly drainTimeoutMs: number | undefined;
}

/** What frontends choose from, and what comes and goes with endpoints beside. */
export interface PortLists {
  readonly cluster: DestinationList;
  /** Asked for by policies only: where there is none it may be any. */
  readonly local: DestinationList;
  /** For external traffic: the cluster list, or with policy Local the local one; without a local endpoint as the option says. */
  readonly external: DestinationList;
  /** The external list for node ports, whose port is never the endpoints' own: always by masquerade. */
  readonly nodePort: DestinationList;
  /** How `cluster`, `local` and `external` are forwarded. Anything but masquerade keeps the packet's addresses, so it must not be source-translated. */
  readonly forward: ForwardMethod;
  /** UDP only. */
  readonly serving: Set<DestinationId> | undefined;
  readonly loopBack: ReadonlySet<SetEntry>;
  readonly warnings: readonly string[];
}

/** What does not change with endpoints, unless their number crosses a line. */
export interface PortContent {
  readonly virtualServices: readonly WantedService[];
  readonly entries: readonly WantedEntry[];
  readonly addresses: readonly IpAddress[];
  readonly outFilters: readonly ServiceId[];
  readonly warnings: readonly string[];
}

/** Who is told what changed in place. */
export interface LivePortListener {
  destinationsChanged(service: WantedService, names: readonly DestinationId[]): void;
  loopBackChanged(port: WantedPort, entry: SetEntry, isWanted: boolean): void;
}

export class LivePort implements WantedPort {
  readonly id: ServicePortId;
  readonly family: IpFamily;
  readonly service: string;
  readonly portName: string;
  readonly protocol: Protocol;
  readonly createdMs: number;
  readonly drainTimeoutMs: number | undefined;
  serving: Set<DestinationId> | undefined;
  loopBack: ReadonlySet<SetEntry> = none;
  virtualServices: readonly WantedService[] = nothing;
  /** Those that do not come and go with endpoints. */
  fixedEntries: readonly WantedEntry[] = nothing;
  addresses: readonly IpAddress[] = nothing;
  outFilters: readonly ServiceId[] = nothing;
  warnings: readonly string[] = nothing;
  shape = 0;
  hash = 0;
  /** Undefined: no frontend looks at it. */
  #cluster: DestinationList | undefined;
  #local: DestinationList | undefined;
  #nodePort: DestinationList | undefined;
  /** Of the hashes of `serving` and `loopBack`. */
  #restSum = 0;

  constructor({ id, family, service, portName, protocol, createdMs, drainTimeoutMs }: PortIdentity) {
    this.id = id;
    this.family = family;
    this.service = service;
    this.portName = portName;
    this.protocol = protocol;
    this.createdMs = createdMs;
    this.drainTimeoutMs = drainTimeoutMs;
  }

  get entries(): readonly WantedEntry[] {
    if (this.loopBack.size === 0) return this.fixedEntries;
    const set = setName('LOOP-BACK', this.family);
    return [...this.fixedEntries, ...Array.from(this.loopBack, (entry) => ({ set, entry }))];
  }

  /** Once, with frontends that were made for this port and of these lists. */
  fill(content: PortContent, lists: PortLists): void {
    this.virtualServices = content.virtualServices;
    this.fixedEntries = content.entries;
    this.addresses = content.addresses;
    this.outFilters = content.outFilters;
    this.warnings = content.warnings;
    this.serving = lists.serving;
    this.loopBack = lists.loopBack;
    for (const { destinations } of content.virtualServices) {
      if (destinations === lists.cluster) this.#cluster = lists.cluster;
      else if (destinations === lists.local) this.#local = lists.local;
      else this.#nodePort = lists.nodePort;
    }
    for (const name of this.serving ?? none) this.#restSum = addHash(this.#restSum, hashText(name));
    for (const entry of this.loopBack) this.#restSum = addHash(this.#restSum, hashText(entry));
    this.shape = this.#shapeHash();
    this.#rehash();
  }

  /** Takes in changes of endpoints that are chosen by the same rule as before. */
  follow(changes: readonly EndpointChange[], selection: Selection, place: NodePlace, listener: LivePortListener): void {
    const isCluster = (endpoint: Endpoint): boolean => isInCluster(endpoint, selection, place);
    this.#tell(this.#cluster, putAll(this.#cluster, changes, isCluster), listener);
    const isLocalOne = (endpoint: Endpoint): boolean => isInLocal(endpoint, selection);
    this.#tell(this.#local, putAll(this.#local, changes, isLocalOne), listener);
    let hasServed = false;
    for (const { id, before, after } of changes) {
      if (this.serving !== undefined) hasServed = this.#serve(id, after !== undefined && isServing(after)) || hasServed;
      const endpoint = after ?? before;
      if (endpoint === undefined || (!isLocalHere(before) && !isLocalHere(after))) continue;
      this.#loopBack(loopBackEntry(endpoint, this.protocol), isLocalHere(after), listener);
    }
    if (hasServed) for (const service of this.virtualServices) listener.destinationsChanged(service, nothing);
    this.#rehash();
  }

  /** Takes the lists of another one of the same shape. */
  becomeLike(other: LivePort, listener: LivePortListener): void {
    if (this.#cluster && other.#cluster) this.#tell(this.#cluster, this.#cluster.become(other.#cluster), listener);
    if (this.#local && other.#local) this.#tell(this.#local, this.#local.become(other.#local), listener);
    if (this.#nodePort && other.#nodePort) this.#tell(this.#nodePort, this.#nodePort.become(other.#nodePort), listener);
    let hasServed = false;
    for (const name of [...(this.serving ?? none)]) {
      if (other.serving?.has(name) !== true) hasServed = this.#serve(name, false) || hasServed;
    }
    for (const name of other.serving ?? none) hasServed = this.#serve(name, true) || hasServed;
    if (hasServed) for (const service of this.virtualServices) listener.destinationsChanged(service, nothing);
    for (const entry of [...this.loopBack]) if (!other.loopBack.has(entry)) this.#loopBack(entry, false, listener);
    for (const entry of other.loopBack) this.#loopBack(entry, true, listener);
    this.#rehash();
  }

  #tell(list: DestinationList | undefined, names: readonly DestinationId[], listener: LivePortListener): void {
    if (names.length === 0) return;
    for (const service of this.virtualServices) {
      if (service.destinations === list) listener.destinationsChanged(service, names);
    }
  }

  /** True when that changed anything. */
  #serve(name: DestinationId, serves: boolean): boolean {
    const { serving } = this;
    if (serving === undefined || serving.has(name) === serves) return false;
    if (serves) serving.add(name);
    else serving.delete(name);
    this.#restSum = (serves ? addHash : subtractHash)(this.#restSum, hashText(name));
    return true;
  }

  #loopBack(entry: SetEntry, isWanted: boolean, listener: LivePortListener): void {
    if (this.loopBack.has(entry) === isWanted) return;
    const entries = this.loopBack instanceof Set && this.loopBack !== none ? this.loopBack : new Set(this.loopBack);
    if (isWanted) entries.add(entry);
    else entries.delete(entry);
    this.loopBack = entries;
    this.#restSum = (isWanted ? addHash : subtractHash)(this.#restSum, hashText(entry));
    listener.loopBackChanged(this, entry, isWanted);
  }

  /** Creation time included: it decides conflicts, so the same content of a younger Service is not the same. */
  #shapeHash(): number {
    let sum = hashText(`${this.drainTimeoutMs ?? ''} ${this.createdMs}`);
    for (const { id, kind, service, destinations } of this.virtualServices) {
      const { scheduler, flags, timeoutSeconds } = service;
      const list = destinations === this.#cluster ? 0 : destinations === this.#local ? 1 : 2;
      sum = addHash(
        sum,
        nameHash(id, nameHash(kind, nameHash(scheduler, flags * 2 ** 26 + timeoutSeconds * 4 + list))),
      );
    }
    for (const { set, entry } of this.fixedEntries) sum = addHash(sum, nameHash(entry, hashText(set)));
    for (const address of this.addresses) sum = addHash(sum, nameHash(address, 1));
    for (const service of this.outFilters) sum = addHash(sum, nameHash(service, 2));
    for (const warning of this.warnings) sum = addHash(sum, nameHash(warning, 3));
    return sum;
  }

  #rehash(): void {
    let sum = addHash(this.shape, this.#restSum);
    for (const list of [this.#cluster, this.#local, this.#nodePort])
      if (list !== undefined) sum = addHash(nameHash('', sum), list.sum);
    this.hash = nameHash(this.id, sum);
  }
}

const none: ReadonlySet<string> = new Set();
const nothing: readonly never[] = [];

/** No KUBE-LOOP-BACK entry: shared by all that have none. */
export const noLoopBack: ReadonlySet<SetEntry> = none;

/** A pod reaches itself through its Service by the entry. */
export function loopBackEntry({ address, port }: DestinationKey, protocol: Protocol): SetEntry {
  return `${tupleEntry(address, protocol, port)},${address}`;
}

function isLocalHere(endpoint: Endpoint | undefined): boolean {
  return endpoint !== undefined && isLocal(endpoint);
}

/** Returns what changed by it. */
function putAll(
  list: DestinationList | undefined,
  changes: readonly EndpointChange[],
  isIn: (endpoint: Endpoint) => boolean,
): readonly DestinationId[] {
  if (list === undefined) return nothing;
  const changed: DestinationId[] = [];
  for (const { id, after } of changes) {
    const isChanged =
      after !== undefined && isIn(after)
        ? list.put(id, { address: after.address, port: after.port, weight: after.weight, forward: 'masquerade' })
        : list.drop(id);
    if (isChanged) changed.push(id);
  }
  return changed;
}
