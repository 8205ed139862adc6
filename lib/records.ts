/**
 * What crosses from the caller's thread to the worker: Kubernetes objects cut down to what proxying needs, already projected for this
 * node. `kube` makes them, `model` reads them. Strings, numbers, booleans and arrays only, so structured clone is all the
 * encoding there is; endpoints are flat columns, at most 40 bytes an endpoint on the wire (`test/unit/records.test.ts` holds the limit).
 */
import type { IpAddress, IpFamily, Protocol } from './types.ts';

/** `namespace/name`; the bare name for a Node. */
export type ObjectKey = string;

interface RecordOf<Kind extends string, Body> {
  /** Which source said so (`Source.name`): two sources never overwrite each other's objects. */
  readonly source: string;
  /** Our own counter, rising by one with each record of the process; never a resourceVersion. */
  readonly seq: number;
  readonly kind: Kind;
  readonly key: ObjectKey;
  readonly uid: string;
  /** null = the object is gone. */
  readonly body: Body | null;
}

export type ServiceRecord = RecordOf<'service', ServiceBody>;
export type SliceRecord = RecordOf<'slice', SliceBody>;
export type NodeRecord = RecordOf<'node', NodeBody>;
export type NodeAddressesRecord = RecordOf<'nodeAddresses', NodeAddressesBody>;
export type ObjectRecord = ServiceRecord | SliceRecord | NodeRecord | NodeAddressesRecord;
export type RecordKind = ObjectRecord['kind'];

export interface ServicePortBody {
  /** May be empty. Unique with the protocol within the Service. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1..65535 */
  readonly port: number;
  /** 0 = none. */
  readonly nodePort: number;
}

/** A Service that has something to proxy. Addresses are canonical; a family without an address has none of its own frontends. */
export interface ServiceBody {
  /** `metadata.creationTimestamp` in ms since the epoch, 0 when unknown: the older Service wins a conflict. */
  readonly createdMs: number;
  /** One per family the Service has a cluster IP in. */
  readonly clusterIPs: readonly IpAddress[];
  readonly ports: readonly ServicePortBody[];
  /** Both families mixed; each family takes its own. */
  readonly externalIPs: readonly IpAddress[];
  readonly loadBalancerIPs: readonly IpAddress[];
  /** Canonical CIDR text, both families mixed, host bits cleared. */
  readonly sourceRanges: readonly string[];
  /** The object lists source ranges at all, usable or not (a list with nothing usable denies, it does not open). */
  readonly hasSourceRanges: boolean;
  /** Session affinity by client IP in seconds; 0 = none. */
  readonly affinitySeconds: number;
  readonly internalPolicyLocal: boolean;
  readonly externalPolicyLocal: boolean;
  /** 0 = none. */
  readonly healthCheckNodePort: number;
  /** What annotations and hooks ask for beyond the API. Absent = nothing: the proxier's options count. */
  readonly tuning?: ServiceTuning;
}

/** Beyond the Service API: from the annotations `ipvs-proxier.io/…` and from the embedder's hooks. An absent field = the proxier's option. */
export interface ServiceTuning {
  /** Kernel name of the IPVS scheduler. */
  readonly scheduler?: string;
  /** Bits of `ServiceFlag` that belong to the scheduler (sched1 to sched3). Absent = those that kube-proxy gives it. */
  readonly schedulerFlags?: number;
  /**
   * How packets reach the endpoints. Both leave the port as it is, so they count only for a service port whose endpoints have its own port,
   * and for its cluster IP, external IPs and load balancer IPs, never for node ports. Absent = masquerade.
   */
  readonly forward?: 'direct' | 'tunnel';
  /** 0 = open connections are not waited for. */
  readonly drainTimeoutMs?: number;
}

/** Bits of {@link SliceBody.conditions}. */
export const EndpointBit = { ready: 1, serving: 2, terminating: 4, local: 8 } as const;

export interface SlicePortBody {
  readonly name: string;
  readonly protocol: Protocol;
  /** 1..65535 */
  readonly port: number;
}

/** One EndpointSlice. The columns have one element per endpoint, in the slice's own order. */
export interface SliceBody {
  /** `namespace/name` of the Service it belongs to. */
  readonly service: ObjectKey;
  readonly family: IpFamily;
  readonly ports: readonly SlicePortBody[];
  readonly addresses: readonly IpAddress[];
  /** Bits of {@link EndpointBit}; `local` means: on this node. */
  readonly conditions: readonly number[];
  /** IPVS weights, 0 to 65535: 0 = no new connections. Absent when all are 1. */
  readonly weights?: readonly number[];
  /** Topology hints, absent when no endpoint of the slice has any; names of zones, of nodes. */
  readonly zoneHints?: readonly (readonly string[])[];
  readonly nodeHints?: readonly (readonly string[])[];
}

export interface NodeBody {
  /** The node this proxier runs on. */
  readonly self: boolean;
  /** `topology.kubernetes.io/zone`, empty when unset. */
  readonly zone: string;
  /** InternalIP first, then ExternalIP, in the object's order. */
  readonly addresses: readonly IpAddress[];
  readonly podCIDRs: readonly string[];
}

/** The addresses on the interfaces of this node, as node ports see them (behaviour.md 2.4: without the VIP device, loopback, fe80::/10). */
export interface NodeAddressesBody {
  readonly addresses: readonly IpAddress[];
}

/**
 * A message of records. A snapshot is `begin` … `end` of one epoch: what was not said between them is gone. `synced` lists
 * the sources that have delivered their whole first list: nothing is removed from the kernel before every source has.
 */
export interface RecordMessage {
  readonly records: readonly ObjectRecord[];
  readonly snapshot?: 'begin' | 'end' | 'whole';
  readonly allSynced: boolean;
}
