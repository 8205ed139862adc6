/** Objects of a manifest as records, and our tables for them. */
import { RecordStore } from '../../lib/kube/record-store.ts';
import type { ResourceKind } from '../../lib/kube/source.ts';
import { Planner } from '../../lib/plan/planner.ts';
import { familyRules, type RuleOptions, type RuleSet } from '../../lib/plan/rules.ts';
import type { Cluster, Tables } from './kube-proxy-model.ts';
import { nodeAddresses, planDefaults } from './records.ts';
import { stateText } from './state-text.ts';

/** The interfaces of the node have the addresses that its Node says. */
export function clusterOf(objects: readonly { readonly kind: ResourceKind }[], nodeName: string): Cluster {
  const store = new RecordStore({ nodeName });
  const sink = store.sinkFor({ name: 'manifest', kinds: ['Service', 'EndpointSlice', 'Node'] });
  for (const object of objects) sink.upsert(object.kind, object);
  const records = store.snapshot();
  const interfaceAddresses = records.flatMap(({ kind, body }) =>
    kind === 'node' && body?.self === true ? body.addresses : [],
  );
  return { records, nodeName, interfaceAddresses };
}

/** kube-proxy ran without a cluster CIDR. */
export const ruleOptions: RuleOptions = {
  masqueradeAll: false,
  masqueradeBit: 14,
  randomFully: true,
  detectLocal: { mode: 'ClusterCIDR', cidrs: [] },
  podCIDRs: [],
};

/** What we write for a cluster, with the options as they are by default. */
export function ourTables({ records, nodeName, interfaceAddresses }: Cluster): Tables {
  const planner = new Planner({ ...planDefaults, nodeName });
  const addresses = nodeAddresses(...interfaceAddresses);
  planner.apply({ records: [...records, { ...addresses, key: nodeName }], snapshot: 'whole', allSynced: true });
  planner.project();
  const rules = planDefaults.families.map((family) => {
    return [family, savedLines(familyRules(family, ruleOptions, planner.rules.of(family)))] as const;
  });
  return { ...stateText(planner.desired), rules: new Map(rules) };
}

/** As `iptables-save` shows them: each jump went to the top of its chain, so they stand in reverse. */
export function savedLines(rules: RuleSet): readonly string[] {
  return rules.tables.flatMap(({ name, chains, jumps }) =>
    [...jumps.toReversed(), ...[...chains.values()].flat()].map((rule) => `${name} ${rule}`),
  );
}
