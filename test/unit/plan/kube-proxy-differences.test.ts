/**
 * Our tables beside those of the real kube-proxy 1.36.2, and beside those that behaviour.md says it would write: every difference is explained by
 * a rule of test/harness/kube-proxy-differences.ts, and no other passes.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ResourceKind } from '../../../lib/kube/source.ts';
import { ruleChanges, staticRules } from '../../../lib/plan/rules.ts';
import { setIdOf, setSpecs } from '../../../lib/plan/sets.ts';
import { clusterEvents, ownNode } from '../../harness/arbitrary-objects.ts';
import { type Difference, differenceRules, differencesOf } from '../../harness/kube-proxy-differences.ts';
import { fixtureDump, fixtureNames, fixtureObjects } from '../../harness/kube-proxy-dump.ts';
import { type Cluster, kubeProxyTables, type Tables } from '../../harness/kube-proxy-model.ts';
import { ObjectHistory } from '../../harness/object-history.ts';
import { clusterOf, ourTables, ruleOptions } from '../../harness/object-records.ts';
import { ip } from '../../harness/records.ts';
import { runs } from '../../harness/runs.ts';
import { node, service, slice } from '../kube/objects.ts';

function unexplained(differences: readonly Difference[]): readonly string[] {
  return differences.flatMap(({ side, line, rule }) => (rule === undefined ? [`${side}: ${line}`] : []));
}

function rulesUsed(differences: readonly Difference[]): readonly string[] {
  return [...new Set(differences.flatMap(({ rule }) => rule ?? []))].sort();
}

/** The rules that differ in every cluster: they are there, whatever the Services are. */
const always = ['constant-rules', 'own-processes', 'vips-leave-node-port'];

for (const name of fixtureNames()) {
  const dump = fixtureDump(name);
  const cluster = clusterOf(fixtureObjects(name), 'node-a');

  test(`kube-proxy 1.36.2, ${name}: we write the same, but for rules that harm nothing`, () => {
    assert.ok(dump.ipvs.length > 0 && (dump.rules.get('IPv4')?.length ?? 0) > 20);
    const differences = differencesOf(dump, ourTables(cluster), cluster);
    assert.deepEqual(unexplained(differences), []);
    const created = (['IPv4', 'IPv6'] as const).flatMap(setSpecs).map(({ name: set, type, family }) => {
      const inet = family === 'IPv4' ? 'inet' : 'inet6';
      return [set, type, ...(type === 'bitmap:port' ? [] : [inet])].join(' ');
    });
    assert.deepEqual(created.sort(), dump.created);
    for (const line of dump.created) assert.ok(setIdOf(line.split(' ')[0] ?? ''), line);
  });

  test(`kube-proxy 1.36.2, ${name}: the model of it writes the same, line for line`, () => {
    const model = kubeProxyTables(cluster);
    assert.deepEqual(model.ipvs, dump.ipvs);
    assert.deepEqual(model.sets, dump.sets);
    assert.deepEqual(model.addresses, dump.addresses);
    for (const family of ['IPv4', 'IPv6'] as const) {
      assert.deepEqual(model.rules.get(family)?.toSorted(), dump.rules.get(family)?.toSorted());
    }
  });

  test(`kube-proxy 1.36.2, ${name}: with one line missing, extra or out of order it is not the same`, () => {
    const ours = ourTables(cluster);
    for (const [what, mutated] of mutations(dump)) {
      assert.notDeepEqual(unexplained(differencesOf(mutated, ours, cluster)), [], `in kube-proxy's tables: ${what}`);
    }
  });
}

/** Every single line left out, said twice, changed; every two neighbours of a chain swapped. */
function* mutations(tables: Tables): Generator<readonly [what: string, tables: Tables]> {
  for (const part of ['ipvs', 'sets', 'addresses'] as const) {
    for (const [index, line] of tables[part].entries()) {
      yield [`without ${line}`, { ...tables, [part]: tables[part].toSpliced(index, 1) }];
      yield [`twice ${line}`, { ...tables, [part]: [...tables[part], line] }];
      const other = line.replace(/\d+$/, (number) => String(Number(number) + 1));
      if (other !== line) yield [`${line} as ${other}`, { ...tables, [part]: tables[part].with(index, other) }];
    }
  }
  for (const [family, lines] of tables.rules) {
    const withRules = (changed: readonly string[]): Tables => ({
      ...tables,
      rules: new Map([...tables.rules, [family, changed]]),
    });
    for (const [index, line] of lines.entries()) {
      yield [`without ${family} ${line}`, withRules(lines.toSpliced(index, 1))];
      yield [`twice ${family} ${line}`, withRules([...lines, line])];
      yield [`${family} ${line} as DROP`, withRules(lines.with(index, line.replace(/-j .*$/, '-j LOG')))];
      const next = lines[index + 1];
      const chainOf = (rule = ''): string => rule.split(' ').slice(0, 3).join(' ');
      if (chainOf(next) !== chainOf(line) || next === undefined || chainOf(line).endsWith('-OUT-FILTER')) continue;
      yield [`${family} ${next} before ${line}`, withRules(lines.toSpliced(index, 2, next, line))];
    }
  }
}

