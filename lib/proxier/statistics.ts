/** How fast changes get to the kernel, and what is on its way. */
import type { PendingChange } from '../kube/pending-records.ts';
import type { RecordKind } from '../records.ts';
import type { ChangeLatency } from './change-ledger.ts';

/** A change that was handed in and that the kernel has not answered. */
export interface WaitingChange {
  /** `EndpointSlice default/web-x7k2p` */
  readonly object: string;
  /** The source that said it. */
  readonly source: string;
  readonly revision: number;
  /** How long ago it was handed in. Newer states of the object that have replaced it meanwhile do not make it younger. */
  readonly ageMs: number;
}

/** Since the start of the run; plain data. */
export interface ProxierStatistics {
  /** Of the newest change handed in; what says nothing new (metadata, status, heartbeats) is no change. */
  readonly revision: number;
  /** Every change up to this one has been tried in the kernel. */
  readonly triedRevision: number;
  /** Changes that wait for the kernel's answer. */
  readonly waiting: number;
  /** The one that has waited longest; undefined = none waits. */
  readonly oldestWaiting: WaitingChange | undefined;
  /**
   * How long changes took to the kernel's answer, good or bad; the states of one object that were written together count once, from the first of them.
   * What was handed in before the first complete pass does not count, as it does not with kube-proxy.
   */
  readonly latency: ChangeLatency;
}

const KINDS: Readonly<Record<RecordKind, string>> = {
  service: 'Service',
  slice: 'EndpointSlice',
  node: 'Node',
  nodeAddresses: 'addresses of Node',
};

export function waitingChange(change: PendingChange | undefined, nowMs: number): WaitingChange | undefined {
  if (change === undefined) return undefined;
  const { record, firstSeq, sinceMs } = change;
  const ageMs = Math.max(0, Math.round(nowMs - sinceMs));
  return { object: `${KINDS[record.kind]} ${record.key}`, source: record.source, revision: firstSeq, ageMs };
}
