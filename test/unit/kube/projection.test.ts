import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { projectNode } from '../../../lib/kube/node-projection.ts';
import { projectService } from '../../../lib/kube/service-projection.ts';
import { projectSlice } from '../../../lib/kube/slice-projection.ts';
import { node, service, slice } from './objects.ts';

type Fields = { readonly [key: string]: unknown };

function serviceOf(spec: Fields, rest: Fields = {}): ReturnType<typeof projectService> {
  return projectService(service('svc1', spec, rest));
}

/** One row: a spec, what is expected of the body, and one pattern for each problem in order. */
type Row = readonly [spec: Fields, body: Fields | null, ...problems: RegExp[]];

/** What comes out otherwise than the rows say, a line each; nothing when all is as expected. */
function deviations(
  rows: readonly Row[],
  project: (fields: Fields) => { body: unknown; problems: readonly string[] },
): string[] {
  return rows.flatMap(([fields, expected, ...patterns]) => {
    const { body, problems } = project(fields);
    const told = patterns.length === problems.length && patterns.every((each, at) => each.test(problems[at] ?? ''));
    if (told && isAsExpected(body, expected)) return [];
    return [`${JSON.stringify(fields)}: ${JSON.stringify(body)}, ${problems.join('; ') || 'nothing told'}`];
  });
}

/** `assert.partialDeepStrictEqual` is not in Node 20. */
function isAsExpected(body: unknown, expected: Fields | null): boolean {
  if (expected === null || typeof body !== 'object' || body === null) return body === expected;
  const found = new Map<string, unknown>(Object.entries(body));
  return Object.entries(expected).every(([key, value]) => isDeepStrictEqual(found.get(key), value));
}

test('a whole Service comes to a whole body (T28)', () => {
  const projection = projectService(
    service(
      'svc1',
      {
        type: 'LoadBalancer',
        clusterIP: '10.96.0.10',
        clusterIPs: ['10.96.0.10', 'FD00::10'],
        ipFamilies: ['IPv4', 'IPv6'],
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP', nodePort: 30053, targetPort: 'dns' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
          { name: 'assoc', port: 9, protocol: 'SCTP' },
        ],
        externalIPs: ['192.0.2.7', ' ', '192.0.2.7', '2001:DB8::7'],
        loadBalancerSourceRanges: [' 10.0.0.5/8 ', '2001:db8::1/32'],
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
        internalTrafficPolicy: 'Local',
        externalTrafficPolicy: 'Local',
        healthCheckNodePort: 32000,
      },
      {
        status: {
          loadBalancer: {
            ingress: [
              { ip: '198.51.100.1' },
              { ip: '198.51.100.2', ipMode: 'VIP' },
              { ip: '198.51.100.3', ipMode: 'Proxy' },
              { hostname: 'lb.example' },
            ],
          },
        },
      },
      { creationTimestamp: '2026-11-21T10:00:00Z' },
    ),
  );
  assert.deepEqual(projection, {
    key: 'ns1/svc1',
    uid: 'uid-svc1',
    problems: [],
    body: {
      createdMs: Date.UTC(2026, 10, 21, 10),
      clusterIPs: ['10.96.0.10', 'fd00::10'],
      ports: [
        { name: 'dns', protocol: 'udp', port: 53, nodePort: 30053 },
        { name: 'dns-tcp', protocol: 'tcp', port: 53, nodePort: 0 },
        { name: 'assoc', protocol: 'sctp', port: 9, nodePort: 0 },
      ],
      externalIPs: ['192.0.2.7', '2001:db8::7'],
      loadBalancerIPs: ['198.51.100.1', '198.51.100.2'],
      sourceRanges: ['10.0.0.0/8', '2001:db8::/32'],
      hasSourceRanges: true,
      affinitySeconds: 60,
      internalPolicyLocal: true,
      externalPolicyLocal: true,
      healthCheckNodePort: 32000,
    },
  });
});

