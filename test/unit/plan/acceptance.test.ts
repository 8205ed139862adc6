/** The acceptance tests of behaviour.md section 10 that speak of wanted state, by number: T1-T7, T12-T25, T42-T55, T82. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { touchedServices } from '../../../lib/plan/dirty.ts';
import type { Planner } from '../../../lib/plan/planner.ts';
import { EndpointBit, type ObjectRecord } from '../../../lib/records.ts';
import {
  type EndpointShape,
  e1,
  e2,
  ip,
  message,
  node,
  nodeAddresses,
  type planDefaults,
  plannerOf,
  ready,
  service,
  servicePort,
  servingTerminating,
  slice,
} from '../../harness/records.ts';
import { type StateText, stateText } from '../../harness/state-text.ts';

function stateOf(records: readonly ObjectRecord[], options: Partial<typeof planDefaults> = {}): StateText {
  return stateText(plannerOf(records, options).desired);
}

/** Destinations of one virtual service, `-t 10.96.0.10:80`. */
function destinations(state: StateText, name = '-t 10.96.0.10:80'): readonly string[] {
  assert.ok(
    state.ipvs.some((line) => line.startsWith(`-A ${name} `)),
    `no virtual service ${name}`,
  );
  return state.ipvs.flatMap(
    (line) => new RegExp(`^-a ${name.replace(/[[\]]/g, '\\$&')} -r (\\S+) -m -w 1$`).exec(line)?.[1] ?? [],
  );
}

const nodePort = { ports: [servicePort('p80', 80, 'tcp', 30080)] };
const here = '10.244.1.5:8080';
const there = '10.244.2.7:8080';

test('T1: cluster IP with two endpoints, one of them local', () => {
  assert.deepEqual(stateOf([service(), slice([e1, e2])]), {
    ipvs: [
      '-A -t 10.96.0.10:80 -s rr',
      `-a -t 10.96.0.10:80 -r ${here} -m -w 1`,
      `-a -t 10.96.0.10:80 -r ${there} -m -w 1`,
    ],
    sets: [
      'add KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'add KUBE-IPVS-IPS 10.96.0.10',
      'add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
    ],
    addresses: ['10.96.0.10'],
  });
});

test('T2: without slices the virtual service is there, empty, bound and in KUBE-CLUSTER-IP', () => {
  assert.deepEqual(stateOf([service()]), {
    ipvs: ['-A -t 10.96.0.10:80 -s rr'],
    sets: ['add KUBE-CLUSTER-IP 10.96.0.10,tcp:80', 'add KUBE-IPVS-IPS 10.96.0.10'],
    addresses: ['10.96.0.10'],
  });
});

test('T3: two ports are two virtual services on one address, each with its own destinations', () => {
  const ports = [
    { name: 'p80', protocol: 'tcp', port: 8080 },
    { name: 'p443', protocol: 'tcp', port: 8443 },
  ] as const;
  const state = stateOf([
    service({ ports: [servicePort('p80', 80), servicePort('p443', 443)] }),
    slice([e2], { ports }),
  ]);
  assert.deepEqual(destinations(state), [there]);
  assert.deepEqual(destinations(state, '-t 10.96.0.10:443'), ['10.244.2.7:8443']);
  assert.deepEqual(state.addresses, ['10.96.0.10']);
});

test('T4, T5: protocols of one port number are apart; SCTP is one of them', () => {
  const ports = (['tcp', 'udp', 'sctp'] as const).map((protocol) => servicePort(protocol, 53, protocol));
  const state = stateOf([service({ ports })]);
  assert.deepEqual(state.ipvs, [
    '-A --sctp-service 10.96.0.10:53 -s rr',
    '-A -t 10.96.0.10:53 -s rr',
    '-A -u 10.96.0.10:53 -s rr',
  ]);
  assert.deepEqual(
    state.sets.filter((line) => line.includes('CLUSTER-IP')),
    ['sctp', 'tcp', 'udp'].map((protocol) => `add KUBE-CLUSTER-IP 10.96.0.10,${protocol}:53`),
  );
});

test('T6: session affinity is persistence with its time-out', () => {
  assert.deepEqual(stateOf([service({ affinitySeconds: 10800 })]).ipvs, ['-A -t 10.96.0.10:80 -s rr -p 10800']);
});

