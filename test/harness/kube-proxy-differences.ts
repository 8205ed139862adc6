/**
 * Our tables beside kube-proxy's: equal line for line, but for the differences that a rule below explains. The rules speak of what the objects
 * say, not of names and addresses, so they hold for any manifest. docs/semantics.md lists them for users, by the same names.
 */

import { familyOf, parseAddress } from '../../lib/address.ts';
import { specialAddress } from '../../lib/kube/address-class.ts';
import type { IpFamily } from '../../lib/types.ts';
import { ClusterFacts, type Frontend } from './cluster-facts.ts';
import type { Cluster, Tables } from './kube-proxy-model.ts';
import type { RuleLine } from './rule-lines.ts';
import { entryLine, familyOfText, identityOf, ipvsLine, type Line, ruleLine } from './table-lines.ts';

export interface Difference {
  /** Who has the line and the other has not. */
  readonly side: 'kube-proxy' | 'ours';
  readonly line: string;
  /** Name of the rule that explains it; undefined = nothing does. */
  readonly rule: string | undefined;
}

interface Context {
  readonly facts: ClusterFacts;
  readonly family: IpFamily;
  frontends(line: Line): readonly Frontend[];
  /** Both have the virtual service, or the destination, and it differs in what it is like. */
  hasTwin(line: Line): boolean;
  /** Whether kube-proxy's set of this name has entries. */
  isEmptyThere(set: string): boolean;
  /** Names of the rules that explain kube-proxy's entries of a set; undefined among them = some entry is not explained. */
  reasonsThere(set: string): readonly (string | undefined)[];
}

interface DifferenceRule {
  readonly side: Difference['side'] | 'both';
  explains(line: Line, context: Context): boolean;
}

/** Upstream writes these with the first entry of their set and takes them away with the last; the others always. */
const conditional =
  /^(nat -A KUBE-(SERVICES|POSTROUTING|LOAD-BALANCER|NODE-PORT)|filter -A KUBE-(PROXY|SOURCE-RANGES)-FIREWALL) /;
const vipSet = /^(CLUSTER-IP|LOAD-BALANCER|EXTERNAL-IP|EXTERNAL-IP-LOCAL)$/;
/** Sets by which packets are masqueraded or exempt from it. */
const exemption = /^(CLUSTER-IP|LOAD-BALANCER|EXTERNAL-IP|EXTERNAL-IP-LOCAL|LOAD-BALANCER-LOCAL)$/;
const wholeHalves = ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1'];

