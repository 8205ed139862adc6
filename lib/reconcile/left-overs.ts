/**
 * Virtual services that nobody wants any more, kept until their connections have ended or their time is up (option `drainServices`). They
 * keep what makes them reachable: their tuple or node port, their source ranges, their place in KUBE-IPVS-IPS, their address. All
 * their destinations drain, so that new connections are refused. Whoever wants such a virtual service again has it at once.
 *
 * What is kept is what the kernel has, not what a Service once said. So what an earlier process left behind drains in the same way:
 * every virtual service of ours with destinations that nobody wants at the first complete pass, at weight 0 already or not yet.
 */

import type { DirtyObjects } from '../plan/dirty.ts';
import type { Planner } from '../plan/planner.ts';
import { boundSetOf, nodePortSets, type SetId, setIds, setName, tupleEntry } from '../plan/sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, type SetName, serviceFamily } from '../plan/state.ts';
import { isBound, type VipKind } from '../plan/vip-binding.ts';
import type { WantedEntry } from '../plan/wanted.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import type { AppliedState } from './applied.ts';
import { mergeDirty } from './object-scope.ts';
import type { ReconcileInit } from './protocol.ts';

export interface KeepOptions {
  readonly mayRemove: boolean;
  /** Families in which nothing is taken away now. */
  readonly closed: ReadonlySet<IpFamily>;
  readonly nowMs: number;
}

export type LeftOverOptions = Pick<ReconcileInit, 'drainServices' | 'drainTimeoutMs' | 'vipBinding'> & {
  /** A virtual service of this address is never removed: it stays as it is, and so do its destinations. */
  keeps(address: IpAddress): boolean;
};

export class LeftOvers {
  readonly #planner: Planner;
  readonly #applied: AppliedState;
  readonly #options: LeftOverOptions;
  readonly #since = new Map<ServiceId, number>();
  /** Their time is up: they are being removed. */
  readonly #over = new Set<ServiceId>();

  constructor(planner: Planner, applied: AppliedState, options: LeftOverOptions) {
    this.#planner = planner;
    this.#applied = applied;
    this.#options = options;
  }

