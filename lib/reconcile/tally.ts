/** Counts of one pass, on the way to its report. */
import type { BatchResult } from '../kernel/session.ts';
import type { Verb } from '../operations.ts';
import { PassTrace } from './pass-trace.ts';
import type { DriftCounts, SyncFailure, SyncReport, UdpCleaning } from './protocol.ts';

export class Tally {
  /** Where the flight recorder stands with this pass. */
  readonly trace: PassTrace = new PassTrace();
  readonly failures: SyncFailure[] = [];
  rulesWritten = 0;
  sysctlsWritten = 0;
  planMicros = 0;
  unknown = 0;
  readonly drift: { -readonly [K in keyof DriftCounts]: DriftCounts[K] } = { missing: 0, extra: 0, changed: 0 };
  udpCleaning: UdpCleaning | undefined;
  #operations = 0;
  #roundTrips = 0;
  #kernelMicros = 0;
  readonly #byVerb = new Map<Verb, number>();
  #verb: Verb | undefined;
  #row = 0;

  /** Nothing was tried, found or said. */
  get isEmpty(): boolean {
    return (
      this.#operations + this.rulesWritten + this.sysctlsWritten + this.failures.length === 0 &&
      this.udpCleaning === undefined &&
      !this.#hasDrift
    );
  }

  get #hasDrift(): boolean {
    const { missing, extra, changed } = this.drift;
    return missing + extra + changed > 0;
  }

  /** An operation that is about to be tried. */
  count(verb: Verb): void {
    this.#operations += 1;
    // They come in rows of the same.
    if (verb !== this.#verb) this.#endRow(verb);
    this.#row += 1;
  }

  tried(result: BatchResult): void {
    this.#roundTrips += result.roundTrips;
    this.#kernelMicros += result.kernelMicros;
    for (const { outcome } of result.failures) if (outcome === 'unknown') this.unknown += 1;
  }

  #endRow(next?: Verb): void {
    if (this.#verb !== undefined) this.#byVerb.set(this.#verb, (this.#byVerb.get(this.#verb) ?? 0) + this.#row);
    this.#verb = next;
    this.#row = 0;
  }

  /** One is made for every change, so it is written out: to put it together of parts took longer than to plan the change. */
  report(standing: Pick<SyncReport, StandingKey>): SyncReport {
    this.#endRow();
    const byVerb: Record<string, number> = {};
    for (const [verb, count] of this.#byVerb) byVerb[verb] = count;
    const report: { -readonly [K in keyof SyncReport]: SyncReport[K] } = {
      kind: standing.kind,
      revision: standing.revision,
      operations: this.#operations,
      byVerb,
      rulesWritten: this.rulesWritten,
      sysctlsWritten: this.sysctlsWritten,
      failures: this.failures,
      unknown: this.unknown,
      roundTrips: this.#roundTrips,
      planMicros: Math.round(this.planMicros),
      kernelMicros: Math.round(this.#kernelMicros),
      services: standing.services,
      destinations: standing.destinations,
      draining: standing.draining,
      foreign: standing.foreign,
      contested: standing.contested,
      complete: standing.complete,
    };
    if (this.udpCleaning !== undefined) report.udpCleaning = this.udpCleaning;
    if (this.#hasDrift) report.drift = { ...this.drift };
    return report;
  }
}

/** What a report says of the state after the pass, not of the pass. */
type StandingKey =
  | 'kind'
  | 'revision'
  | 'services'
  | 'destinations'
  | 'draining'
  | 'foreign'
  | 'contested'
  | 'complete';
