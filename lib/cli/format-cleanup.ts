/** What a clean-up did, for people; of a dry run every line is a command or a comment. */
import type { CleanupReport } from '../reconcile/cleanup.ts';
import { oneLine } from './logger.ts';

export function formatCleanup(report: CleanupReport): string {
  const lines = report.dryRun ? commands(report) : counts(report);
  const mark = report.dryRun ? '# ' : '';
  for (const { object, operation, error } of report.failures) {
    lines.push(`${mark}failed: ${oneLine(`${object}: ${operation}: ${error.message} (${error.code})`)}`);
  }
  for (const left of report.left) lines.push(`${mark}left alone: ${oneLine(left)}`);
  return `${lines.join('\n')}\n`;
}

function commands({ operations, rules }: CleanupReport): string[] {
  // As it is done: the sets go last, because rules use them.
  const sets = operations.findIndex(({ verb }) => verb === 'remove-set');
  const end = sets < 0 ? operations.length : sets;
  const text = (some: CleanupReport['operations']): string[] => some.map((operation) => oneLine(operation.text));
  const restores = rules.flatMap(({ backend, family, text: input }) => [
    `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${backend}-restore --noflush <<'END'`,
    input.trimEnd(),
    'END',
  ]);
  const count = `# dry run: ${operations.length} operations, ${rules.length} rule sets`;
  return [...text(operations.slice(0, end)), ...restores, ...text(operations.slice(end)), count];
}

function counts({ operations, rules, failures }: CleanupReport): string[] {
  if (operations.length + rules.length + failures.length === 0) return ['nothing to remove'];
  const byVerb = new Map<string, number>();
  for (const { verb } of operations) byVerb.set(verb, (byVerb.get(verb) ?? 0) + 1);
  const verbs = [...byVerb].map(([verb, count]) => `${count} ${verb}`);
  const which = rules.map(({ backend, family }) => `${family} (${backend})`);
  return [
    `${operations.length} operations${verbs.length === 0 ? '' : `: ${verbs.join(', ')}`}`,
    which.length === 0 ? 'no rules removed' : `rules removed: ${which.join(', ')}`,
  ];
}
