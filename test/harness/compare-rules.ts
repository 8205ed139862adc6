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
 * Every line of theirs is among ours, in the same order within its chain; KUBE-IPVS-OUT-FILTER alone has no order, as its rules drop and
 * exclude one another. What we have more matches an empty set (our rules are constant, theirs come with the first entry), or mends kubernetes
 * #132068 (VIPs leave KUBE-NODE-PORT) or behaviour.md 9 #20 (policy Local exempts no process of the node itself).
 */
export function assertRulesCover(
  theirs: readonly RuleLine[],
  ours: readonly RuleLine[],
  isEmpty: (set: string) => boolean,
): void {
  assert.ok(theirs.length > 20, 'the dump has no rules');
  for (const chain of new Set([...theirs, ...ours].map(chainOf))) {
    const [dumped, written] = [theirs, ours].map((lines) => {
      const rules = lines.filter((line) => chainOf(line) === chain);
      return chain.endsWith('KUBE-IPVS-OUT-FILTER') ? rules.sort() : rules;
    });
    assert.deepEqual(
      written?.filter((line) => dumped?.includes(line)),
      dumped,
      chain,
    );
    for (const line of written ?? []) assert.ok(dumped?.includes(line) || isHarmless(line, isEmpty), line);
  }
}

function chainOf(line: RuleLine): string {
  return line.split(' ').slice(0, 3).join(' ');
}

const mends = [
  /^nat -A KUBE-NODE-PORT -m set --match-set KUBE-(6-)?(CLUSTER-IP|LOAD-BALANCER|EXTERNAL-IP|EXTERNAL-IP-LOCAL) dst,dst -j RETURN$/,
  /^nat -A KUBE-LOAD-BALANCER -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ$/,
  /^nat -A KUBE-(SERVICES|NODE-PORT) .*--match-set KUBE-\S+-LOCAL\S* dst(,dst)? -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ$/,
];

function isHarmless(line: RuleLine, isEmpty: (set: string) => boolean): boolean {
  const set = /--match-set (\S+)/.exec(line)?.[1];
  return mends.some((mend) => mend.test(line)) || (set !== undefined && isEmpty(set));
}
