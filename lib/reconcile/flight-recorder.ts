/**
 * What happened lately, for who asks why: records taken in, passes, operations with their answers, drains, drift, warnings. Always on, so it
 * keeps references and numbers, and makes words of them only when somebody asks (history.ts).
 *
 * Bounded by entries and bytes, kind by kind: no flood of one kind pushes another out, and refused operations have a place of their own. Of one
 * message the first 64 records are kept. Of one pass all operations are, up to 256; of a larger one a few of the first, and the rest is a number:
 * a pass of 50,000 operations, as the first one is, takes a hundredth of the room and leaves the rest of the history alone.
 */
import type { OperationFailure } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import type { ObjectKey, ObjectRecord, RecordKind, RecordMessage, ServiceBody } from '../records.ts';
import type { HistoryKind, RecorderUse, ToDate } from './answers.ts';
import type { PassTrace } from './pass-trace.ts';
import type { ReconcileEvent, SyncReport } from './protocol.ts';
import { Ring } from './ring.ts';

interface Entry {
  /** Rises by one with each entry of any kind. */
  readonly order: number;
  readonly atMs: number;
}

export interface RecordEntry extends Entry {
  readonly kind: RecordKind;
  readonly key: ObjectKey;
  readonly seq: number;
  readonly isGone: boolean;
  /** Of a slice: its Service, undefined when it is gone. */
  readonly service: ObjectKey | undefined;
  /** Of a slice. */
  readonly endpoints: number;
  /** Of a Service, as it was said. */
  readonly body: ServiceBody | undefined;
}

/** Records of one message beyond those that are kept one by one. */
export interface RecordsEntry extends Entry {
  readonly count: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly isSnapshot: boolean;
}

export interface OperationEntry extends Entry {
  readonly pass: number;
  readonly round: number;
  readonly operation: Operation;
  readonly failure: OperationFailure | undefined;
}

export interface PassEntry extends Entry {
  readonly pass: number;
  readonly rounds: number;
  /** Operations of it that were kept one by one. */
  readonly kept: number;
  readonly report: Pick<
    SyncReport,
    | 'kind'
    | 'revision'
    | 'operations'
    | 'byVerb'
    | 'rulesWritten'
    | 'sysctlsWritten'
    | 'unknown'
    | 'roundTrips'
    | 'planMicros'
    | 'kernelMicros'
  >;
  readonly failures: number;
}

export interface NoteEntry extends Entry {
  readonly kind: Exclude<HistoryKind, 'record' | 'operation' | 'pass'>;
  /** A kernel object (`service tcp 10.96.0.10:80`, …), or `service ns1/svc1`. */
  readonly object: string;
  readonly text: string;
}

export interface FlightRecorderOptions {
  /** Entries of each kind at most. Default 4096. */
  readonly entries?: number;
  /** Of each kind, as an estimate of what the entries hold on to. Default 2 MiB. */
  readonly bytes?: number;
}

const recordsAtOnce = 64;
const operationsAtOnce = 256;
/** Of a pass that has more than that. */
const operationsOfMany = 32;
const notesAtOnce = 64;

/** Estimates: an entry, and what it keeps alive that nothing else does once it is out of date. */
const entryBytes = 120;
const operationBytes = 400;
const addressBytes = 60;

export class FlightRecorder {
  readonly records: Ring<RecordEntry>;
  readonly bulks: Ring<RecordsEntry>;
  readonly operations: Ring<OperationEntry>;
  /** Operations that were refused, or whose answer was lost. */
  readonly refusals: Ring<OperationEntry>;
  readonly passes: Ring<PassEntry>;
  readonly notes: Ring<NoteEntry>;
  /** Passes that were made and not answered yet. */
  readonly #reported = new Map<SyncReport, PassTrace>();
  #passes = 0;
  #order = 0;

  constructor({ entries = 4096, bytes = 2 ** 21 }: FlightRecorderOptions = {}) {
    this.records = new Ring(entries, bytes);
    this.bulks = new Ring(entries, bytes);
    this.operations = new Ring(entries, bytes);
    this.refusals = new Ring(entries, bytes);
    this.passes = new Ring(entries, bytes);
    this.notes = new Ring(entries, bytes);
  }

  use(toDate: ToDate): RecorderUse {
    const rings = [this.records, this.bulks, this.operations, this.refusals, this.passes, this.notes];
    const oldest = rings.flatMap((ring: Ring<Entry>) => ring.oldest?.atMs ?? []);
    return {
      entries: rings.reduce((sum, { size }) => sum + size, 0),
      bytes: rings.reduce((sum, { bytes }) => sum + bytes, 0),
      ...(oldest.length === 0 ? {} : { since: toDate(Math.min(...oldest)) }),
    };
  }