test('Services with nothing to proxy are silent, unusable cluster IPs are named (T94, T108)', () => {
  assert.deepEqual(
    deviations(
      [
        [{ clusterIP: 'None' }, null],
        [{ clusterIP: 'None', clusterIPs: ['None'] }, null],
        [{ clusterIP: '' }, null],
        [{ clusterIP: undefined }, null],
        [{ type: 'ExternalName' }, null],
        [{ ports: [] }, null],
        [{ ports: null }, null],
        [{ clusterIP: undefined, clusterIPs: ['10.96.0.11'] }, { clusterIPs: ['10.96.0.11'] }],
        [{ clusterIPs: ['10.96.0.10', 'fd00::1'] }, { clusterIPs: ['10.96.0.10', 'fd00::1'] }],
        [{ clusterIPs: ['10.96.0.10'], ipFamilies: ['IPv4', 'IPv6'] }, { clusterIPs: ['10.96.0.10'] }],
        [{ clusterIPs: ['fd00::1'], ipFamilies: ['IPv4'] }, null, /clusterIPs\[0\]: fd00::1 is IPv6/],
        ...['999.1.1.1', '010.96.0.10', '10.96.0.10/32', '::ffff:10.0.0.1', 'fe80::1%eth0', '10.96.0.10\n', 7].map(
          (clusterIP): Row => [{ clusterIP }, null, /^spec\.clusterIP: .* is (not|an)/],
        ),
        ...['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', 'fe80::1', '::', '::1', 'ff02::1'].map(
          (clusterIP): Row => [{ clusterIP }, null, /cannot be a virtual IP/],
        ),
        [{ clusterIP: '240.0.0.1' }, { clusterIPs: ['240.0.0.1'] }],
      ],
      serviceOf,
    ),
    [],
  );
});

test('a bad port costs the port, a bad node port the node port (T95, T100)', () => {
  const good = { name: 'good', port: 1 };
  const kept = { ports: [{ name: 'good', protocol: 'tcp', port: 1, nodePort: 0 }] };
  assert.deepEqual(
    deviations(
      [
        ...[0, -1, 65536, 1.5, '80', null, Number.NaN].map(
          (port): Row => [{ ports: [good, { name: 'bad', port }] }, kept, /^spec\.ports\[1\]\.port: .*\(1\.\.65535\)/],
        ),
        [{ ports: [{ ...good, nodePort: 70000 }] }, kept, /ports\[0\]\.nodePort: 70000/],
        [{ ports: [{ ...good, nodePort: 0, protocol: null }] }, kept],
        [{ ports: [good, { name: 'i', port: 2, protocol: 'ICMP' }] }, kept, /"ICMP" is none of TCP/],
        [{ ports: [good, { ...good, port: 2 }] }, kept, /the first one is served/],
        [{ ports: [good, null, 5, []] }, kept, /ports\[1\]: null/, /ports\[2\]: 5/, /ports\[3\]: \[\]/],
        [{ ports: [good, { name: { a: 1 }, port: 2 }] }, kept, /name: \{"a":1\}/],
        [{ ports: 'none' }, null, /spec\.ports: "none" is not a list/],
        [
          { ports: [{ port: 1 }, { port: 1, protocol: 'UDP' }] },
          {
            ports: [
              { name: '', protocol: 'tcp', port: 1, nodePort: 0 },
              { name: '', protocol: 'udp', port: 1, nodePort: 0 },
            ],
          },
        ],
        [
          { ports: [{ name: '__proto__', port: 1 }] },
          { ports: [{ name: '__proto__', protocol: 'tcp', port: 1, nodePort: 0 }] },
        ],
      ],
      serviceOf,
    ),
    [],
  );
});