/** Name in docs/semantics.md → the rule. */
export const differenceRules: ReadonlyMap<string, DifferenceRule> = new Map<string, DifferenceRule>([
  [
    'constant-rules',
    {
      side: 'ours',
      explains: ({ kind, text, set }, { isEmptyThere }) =>
        kind === 'rule' &&
        set !== undefined &&
        conditional.test(text) &&
        isEmptyThere(set) &&
        // These two come together, with the first external IP of either policy.
        (!text.includes(' physdev ') || !['EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'].every(isEmptyThere)),
    },
  ],
  [
    'vips-leave-node-port',
    {
      side: 'ours',
      explains: ({ text, set = '' }) =>
        vipSet.test(set) && /^nat -A KUBE-NODE-PORT -m set --match-set \S+ dst,dst -j RETURN$/.test(text),
    },
  ],
  [
    'own-processes',
    {
      side: 'ours',
      explains: ({ text, set = '' }) =>
        text === 'nat -A KUBE-LOAD-BALANCER -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ' ||
        (/-LOCAL(-|$)/.test(set) &&
          /^nat -A KUBE-(SERVICES|NODE-PORT) .* -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ$/.test(text)),
    },
  ],
  [
    'strict-internal-policy',
    {
      side: 'kube-proxy',
      explains: (line, { facts, frontends }) => {
        const [frontend, ...others] = frontends(line);
        const isInternal = frontend?.kind === 'cluster-ip' && frontend.body.internalPolicyLocal;
        const isElsewhere = !facts.localEndpoints.has(`${frontend?.of} ${line.endpoint}`);
        return line.kind === 'destination' && isInternal && others.length === 0 && isElsewhere;
      },
    },
  ],
  [
    'other-nodes-address',
    {
      side: 'kube-proxy',
      explains: (line, { facts, frontends }) => {
        const { address } = line;
        const isExternal = frontends(line).every(({ kind }) => kind === 'external-ip' || kind === 'load-balancer');
        return address !== undefined && isExternal && facts.otherNodes.has(address) && !facts.onInterfaces.has(address);
      },
    },
  ],
  [
    'cluster-ip-on-an-interface',
    {
      side: 'kube-proxy',
      explains: ({ kind, set, address }, { facts }) =>
        (kind === 'address' || set === 'IPVS-IPS') &&
        address !== undefined &&
        facts.onInterfaces.has(address) &&
        facts.isClusterIP(address),
    },
  ],
  [
    'endpoint-said-twice',
    {
      side: 'both',
      explains: ({ kind, set, endpoint, ...line }, { facts, frontends }) => {
        if (set === 'LOOP-BACK') return [...facts.saidTwice].some((name) => name.endsWith(` ${endpoint}`));
        return kind === 'destination' && frontends({ kind, ...line }).some(({ of }) => facts.saidTwice.has(of));
      },
    },
  ],
  [
    'conflict',
    {
      side: 'both',
      explains: (line, context) =>
        context.frontends(line).length > 1 &&
        (line.side === 'kube-proxy' || line.kind === 'service' || line.kind === 'destination'),
    },
  ],
  [
    'annotations',
    {
      side: 'both',
      explains: (line, { frontends, hasTwin }) =>
        frontends(line).some(({ body: { tuning } }) => {
          if (line.kind === 'service') return tuning?.scheduler !== undefined && hasTwin(line);
          if (tuning?.forward === undefined) return false;
          return line.kind === 'destination' ? hasTwin(line) : exemption.test(line.set ?? '');
        }),
    },
  ],
  [
    'weights',
    {
      side: 'both',
      explains: (line, { facts, frontends, hasTwin }) =>
        line.kind === 'destination' &&
        (line.side === 'ours' || line.text.endsWith(' -w 1')) &&
        hasTwin(line) &&
        frontends(line).some(({ of }) => facts.weighed.has(of)),
    },
  ],
  [
    'whole-range',
    {
      side: 'ours',
      explains: (line, { frontends, family }) =>
        line.set?.startsWith('LOAD-BALANCER-SOURCE-CID') === true &&
        wholeHalves.includes(line.net ?? '') &&
        frontends(line).some(({ body }) => body.sourceRanges.includes(family === 'IPv4' ? '0.0.0.0/0' : '::/0')),
    },
  ],
  [
    'ranges-of-the-other-family',
    {
      side: 'ours',
      explains: (line, { frontends, family }) =>
        (line.set === 'LOAD-BALANCER-FW' || line.text.startsWith('filter -A KUBE-IPVS-OUT-FILTER ')) &&
        frontends(line).some(
          ({ kind, body }) =>
            kind === 'load-balancer' &&
            body.hasSourceRanges &&
            body.sourceRanges.every((range) => (range.includes(':') ? 'IPv6' : 'IPv4') !== family),
        ),
    },
  ],
  [
    'health-check-without-node-port',
    {
      side: 'ours',
      explains: ({ kind, set }, { facts, family }) =>
        kind === 'entry' &&
        set === 'HEALTH-CHECK-NODE-PORT' &&
        ![...facts.onInterfaces].some((address) => familyOf(address) === family),
    },
  ],
  [
    'special-address',
    {
      side: 'kube-proxy',
      explains: ({ address, endpoint }) =>
        [address, endpoint].some((one) => one !== undefined && specialAddress(one) !== undefined),
    },
  ],
]);