test('T7: mh hashes the source port, too; sh has no flag', () => {
  assert.deepEqual(stateOf([service()], { scheduler: 'mh' }).ipvs, ['-A -t 10.96.0.10:80 -s mh -b flag-2']);
  assert.deepEqual(stateOf([service()], { scheduler: 'sh' }).ipvs, ['-A -t 10.96.0.10:80 -s sh']);
});

test('T12: a Service that has nothing to proxy, or no cluster IP, yields nothing', () => {
  const nothing = { ipvs: [], sets: [], addresses: [] };
  assert.deepEqual(stateOf([service(null), slice([e1])]), nothing);
  assert.deepEqual(stateOf([service({ clusterIPs: [], ...nodePort }), slice([e1]), nodeAddresses()]), nothing);
});

test('T13: endpoint ports that differ by slice', () => {
  const other = slice([e2], { key: 'ns1/svc1-b', ports: [{ name: 'p80', protocol: 'tcp', port: 9090 }] });
  assert.deepEqual(destinations(stateOf([service(), slice([e1]), other])), [here, '10.244.2.7:9090']);
});

test('T14: ports match by name and protocol, never by number', () => {
  const misnamed = slice([e1], { ports: [{ name: 'http', protocol: 'tcp', port: 80 }] });
  const misused = slice([e1], { key: 'ns1/svc1-b', ports: [{ name: 'p80', protocol: 'udp', port: 80 }] });
  assert.deepEqual(stateOf([service(), misnamed, misused]).ipvs, ['-A -t 10.96.0.10:80 -s rr']);
});

test('T15, T22: a node port answers on every node address, and binds nothing', () => {
  const state = stateOf([service(nodePort), slice([e2]), nodeAddresses()]);
  assert.deepEqual(destinations(state, '-t 192.168.1.10:30080'), [there]);
  assert.deepEqual(destinations(state, '-t 172.17.0.1:30080'), [there]);
  assert.equal(state.ipvs.filter((line) => line.startsWith('-A')).length, 3);
  assert.ok(state.sets.includes('add KUBE-NODE-PORT-TCP 30080'));
  assert.ok(!state.sets.some((line) => line.includes('-LOCAL-')));
  assert.deepEqual(state.addresses, ['10.96.0.10']);
});

test('T16, T17, T18: nodePortAddresses chooses among the addresses on the interfaces', () => {
  const records = [service(nodePort), nodeAddresses('192.168.1.10', '172.17.0.1', 'fd00::10'), node()];
  const answering = (nodePortAddresses: readonly string[] | 'primary'): readonly string[] =>
    stateOf(records, { nodePortAddresses }).ipvs.filter((line) => line.includes(':30080'));
  const eth0 = ['-A -t 192.168.1.10:30080 -s rr'];
  assert.deepEqual(answering(['192.168.0.0/16']), eth0);
  assert.deepEqual(answering('primary'), eth0);
  assert.deepEqual(answering(['127.0.0.0/8']), []);
  assert.equal(answering(['fd00::/64']).length, 2, 'CIDRs of the other family choose nothing here');
  assert.equal(answering(['0.0.0.0/0']).length, 2);
  const none = stateOf(records, { nodePortAddresses: ['127.0.0.0/8'] });
  assert.ok(!none.sets.some((line) => line.includes('NODE-PORT')), 'no virtual service, no SNAT entry');
});

test('T19, T20: SCTP node ports have an entry per address, and a twin with policy Local', () => {
  const sctp = { ports: [servicePort('p80', 80, 'sctp', 30036)] };
  const entries = (set: string): string[] =>
    ['172.17.0.1', '192.168.1.10'].map((address) => `add ${set} ${address},sctp:30036`);
  const nodePorts = (state: StateText): string[] => state.sets.filter((line) => line.includes('SCTP-HASH'));
  const all = entries('KUBE-NODE-PORT-SCTP-HASH');
  assert.deepEqual(nodePorts(stateOf([service(sctp), nodeAddresses()])), all);
  const local = stateOf([service({ ...sctp, externalPolicyLocal: true }), nodeAddresses()]);
  assert.deepEqual(nodePorts(local), [...entries('KUBE-NODE-PORT-LOCAL-SCTP-HASH'), ...all]);
});

