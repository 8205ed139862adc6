/** Saved rules → what iptables-restore has to be told so that a proxier's chains are gone, and nothing else is. */
import { chainOf, parseSaved, type SavedTable } from './rule-changes.ts';
import type { RuleLine } from './rule-set.ts';
import { staticRules } from './rules.ts';

export interface RuleRemoval {
  /** Input for `iptables-restore --noflush`, undefined when there is nothing to remove. */
  readonly text: string | undefined;
  /** Chains of ours that stay because chains of others lead to them: `nat KUBE-MARK-MASQ is used by CNI-HOSTPORT`. */
  readonly kept: readonly string[];
}

/** Whether a chain of a table is a proxier's. */
export type OwnChain = (table: string, chain: string) => boolean;

const ipvsChains: ReadonlySet<string> = new Set(
  staticRules('IPv4', {
    masqueradeAll: false,
    masqueradeBit: 14,
    randomFully: true,
    detectLocal: { mode: 'NodeCIDR' },
    podCIDRs: [],
  }).tables.flatMap(({ name, chains }) => [...chains.keys()].map((chain) => `${name} ${chain}`)),
);

/** Chains of IPVS mode: ours and kube-proxy's are the same. KUBE-FIREWALL and KUBE-KUBELET-CANARY are the kubelet's. */
export function isIpvsModeChain(table: string, chain: string): boolean {
  return ipvsChains.has(`${table} ${chain}`);
}

/** Chains of kube-proxy's iptables mode that IPVS mode does not have: one or more for every Service and endpoint. */
export function isIptablesModeChain(_table: string, chain: string): boolean {
  return /^KUBE-((SVC|SVL|SEP|FW|XLB|EXT)-[A-Z0-9]{16}|SERVICES|EXTERNAL-SERVICES|NODEPORTS|PROXY-FIREWALL|PROXY-CANARY)$/.test(
    chain,
  );
}

/**
 * Jumps from the built-in chains, the rules, the chains: in one commit for each table. A chain to which a chain of others leads cannot be
 * removed: it stays, with its rules, for those others.
 *
 * @param saved output of `iptables-save`, with or without counters
 */
export function ruleRemoval(saved: string, isOwn: OwnChain): RuleRemoval {
  const kept: string[] = [];
  const blocks = [...parseSaved(saved)].flatMap(([name, table]) => tableRemoval(name, table, isOwn, kept) ?? []);
  return { text: blocks.length === 0 ? undefined : `${blocks.join('\n')}\n`, kept };
}

function tableRemoval(name: string, table: SavedTable, isOwn: OwnChain, kept: string[]): string | undefined {
  const own = new Set([...table.chains.keys()].filter((chain) => isOwn(name, chain)));
  if (own.size === 0) return undefined;
  const jumps: RuleLine[] = [];
  const stays = new Map<string, string>();
  for (const [chain, rules] of table.chains) {
    if (own.has(chain)) continue;
    for (const rule of rules) {
      const target = targetOf(rule);
      if (target === undefined || !own.has(target)) continue;
      if (builtIn.has(chain)) jumps.push(rule);
      else stays.set(target, chain);
    }
  }
  // What a chain that stays leads to stays, too.
  for (const [chain, user] of stays) {
    kept.push(`${name} ${chain} is used by ${user}`);
    own.delete(chain);
    for (const rule of table.chains.get(chain) ?? []) {
      const target = targetOf(rule);
      if (target !== undefined && own.has(target) && !stays.has(target)) stays.set(target, chain);
    }
  }
  const removable = jumps.filter((rule) => own.has(targetOf(rule) ?? ''));
  if (own.size === 0) return undefined;
  return [
    `*${name}`,
    ...[...own].map((chain) => `:${chain} - [0:0]`),
    ...removable.map((rule) => rule.replace(/^-A/, '-D')),
    ...[...own].map((chain) => `-X ${chain}`),
    'COMMIT',
  ].join('\n');
}

const builtIn: ReadonlySet<string> = new Set(['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING']);

function targetOf(rule: RuleLine): string | undefined {
  return / -[jg] (\S+)/.exec(rule.slice(`-A ${chainOf(rule)}`.length))?.[1];
}