export function differencesOf(theirs: Tables, ours: Tables, cluster: Cluster): readonly Difference[] {
  const contexts = contextsOf(theirs, ours, factsOf(cluster));
  const sides = { 'kube-proxy': theirs, ours };
  const lines: { readonly line: Line; readonly family: IpFamily }[] = [];
  const add = (line: Line, family: IpFamily): void => void lines.push({ line, family });
  for (const [side, other] of [
    ['kube-proxy', 'ours'],
    ['ours', 'kube-proxy'],
  ] as const) {
    for (const text of more(sides[side].ipvs, sides[other].ipvs)) add(...ipvsLine(side, text));
    for (const text of more(sides[side].sets, sides[other].sets)) add(...entryLine(side, text));
    for (const text of more(sides[side].addresses, sides[other].addresses)) {
      add({ side, text: `address ${text}`, kind: 'address', address: parseAddress(text) }, familyOfText(text));
    }
    for (const family of ['IPv4', 'IPv6'] as const) {
      for (const text of more(sides[side].rules.get(family) ?? [], sides[other].rules.get(family) ?? []))
        add(ruleLine(side, text), family);
    }
  }
  for (const family of ['IPv4', 'IPv6'] as const) {
    for (const chain of outOfOrder(theirs.rules.get(family) ?? [], ours.rules.get(family) ?? []))
      add({ side: 'ours', text: `order of ${family} ${chain}`, kind: 'order' }, family);
  }
  return lines.map(({ line, family }) => ({
    side: line.side,
    line: line.text,
    rule: explanation(line, contexts[family]),
  }));
}

function explanation(line: Line, context: Context): string | undefined {
  if (line.kind === 'order') return undefined;
  if (line.kind === 'rule' && line.side === 'kube-proxy' && line.set !== undefined) {
    // A rule that is there for entries that we do not have: it differs for the reason that those do.
    const reasons = context.reasonsThere(line.set);
    return reasons.includes(undefined) ? undefined : reasons[0];
  }
  for (const [name, { side, explains }] of differenceRules) {
    if ((side === 'both' || side === line.side) && explains(line, context)) return name;
  }
  return undefined;
}

const knownFacts = new WeakMap<Cluster, ClusterFacts>();

function factsOf(cluster: Cluster): ClusterFacts {
  const facts = knownFacts.get(cluster) ?? new ClusterFacts(cluster);
  knownFacts.set(cluster, facts);
  return facts;
}

function contextsOf(theirs: Tables, ours: Tables, facts: ClusterFacts): Readonly<Record<IpFamily, Context>> {
  const entries = new Map<string, string[]>();
  for (const line of theirs.sets) {
    const [, name = ''] = line.split(' ');
    const known = entries.get(name);
    if (known === undefined) entries.set(name, [line]);
    else known.push(line);
  }
  const identities = { ours: new Set(theirs.ipvs.map(identityOf)), 'kube-proxy': new Set(ours.ipvs.map(identityOf)) };
  const contextOf = (family: IpFamily): Context => {
    const entriesOf = (set: string): readonly string[] =>
      entries.get(`${family === 'IPv4' ? 'KUBE-' : 'KUBE-6-'}${set}`) ?? [];
    const context: Context = {
      facts,
      family,
      frontends: (line) => facts.frontendsOf({ ...line, family }),
      hasTwin: ({ side, text }) => identities[side].has(identityOf(text)),
      isEmptyThere: (set) => entriesOf(set).length === 0,
      reasonsThere: (set) => entriesOf(set).map((text) => explanation(entryLine('kube-proxy', text)[0], context)),
    };
    return context;
  };
  return { IPv4: contextOf('IPv4'), IPv6: contextOf('IPv6') };
}

/** Lines of the first that the second lacks, as often as it lacks them. */
function more(first: readonly string[], second: readonly string[]): readonly string[] {
  const left = new Map<string, number>();
  for (const line of second) left.set(line, (left.get(line) ?? 0) + 1);
  return first.filter((line) => {
    const count = left.get(line) ?? 0;
    left.set(line, count - 1);
    return count <= 0;
  });
}

/** Chains in which the lines that both have are in another order. Rules of KUBE-IPVS-OUT-FILTER exclude one another: they have none. */
function outOfOrder(theirs: readonly RuleLine[], ours: readonly RuleLine[]): readonly string[] {
  const chainOf = (line: RuleLine): string => line.split(' ').slice(0, 3).join(' ');
  const chains = new Set(theirs.map(chainOf));
  chains.delete('filter -A KUBE-IPVS-OUT-FILTER');
  return [...chains].filter((chain) => {
    const [a = [], b = []] = [theirs, ours].map((lines) => lines.filter((line) => chainOf(line) === chain));
    const [inA, inB] = [new Set(a), new Set(b)];
    return a.filter((line) => inB.has(line)).join('\n') !== b.filter((line) => inA.has(line)).join('\n');
  });
}
