/** Which writes, and in which order: one scenario per rule. That no order opens a window is test/property/plan-difference.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DifferenceOptions, difference } from '../../../lib/plan/difference.ts';
import type { KernelState } from '../../../lib/plan/state.ts';
import { stageEnds } from '../../../lib/reconcile/write-stages.ts';
import { EndpointBit, type ObjectRecord, type ServiceBody } from '../../../lib/records.ts';
import { differenceDefaults, emptyState } from '../../harness/difference-options.ts';
import { MemoryState } from '../../harness/memory-state.ts';
import { e1, e2, ip, nodeAddresses, plannerOf, service, servicePort, slice } from '../../harness/records.ts';

function stateOf(...records: readonly ObjectRecord[]): MemoryState {
  return MemoryState.of(plannerOf(records).desired);
}

function verbs(desired: KernelState, applied: KernelState, options: Partial<DifferenceOptions> = {}): string[] {
  return difference(desired, applied, 'all', { ...differenceDefaults, ...options }).map(
    ({ operation, object }) => `${operation.verb} ${object.slice(object.indexOf(' ') + 1)}`,
  );
}

const vip = 'tcp 10.96.0.10:80';
const nodePort = (body: Partial<ServiceBody> = {}) =>
  service({ ports: [servicePort('p80', 80, 'tcp', 30080)], ...body });

test('adding a frontend: service, entries, destinations, KUBE-IPVS-IPS, address', () => {
  assert.deepEqual(verbs(stateOf(service(), slice([e1])), emptyState()), [
    `create-service ${vip}`,
    'add-entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
    'add-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
    `create-destination ${vip} 10.244.1.5:8080`,
    'add-entry KUBE-IPVS-IPS 10.96.0.10',
    'add-address 10.96.0.10',
  ]);
});

test('removing a VIP: unbind, service, KUBE-IPVS-IPS, entries; the destinations go with the service', () => {
  assert.deepEqual(verbs(emptyState(), stateOf(service(), slice([e1]))), [
    'remove-address 10.96.0.10',
    `remove-service ${vip}`,
    'remove-entry KUBE-IPVS-IPS 10.96.0.10',
    'remove-entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
    'remove-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
  ]);
});

test('the order of a round: dead endpoints go first where others serve, then new ones come, then what has no other is drained', () => {
  const before = stateOf(
    service({}, 'ns1/dead'),
    slice([e1, e2], { service: 'ns1/dead', key: 'ns1/dead-1' }),
    service({ clusterIPs: [ip('10.96.0.11')] }, 'ns1/moved'),
    slice([e1], { service: 'ns1/moved' }),
  );
  const after = stateOf(
    service({ clusterIPs: [ip('10.96.0.11')] }, 'ns1/moved'),
    slice([e2], { service: 'ns1/moved' }),
    service({ clusterIPs: [ip('10.96.0.12')] }, 'ns1/new'),
    service({}, 'ns1/dead'),
    slice([e2], { service: 'ns1/dead', key: 'ns1/dead-1' }),
  );
  assert.deepEqual(verbs(after, before), [
    `update-destination ${vip} 10.244.1.5:8080`,
    'create-service tcp 10.96.0.12:80',
    'add-entry KUBE-CLUSTER-IP 10.96.0.12,tcp:80',
    'create-destination tcp 10.96.0.11:80 10.244.2.7:8080',
    'update-destination tcp 10.96.0.11:80 10.244.1.5:8080',
    'add-entry KUBE-IPVS-IPS 10.96.0.12',
    'add-address 10.96.0.12',
    'remove-entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
  ]);
});

test('T60: a port that changes on a VIP that stays: the new one first, then the tuple of the old one, then its service', () => {
  assert.deepEqual(verbs(stateOf(service({ ports: [servicePort('p80', 81)] })), stateOf(service())), [
    'create-service tcp 10.96.0.10:81',
    'add-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:81',
    'remove-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
    `remove-service ${vip}`,
  ]);
});

test('a VIP that moves between Services is never unbound, and its destinations change in place', () => {
  const before = stateOf(service(), slice([e1]));
  const after = stateOf(service({}, 'ns1/other'), slice([e2], { service: 'ns1/other' }));
  assert.deepEqual(verbs(after, before), [
    `create-destination ${vip} 10.244.2.7:8080`,
    `update-destination ${vip} 10.244.1.5:8080`,
    'remove-entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
  ]);
});

test('T8: affinity and scheduler change in place; what the kernel adds itself is no difference', () => {
  const before = stateOf(service(), slice([e2]));
  assert.deepEqual(verbs(stateOf(service({ affinitySeconds: 60 }), slice([e2])), before), [`update-service ${vip}`]);
  const weighted = plannerOf([service(), slice([e2])], { scheduler: 'wrr' }).desired;
  assert.deepEqual(verbs(weighted, before), [`update-service ${vip}`]);
  const read = MemoryState.of(before);
  for (const node of read.services.values()) node.service = { ...node.service, flags: 2, prefixLength: 32 };
  assert.deepEqual(verbs(before, read), []);
  for (const node of read.services.values()) node.service = { ...node.service, prefixLength: 24 };
  assert.deepEqual(verbs(before, read), [`update-service ${vip}`]);
});

test('TCP drains and stays at weight 0; UDP is deleted; a destination that comes back gets its weight in place', () => {
  const tcp = stateOf(service(), slice([e2]));
  const without = stateOf(service());
  const [change] = difference(without, tcp, 'all', differenceDefaults);
  assert.deepEqual(change?.operation, {
    verb: 'update-destination',
    key: { protocol: 'tcp', address: '10.96.0.10', port: 80 },
    destination: { address: '10.244.2.7', port: 8080, weight: 0, forward: 'masquerade' },
  });
  for (const { operation } of difference(without, tcp, 'all', differenceDefaults)) tcp.apply(operation);
  assert.deepEqual(verbs(without, tcp), [], 'it drains already');
  assert.deepEqual(verbs(stateOf(service(), slice([e2])), tcp), [`update-destination ${vip} 10.244.2.7:8080`]);
  assert.deepEqual(verbs(emptyState(), tcp)[1], `remove-service ${vip}`);

  const ports = [servicePort('p80', 80, 'udp')];
  const udp = stateOf(service({ ports }), slice([e2], { ports: [{ name: 'p80', protocol: 'udp', port: 53 }] }));
  assert.deepEqual(verbs(stateOf(service({ ports })), udp), ['remove-destination udp 10.96.0.10:80 10.244.2.7:53']);
});

test('weights that somebody else changed are put right', () => {
  const desired = stateOf(service(), slice([e2]));
  const applied = MemoryState.of(desired);
  const destination = { address: ip('10.244.2.7'), port: 8080, weight: 7, forward: 'masquerade' } as const;
  applied.services.get(vip)?.destinations.set('10.244.2.7:8080', destination);
  assert.deepEqual(verbs(desired, applied), [`update-destination ${vip} 10.244.2.7:8080`]);
});

test('external policy from Cluster to Local: exempt once remote destinations have drained; back: no longer exempt before they come', () => {
  const cluster = stateOf(nodePort(), slice([e1, e2]), nodeAddresses('192.168.1.10'));
  const local = stateOf(nodePort({ externalPolicyLocal: true }), slice([e1, e2]), nodeAddresses('192.168.1.10'));
  const remote = 'tcp 192.168.1.10:30080 10.244.2.7:8080';
  const exemption = 'KUBE-NODE-PORT-LOCAL-TCP 30080';
  assert.deepEqual(verbs(local, cluster), [`update-destination ${remote}`, `add-entry ${exemption}`]);
  assert.deepEqual(verbs(local, cluster, { mayRemove: false }), [], 'nothing drains yet, so nothing is exempt');
  assert.deepEqual(verbs(cluster, local), [`remove-entry ${exemption}`, `create-destination ${remote}`]);
  const fresh = verbs(local, emptyState()).filter((line) => line.includes('NODE-PORT'));
  assert.deepEqual(fresh, [`add-entry ${exemption}`, 'add-entry KUBE-NODE-PORT-TCP 30080']);
});

test('a node port that goes keeps its SNAT until its virtual services are gone', () => {
  const after = stateOf(service());
  assert.deepEqual(verbs(after, stateOf(nodePort(), nodeAddresses('192.168.1.10'))), [
    'remove-service tcp 192.168.1.10:30080',
    'remove-entry KUBE-NODE-PORT-TCP 30080',
  ]);
});

test('T58: what belongs to a family that is not proxied is not touched', () => {
  const dual = stateOf(service({ clusterIPs: [ip('10.96.0.10'), ip('fd00:96::10')] }));
  const four = plannerOf([], { families: ['IPv4'] }).desired;
  assert.ok(verbs(four, dual).every((line) => !line.includes('fd00') && !line.includes('KUBE-6')));
  assert.equal(verbs(four, dual).length, 4);
});

test('addresses are bound so that they are never chosen as a source: IPv4 scope host, IPv6 deprecated', () => {
  const dual = stateOf(service({ clusterIPs: [ip('10.96.0.10'), ip('fd00:96::10')] }));
  const bound = difference(dual, emptyState(), 'all', differenceDefaults).flatMap(({ operation }) =>
    operation.verb === 'add-address' ? [operation.address] : [],
  );
  assert.deepEqual(bound, [
    { link: 'kube-ipvs0', address: '10.96.0.10', prefixLength: 32, scope: 'host' },
    { link: 'kube-ipvs0', address: 'fd00:96::10', prefixLength: 128, deprecated: true },
  ]);
});

test('a contested virtual service is left alone, with its tuple and, when it is alone there, its address', () => {
  const untouchable = new Set([vip]);
  assert.deepEqual(verbs(stateOf(service()), emptyState(), { untouchable }), []);
  assert.deepEqual(verbs(emptyState(), stateOf(service()), { untouchable }).includes(`remove-service ${vip}`), false);
  const two = stateOf(service({ ports: [servicePort('p80', 80), servicePort('b', 81)] }), slice([e2]));
  assert.deepEqual(verbs(two, emptyState(), { untouchable }), [
    'create-service tcp 10.96.0.10:81',
    'add-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:81',
    'add-entry KUBE-IPVS-IPS 10.96.0.10',
    'add-address 10.96.0.10',
  ]);
  const contestedNodePort = { untouchable: new Set(['tcp 192.168.1.10:30080']) };
  const one = verbs(stateOf(nodePort(), nodeAddresses('192.168.1.10')), emptyState(), contestedNodePort);
  assert.ok(!one.some((line) => line.includes('30080')), 'the port would make it ours at the next start');
  const other = verbs(stateOf(nodePort(), nodeAddresses()), emptyState(), contestedNodePort);
  assert.ok(other.includes('add-entry KUBE-NODE-PORT-TCP 30080'));
});

test('what is in back-off is left out, with what must not be there without it', () => {
  const desired = stateOf(service(), slice([e1]));
  const held = (object: string, applied: KernelState = emptyState(), wanted: KernelState = desired): string[] =>
    verbs(wanted, applied, { hold: new Set([object]) });
  const hairpin = 'add-entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5';
  assert.deepEqual(held(`service ${vip}`), [hairpin]);
  assert.deepEqual(held('entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80'), [hairpin]);
  assert.ok(!held('entry KUBE-IPVS-IPS 10.96.0.10').includes('add-address 10.96.0.10'), 'unprotected, it is not bound');
  assert.equal(held(`destination ${vip} 10.244.1.5:8080`).length, 5);
  // An update in back-off stops nothing else.
  const changed = stateOf(service({ affinitySeconds: 60 }), slice([e2]));
  assert.ok(held(`service ${vip}`, desired, changed).includes(`create-destination ${vip} 10.244.2.7:8080`));
  // While the service or the address cannot be removed, what says that they are ours, and what protects, stays.
  const removal = held(`service ${vip}`, desired, emptyState());
  assert.ok(!removal.includes('remove-entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80'));
  assert.ok(!held('address 10.96.0.10', desired, emptyState()).includes('remove-entry KUBE-IPVS-IPS 10.96.0.10'));
});

test('an endpoint that is not ready any more drains, and stays in KUBE-LOOP-BACK', () => {
  const before = stateOf(service(), slice([e1, e2]));
  const unready = { ...e1, conditions: EndpointBit.serving };
  assert.deepEqual(verbs(stateOf(service(), slice([unready, e2])), before), [
    `update-destination ${vip} 10.244.1.5:8080`,
  ]);
});

const lbTuple = '198.18.0.1,tcp:80';
const lbVip = 'tcp 198.18.0.1:80';
const balanced = (...sourceRanges: string[]) =>
  service({ loadBalancerIPs: [ip('198.18.0.1')], sourceRanges, hasSourceRanges: sourceRanges.length > 0 });

test('a VIP without its firewall entry, or without its rule, is not reached: nothing of it is there but what was', () => {
  const desired = stateOf(balanced('10.0.0.0/8'), slice([e2]));
  const firewall = new Set([`entry KUBE-LOAD-BALANCER-FW ${lbTuple}`]);
  for (const options of [{ hold: firewall }, { unruled: new Set([lbVip]) }]) {
    const made = verbs(desired, emptyState(), options);
    assert.ok(!made.some((line) => line.includes('198.18.0.1')), made.join());
    assert.ok(made.includes('add-address 10.96.0.10'), 'the cluster IP does not wait');
    // Made in the same batch, before the firewall entry was refused.
    const half = emptyState();
    half.services.set(lbVip, {
      service: { key: key(desired, lbVip), scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
      destinations: new Map(),
    });
    assert.ok(!verbs(desired, half, options).some((line) => line.includes('198.18.0.1')), 'it stays empty');
    const open = stateOf(balanced(), slice([e1]));
    const changed = verbs(desired, open, options);
    assert.ok(changed.includes(`create-destination ${lbVip} 10.244.2.7:8080`), 'what is reached is served on');
    assert.ok(!changed.some((line) => /^remove-(service|address)/.test(line)));
  }
});

function key(state: MemoryState, id: string) {
  const node = state.services.get(id);
  assert.ok(node);
  return node.service.key;
}

test('a firewall entry that cannot be removed keeps its ranges, one of a service that cannot be removed stays with it', () => {
  const before = stateOf(balanced('10.0.0.0/8'), slice([e2]));
  const opened = verbs(stateOf(balanced(), slice([e2])), before, {
    hold: new Set([`entry KUBE-LOAD-BALANCER-FW ${lbTuple}`]),
  });
  assert.deepEqual(opened, [], 'else everybody would be kept out');
  const stuck = verbs(stateOf(service(), slice([e2])), before, { hold: new Set([`service ${lbVip}`]) });
  assert.deepEqual(stuck, ['remove-address 198.18.0.1', 'remove-entry KUBE-IPVS-IPS 198.18.0.1']);
});

test('ranges that change: those that come before those that go, with the firewall entry around them', () => {
  const cidr = (net: string): string => `KUBE-LOAD-BALANCER-SOURCE-CIDR ${lbTuple},${net}`;
  const firewall = `KUBE-LOAD-BALANCER-FW ${lbTuple}`;
  const [none, a, b] = [balanced(), balanced('10.0.0.0/8'), balanced('172.16.0.0/12')].map((record) => stateOf(record));
  assert.ok(none && a && b);
  assert.deepEqual(verbs(a, none), [`add-entry ${cidr('10.0.0.0/8')}`, `add-entry ${firewall}`]);
  assert.deepEqual(verbs(b, a), [`add-entry ${cidr('172.16.0.0/12')}`, `remove-entry ${cidr('10.0.0.0/8')}`]);
  assert.deepEqual(verbs(none, a), [`remove-entry ${firewall}`, `remove-entry ${cidr('10.0.0.0/8')}`]);
});

test('an external IP whose policy changes is in both sets for a while, which is to have SNAT; nothing moves that cannot', () => {
  const external = (externalPolicyLocal: boolean) =>
    stateOf(service({ externalIPs: [ip('203.0.113.5')], externalPolicyLocal }), slice([e1, e2]));
  const [cluster, local] = [external(false), external(true)];
  const [entry, localEntry] = ['KUBE-EXTERNAL-IP 203.0.113.5,tcp:80', 'KUBE-EXTERNAL-IP-LOCAL 203.0.113.5,tcp:80'];
  const remote = 'tcp 203.0.113.5:80 10.244.2.7:8080';
  const toLocal = [`update-destination ${remote}`, `add-entry ${localEntry}`, `remove-entry ${entry}`];
  assert.deepEqual(verbs(local, cluster), toLocal);
  const toCluster = [`add-entry ${entry}`, `create-destination ${remote}`, `remove-entry ${localEntry}`];
  assert.deepEqual(verbs(cluster, local), toCluster);
  assert.deepEqual(verbs(local, cluster, { closed: new Set(['IPv4']) }), toLocal, 'no frontend comes or goes');
  assert.deepEqual(verbs(local, cluster, { hold: new Set([`destination ${remote}`]) }), [], 'it still needs its SNAT');
  assert.deepEqual(
    verbs(local, cluster, { hold: new Set([`entry ${localEntry}`]) }),
    [toLocal[0]],
    'else it is refused',
  );
});

test('an exempt external IP that an interface comes to have goes on as a node port: unbound and unprotected first, for then it needs no tuple', () => {
  const external = { externalIPs: [ip('192.168.1.10')], ports: [servicePort('p80', 30080)], externalPolicyLocal: true };
  const before = stateOf(service(external), slice([e1]));
  const after = stateOf(nodePort(), slice([e1, e2]), nodeAddresses('192.168.1.10'));
  const all = verbs(after, before).filter((verb) => verb.includes('192.168.1.10'));
  const [unbind, unprotect] = ['remove-address 192.168.1.10', 'remove-entry KUBE-IPVS-IPS 192.168.1.10'];
  const exemption = 'remove-entry KUBE-EXTERNAL-IP-LOCAL 192.168.1.10,tcp:30080';
  const remote = 'create-destination tcp 192.168.1.10:30080 10.244.2.7:8080';
  assert.deepEqual(all, [unbind, unprotect, exemption, remote]);
  const changes = difference(after, before, 'all', differenceDefaults);
  const objects = changes.map(({ operation, object }) => `${operation.verb} ${object.slice(object.indexOf(' ') + 1)}`);
  const ends = stageEnds(changes);
  for (const [first, next] of [
    [unbind, unprotect],
    [exemption, remote],
  ] as const) {
    const between = ends.filter((end) => end > objects.indexOf(first) && end <= objects.indexOf(next));
    assert.ok(between.length > 0, `${next} waits for the answer to ${first}`);
  }
});

test('a weight of 0 that is wanted is no drain: it is written as asked, and stays', () => {
  const zero = stateOf(service(), slice([{ ...e2, weight: 0 }]));
  assert.deepEqual(verbs(zero, stateOf(service(), slice([e2]))), [`update-destination ${vip} 10.244.2.7:8080`]);
  assert.deepEqual(verbs(zero, zero), []);
  zero.finishDrains(MemoryState.of(zero));
  assert.equal(zero.services.get(vip)?.destinations.size, 1);
});