  /** Since when it is kept, and until when at the latest; undefined = it is not. */
  get(service: ServiceId): { readonly sinceMs: number; readonly untilMs: number } | undefined {
    const sinceMs = this.#since.get(service);
    return sinceMs === undefined ? undefined : { sinceMs, untilMs: sinceMs + this.#timeoutOf(service) };
  }

  /** When the time of one is up at the latest; undefined = there is none. */
  get nextMs(): number | undefined {
    let nextMs: number | undefined;
    for (const [service, sinceMs] of this.#since) {
      const deadlineMs = sinceMs + this.#timeoutOf(service);
      nextMs = Math.min(nextMs ?? deadlineMs, deadlineMs);
    }
    return nextMs;
  }

  /** Before a pass: keeps what is about to be removed and has destinations to drain. `scope` grows. */
  keep(scope: DirtyObjects | 'all', { mayRemove, closed, nowMs }: KeepOptions): void {
    if (!mayRemove) return;
    this.#forget();
    const { desired } = this.#planner;
    const { services } = this.#applied;
    for (const id of scope === 'all' ? [...services.keys()] : [...scope.services]) {
      const node = services.get(id);
      if (desired.services.has(id) || (node !== undefined && closed.has(serviceFamily(node.service.key)))) continue;
      const dirty = this.#isWorthIt(id, node, this.#applied) ? this.#keep(id, node, nowMs) : this.#planner.letGo(id);
      if (scope !== 'all') mergeDirty(scope, dirty);
    }
  }

  /** After the counts were read: lets go of those with nothing left to drain, and of those whose time is up. What is to be compared for it. */
  release(nowMs: number): DirtyObjects[] {
    this.#forget();
    const released: DirtyObjects[] = [];
    for (const [service, sinceMs] of this.#since) {
      const destinations = this.#applied.services.get(service)?.destinations.size ?? 0;
      if (destinations > 0 && nowMs < sinceMs + this.#timeoutOf(service)) continue;
      this.#since.delete(service);
      this.#over.add(service);
      released.push(this.#planner.letGo(service));
    }
    return released;
  }

  /** What would be wanted if {@link keep} met this state of the kernel. To ask changes nothing. */
  preview(applied: KernelState): KernelState {
    const { desired } = this.#planner;
    const kept = [...applied.services].filter(
      ([id, node]) => !desired.services.has(id) && this.#isWorthIt(id, node, applied),
    );
    if (kept.length === 0) return desired;
    const services = new Map<ServiceId, ServiceNode>(desired.services);
    const sets = new Map([...desired.sets].map(([name, entries]) => [name, new Set(entries)]));
    const kind: VipKind = this.#options.vipBinding === 'address' ? 'addresses' : 'routes';
    const bound = new Set(desired[kind]);
    for (const [id, node] of kept) {
      services.set(id, { service: node.service, destinations: new Map() });
      for (const { set, entry } of entriesOf(node, applied)) sets.get(set)?.add(entry);
      if (!isVip(node, applied)) continue;
      const { address } = node.service.key;
      bound.add(address);
      sets.get(boundSetOf(address))?.add(address);
    }
    const { addresses, routes } = desired;
    return { services, sets, addresses, routes, [kind]: bound };
  }

  #isWorthIt(id: ServiceId, node: ServiceNode | undefined, applied: KernelState): node is ServiceNode {
    const { drainServices, keeps } = this.#options;
    if (!drainServices || node === undefined || this.#over.has(id) || this.#timeoutOf(id) === 0) return false;
    const { protocol, address } = node.service.key;
    if (protocol !== 'tcp' || node.destinations.size === 0 || keeps(address)) return false;
    // No packet reaches a node port of an address that is gone.
    return isVip(node, applied) || this.#planner.hasNodeAddress(address);
  }

  #keep(id: ServiceId, node: ServiceNode, nowMs: number): DirtyObjects {
    this.#since.set(id, nowMs);
    const addresses = isVip(node, this.#applied) ? [node.service.key.address] : [];
    return this.#planner.keep(node, entriesOf(node, this.#applied), addresses);
  }

  /** Those that somebody wants again, and those that are gone. */
  #forget(): void {
    for (const service of this.#since.keys()) if (!this.#planner.leftOvers.has(service)) this.#since.delete(service);
    const { desired } = this.#planner;
    for (const service of this.#over) {
      if (!this.#applied.services.has(service) || desired.services.has(service)) this.#over.delete(service);
    }
  }

  #timeoutOf(service: ServiceId): number {
    return this.#planner.drainTimeoutOf(service) ?? this.#options.drainTimeoutMs;
  }
}

/** KUBE-IPVS-IPS lists the VIPs, however they are bound. */
function isVip({ service }: ServiceNode, applied: KernelState): boolean {
  const { address } = service.key;
  return isBound(applied, address) || applied.sets.get(boundSetOf(address))?.has(address) === true;
}

/** The entries in the kernel that speak of this virtual service. */
function entriesOf(node: ServiceNode, applied: KernelState): Omit<WantedEntry, 'follows'>[] {
  const { protocol, address, port } = node.service.key;
  const family = serviceFamily(node.service.key);
  const tuple = tupleEntry(address, protocol, port);
  const isNodePort = !isVip(node, applied);
  const { all, local } = nodePortSets(protocol);
  const found: { set: SetName; entry: string }[] = [];
  for (const id of setIds) {
    const set = setName(id, family);
    const entries = applied.sets.get(set);
    if (entries === undefined) continue;
    if (isSourceRange(id)) {
      if (!applied.sets.get(setName('LOAD-BALANCER-FW', family))?.has(tuple)) continue;
      for (const entry of entries) if (entry.startsWith(`${tuple},`)) found.push({ set, entry });
    } else if (id === all || id === local) {
      if (isNodePort && entries.has(String(port))) found.push({ set, entry: String(port) });
    } else if (entries.has(tuple)) {
      found.push({ set, entry: tuple });
    }
  }
  return found;
}

function isSourceRange(id: SetId): boolean {
  return id === 'LOAD-BALANCER-SOURCE-IP' || id === 'LOAD-BALANCER-SOURCE-CIDR';
}
