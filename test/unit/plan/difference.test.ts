/** Which writes, and in which order: one scenario per rule. That no order opens a window is test/property/plan-difference.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DifferenceOptions, difference } from '../../../lib/plan/difference.ts';
import type { KernelState } from '../../../lib/plan/state.ts';
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
