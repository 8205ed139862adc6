/** Counts of one pass, on the way to its report. */
import type { BatchResult } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import { PassTrace } from './pass-trace.ts';
import type { SyncFailure, SyncReport, UdpCleaning } from './protocol.ts';

export class Tally {
  /** Where the flight recorder stands with this pass. */
  readonly trace: PassTrace = new PassTrace();
  readonly failures: SyncFailure[] = [];
  rulesWritten = 0;
  sysctlsWritten = 0;
  planMicros = 0;
  unknown = 0;
  udpCleaning: UdpCleaning | undefined;
  #operations = 0;
  #roundTrips = 0;
  #kernelMicros = 0;
  readonly #byVerb = new Map<string, number>();

  tried(operations: readonly Operation[], result: BatchResult): void {
    for (const { verb } of operations) this.#byVerb.set(verb, (this.#byVerb.get(verb) ?? 0) + 1);
    this.#operations += operations.length;
    this.#roundTrips += result.roundTrips;
    this.#kernelMicros += result.kernelMicros;
    for (const { outcome } of result.failures) if (outcome === 'unknown') this.unknown += 1;
  }

  report(rest: Pick<SyncReport, StandingKey>): SyncReport {
    return {
      ...rest,
      operations: this.#operations,
      byVerb: Object.fromEntries(this.#byVerb),
      rulesWritten: this.rulesWritten,
      sysctlsWritten: this.sysctlsWritten,
      failures: this.failures,
      ...(this.udpCleaning === undefined ? {} : { udpCleaning: this.udpCleaning }),
      unknown: this.unknown,
      roundTrips: this.#roundTrips,
      planMicros: Math.round(this.planMicros),
      kernelMicros: Math.round(this.#kernelMicros),
    };
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