test('T21: a node port without endpoints is there, empty', () => {
  assert.deepEqual(destinations(stateOf([service(nodePort), nodeAddresses()]), '-t 192.168.1.10:30080'), []);
});

test('T23: externalTrafficPolicy Local narrows the node port and exempts it from SNAT', () => {
  const state = stateOf([service({ ...nodePort, externalPolicyLocal: true }), slice([e1, e2]), nodeAddresses()]);
  assert.deepEqual(destinations(state, '-t 192.168.1.10:30080'), [here]);
  assert.deepEqual(destinations(state), [here, there]);
  assert.ok(state.sets.includes('add KUBE-NODE-PORT-TCP 30080'));
  assert.ok(state.sets.includes('add KUBE-NODE-PORT-LOCAL-TCP 30080'));
});

test('T24: externalTrafficPolicy Local without a local endpoint falls back to the cluster list', () => {
  const state = stateOf([service({ ...nodePort, externalPolicyLocal: true }), slice([e2]), nodeAddresses()]);
  assert.deepEqual(destinations(state, '-t 192.168.1.10:30080'), [there]);
});

/** What the cluster IP sends traffic to. */
function chosen(endpoints: readonly EndpointShape[], ...others: readonly ObjectRecord[]): readonly string[] {
  return destinations(stateOf([service(), slice(endpoints), ...others]));
}

test('T42: ready endpoints, and no terminating one beside them', () => {
  assert.deepEqual(chosen([{ ...e1, conditions: servingTerminating }, e2]), [there]);
});

test('T43, T44: terminating endpoints are used when nothing is ready, as long as they serve', () => {
  const terminating = EndpointBit.terminating;
  assert.deepEqual(
    chosen([
      { ...e1, conditions: servingTerminating },
      { ...e2, conditions: terminating },
    ]),
    [here],
  );
  assert.deepEqual(chosen([{ ...e1, conditions: terminating }]), []);
});

test('KUBE-LOOP-BACK has the local endpoints in any condition', () => {
  const { sets } = stateOf([service(), slice([{ ...e1, conditions: EndpointBit.terminating }, e2])]);
  assert.ok(sets.includes('add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5'));
});

test('T46, T47: internalTrafficPolicy Local is strict, also beside a node port', () => {
  const internal = { internalPolicyLocal: true };
  assert.deepEqual(destinations(stateOf([service(internal), slice([e1, e2])])), [here]);
  assert.deepEqual(destinations(stateOf([service(internal), slice([e2])])), []);
  const exposed = stateOf([service({ ...internal, ...nodePort }), slice([e2]), nodeAddresses()]);
  assert.deepEqual(destinations(exposed), []);
  assert.deepEqual(destinations(exposed, '-t 192.168.1.10:30080'), [there]);
});

test('T48, T49, T50: zone hints bind when every ready endpoint has one and this zone is among them', () => {
  const inZone = (endpoint: EndpointShape, ...zones: string[]): EndpointShape => ({ ...endpoint, zones });
  assert.deepEqual(chosen([inZone(e1, 'z1'), inZone(e2, 'z2')], node()), [here]);
  assert.deepEqual(chosen([inZone(e1, 'z1', 'z2'), inZone(e2, 'z2')], node({ zone: 'z2' })), [here, there]);
  assert.deepEqual(chosen([inZone(e1, 'z1'), inZone(e2)], node()), [here, there]);
  assert.deepEqual(chosen([inZone(e1, 'z3'), inZone(e2, 'z2')], node()), [here, there]);
  assert.deepEqual(chosen([inZone(e1, 'z1'), inZone(e2, 'z2')], node({ zone: '' })), [here, there]);
  const unready = { ...e2, conditions: 0 };
  assert.deepEqual(chosen([inZone(e1, 'z1'), unready], node()), [here], 'only ready endpoints have a say');
});

test('T51: node hints come before zone hints', () => {
  const endpoints = [
    { ...e1, nodes: ['n2'], zones: ['z1'] },
    { ...e2, nodes: ['n1'], zones: ['z2'] },
  ];
  assert.deepEqual(chosen(endpoints, node()), [there]);
});

