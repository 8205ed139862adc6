/** What a pass did, for people. */
import type { SyncReport } from '../reconcile/protocol.ts';
import { oneLine } from './logger.ts';

export function formatReport(report: SyncReport): string {
  const verbs = Object.entries(report.byVerb).map(([verb, count]) => `${count} ${verb}`);
  const lines = [
    `${report.operations} operations${verbs.length === 0 ? '' : `: ${verbs.join(', ')}`}`,
    `${report.rulesWritten} rule tables and ${report.sysctlsWritten} sysctls written`,
    `serving ${report.services} virtual services with ${report.destinations} destinations` +
      ` (${report.draining} draining); ${report.foreign} foreign, ${report.contested} contested`,
    ...report.failures.map(
      ({ operation, object, error }) =>
        // A command names its object; what is no command (rules, sysctls, sets that stay as they are) does not.
        `failed: ${operation.includes(' ') ? operation : object}: ${error.message} (${error.code})`,
    ),
    ...(report.unknown === 0 ? [] : [`${report.unknown} operations without an answer: their outcome is unknown`]),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}
