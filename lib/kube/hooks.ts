/**
 * The embedder's own word on schedulers and weights. A hook runs on the caller's thread when an object is projected, and its result goes
 * on as data. It has to be a function of its arguments alone: it is called again when one of them changes, and only then.
 */
import type { IpAddress } from '../types.ts';
import { type JsonObject, show } from './json.ts';

/** `metadata` of an object, without what changes all the time (managedFields, resourceVersion). */
export interface ObjectMetadata {
  readonly name: string;
  /** Empty for a Node. */
  readonly namespace: string;
  /** Empty when the source does not say it. */
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A Service as hooks see it: a frozen copy, `spec` and `status` as the API gives them, unchecked. */
export interface ServiceObject {
  readonly metadata: ObjectMetadata;
  readonly spec: JsonObject;
  readonly status: JsonObject;
}

/** An EndpointSlice as hooks see it: a frozen copy, as the API gives it, unchecked. */
export interface EndpointSliceObject {
  readonly metadata: ObjectMetadata;
  readonly addressType: 'IPv4' | 'IPv6';
  readonly ports: readonly unknown[];
  readonly endpoints: readonly unknown[];
}

/** A Node as hooks see it: a frozen copy, unchecked, and of its status only what does not change with every heartbeat. */
export interface NodeObject {
  readonly metadata: ObjectMetadata;
  readonly spec: JsonObject;
  /** `addresses`, `allocatable` and `capacity`. */
  readonly status: JsonObject;
}

/** One endpoint of a slice, checked. */
export interface HookEndpoint {
  readonly address: IpAddress;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** The Node it runs on. */
  readonly nodeName: string | undefined;
  /** The endpoint's own zone, else that of its Node, else undefined. */
  readonly zone: string | undefined;
  readonly hostname: string | undefined;
  /** The object behind it, usually a Pod; what is not given is empty. */
  readonly targetRef: TargetRef | undefined;
}

export interface TargetRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface WeightContext {
  readonly service: ServiceObject;
  readonly slice: EndpointSliceObject;
  /** The Node that the endpoint runs on; undefined when it names none, or when that Node is not known: see the option `watchNodes`. */
  readonly node: NodeObject | undefined;
  /** The node that this proxier runs on. */
  readonly nodeName: string;
}

/**
 * The IPVS weight of an endpoint: a whole number from 0 (no new connections) to 65535. Undefined: what the annotations say, else 1. Schedulers
 * without weights (`rr`, `lc`, `dh`) ask only whether it is 0.
 */
export type WeightHook = (endpoint: HookEndpoint, context: WeightContext) => number | undefined;

/** A flag of a scheduler, as `ipvsadm -b` names it. */
export type SchedulerFlag = 'sh-fallback' | 'sh-port' | 'mh-fallback' | 'mh-port';

export interface SchedulerChoice {
  /** Kernel name: `rr`, `wrr`, `lc`, `wlc`, `sh`, `mh`, …, at most 15 bytes. */
  readonly scheduler: string;
  /** Absent: those that kube-proxy sets (`mh-port` for `mh`, none otherwise). An empty list: none. */
  readonly flags?: readonly SchedulerFlag[];
}

/** The scheduler of a Service. Undefined: what the annotations say, else the option `scheduler`. */
export type SchedulerHook = (service: ServiceObject) => string | SchedulerChoice | undefined;

export interface Hooks {
  readonly weightFor?: WeightHook;
  readonly schedulerFor?: SchedulerHook;
}

/** What a hook gave though it must not, for a message. A promise gets a taker, or its rejection would end the process. */
export function shownResult(value: unknown): string {
  if (value instanceof Promise) {
    value.catch(() => undefined);
    return 'a Promise';
  }
  return typeof value === 'number' ? String(value) : show(value);
}
