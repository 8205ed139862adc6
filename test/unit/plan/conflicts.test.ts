/** Two service ports that want the same kernel object (behaviour.md 2.10, design.md 'Three states'). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServiceBody } from '../../../lib/records.ts';
import { e1, e2, ip, message, nodeAddresses, plannerOf, service, servicePort, slice } from '../../harness/records.ts';
import { stateText } from '../../harness/state-text.ts';

const shared = { ports: [servicePort('p80', 80, 'tcp', 30080)] };
const one = (body: Partial<ServiceBody> = {}) => service({ ...shared, createdMs: 2000, ...body }, 'ns1/one');
const two = (body: Partial<ServiceBody> = {}) =>
  service({ ...shared, createdMs: 1000, clusterIPs: [ip('10.96.0.11')], ...body }, 'ns1/two');
const slices = [
  slice([e1], { key: 'ns1/one-a', service: 'ns1/one' }),
  slice([e2], { key: 'ns1/two-a', service: 'ns1/two' }),
];
const contested = 'tcp 192.168.1.10:30080';

test('the older Service wins in either order; the other is named once; when it goes the other takes over', () => {
  for (const records of [
    [one(), two()],
    [two(), one()],
  ]) {
    const planner = plannerOf([...records, ...slices, nodeAddresses('192.168.1.10')]);
    const destinations = (): string[] => [...(planner.desired.services.get(contested)?.destinations.keys() ?? [])];
    assert.deepEqual(destinations(), ['10.244.2.7:8080']);
    assert.deepEqual(planner.wantedBy(`service ${contested}`), ['IPv4 ns1/two:p80/tcp', 'IPv4 ns1/one:p80/tcp']);
    const warnings = planner.warnings();
    assert.deepEqual(
      warnings.map(({ object }) => object),
      ['service ns1/one'],
    );
    assert.match(warnings[0]?.message ?? '', /tcp 192\.168\.1\.10:30080.*IPv4 ns1\/two:p80\/tcp/);

    planner.apply(message(one({ affinitySeconds: 5 })));
    planner.project();
    assert.deepEqual(planner.warnings(), [], 'said once for as long as it is true');

    planner.apply(message(service(null, 'ns1/two')));
    assert.ok(planner.project().services.has(contested));
    assert.deepEqual(destinations(), ['10.244.1.5:8080']);
    assert.ok(planner.desired.sets.get('KUBE-NODE-PORT-TCP')?.has('30080'));
    assert.deepEqual(planner.warnings(), []);
  }
});

test('without creation times the name decides, and a known time beats an unknown one', () => {
  const winner = (a: number, b: number): string | undefined =>
    plannerOf([one({ createdMs: a }), two({ createdMs: b }), nodeAddresses('192.168.1.10')]).wantedBy(
      `service ${contested}`,
    )[0];
  assert.equal(winner(0, 0), 'IPv4 ns1/one:p80/tcp');
  assert.equal(winner(0, 5), 'IPv4 ns1/two:p80/tcp');
});

test('a cluster IP beats a node port on the same address and port', () => {
  const clusterIp = service(
    { createdMs: 9000, clusterIPs: [ip('192.168.1.10')], ports: [servicePort('p', 30080)] },
    'ns1/z',
  );
  const planner = plannerOf([clusterIp, two(), ...slices, nodeAddresses('192.168.1.10')]);
  assert.deepEqual(planner.wantedBy(`service ${contested}`), ['IPv4 ns1/z:p/tcp', 'IPv4 ns1/two:p80/tcp']);
  assert.ok(
    !planner.desired.sets.get('KUBE-NODE-PORT-TCP')?.has('30080'),
    'the only address is lost, the entry with it',
  );
});

test('set entries follow the winner: the exemption from SNAT of the loser is not written', () => {
  const local = { externalPolicyLocal: true };
  const exempt = (...records: ReturnType<typeof one>[]): boolean | undefined =>
    plannerOf([...records, nodeAddresses('192.168.1.10')])
      .desired.sets.get('KUBE-NODE-PORT-LOCAL-TCP')
      ?.has('30080');
  assert.equal(exempt(one(local), two()), false);
  assert.equal(exempt(one(), two(local)), true);

  const planner = plannerOf([one(local), two(), nodeAddresses('192.168.1.10')]);
  planner.apply(message(two({ createdMs: 5000 })));
  const dirty = planner.project();
  assert.deepEqual([...(dirty.entries.get('KUBE-NODE-PORT-LOCAL-TCP') ?? [])], ['30080']);
  assert.ok(planner.desired.sets.get('KUBE-NODE-PORT-LOCAL-TCP')?.has('30080'));
});

test('an address and its KUBE-IPVS-IPS entry stay for as long as one service port wants them', () => {
  const ports = [servicePort('a', 80), servicePort('b', 81)];
  const planner = plannerOf([service({ ports })]);
  assert.deepEqual(planner.wantedBy('address 10.96.0.10'), ['IPv4 ns1/svc1:a/tcp', 'IPv4 ns1/svc1:b/tcp']);
  assert.deepEqual(planner.wantedBy('entry KUBE-IPVS-IPS 10.96.0.10'), planner.wantedBy('address 10.96.0.10'));
  planner.apply(message(service({ ports: ports.slice(1) })));
  const dirty = planner.project();
  assert.equal(dirty.addresses.size, 0);
  assert.deepEqual([...dirty.entries.keys()], ['KUBE-CLUSTER-IP']);
  planner.apply(message(service(null)));
  assert.deepEqual([...planner.project().addresses], ['10.96.0.10']);
  assert.deepEqual(stateText(planner.desired), { ipvs: [], sets: [], addresses: [] });
  assert.deepEqual(planner.wantedBy('address 10.96.0.10'), []);
});

test('one endpoint that comes touches its service and its KUBE-LOOP-BACK entry, nothing else', () => {
  const planner = plannerOf([service(shared), slice([e2]), nodeAddresses('192.168.1.10')]);
  planner.apply(message(slice([e2, e1])));
  const dirty = planner.project();
  assert.deepEqual([...dirty.services].sort(), ['tcp 10.96.0.10:80', contested]);
  assert.deepEqual([...dirty.entries], [['KUBE-LOOP-BACK', new Set(['10.244.1.5,tcp:8080,10.244.1.5'])]]);
  assert.equal(dirty.addresses.size, 0);
  assert.deepEqual(planner.wantedBy(`destination ${contested} 10.244.1.5:8080`), ['IPv4 ns1/svc1:p80/tcp']);

  planner.apply(message(slice([e2, e1])));
  assert.equal(planner.project().services.size, 0, 'the same again is no change');
});
