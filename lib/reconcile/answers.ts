/** What `status` and `explain` answer, as it crosses to the caller's thread: plain data and dates. */
import type { ErrorCode } from '../errors.ts';
import type { PortExplanation } from '../plan/explain-port.ts';
import type { ObjectId } from '../plan/object-id.ts';
import type { ServicePortId } from '../plan/wanted.ts';
import type { ObjectKey, ServiceBody } from '../records.ts';

/**
 * How a kernel object stands.
 *
 * - `applied`: it is as it is wanted, by what the kernel has answered and what was read of it.
 * - `pending`: to be written, changed or removed: in the next pass, or after what it waits for.
 * - `failing`: the kernel refused it; it is tried again.
 * - `draining`: not wanted any more, and kept for its open connections.
 * - `contested`: wanted, but somebody else has made it otherwise, or keeps rewriting it; left as it is.
 * - `foreign`: somebody else's, and nobody here wants it.
 * - `absent`: neither wanted nor there.
 */
export type ObjectState = 'applied' | 'pending' | 'failing' | 'draining' | 'contested' | 'foreign' | 'absent';

export interface ObjectStatus {
  /** `service tcp 10.96.0.10:80`, `destination tcp 10.96.0.10:80 10.244.1.5:8080`, `entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80`, `address 10.96.0.10`, `rules IPv4`, … */
  readonly object: ObjectId;
  readonly state: ObjectState;
  /** In words; absent for what is applied or absent. */
  readonly why?: string;
  /** As the command that makes it; absent = nobody wants it. */
  readonly wanted?: string;
  /** In the same way, as we last wrote or read it; absent = it is not there. */
  readonly applied?: string;
  /** The service ports that want it, the one it is made for first. */
  readonly wantedBy: readonly ServicePortId[];
  /** Of a `failing` one. */
  readonly failure?: ObjectFailure;
  /** Of a `draining` one: since when, and when it goes though connections remain. */
  readonly drain?: { readonly since: Date; readonly until: Date };
  /** Found wrong three times and more: somebody else writes it, too. A `contested` one is left alone; any other was put right. */
  readonly contest?: ObjectContest;
}

export interface ObjectContest {
  /** How often it was found wrong. */
  readonly times: number;
  /** Left alone until then; absent = it is not. */
  readonly until?: Date;
  /** The last times, oldest first. */
  readonly history: readonly { readonly at: Date; readonly found: string }[];
}

export interface ObjectFailure {
  /** The operation, as the command that would do the same. */
  readonly operation: string;
  readonly code: ErrorCode;
  /** `EPERM`, `ENOMEM`, …; absent when it was not the kernel that refused. */
  readonly errno?: string;
  readonly message: string;
  /** How often in a row. */
  readonly attempts: number;
  readonly since: Date;
  readonly nextTry: Date;
}

/** Kernel objects by state. `applied` includes none of the others. */
export type StateCounts = Readonly<Record<Exclude<ObjectState, 'absent'>, number>>;

export interface StatusAnswer {
  /** Highest `seq` of a record taken in. */
  readonly revision: number;
  /** The first complete pass was made. */
  readonly complete: boolean;
  /** Why nothing of the data plane is written now; absent = it is. */
  readonly waitsFor?: string;
  /** What the kernel holds for us, by what it has answered. */
  readonly holds: {
    readonly services: number;
    readonly destinations: number;
    readonly entries: number;
    readonly addresses: number;
  };
  readonly servicePorts: { readonly total: number; readonly notApplied: number };
  readonly objects: StateCounts;
  /** What is not applied, what fails first; at most as many as were asked for. */
  readonly notApplied: readonly ObjectStatus[];
  /** How many more there are. */
  readonly omitted: number;
  readonly recorder: RecorderUse;
}

/** How full the flight recorder is. */
export interface RecorderUse {
  readonly entries: number;
  /** An estimate. */
  readonly bytes: number;
  /** The oldest entry; absent = there is none. */
  readonly since?: Date;
}

/**
 * - `record`: an object of the API was taken in, or a message of many.
 * - `operation`: a kernel write with its answer.
 * - `pass`: the sum of a pass, with its plan and its time.
 * - `drift`: somebody else changed what is ours.
 */
export type HistoryKind = 'record' | 'operation' | 'pass' | 'drift' | 'drained' | 'contested' | 'foreign' | 'warning';

/** A time on the caller's clock, for people. */
export type ToDate = (ms: number) => Date;

export interface HistoryEntry {
  readonly at: Date;
  readonly kind: HistoryKind;
  readonly text: string;
  /** Of a record: our own counter. */
  readonly seq?: number;
  /** The pass it belongs to, counted from 1, and the round in it. */
  readonly pass?: number;
  readonly round?: number;
  readonly object?: ObjectId;
  readonly outcome?: 'applied' | 'failed' | 'unknown';
  readonly errno?: string;
}

export interface ExplainedService {
  readonly service: ObjectKey;
  /** Absent = the records do not have it (any more). */
  readonly record?: ServiceBody;
  readonly ports: readonly ExplainedPort[];
}

export interface ExplainedPort extends PortExplanation {
  /** The worst of its objects'. */
  readonly state: ObjectState;
  /** Its kernel objects, those that are not applied first. */
  readonly objects: readonly ObjectStatus[];
  /** How many more are applied. */
  readonly omitted: number;
  /** What a user should know: a conflict, an endpoint left out and why. */
  readonly warnings: readonly string[];
}

/** What a key was taken for. */
export type ExplainedKind = 'Service' | 'service port' | 'virtual service' | 'address' | 'unknown';

export interface ExplainAnswer {
  readonly key: string;
  readonly kind: ExplainedKind;
  /** Says what is known of a key that names nothing, or nothing any more. */
  readonly message?: string;
  /** What may have been meant in the place of an unknown key. */
  readonly nearest: readonly string[];
  /** The worst state of all that follows. */
  readonly state: ObjectState;
  readonly services: readonly ExplainedService[];
  /** Service ports that are concerned, beyond those that are told of. */
  readonly omittedPorts: number;
  /** Kernel objects that the key names and that no service port of `services` has: foreign, kept for their connections, or to be removed. */
  readonly others: readonly ObjectStatus[];
  /** What the flight recorder has of it, oldest first. */
  readonly history: readonly HistoryEntry[];
  /** Entries of the history that are left out, the oldest ones. */
  readonly omittedHistory: number;
}