  /** A message was taken in. A snapshot says what was said before: it is one entry. */
  message({ records, snapshot }: RecordMessage, atMs: number): void {
    const kept = snapshot === undefined ? Math.min(records.length, recordsAtOnce) : 0;
    for (let index = 0; index < kept; index += 1) {
      const record = records[index];
      if (record !== undefined) this.#record(record, atMs);
    }
    const first = records[kept];
    if (first === undefined) return;
    const { seq: lastSeq } = records.at(-1) ?? first;
    const count = records.length - kept;
    const isSnapshot = snapshot !== undefined;
    this.bulks.push({ order: this.#next(), atMs, count, firstSeq: first.seq, lastSeq, isSnapshot }, entryBytes);
  }

  /**
   * A new round of a pass begins: what follows was planned after what came before was answered.
   */
  round(trace: PassTrace): void {
    trace.round += 1;
  }

  /** Operations that were sent, with what went wrong with some of them. */
  batch(
    trace: PassTrace,
    changes: readonly { readonly operation: Operation }[],
    failures: readonly OperationFailure[],
    atMs: number,
  ): void {
    const { round } = trace;
    const pass = this.#numberOf(trace);
    const before = this.#order;
    this.#order += changes.length;
    trace.tried += changes.length;
    const limit = trace.tried > operationsAtOnce ? operationsOfMany : operationsAtOnce;
    for (const failure of failures) {
      const operation = changes[failure.index]?.operation;
      if (operation === undefined || trace.refused >= operationsAtOnce) continue;
      trace.refused += 1;
      const bytes = operationBytes + failure.operation.length + failure.error.reason.length;
      const order = before + failure.index + 1;
      this.refusals.push({ order, atMs, pass, round, operation, failure }, bytes);
    }
    let next = 0;
    for (let index = 0; index < changes.length && trace.kept < limit; index += 1) {
      if (failures[next]?.index === index) {
        next += 1;
        continue;
      }
      const operation = changes[index]?.operation;
      if (operation === undefined) continue;
      trace.kept += 1;
      const order = before + index + 1;
      this.operations.push({ order, atMs, pass, round, operation, failure: undefined }, operationBytes);
    }
  }

  /** The pass goes by its report from here on. */
  reported(trace: PassTrace, report: SyncReport): SyncReport {
    this.#reported.set(report, trace);
    return report;
  }

  /** A pass has ended. One that wrote nothing and had nothing to say is not kept. */
  #passed(report: SyncReport, atMs: number): void {
    const { kind, revision, operations, byVerb, rulesWritten, sysctlsWritten, unknown } = report;
    const trace = this.#reported.get(report);
    this.#reported.delete(report);
    const failures = report.failures.length;
    if (operations + rulesWritten + sysctlsWritten + failures === 0 && kind === 'incremental') return;
    const { roundTrips, planMicros, kernelMicros } = report;
    this.passes.push(
      {
        order: this.#next(),
        atMs,
        pass: trace === undefined ? 0 : this.#numberOf(trace),
        rounds: trace?.round ?? 0,
        kept: (trace?.kept ?? 0) + (trace?.refused ?? 0),
        report: {
          kind,
          revision,
          operations,
          byVerb,
          rulesWritten,
          sysctlsWritten,
          unknown,
          roundTrips,
          planMicros,
          kernelMicros,
        },
        failures,
      },
      operationBytes,
    );
  }

  /** What the caller is told with one answer: the pass first, if one was made. Drift has been noted when it was found (`Observation.told`). */
  answered(events: readonly ReconcileEvent[], report: SyncReport | undefined, atMs: number): void {
    if (report !== undefined) this.#passed(report, atMs);
    const unnoted = events.filter((event) => event.kind !== 'drift' && !('history' in event));
    for (const event of unnoted.slice(0, notesAtOnce)) {
      switch (event.kind) {
        case 'warning':
          this.note('warning', event.object, event.message, atMs);
          break;
        case 'foreign':
          this.note('foreign', `service ${event.service}`, 'seen for the first time; not ours, left alone', atMs);
          break;
        case 'contested':
          this.note('contested', `service ${event.service}`, event.message, atMs);
          break;
        case 'drained': {
          const { service, destination, reason } = event;
          const text = reason === 'idle' ? 'its last connection ended' : 'its time was up, with connections left';
          this.note('drained', `destination ${service} ${destination}`, text, atMs);
        }
      }
    }
  }

  note(kind: NoteEntry['kind'], object: string, text: string, atMs: number): void {
    this.notes.push({ order: this.#next(), atMs, kind, object, text }, entryBytes + object.length + text.length);
  }

  #record(record: ObjectRecord, atMs: number): void {
    const { kind, key, seq } = record;
    const body = kind === 'service' && record.body !== null ? record.body : undefined;
    const slice = kind === 'slice' && record.body !== null ? record.body : undefined;
    const entry = {
      order: this.#next(),
      atMs,
      kind,
      key,
      seq,
      isGone: record.body === null,
      service: slice?.service,
      endpoints: slice?.addresses.length ?? 0,
      body,
    };
    const parts = body === undefined ? [] : [body.ports, body.externalIPs, body.loadBalancerIPs, body.sourceRanges];
    const size = parts.reduce((sum, { length }) => sum + length, 0);
    this.records.push(entry, entryBytes + key.length + size * addressBytes);
  }

  #numberOf(trace: PassTrace): number {
    if (trace.pass === 0) {
      this.#passes += 1;
      trace.pass = this.#passes;
    }
    return trace.pass;
  }

  #next(): number {
    this.#order += 1;
    return this.#order;
  }
}
