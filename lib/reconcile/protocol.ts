/**
 * The messages between the proxier (caller's thread) and the reconciler (its worker). The worker owns no timer and sends nothing
 * unasked: each reply says when it wants to be called again (`wakeInMs`), and the proxier answers with a `tick`.
 */
import type { ErrorRecord } from '../errors.ts';
import type { PortExplanation } from '../plan/explain-port.ts';
import type { ConntrackTuning } from '../plan/sysctls.ts';
import type { RecordMessage } from '../records.ts';
import type { IpAddress, IpFamily, IpvsTimeouts } from '../types.ts';
import type { ExplainAnswer, StatusAnswer } from './answers.ts';

export type { ConntrackTuning } from '../plan/sysctls.ts';

/** What the reconciler is told once, when its worker starts. Structured-clone data, validated by the proxier's options. */
export interface ReconcileInit {
  readonly nodeName: string;
  readonly families: readonly IpFamily[];
  readonly scheduler: string;
  readonly masqueradeAll: boolean;
  /** 0..31 */
  readonly masqueradeBit: number;
  /** How traffic from pods of this node is told from the rest, see behaviour.md 4.4. CIDRs: at most one per family, canonical. */
  readonly detectLocal:
    | { readonly mode: 'ClusterCIDR'; readonly cidrs: readonly string[] }
    | { readonly mode: 'NodeCIDR' }
    | { readonly mode: 'BridgeInterface'; readonly bridge: string }
    | { readonly mode: 'InterfaceNamePrefix'; readonly prefix: string };
  /** Canonical CIDRs, or `primary`; empty = all addresses of the node. */
  readonly nodePortAddresses: readonly string[] | 'primary';
  /** Where external traffic of policy Local goes on a node without a local endpoint: to all, as kube-proxy does it, or nowhere. */
  readonly externalLocalFallback: 'cluster' | 'none';
  /** A Service that lists source ranges, but none of a VIP's family: nobody may reach that VIP, or everybody, as with kube-proxy. */
  readonly sourceRangesOfOtherFamily: 'deny' | 'allow';
  /** Canonical CIDRs; an entry of `spec.externalIPs` outside them is not served (CVE-2020-8554). */
  readonly allowedExternalIPs: readonly string[] | 'any';
  /** How this host comes to take a VIP's packets: an address on kube-ipvs0, or a local route. */
  readonly vipBinding: 'address' | 'local-route';
  /** Everything in the kernel is looked at once in this time, little by little, and mended: the audit. */
  readonly syncPeriodMs: number;
  /** A draining TCP destination is deleted after this long even if connections remain. */
  readonly drainTimeoutMs: number;
  /** A virtual service that is no longer wanted stays until its connections have ended, or until the drain time-out. */
  readonly drainServices: boolean;
  /** `ledger`: a virtual service that we did not make is left alone; `all`: it is removed, as kube-proxy does it. */
  readonly ownership: 'ledger' | 'all';
  /** Canonical CIDRs: virtual services on these addresses are never removed. */
  readonly excludeCIDRs: readonly string[];
  /** Overwrite wanted virtual services that are there, differ and are not ours. */
  readonly takeOver: boolean;
  /** Which iptables to run; `auto` finds out what the host uses. */
  readonly iptables: 'auto' | 'legacy' | 'nft';
  /** Write sysctls that are wrong (true), or only report them (false). */
  readonly applySysctls: boolean;
  /** No interface but that of an address answers ARP for it (arp_ignore 1, arp_announce 2). */
  readonly strictARP: boolean;
  /** IPVS's own idle time-outs, for the whole network namespace; a 0 is left as it is. */
  readonly ipvsTimeouts: IpvsTimeouts;
  /** Absent = the connection tracking of the host is left alone. */
  readonly conntrack?: ConntrackTuning;
}

