/** Full passes that were asked for, and whose rest is still to be written. */
import type { SyncReport } from '../reconcile/protocol.ts';
import { sumReports } from './reports.ts';

interface OpenResync {
  report: SyncReport;
  resolve(report: SyncReport): void;
  reject(error: unknown): void;
}

export class OpenResyncs {
  readonly #open = new Set<OpenResync>();

  /** What the whole pass did, `report` being its beginning. */
  add(report: SyncReport): Promise<SyncReport> {
    return new Promise((resolve, reject) => {
      this.#open.add({ report, resolve, reject });
    });
  }

  /** What was done since. `isEnd`: nothing is left to be written. */
  take(report: SyncReport | undefined, isEnd: boolean): void {
    for (const open of this.#open) {
      if (report !== undefined) open.report = { ...sumReports(open.report, report), kind: 'full' };
      if (!isEnd) continue;
      this.#open.delete(open);
      open.resolve(open.report);
    }
  }

  refuse(error: unknown): void {
    for (const { reject } of this.#open) reject(error);
    this.#open.clear();
  }
}
