/** What the flight recorder has of some objects, in words, oldest first. Made when somebody asks. */
import { operationText } from '../kernel/batch.ts';
import { objectOf } from '../plan/object-id.ts';
import type { ServiceId } from '../plan/state.ts';
import type { ObjectKey } from '../records.ts';
import type { HistoryEntry, ToDate } from './answers.ts';
import type {
  FlightRecorder,
  NoteEntry,
  OperationEntry,
  PassEntry,
  RecordEntry,
  RecordsEntry,
} from './flight-recorder.ts';

/** Whom the history is to be of. */
export interface Concern {
  /** Services of the API, by `namespace/name`. */
  readonly keys: ReadonlySet<ObjectKey>;
  /** Virtual services: with all their destinations, and the entries that begin with their tuple. */
  readonly services: ReadonlySet<ServiceId>;
  /** The kernel object is one of theirs, or of what was asked for otherwise. */
  concerns(object: string): boolean;
}

interface Told {
  readonly order: number;
  readonly entry: HistoryEntry;
}

export interface History {
  readonly entries: readonly HistoryEntry[];
  /** Older ones that are left out. */
  readonly omitted: number;
}

/** @param limit Entries at most: the newest ones. */
export function historyOf(recorder: FlightRecorder, concern: Concern, toDate: ToDate, limit: number): History {
  const told: Told[] = [];
  const slices = new Map<ObjectKey, ObjectKey>();
  for (const entry of recorder.records) {
    // A slice that is gone does not say whose it was.
    if (entry.service !== undefined) slices.set(entry.key, entry.service);
    const owner = entry.kind === 'service' ? entry.key : slices.get(entry.key);
    if (entry.kind !== 'service' && entry.kind !== 'slice') continue;
    if (owner !== undefined && concern.keys.has(owner))
      told.push({ order: entry.order, entry: recordTold(entry, toDate) });
  }
  for (const entry of recorder.bulks) told.push({ order: entry.order, entry: recordsTold(entry, toDate) });
  const passes = new Set<number>();
  for (const ring of [recorder.operations, recorder.refusals]) {
    for (const entry of ring) {
      const object = objectOf(entry.operation);
      if (!concern.concerns(object)) continue;
      passes.add(entry.pass);
      told.push({ order: entry.order, entry: operationTold(entry, object, toDate) });
    }
  }
  for (const entry of recorder.passes) {
    const isPartly = entry.report.operations > entry.kept;
    if (passes.has(entry.pass) || isPartly) told.push({ order: entry.order, entry: passTold(entry, toDate) });
  }
  for (const entry of recorder.notes) {
    if (concern.concerns(entry.object) || concern.keys.has(entry.object.replace(/^service /, ''))) {
      told.push({ order: entry.order, entry: noteTold(entry, toDate) });
    }
  }
  const all = told.sort((a, b) => a.order - b.order).map(({ entry }) => entry);
  return { entries: all.slice(-limit), omitted: Math.max(0, all.length - limit) };
}

function recordTold({ atMs, kind, key, seq, isGone, endpoints, body }: RecordEntry, toDate: ToDate): HistoryEntry {
  const what = kind === 'service' ? `Service ${key}` : `EndpointSlice ${key}`;
  const said =
    body === undefined
      ? `${endpoints} endpoints`
      : [...body.clusterIPs, ...body.externalIPs, ...body.loadBalancerIPs].join(' ');
  return { at: toDate(atMs), kind: 'record', text: isGone ? `${what} is gone` : `${what}: ${said}`, seq };
}

function recordsTold({ atMs, count, firstSeq, lastSeq, isSnapshot }: RecordsEntry, toDate: ToDate): HistoryEntry {
  const what = isSnapshot ? `a snapshot of ${count} records` : `${count} more records in one message`;
  return {
    at: toDate(atMs),
    kind: 'record',
    text: `${what} (${firstSeq} to ${lastSeq}), not kept one by one`,
    seq: lastSeq,
  };
}

function operationTold(
  { atMs, pass, round, operation, failure }: OperationEntry,
  object: string,
  toDate: ToDate,
): HistoryEntry {
  const common = { at: toDate(atMs), kind: 'operation', pass, round, object } as const;
  const command = operationText(operation);
  if (failure === undefined) return { ...common, text: `${command}: done`, outcome: 'applied' };
  const { outcome, error } = failure;
  const said = outcome === 'unknown' ? 'no answer' : 'refused';
  const text = `${command}: ${said}, ${error.errnoName} (${error.reason})`;
  return { ...common, text, outcome, errno: error.errnoName };
}

function passTold({ atMs, pass, rounds, kept, report, failures }: PassEntry, toDate: ToDate): HistoryEntry {
  const { kind, operations, rulesWritten, sysctlsWritten, unknown, roundTrips, planMicros, kernelMicros } = report;
  const byVerb = Object.entries(report.byVerb).map(([verb, count]) => `${count} ${verb}`);
  const verbs = byVerb.length === 0 ? '' : ` (${byVerb.join(', ')})`;
  const parts = [
    `${operations} operations${verbs} in ${rounds} rounds and ${roundTrips} round trips`,
    `${planMicros} us to plan`,
    `${kernelMicros} us in the kernel`,
    ...(rulesWritten > 0 ? [`rules of ${rulesWritten} families written`] : []),
    ...(sysctlsWritten > 0 ? [`${sysctlsWritten} sysctls written`] : []),
    ...(failures > 0 ? [`${failures} failures`] : []),
    ...(unknown > 0 ? [`${unknown} without an answer`] : []),
    ...(operations > kept ? [`${operations - kept} operations not kept one by one`] : []),
  ];
  const text = `${kind} pass to revision ${report.revision}: ${parts.join(', ')}`;
  return { at: toDate(atMs), kind: 'pass', text, pass, seq: report.revision };
}

function noteTold({ atMs, kind, object, text }: NoteEntry, toDate: ToDate): HistoryEntry {
  return { at: toDate(atMs), kind, text: `${object}: ${text}`, object };
}