export type ReconcileRequest =
  /** Checks the kernel, reads it, writes the static part: link, sets, rules, sysctls. Everything else waits for it. */
  | { readonly kind: 'start'; readonly nowMs: number }
  | { readonly kind: 'records'; readonly nowMs: number; readonly message: RecordMessage }
  | { readonly kind: 'tick'; readonly nowMs: number }
  /** A full pass now: read the kernel, compare, mend, rules included; slice by slice, so that other requests are answered meanwhile. */
  | { readonly kind: 'resync'; readonly nowMs: number }
  /**
   * The endpoints that are to be drained whatever the records say, all of them: what was asked for before and is not among them is undone.
   * Idempotent, so that a new worker can be told the same again. Its answer, and later ones, say in `drains` how they fare.
   */
  | { readonly kind: 'drain'; readonly nowMs: number; readonly endpoints: readonly EndpointDrain[] }
  /** What would be written; writes nothing. `kernel`: against what is there now; `empty`: against nothing, needs no privileges. */
  | { readonly kind: 'plan'; readonly against: 'kernel' | 'empty' }
  /**
   * How everything stands; reads and writes nothing. `limit`: how much of what is not applied is listed. `date` is what it is at `nowMs`: times in
   * the answer are dates.
   */
  | { readonly kind: 'status'; readonly nowMs: number; readonly date: Date; readonly limit: number }
  /** Why something is as it is, by the name a person gives it (`parseExplainKey`); reads and writes nothing. */
  | { readonly kind: 'explain'; readonly nowMs: number; readonly date: Date; readonly key: string };

/** One request to take an endpoint out of all virtual services; several may be for the same endpoint. */
export interface EndpointDrain {
  /** The caller's own number for it. */
  readonly id: number;
  readonly address: IpAddress;
  /** The endpoint's own port. Absent = all of the address. */
  readonly port?: number;
  /** In the place of the Services' drain time-outs, for the destinations of this endpoint. */
  readonly timeoutMs?: number;
  /** False: the records have ceased to list it, so that it is not held out any more; what is left of it is only watched. */
  readonly held: boolean;
}

/** How an {@link EndpointDrain} fares. Nothing open: it is done. */
export interface EndpointDrainState {
  readonly id: number;
  /** False: the records do not list it, or have ceased to. */
  readonly held: boolean;
  /** Destinations, counted once for each virtual service, that it was or is to be taken out of. */
  readonly destinations: number;
  /** Of those: deleted without connections; with connections, when their time was up; without waiting for any (UDP, SCTP). */
  readonly idle: number;
  readonly overdue: number;
  readonly atOnce: number;
  /** Of those: still there. */
  readonly open: number;
}

/** What a cleaning of tracked UDP connections did. */
export interface UdpCleaning {
  /** UDP connections that were looked at. */
  readonly examined: number;
  /** Those that led to endpoints that are gone, and were removed. */
  readonly removed: number;
  /** Those that the kernel would not remove. */
  readonly failed: number;
}

export interface ReconcileReply {
  /** Present when a pass was made. */
  readonly report?: SyncReport;
  readonly events: readonly ReconcileEvent[];
  /** Call `tick` after this long at the latest; absent = nothing is waiting. */
  readonly wakeInMs?: number;
  /**
   * Objects whose turn to be written has not come yet: the tick asked for (`wakeInMs` 0) goes on with them. Absent = none. What failed has
   * had its turn: an object, or the kernel as a whole, which is among the failures then.
   */
  readonly unwritten?: number;
  /** Highest `seq` of a record taken in. */
  readonly revision: number;
  /** Answer to `plan`. */
  readonly plan?: PlanResult;
  /** Answer to `status`. */
  readonly status?: StatusAnswer;
  /** Answer to `explain`. */
  readonly explanation?: ExplainAnswer;
  /** Those whose state is another than when it was last told. */
  readonly drains?: readonly EndpointDrainState[];
}

/** Objects of ours that were found to be other than they were written, by what had become of them. */
export interface DriftCounts {
  /** Wanted, and gone. */
  readonly missing: number;
  /** There, and not wanted. */
  readonly extra: number;
  /** Wanted, and another than it should be: a weight, a scheduler. */
  readonly changed: number;
}

/** One time that a contested object was found wrong. */
export interface ContestFinding {
  /** Counted back from the event. */
  readonly agoMs: number;
  /** `somebody removed it`, `weight is 5 and should be 1` */
  readonly found: string;
}