test('affinity, policies, ranges and addresses outside the cluster (T104, T105, T109)', () => {
  const affinity = (timeoutSeconds: unknown): Fields => ({
    sessionAffinity: 'ClientIP',
    sessionAffinityConfig: { clientIP: { timeoutSeconds } },
  });
  assert.deepEqual(
    deviations(
      [
        [{ sessionAffinity: 'ClientIP' }, { affinitySeconds: 10800 }],
        [{ sessionAffinity: 'ClientIP', sessionAffinityConfig: null }, { affinitySeconds: 10800 }],
        [affinity(0), { affinitySeconds: 10800 }, /timeoutSeconds: 0 is not/],
        [affinity(-5), { affinitySeconds: 10800 }, /-5/],
        [affinity(1e9), { affinitySeconds: 86400 }, /1000000000 .* taken as 86400/],
        [affinity('60'), { affinitySeconds: 10800 }, /"60"/],
        [{ sessionAffinity: 'None' }, { affinitySeconds: 0 }],
        [{ sessionAffinity: 'Cookie' }, { affinitySeconds: 0 }, /neither None nor ClientIP/],
        // externallyAccessible: the policy of a Service that nobody reaches from outside is no policy.
        [{ externalTrafficPolicy: 'Local' }, { externalPolicyLocal: false }],
        [{ externalTrafficPolicy: 'Local', externalIPs: ['192.0.2.1'] }, { externalPolicyLocal: true }],
        [
          { externalTrafficPolicy: 'Local', externalIPs: ['bad'] },
          { externalPolicyLocal: false },
          /externalIPs\[0\]: "bad"/,
        ],
        [
          { externalTrafficPolicy: 'Local', type: 'NodePort' },
          { externalPolicyLocal: true, healthCheckNodePort: 0 },
        ],
        [
          { externalTrafficPolicy: 'Local', type: 'LoadBalancer' },
          { healthCheckNodePort: 0 },
          /healthCheckNodePort: nothing/,
        ],
        [
          { externalTrafficPolicy: 'Cluster', type: 'LoadBalancer', healthCheckNodePort: 3 },
          { healthCheckNodePort: 0 },
        ],
        [{ internalTrafficPolicy: 'Somewhere' }, { internalPolicyLocal: false }, /"Somewhere"/],
        [{ type: 'Weird' }, { clusterIPs: ['10.96.0.10'] }, /spec\.type: "Weird"/],
        [{ loadBalancerSourceRanges: [] }, { hasSourceRanges: false, sourceRanges: [] }],
        [
          { loadBalancerSourceRanges: ['nonsense', 4] },
          { hasSourceRanges: true, sourceRanges: [] },
          /\[0\]: "nonsense"/,
          /\[1\]: 4/,
        ],
        [
          { loadBalancerSourceRanges: '10.0.0.0/8' },
          { hasSourceRanges: true, sourceRanges: [] },
          /every source is denied/,
        ],
        [{ externalIPs: ['127.0.0.1', '192.0.2.1'] }, { externalIPs: ['192.0.2.1'] }, /loopback/],
        [{ externalIPs: 'x' }, { externalIPs: [] }, /not a list/],
      ],
      serviceOf,
    ),
    [],
  );
  assert.match(serviceOf({}, { spec: 'x' }).problems[0] ?? '', /^spec: "x"/);
  assert.match(
    serviceOf(
      {},
      { status: { loadBalancer: { ingress: [{ ip: 'x' }, null, { ip: '192.0.2.1', ipMode: 'Odd' }] } } },
    ).problems.join('\n'),
    /ingress\[0\]\.ip: "x".*\n.*ingress\[2\]\.ipMode: "Odd"/,
  );
});