const self = node('n1', {
  status: {
    addresses: [
      { type: 'InternalIP', address: '192.168.1.10' },
      { type: 'InternalIP', address: 'fd00:50::10' },
    ],
  },
});
const other = node('n2', { status: { addresses: [{ type: 'InternalIP', address: '192.168.1.20' }] } });
const near = { addresses: ['10.244.1.5'], nodeName: 'n1' };
const far = { addresses: ['10.244.2.7'], nodeName: 'n2' };
const nodePorts = (protocol: string): unknown => [{ name: 'p80', port: 80, protocol, nodePort: 30080 }];
const dual = { clusterIP: undefined, clusterIPs: ['10.96.0.10', 'fd00:96::10'] };
const balanced = (...addresses: string[]): { readonly [key: string]: unknown } => ({
  status: { loadBalancer: { ingress: addresses.map((address) => ({ ip: address })) } },
});

/** Manifests that there is no dump of → the differences that there have to be beside those that there are always. */
const manifests: Readonly<
  Record<string, readonly [objects: readonly { readonly kind: ResourceKind }[], rules: readonly string[]]>
> = {
  'external IPs, both policies, one on an interface': [
    [
      service('a', { externalIPs: ['203.0.113.5', '192.168.1.10'] }),
      service('b', { clusterIP: '10.96.0.11', externalIPs: ['203.0.113.6'], externalTrafficPolicy: 'Local' }),
      slice('a-1', { endpoints: [near, far] }, { 'kubernetes.io/service-name': 'b' }),
    ],
    [],
  ],
  'an external IP of another Node': [[service('a', { externalIPs: ['192.168.1.20'] })], ['other-nodes-address']],
  'load balancer of policy Local with health check': [
    [
      service(
        'svc1',
        { type: 'LoadBalancer', ports: nodePorts('TCP'), externalTrafficPolicy: 'Local', healthCheckNodePort: 32000 },
        balanced('198.18.0.1'),
      ),
      slice('s', { endpoints: [near, far] }),
    ],
    [],
  ],
  'policy Local without a local endpoint': [
    [
      service('svc1', { type: 'NodePort', ports: nodePorts('TCP'), externalTrafficPolicy: 'Local' }),
      slice('s', { endpoints: [far] }),
    ],
    [],
  ],
  'SCTP node port of policy Local': [
    [
      service('svc1', { type: 'NodePort', ports: nodePorts('SCTP'), externalTrafficPolicy: 'Local' }),
      slice('s', { ports: [{ name: 'p80', port: 80, protocol: 'SCTP' }], endpoints: [near] }),
    ],
    [],
  ],
  'dual-stack load balancer, ranges of both families': [
    [
      service(
        'svc1',
        { ...dual, type: 'LoadBalancer', loadBalancerSourceRanges: ['192.168.1.0/24', '2001:db8::/32', '10.1.1.1/32'] },
        balanced('198.18.0.1', '2001:db8:1::1'),
      ),
      slice('s', { endpoints: [near, far] }),
      slice('s6', { addressType: 'IPv6', endpoints: [{ addresses: ['fd00:244::5'], nodeName: 'n1' }] }),
    ],
    [],
  ],
  'ranges of the other family only': [
    [
      service(
        'svc1',
        { ...dual, type: 'LoadBalancer', loadBalancerSourceRanges: ['2001:db8::/32'] },
        balanced('198.18.0.1', '2001:db8:1::1'),
      ),
    ],
    ['ranges-of-the-other-family'],
  ],
  'everybody is in range': [
    [service('svc1', { type: 'LoadBalancer', loadBalancerSourceRanges: ['0.0.0.0/0'] }, balanced('198.18.0.1'))],
    ['whole-range'],
  ],
  'hairpin, not ready, affinity': [
    [
      service('svc1', { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } }),
      slice('s', {
        endpoints: [
          near,
          { ...far, conditions: { ready: false } },
          { addresses: ['10.244.1.6'], nodeName: 'n1', conditions: { ready: false } },
        ],
      }),
    ],
    [],
  ],
  'internal policy Local without a local endpoint, alone': [
    [service('svc1', { internalTrafficPolicy: 'Local' }), slice('s', { endpoints: [far] })],
    [],
  ],
  'internal policy Local without a local endpoint, beside a node port': [
    [
      service('svc1', { internalTrafficPolicy: 'Local', type: 'NodePort', ports: nodePorts('TCP') }),
      slice('s', { endpoints: [far] }),
    ],
    ['strict-internal-policy'],
  ],
  'a cluster IP that an interface has': [
    [service('svc1', { clusterIP: '192.168.1.10' })],
    ['cluster-ip-on-an-interface'],
  ],
  'an endpoint that two slices say differently': [
    [
      service('svc1'),
      slice('s-a', { endpoints: [far] }),
      slice('s-b', { endpoints: [{ ...far, conditions: { ready: false } }] }),
    ],
    ['endpoint-said-twice'],
  ],
  'a health check where no address of the node is of the family': [
    [
      service(
        'svc1',
        {
          clusterIP: 'fd00:96::10',
          type: 'LoadBalancer',
          ports: nodePorts('TCP'),
          externalTrafficPolicy: 'Local',
          healthCheckNodePort: 32000,
        },
        balanced('2001:db8:1::1'),
      ),
      node('n1', { status: { addresses: [{ type: 'InternalIP', address: '192.168.1.10' }] } }),
    ],
    ['health-check-without-node-port'],
  ],
  'a scheduler by annotation': [
    [
      service('svc1', {}, {}, { annotations: { 'ipvs-proxier.io/scheduler': 'wlc' } }),
      slice('s', { endpoints: [near, far] }),
    ],
    ['annotations'],
  ],
  'weights by the zone': [
    [
      service('svc1', {}, {}, { annotations: { 'ipvs-proxier.io/zone-weights': 'z1=3' } }),
      slice('s', { endpoints: [{ ...near, zone: 'z1' }, far] }),
    ],
    ['weights'],
  ],
  'one node port of two Services': [
    [
      service('svc1', { type: 'NodePort', ports: nodePorts('TCP') }, {}, { creationTimestamp: '2026-01-01T00:00:00Z' }),
      service('svc2', {
        clusterIP: '10.96.0.11',
        type: 'NodePort',
        ports: nodePorts('TCP'),
        externalTrafficPolicy: 'Local',
      }),
      slice('s', { endpoints: [near] }),
    ],
    ['conflict'],
  ],
};

