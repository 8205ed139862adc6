/**
 * The real kube-proxy's dumps, entry for entry and rule for rule, but for the rules that compare-rules.ts names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { projectNode } from '../../../lib/kube/node-projection.ts';
import { projectService } from '../../../lib/kube/service-projection.ts';
import { projectSlice } from '../../../lib/kube/slice-projection.ts';
import { Planner } from '../../../lib/plan/planner.ts';
import { familyRules, type RuleOptions, type RuleSet, ruleChanges, staticRules } from '../../../lib/plan/rules.ts';
import { setIdOf, setSpecs } from '../../../lib/plan/sets.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { assertRulesCover } from '../../harness/compare-rules.ts';
import { fixtureDump, fixtureObjects } from '../../harness/kube-proxy-dump.ts';
import { ip, message, planDefaults } from '../../harness/records.ts';
import { stateText } from '../../harness/state-text.ts';

const families = ['IPv4', 'IPv6'] as const;

/** kube-proxy ran without a cluster CIDR. */
const ruleOptions: RuleOptions = {
  masqueradeAll: false,
  masqueradeBit: 14,
  randomFully: true,
  detectLocal: { mode: 'ClusterCIDR', cidrs: [] },
  podCIDRs: [],
};

interface Scenario {
  readonly name: string;
  readonly nodeAddresses: readonly string[];
}

const scenarios: readonly Scenario[] = [
  { name: '01-clusterip-tcp', nodeAddresses: ['192.168.50.10'] },
  { name: '02-clusterip-udp-tcp-multiport', nodeAddresses: ['192.168.50.10'] },
  { name: '05-nodeport-cluster', nodeAddresses: ['192.168.50.10'] },
  { name: '08-lb-sourceranges', nodeAddresses: ['192.168.50.10'] },
  { name: '11-dual-stack', nodeAddresses: ['192.168.50.10', 'fd00:50::10'] },
  { name: '17-terminating-endpoints', nodeAddresses: ['192.168.50.10'] },
];

function recordsOf(scenario: Scenario): ObjectRecord[] {
  const records: ObjectRecord[] = [
    {
      source: 'host',
      seq: 0,
      kind: 'nodeAddresses',
      key: 'node-a',
      uid: '',
      body: { addresses: scenario.nodeAddresses.map(ip) },
    },
  ];
  for (const object of fixtureObjects(scenario.name)) {
    const header = { source: 'manifest', seq: records.length };
    if (object.kind === 'Service') {
      const { key = '', uid, body } = projectService(object);
      records.push({ ...header, kind: 'service', key, uid, body });
    } else if (object.kind === 'EndpointSlice') {
      const { key = '', uid, body } = projectSlice(object, 'node-a');
      records.push({ ...header, kind: 'slice', key, uid, body });
    } else {
      const { key = '', uid, body } = projectNode(object, 'node-a');
      records.push({ ...header, kind: 'node', key, uid, body });
    }
  }
  return records;
}

/** As `iptables-save` shows them: each jump went to the top of its chain, so they stand in reverse. */
function savedLines(rules: RuleSet): readonly string[] {
  return rules.tables.flatMap(({ name, chains, jumps }) =>
    [...jumps.toReversed(), ...[...chains.values()].flat()].map((rule) => `${name} ${rule}`),
  );
}

for (const scenario of scenarios) {
  test(`kube-proxy 1.36.2, ${scenario.name}: services, destinations, entries, addresses, sets and rules`, () => {
    const dump = fixtureDump(scenario.name);
    const planner = new Planner({ ...planDefaults, nodeName: 'node-a' });
    planner.apply(message(...recordsOf(scenario)));
    planner.project();
    const ours = stateText(planner.desired);
    assert.ok(ours.ipvs.length > 0);
    assert.deepEqual(ours.ipvs, dump.ipvs);
    assert.deepEqual(ours.sets, dump.sets);
    assert.deepEqual(ours.addresses, dump.addresses);
    const created = families
      .flatMap((family) => setSpecs(family))
      .map((spec) => {
        const inet = spec.family === 'IPv4' ? 'inet' : 'inet6';
        return [spec.name, spec.type, ...(spec.type === 'bitmap:port' ? [] : [inet])].join(' ');
      });
    assert.deepEqual(created.sort(), dump.created);
    for (const family of families) {
      const isEmpty = (set: string): boolean => planner.desired.sets.get(set)?.size === 0;
      const written = savedLines(familyRules(family, ruleOptions, planner.rules.of(family)));
      assertRulesCover(dump.rules.get(family) ?? [], written, isEmpty);
    }
    assert.deepEqual(planner.warnings(), []);
  });
}

test('the set names of the dump are the ones the table knows', () => {
  for (const line of fixtureDump('11-dual-stack').created) assert.ok(setIdOf(line.split(' ')[0] ?? ''), line);
});

test('a running kube-proxy is taken over by rewriting the chains that lack rules, and no jump', () => {
  const saved = ['nat', 'filter'].map((table) => {
    const lines = (fixtureDump('05-nodeport-cluster').rules.get('IPv4') ?? [])
      .filter((line) => line.startsWith(`${table} `))
      .map((line) => line.slice(table.length + 1));
    return [`*${table}`, ...lines, 'COMMIT'].join('\n');
  });
  const input = ruleChanges(saved.join('\n'), staticRules('IPv4', ruleOptions)) ?? '';
  assert.match(input, /^:KUBE-NODE-PORT - \[0:0\]$/m);
  assert.doesNotMatch(input, /^-I /m);
  assert.doesNotMatch(input, /^:KUBE-(MARK-MASQ|POSTROUTING|IPVS-FILTER|FORWARD) /m);
});