test('T52: the same address and port in two slices: the one that is not terminating counts, whatever the order', () => {
  const old = { ...e1, conditions: servingTerminating };
  for (const [first, second] of [
    [old, e1],
    [e1, old],
  ]) {
    const slices = [slice([first ?? e1]), slice([second ?? e1], { key: 'ns1/svc1-b' })];
    assert.deepEqual(destinations(stateOf([service(), ...slices, slice([e2], { key: 'ns1/svc1-c' })])), [here, there]);
  }
});

test('T53: without hints all endpoints are used, wherever the node is', () => {
  assert.deepEqual(chosen([e1, e2], node({ zone: 'z9' })), [here, there]);
});

test('T54: a dual-stack Service is two of everything, each with the endpoints of its family', () => {
  const six = slice([{ address: 'fd00:244::5', local: true }], { key: 'ns1/svc1-6', family: 'IPv6' });
  const body = { clusterIPs: [ip('10.96.0.10'), ip('fd00:96::10')], ...nodePort };
  const records = [service(body), slice([e2]), six, nodeAddresses('192.168.1.10', 'fd00:50::10')];
  const state = stateOf(records);
  assert.deepEqual(destinations(state), [there]);
  assert.deepEqual(destinations(state, '-t [fd00:96::10]:80'), ['[fd00:244::5]:8080']);
  assert.deepEqual(destinations(state, '-t [fd00:50::10]:30080'), ['[fd00:244::5]:8080']);
  assert.deepEqual(
    state.sets.filter((line) => line.includes('KUBE-6-')),
    [
      'add KUBE-6-CLUSTER-IP fd00:96::10,tcp:80',
      'add KUBE-6-IPVS-IPS fd00:96::10',
      'add KUBE-6-LOOP-BACK fd00:244::5,tcp:8080,fd00:244::5',
      'add KUBE-6-NODE-PORT-TCP 30080',
    ],
  );
  assert.deepEqual(state.addresses, ['10.96.0.10', 'fd00:96::10']);
});

test('T55: a family without a cluster IP of its own has none of the frontends, and one not proxied is ignored', () => {
  const records = [service(nodePort), slice([e1]), nodeAddresses('192.168.1.10', 'fd00:50::10')];
  assert.ok(!stateOf(records).ipvs.some((line) => line.includes('[')));
  assert.deepEqual(stateOf(records, { families: ['IPv6'] }), { ipvs: [], sets: [], addresses: [] });
});

test('T25: an address that comes at run time brings its virtual services, and touches only Services with node ports', () => {
  const plain = service({ clusterIPs: [ip('10.96.0.11')] }, 'ns1/svc2');
  const planner = plannerOf([service(nodePort), plain, nodeAddresses('192.168.1.10')]);
  const touched = (...addresses: string[]): string[] => {
    planner.apply(message(nodeAddresses(...addresses)));
    return [...planner.project().services].sort();
  };
  assert.ok(touched('192.168.1.10', '10.9.9.9').includes('tcp 10.9.9.9:30080'));
  assert.equal(touched('192.168.1.10', '10.9.9.9', 'fd00:50::10').length, 0, 'the other family');
  assert.ok(touched('192.168.1.10').includes('tcp 10.9.9.9:30080'));
  assert.ok(!planner.desired.services.has('tcp 10.9.9.9:30080'));
});

test('T82: a change of zone touches only Services with hints', () => {
  const zoned = slice([
    { ...e1, zones: ['z1'] },
    { ...e2, zones: ['z2'] },
  ]);
  const other = service({ clusterIPs: [ip('10.96.0.11')] }, 'ns1/svc2');
  const planner: Planner = plannerOf([
    service(),
    zoned,
    other,
    slice([e1], { key: 'ns1/b', service: 'ns1/svc2' }),
    node(),
  ]);
  planner.apply(message(node({ zone: 'z2' })));
  assert.deepEqual([...touchedServices(planner.project())], ['tcp 10.96.0.10:80']);
  assert.deepEqual(destinations(stateText(planner.desired)), [there]);
});

test('ready while terminating counts as ready (publishNotReadyAddresses)', () => {
  assert.deepEqual(chosen([{ ...e1, conditions: ready | EndpointBit.terminating }, e2]), [here, there]);
});