test('endpoints and slice ports are skipped one by one (T96 to T99, T102)', () => {
  const onlyAddress = (address: unknown): Fields => ({
    endpoints: [{ addresses: [address] }, { addresses: ['10.244.1.9'] }],
  });
  const kept = { addresses: ['10.244.1.9'], conditions: [3] };
  assert.deepEqual(
    deviations(
      [
        [{}, { service: 'ns1/svc1', family: 'IPv4', addresses: ['10.244.1.5'], conditions: [11] }],
        [{ addressType: 'FQDN' }, null],
        [{ addressType: 'IPv5' }, null, /addressType: "IPv5"/],
        [{ addressType: undefined }, null, /addressType: nothing/],
        [{ ports: [{ name: 'a', port: null }] }, { ports: [] }, /ports\[0\]\.port: null/],
        [{ ports: [{ name: 'a', port: 0 }] }, { ports: [] }, /ports\[0\]\.port: 0/],
        [{ ports: [{ name: null, port: 1 }] }, { ports: [] }, /ports\[0\]\.name: null/],
        [{ ports: [{ name: '', port: 1, protocol: null }] }, { ports: [{ name: '', protocol: 'tcp', port: 1 }] }],
        [{ ports: [{ name: 'a', port: 1, protocol: 'ICMP' }] }, { ports: [] }, /"ICMP"/],
        [{ ports: 3 }, { ports: [] }, /ports: 3 is not a list/],
        [
          { endpoints: null, ports: null },
          { addresses: [], ports: [] },
        ],
        [{ endpoints: 'x' }, { addresses: [] }, /endpoints: "x"/],
        [{ endpoints: [{ addresses: [] }, null] }, { addresses: [] }, /endpoints\[0\]/, /endpoints\[1\]/],
        [{ endpoints: [{ addresses: ['10.1.1.1', '10.1.1.2'] }] }, { addresses: ['10.1.1.1'] }],
        ...[
          'fd00::1',
          '::ffff:10.0.0.1',
          '127.0.0.1',
          '169.254.1.1',
          '224.0.0.1',
          '0.0.0.0',
          '255.255.255.255',
          'x',
          5,
        ].map(
          (address): Row => [onlyAddress(address), kept, /^endpoints\[0\]\.addresses\[0\]: .* the endpoint is skipped/],
        ),
        ...['::1', 'fe80::1', 'ff02::1', '10.0.0.1', '::'].map(
          (address): Row => [
            { addressType: 'IPv6', endpoints: [{ addresses: [address] }, { addresses: ['FD00::0:1'] }] },
            { family: 'IPv6', addresses: ['fd00::1'] },
            /endpoints\[0\]/,
          ],
        ),
        [
          {
            endpoints: [
              {
                addresses: ['10.1.1.1'],
                conditions: { ready: false, serving: true, terminating: true },
                nodeName: 'n2',
              },
              {
                addresses: ['10.1.1.2'],
                conditions: { ready: null },
                hints: { forZones: [{ name: 'z1' }, {}], forNodes: [{ name: '__proto__' }] },
              },
              { addresses: ['10.1.1.3'], conditions: { ready: false, serving: false } },
            ],
          },
          { conditions: [6, 3, 0], zoneHints: [[], ['z1'], []], nodeHints: [[], ['__proto__'], []] },
        ],
      ],
      (fields) => projectSlice(slice('s1', fields), 'n1'),
    ),
    [],
  );
  assert.match(projectSlice(slice('s1', {}, {}), 'n1').problems.join(), /service-name"\]: nothing names no Service/);
  assert.equal('zoneHints' in (projectSlice(slice('s1'), 'n1').body ?? {}), false);
  assert.deepEqual(projectSlice(slice('s1'), '').body?.conditions, [3], 'without an own node name nothing is local');
  const many = Array.from({ length: 1000 }, () => ({ addresses: ['::1'] }));
  assert.equal(
    projectSlice(slice('s1', { endpoints: many }), 'n1').problems.length,
    6,
    'a thousand bad endpoints are summed up',
  );
});

test('five thousand of a kind in one object are all there, or told in a few words (T106)', () => {
  const ports = Array.from({ length: 5000 }, (_, index) => ({ name: `p${index}`, port: index + 1 }));
  const ranges = Array.from({ length: 5000 }, (_, index) => `10.${index >> 8}.${index & 255}.7/24`);
  const { body, problems } = serviceOf({ ports, loadBalancerSourceRanges: ranges });
  assert.deepEqual([body?.ports.length, body?.sourceRanges.length, problems.length], [5000, 5000, 0]);
  assert.equal(body?.sourceRanges[4999], '10.19.135.0/24');
  const same = serviceOf({ ports: ports.map(({ port }) => ({ port })) });
  assert.deepEqual([same.body?.ports.length, same.problems.length], [1, 4999]);
});

test('a Node gives its zone, addresses in order and pod CIDRs', () => {
  const projection = projectNode(
    node('n1', {
      metadata: { name: 'n1', uid: 'u', labels: { 'topology.kubernetes.io/zone': 'z1' } },
      spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24', 'FD00:1::/64', 'x'] },
      status: {
        addresses: [
          { type: 'ExternalIP', address: '192.0.2.1' },
          { type: 'Hostname', address: 'n1' },
          { type: 'InternalIP', address: '192.168.1.10' },
          { type: 'InternalIP', address: 'bad' },
          { type: 'InternalIP', address: 'FD00::10' },
        ],
      },
    }),
    'n1',
  );
  assert.deepEqual(projection.body, {
    self: true,
    zone: 'z1',
    addresses: ['192.168.1.10', 'fd00::10', '192.0.2.1'],
    podCIDRs: ['10.244.1.0/24', 'fd00:1::/64'],
  });
  assert.match(projection.problems.join('\n'), /addresses\[3\]\.address: "bad".*\nspec\.podCIDRs\[2\]: "x"/);
  assert.deepEqual(projectNode(node('n2'), 'n1').body, { self: false, zone: '', addresses: [], podCIDRs: [] });
  assert.deepEqual(projectNode(node('n1', { spec: { podCIDR: '10.244.1.0/24' } }), 'n1').body?.podCIDRs, [
    '10.244.1.0/24',
  ]);
});

test('names that could mislead are refused, and printed so that they cannot (T91)', () => {
  for (const [name, shown] of [
    [undefined, 'nothing'],
    ['', '""'],
    [7, '7'],
    ['a/b', '"a/b"'],
    ['a\nb', '"a\\nb"'],
    ['a\u0000', '"a\\u0000"'],
    ['a\u009bx', '"a\\u009bx"'],
    ['x'.repeat(254), 'characters'],
  ] as const) {
    const { key, body, problems } = projectService(service('x', {}, {}, { name }));
    assert.equal(key, undefined);
    assert.equal(body, null);
    assert.ok(problems[0]?.includes(shown), problems[0]);
    assert.doesNotMatch(problems.join(), /\p{Cc}/u);
  }
  assert.equal(projectService(service('x', {}, {}, { namespace: undefined })).key, undefined);
  const odd = projectService(service(`a"b'c;$(reboot)${'x'.repeat(200)}`));
  assert.ok(odd.body !== null && odd.problems.length === 0, 'other spellings do no harm');
});

test('no JSON value makes a projection throw, forge a line or pollute a prototype (T110)', () => {
  const key = fc.constantFrom(
    ...[
      'spec',
      'metadata',
      'name',
      'namespace',
      'labels',
      'ports',
      'port',
      'protocol',
      'nodePort',
      'clusterIP',
      'clusterIPs',
    ],
    ...[
      'endpoints',
      'addresses',
      'conditions',
      'hints',
      'forZones',
      'addressType',
      'status',
      'loadBalancer',
      'ingress',
      '__proto__',
    ],
    ...[
      'ipFamilies',
      'externalIPs',
      'kubernetes.io/service-name',
      'podCIDRs',
      'sessionAffinity',
      'type',
      'constructor',
    ],
    ...['annotations', 'ipvs-proxier.io/zone-weights', 'ipvs-proxier.io/forward', 'nodeName', 'zone', 'targetRef'],
  );
  const value = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.oneof(
        fc.string(),
        fc.double(),
        fc.boolean(),
        fc.constant(null),
        fc.constantFrom('IPv4', 'TCP', '10.0.0.1', 'fd00::1', 'Local'),
      ),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(key, tie('value'), { maxKeys: 6 }),
    ),
  })).value;
  fc.assert(
    fc.property(value, fc.dictionary(key, value), (any, fields) => {
      for (const object of [
        any,
        service('s', fields),
        service('s', {}, fields),
        slice('s', fields),
        node('n', fields),
      ]) {
        const withView = true;
        const views: unknown[] = [];
        const schedulerFor = (view: unknown): undefined => void views.push(view);
        const projections = [
          projectService(object, { withView, schedulerFor }),
          projectSlice(object, 'n1', { withView }),
          projectNode(object, 'n1', withView),
        ];
        for (const { problems } of projections) {
          for (const problem of problems) assert.doesNotMatch(problem, /\p{Cc}/u);
        }
        assert.ok(views.every((view) => Object.isFrozen(view)));
      }
      assert.equal(Object.keys(Object.prototype).length, 0);
    }),
  );
});
