/** What a proxier did, added up as it does it. */
import type { WarningEvent } from '../../proxier/events.ts';
import type { Proxier } from '../../proxier/proxier.ts';
import type { SyncReport } from '../../reconcile/protocol.ts';
import { DurationCounts, type Percentiles } from './percentiles.ts';

export interface TallyResult {
  /** Passes by kind. */
  readonly passes: Readonly<Record<SyncReport['kind'], number>>;
  /** Passes that could not be made. */
  readonly brokenPasses: number;
  /** Kernel writes that were tried, rules and sysctls apart. */
  readonly operations: number;
  readonly byVerb: Readonly<Record<string, number>>;
  readonly rulesWritten: number;
  readonly sysctlsWritten: number;
  /** Operations that failed, and that had no answer, each time they were tried. */
  readonly failed: number;
  readonly unknown: number;
  readonly warnings: number;
  /** Times of the incremental passes in which something was written: planning, and in the kernel. */
  readonly planMicros: Percentiles;
  readonly kernelMicros: Percentiles;
}

export class ReplayTally {
  readonly #passes: Record<SyncReport['kind'], number> = { start: 0, incremental: 0, full: 0 };
  readonly #byVerb = new Map<string, number>();
  readonly #plan = new DurationCounts();
  readonly #kernel = new DurationCounts();
  #brokenPasses = 0;
  #operations = 0;
  #rulesWritten = 0;
  #sysctlsWritten = 0;
  #failed = 0;
  #unknown = 0;
  #warnings = 0;

  constructor(proxier: Proxier, onWarning: ((warning: WarningEvent) => void) | undefined) {
    proxier.on('sync', (report) => this.#add(report));
    proxier.on('error', () => {
      this.#brokenPasses += 1;
    });
    proxier.on('warning', (warning) => {
      this.#warnings += 1;
      onWarning?.(warning);
    });
  }

  get result(): TallyResult {
    return {
      passes: { ...this.#passes },
      brokenPasses: this.#brokenPasses,
      operations: this.#operations,
      byVerb: Object.fromEntries([...this.#byVerb].sort(([one], [other]) => (one < other ? -1 : 1))),
      rulesWritten: this.#rulesWritten,
      sysctlsWritten: this.#sysctlsWritten,
      failed: this.#failed,
      unknown: this.#unknown,
      warnings: this.#warnings,
      planMicros: this.#plan.percentiles,
      kernelMicros: this.#kernel.percentiles,
    };
  }

  #add(report: SyncReport): void {
    this.#passes[report.kind] += 1;
    this.#operations += report.operations;
    for (const [verb, count] of Object.entries(report.byVerb)) {
      this.#byVerb.set(verb, (this.#byVerb.get(verb) ?? 0) + count);
    }
    this.#rulesWritten += report.rulesWritten;
    this.#sysctlsWritten += report.sysctlsWritten;
    this.#failed += report.failures.length;
    this.#unknown += report.unknown;
    if (report.kind !== 'incremental' || report.operations === 0) return;
    this.#plan.add(report.planMicros);
    this.#kernel.add(report.kernelMicros);
  }
}
