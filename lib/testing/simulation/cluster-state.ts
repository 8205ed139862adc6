/** What a simulated cluster remembers of its objects: numbers and traits; the objects are made of them when they are asked for. */
import type { IpFamily } from '../../types.ts';
import type { NumberPool } from './number-pool.ts';

export interface NodeState {
  readonly index: number;
  readonly name: string;
  readonly zone: string;
  /** The pod addresses of this node. */
  readonly pool: NumberPool;
  ready: boolean;
  version: number;
}

export interface PodState {
  readonly id: number;
  readonly node: NodeState;
  /** Number of its address on the node. */
  readonly host: number;
  ready: boolean;
  terminating: boolean;
}

export interface SliceState {
  readonly name: string;
  readonly family: IpFamily;
  /** At most {@link MAX_ENDPOINTS}. */
  readonly pods: PodState[];
  version: number;
}

/** `--max-endpoints-per-slice` of the slice controller. */
export const MAX_ENDPOINTS = 100;

export interface PortTraits {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  readonly targetPort: number;
  /** 0 = none. */
  readonly nodePort: number;
}

/** What stays of a Service as long as it is there. */
export interface ServiceTraits {
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly families: readonly IpFamily[];
  readonly ports: readonly PortTraits[];
  /** Numbers in their ranges; 0 = none. */
  readonly cluster: number;
  readonly loadBalancer: number;
  readonly external: number;
  readonly healthCheckNodePort: number;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  readonly clientIP: boolean;
  readonly sourceRanges: boolean;
  readonly preferClose: boolean;
  /** Empty = no annotation. */
  readonly scheduler: string;
}

export interface ServiceState {
  readonly id: number;
  readonly namespace: string;
  readonly name: string;
  readonly traits: ServiceTraits;
  /** How many pods it was made for. */
  readonly size: number;
  readonly createdMs: number;
  readonly pods: PodState[];
  readonly slices: SliceState[];
  /** Where it is in the cluster's list; -1 = deleted. */
  position: number;
  /** A rollout is under way. */
  rolling: boolean;
  version: number;
}

const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIXES = ALPHABET.length ** 5;

/** The five characters that Kubernetes puts behind generated names: another one for each number below 14 million. */
export function nameSuffix(number: number): string {
  // 7,654,321 has no factor 3, so this visits every suffix once, in an order that looks like chance.
  let rest = (number * 7_654_321) % SUFFIXES;
  let text = '';
  for (let digit = 0; digit < 5; digit += 1) {
    text += ALPHABET[rest % ALPHABET.length];
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text;
}

/** A uid of the usual form, of its own for each kind and number. */
export function uidOf(kind: 1 | 2 | 3 | 4, number: number): string {
  const hex = number.toString(16).padStart(12, '0');
  return `0000000${kind}-0000-4000-8000-${hex}`;
}
