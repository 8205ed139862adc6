/**
 * What becomes of a new connection from outside to a virtual service: the constant rules (behaviour.md 4.5), IPVS and the addresses, read off a
 * state. A model of the packet path, for asking after each single write.
 */
import { boundSetOf, hasTuple, nodePortSets, type SetId, setName, tupleEntry } from '../../lib/plan/sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, serviceFamily } from '../../lib/plan/state.ts';
import { isBound } from '../../lib/plan/vip-binding.ts';
import type { AddressServiceKey } from '../../lib/types.ts';

export interface Reach {
  /** Where it may go: `10.244.0.1:8080 masquerade`. */
  readonly destinations: readonly string[];
  readonly isTranslated: boolean;
  /** Nets that are let in; `everybody` without a firewall entry. */
  readonly sources: ReadonlySet<string> | 'everybody';
}

/** Undefined = IPVS does not take it: refused, or not for this host. */
export function reach(state: KernelState, id: ServiceId, interfaces: ReadonlySet<string>): Reach | undefined {
  const node = state.services.get(id);
  if (node === undefined) return undefined;
  const { key } = node.service;
  if (!isBound(state, key.address) && !interfaces.has(key.address)) return undefined;
  const tuple = tupleEntry(key.address, key.protocol, key.port);
  const family = serviceFamily(key);
  if (isProtected(state, node) && !hasTuple(state.sets, family, tuple)) return undefined;
  const sources = sourcesOf(state, key, tuple);
  return { destinations: active(node), isTranslated: isTranslated(state, key, tuple), sources };
}

/** Somebody gets an answer. */
export function serves(side: Reach | undefined): boolean {
  return side !== undefined && side.destinations.length > 0 && (side.sources === 'everybody' || side.sources.size > 0);
}

/** Destinations that take new connections. */
export function active(node: ServiceNode | undefined): string[] {
  return [...(node?.destinations ?? [])]
    .filter(([, { weight }]) => weight > 0)
    .map(([id, { forward }]) => `${id} ${forward}`)
    .sort();
}

export function isProtected(state: KernelState, { service: { key } }: ServiceNode): boolean {
  return state.sets.get(boundSetOf(key.address))?.has(key.address) ?? false;
}

function sourcesOf(state: KernelState, key: AddressServiceKey, tuple: string): Reach['sources'] {
  if (!holds(state, key, 'LOAD-BALANCER-FW', tuple)) return 'everybody';
  const nets = (['LOAD-BALANCER-SOURCE-CIDR', 'LOAD-BALANCER-SOURCE-IP'] as const).flatMap((id) =>
    [...(state.sets.get(setName(id, serviceFamily(key))) ?? [])]
      .filter((entry) => entry.startsWith(`${tuple},`))
      .map((entry) => `${id} ${entry.slice(tuple.length + 1)}`),
  );
  return new Set(nets);
}

function isTranslated(state: KernelState, key: AddressServiceKey, tuple: string): boolean {
  const has = (id: SetId, entry: string = tuple): boolean => holds(state, key, id, entry);
  if (has('LOAD-BALANCER') && !has('LOAD-BALANCER-LOCAL')) return true;
  if (has('CLUSTER-IP') || has('EXTERNAL-IP')) return true;
  if (has('EXTERNAL-IP-LOCAL') || has('LOAD-BALANCER')) return false;
  const { all, local } = nodePortSets(key.protocol);
  const entry = key.protocol === 'sctp' ? tuple : String(key.port);
  return has(all, entry) && !has(local, entry);
}

function holds(state: KernelState, key: AddressServiceKey, id: SetId, entry: string): boolean {
  return state.sets.get(setName(id, serviceFamily(key)))?.has(entry) === true;
}