/** What a pass did. `operations` counts kernel writes that were tried, rules and sysctls apart. */
export interface SyncReport {
  readonly kind: 'start' | 'incremental' | 'full';
  readonly revision: number;
  readonly operations: number;
  /** By verb, e.g. `{ 'create-service': 3 }`; only verbs that occurred. */
  readonly byVerb: Readonly<Record<string, number>>;
  /** iptables tables rewritten, sysctls written. */
  readonly rulesWritten: number;
  readonly sysctlsWritten: number;
  /**
   * What was tried in this pass and did not work, and in every `start` and `full` pass the sets that are of another type, whose function
   * does not work as long as they are. Nothing failed and all is served as asked: no failures, nothing unknown, nothing contested.
   */
  readonly failures: readonly SyncFailure[];
  /** Present when a cleaning of tracked UDP connections ended and had found stale ones. Its removals are not among the operations. */
  readonly udpCleaning?: UdpCleaning;
  /** What others did to ours since it was last looked at, each object once; absent = nothing. What is contested is not put right. */
  readonly drift?: DriftCounts;
  /** Operations without an answer. */
  readonly unknown: number;
  readonly roundTrips: number;
  readonly planMicros: number;
  readonly kernelMicros: number;
  /** Objects as they stand after the pass. */
  readonly services: number;
  readonly destinations: number;
  readonly draining: number;
  readonly foreign: number;
  /**
   * Wanted virtual services that are somebody else's: not served as asked, until those go. Not among the failures: nothing was tried. And
   * objects that somebody else keeps rewriting, as long as they are left alone for it.
   */
  readonly contested: number;
  /** Every source has synced: from here on things are removed, too. */
  readonly complete: boolean;
}

export interface SyncFailure {
  /**
   * The kernel object: `tcp 10.96.0.10:80`, `KUBE-CLUSTER-IP 10.96.0.10,tcp:80`, `address 10.96.0.10`, `set KUBE-LOOP-BACK`, `rules IPv4`,
   * `sysctl …`; or `kernel`, as a whole.
   */
  readonly object: string;
  readonly operation: string;
  readonly error: ErrorRecord;
  readonly attempts: number;
  readonly retryInMs: number;
}

export type ReconcileEvent =
  /** One object cannot be served as asked: names it and says why. */
  | { readonly kind: 'warning'; readonly object: string; readonly message: string; readonly error?: ErrorRecord }
  /** A virtual service that is not ours was seen for the first time. */
  | { readonly kind: 'foreign'; readonly service: string }
  /**
   * A wanted virtual service is there, differs, and is not ours; left alone. Or an object of ours was found wrong three times, and each time
   * again after that: `object` names it, `service` its virtual service (or the object, if it is of none), `history` has what was found.
   */
  | {
      readonly kind: 'contested';
      readonly service: string;
      readonly message: string;
      readonly object?: string;
      readonly history?: readonly ContestFinding[];
    }
  /** Somebody else did something to an object of ours. Of many at once only some are told; the report counts all. */
  | { readonly kind: 'drift'; readonly object: string; readonly message: string }
  | {
      readonly kind: 'drained';
      readonly service: string;
      readonly destination: string;
      readonly reason: 'idle' | 'deadline';
    };

export interface PlanResult {
  readonly against: 'kernel' | 'empty';
  /** In the order they would be sent, in the notation people know (`ipvsadm`, `ipset`, `ip`). */
  readonly operations: readonly PlannedOperation[];
  /** `iptables-restore` input per family, absent when nothing changes. */
  readonly rules: readonly { readonly family: IpFamily; readonly text: string }[];
  /** Those that would be written; when they are only to be reported they are among the warnings. */
  readonly sysctls: readonly { readonly key: string; readonly from: string; readonly to: string }[];
  readonly warnings: readonly string[];
  /** Each service port with its frontends, and every endpoint with the lists it is in and why; sorted by service port. */
  readonly explanations: readonly PortExplanation[];
}

export interface PlannedOperation {
  readonly verb: string;
  readonly text: string;
  /** Service ports that want it: `IPv4 ns1/svc1:p80/tcp`; empty when nobody does any more. */
  readonly wantedBy: readonly string[];
}
