/** A plan as the commands people know, in the order they would be sent; every line is a command or a comment. */
import type { PlanResult } from '../reconcile/protocol.ts';
import { explanationLines } from './format-explanation.ts';
import { oneLine } from './logger.ts';

export function formatPlan(plan: PlanResult): string {
  const lines: string[] = [];
  let wantedBy: string | undefined;
  for (const operation of plan.operations) {
    const wanted = operation.wantedBy.length === 0 ? unwanted(operation.verb) : operation.wantedBy.join(', ');
    if (wanted !== wantedBy) lines.push(`# ${oneLine(wanted)}`);
    wantedBy = wanted;
    lines.push(oneLine(operation.text));
  }
  for (const { family, text } of plan.rules) {
    const tool = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
    lines.push(`${tool} --noflush <<'END'`, text.trimEnd(), 'END');
  }
  for (const { key, from, to } of plan.sysctls)
    lines.push(`sysctl -w ${key.replaceAll('/', '.')}=${to}  # is ${from === '' ? 'not there' : from}`);
  for (const explanation of plan.explanations) lines.push(...explanationLines(explanation).map(oneLine));
  for (const warning of plan.warnings) lines.push(`# warning: ${oneLine(warning)}`);
  const families = plan.rules.map(({ family }) => family);
  const against = plan.against === 'kernel' ? 'against the kernel' : 'from empty';
  lines.push(
    `# ${against}: ${plan.operations.length} operations, ` +
      `${families.length === 0 ? 'no rules' : `rules of ${families.join(' and ')}`}, ${plan.sysctls.length} sysctls`,
  );
  return `${lines.join('\n')}\n`;
}

function unwanted(verb: string): string {
  return verb.startsWith('remove-') ? 'nobody wants it any more' : 'the frame that every Service uses';
}
