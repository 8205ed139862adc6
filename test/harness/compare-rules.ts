/** Our rules beside kube-proxy's: the same lines in the same order, and more only where it does no harm. */
import assert from 'node:assert/strict';

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

/**
 * Every line of theirs is among ours, in the same order within its chain. What we have more matches an empty set (our rules are
 * constant, theirs come with the first entry), or is the mend of kubernetes #132068.
 */
export function assertRulesCover(
  theirs: readonly RuleLine[],
  ours: readonly RuleLine[],
  isEmpty: (set: string) => boolean,
): void {
  assert.ok(theirs.length > 20, 'the dump has no rules');
  for (const chain of new Set([...theirs, ...ours].map(chainOf))) {
    const dumped = theirs.filter((line) => chainOf(line) === chain);
    const written = ours.filter((line) => chainOf(line) === chain);
    assert.deepEqual(
      written.filter((line) => dumped.includes(line)),
      dumped,
      chain,
    );
    for (const line of written.filter((rule) => !dumped.includes(rule))) assert.ok(isHarmless(line, isEmpty), line);
  }
}

function chainOf(line: RuleLine): string {
  return line.split(' ').slice(0, 3).join(' ');
}

function isHarmless(line: RuleLine, isEmpty: (set: string) => boolean): boolean {
  const set = /--match-set (\S+)/.exec(line)?.[1];
  const isMend =
    line.startsWith('nat -A KUBE-NODE-PORT -m set --match-set') && line.endsWith('-CLUSTER-IP dst,dst -j RETURN');
  return isMend || (set !== undefined && isEmpty(set));
}
