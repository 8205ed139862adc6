/** Objects of a manifest as records, and our tables for them. */
import { projectNode } from '../../lib/kube/node-projection.ts';
import { projectService } from '../../lib/kube/service-projection.ts';
import { projectSlice } from '../../lib/kube/slice-projection.ts';
import { Planner } from '../../lib/plan/planner.ts';
import { familyRules, type RuleOptions, type RuleSet } from '../../lib/plan/rules.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import type { Cluster, Tables } from './kube-proxy-model.ts';
import { nodeAddresses, planDefaults } from './records.ts';
import { stateText } from './state-text.ts';

/** The interfaces of the node have the addresses that its Node says. */
export function clusterOf(objects: readonly { readonly kind: string }[], nodeName: string): Cluster {
  const records = objects.map((object, seq): ObjectRecord => {
    const header = { source: 'manifest', seq };
    if (object.kind === 'Service') {
      const { key = '', uid, body } = projectService(object);
      return { ...header, kind: 'service', key, uid, body };
    }
    if (object.kind === 'EndpointSlice') {
      const { key = '', uid, body } = projectSlice(object, nodeName);
      return { ...header, kind: 'slice', key, uid, body };
    }
    const { key = '', uid, body } = projectNode(object, nodeName);
    return { ...header, kind: 'node', key, uid, body };
  });
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