for (const [name, [objects, rules]] of Object.entries(manifests)) {
  test(`what kube-proxy would write: ${name}`, () => {
    const cluster = clusterOf(objects.some(({ kind }) => kind === 'Node') ? objects : [self, other, ...objects], 'n1');
    const theirs = kubeProxyTables(cluster);
    const ours = ourTables(cluster);
    const differences = differencesOf(theirs, ours, cluster);
    assert.deepEqual(unexplained(differences), []);
    assert.deepEqual(rulesUsed(differences), [...always, ...rules].sort());
    // What differs on purpose may differ in another way.
    const meant = differences.map(({ line }) => line.replace(/^address /, ''));
    let count = 0;
    for (const [what, mutated] of rules.includes('conflict') ? [] : mutations(theirs)) {
      count += 1;
      if (count % runs(8, 1) !== 0) continue;
      if (meant.some((line) => what.includes(line))) continue;
      assert.notDeepEqual(unexplained(differencesOf(mutated, ours, cluster)), [], `in kube-proxy's tables: ${what}`);
    }
  });
}

test('every rule is needed, is in docs/semantics.md, and there is no other', () => {
  const root = join(import.meta.dirname, '../../../..');
  const documented = readFileSync(join(root, 'docs/semantics.md'), 'utf8').matchAll(/^\| `([a-z-]+)` \|/gm);
  assert.deepEqual([...documented].map(([, name]) => name).sort(), [...differenceRules.keys()].sort());
  const needed = [...always, ...Object.values(manifests).flatMap(([, rules]) => rules)];
  // Of addresses that can be no frontend or endpoint the projection makes no records: only a dump can have them.
  assert.deepEqual([...new Set([...needed, 'special-address'])].sort(), [...differenceRules.keys()].sort());
});

test('for any objects every difference is explained', () => {
  fc.assert(
    fc.property(fc.array(clusterEvents, { minLength: 8, maxLength: 16 }), (events) => {
      const history = new ObjectHistory({ saysAddresses: false });
      for (const event of events) history.take({ ...event, ...('source' in event && { source: 'a' }) });
      const cluster: Cluster = {
        records: history.store.snapshot(),
        nodeName: ownNode,
        interfaceAddresses: history.addresses.map(ip),
      };
      const differences = differencesOf(kubeProxyTables(cluster), ourTables(cluster), cluster);
      assert.deepEqual(unexplained(differences), []);
    }),
    { numRuns: runs(200) },
  );
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
