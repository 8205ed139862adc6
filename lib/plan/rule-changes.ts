/** Saved rules against wanted ones → what iptables-restore has to be told. */
import { outFilterChain, outFilterService } from './out-filter.ts';
import type { RuleLine, RuleSet, RuleTable, ServiceRules } from './rule-set.ts';
import type { ServiceId } from './state.ts';

export interface SavedTable {
  /** Every chain of the table, built-in ones included, with its rules. */
  readonly chains: ReadonlyMap<string, readonly RuleLine[]>;
}

/**
 * Input for `iptables-restore --noflush` that mends what differs, undefined when nothing does. A chain of ours that differs in a
 * line or in the order of lines is emptied and refilled in the one commit of its table; one that is right is left out, so
 * its counters and its rules stay. A missing jump goes to the top of its chain; one that is there stays where it is.
 *
 * @param saved output of `iptables-save` for nat and filter, with or without counters; a table that is missing is empty
 */
export function ruleChanges(saved: string, wanted: RuleSet): string | undefined {
  const tables = parseSaved(saved);
  const blocks = wanted.tables.flatMap((table) => tableChanges(tables.get(table.name), table) ?? []);
  return blocks.length === 0 ? undefined : `${blocks.join('\n')}\n`;
}

/**
 * What there is in the kernel of what Services ask for; rules that we would not write are left out.
 *
 * @param saved output of `iptables-save`
 */
export function savedServiceRules(saved: string): ServiceRules {
  const tables = parseSaved(saved);
  const outFilters = new Map<ServiceId, RuleLine>();
  for (const line of tables.get('filter')?.chains.get(outFilterChain) ?? []) {
    const service = outFilterService(line);
    if (service !== undefined) outFilters.set(service, line);
  }
  const services = tables.get('nat')?.chains.get('KUBE-SERVICES') ?? [];
  return { externalIPs: services.some((line) => line.includes(' -m physdev ')), outFilters };
}

function tableChanges(saved: SavedTable | undefined, wanted: RuleTable): string | undefined {
  const differing = [...wanted.chains].filter(([name, rules]) => {
    const there = saved?.chains.get(name);
    const stays = wanted.provisional?.has(name) === true && there !== undefined && there.length > 0;
    return !stays && !sameLines(there, rules);
  });
  const missing = wanted.jumps.filter((jump) => !saved?.chains.get(chainOf(jump))?.includes(jump));
  if (differing.length === 0 && missing.length === 0) return undefined;
  return [
    `*${wanted.name}`,
    ...differing.map(([name]) => `:${name} - [0:0]`),
    ...differing.flatMap(([, rules]) => rules),
    ...missing.map((jump) => jump.replace(/^-A/, '-I')),
    'COMMIT',
  ].join('\n');
}

function sameLines(a: readonly RuleLine[] | undefined, b: readonly RuleLine[]): boolean {
  return a !== undefined && a.length === b.length && a.every((line, index) => line === b[index]);
}

/** `-A KUBE-SERVICES …` → `KUBE-SERVICES`. */
export function chainOf(rule: RuleLine): string {
  return rule.split(' ', 2)[1] ?? '';
}

/** The tables of `iptables-save`'s output by name: `nat`, `filter`, `mangle`, … */
export function parseSaved(saved: string): ReadonlyMap<string, SavedTable> {
  const tables = new Map<string, { chains: Map<string, RuleLine[]> }>();
  let current: Map<string, RuleLine[]> | undefined;
  for (const raw of saved.split('\n')) {
    const line = raw.trim().replace(/^\[\d+:\d+\] /, '');
    if (line.startsWith('*')) {
      current = new Map();
      tables.set(line.slice(1), { chains: current });
    } else if (line === 'COMMIT') {
      current = undefined;
    } else if (line.startsWith(':')) {
      const name = line.slice(1).split(' ', 1)[0] ?? '';
      if (current !== undefined && !current.has(name)) current.set(name, []);
    } else if (line.startsWith('-A ')) {
      const name = chainOf(line);
      const rules = current?.get(name);
      if (rules === undefined) current?.set(name, [line]);
      else rules.push(line);
    }
  }
  return tables;
}
