/** Rules of iptables, a line each. */

/** A rule as `nat -A KUBE-SERVICES …`. */
export type RuleLine = string;

/** The `-A` lines of `iptables-save` output. */
export function ruleLines(saved: readonly string[]): readonly RuleLine[] {
  let table = '';
  return saved.flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1);
    return line.startsWith('-A ') ? [`${table} ${line}`] : [];
  });
}
