/** Two service ports that want the same kernel object (behaviour.md 2.10, design.md 'Three states'). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DesiredState } from '../../../lib/plan/desired-state.ts';
import { difference } from '../../../lib/plan/difference.ts';
import { touchedServices } from '../../../lib/plan/dirty.ts';
import type { LivePort } from '../../../lib/plan/live-port.ts';
import type { ServiceBody } from '../../../lib/records.ts';
import { differenceDefaults } from '../../harness/difference-options.ts';
import { MemoryState } from '../../harness/memory-state.ts';
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
  assert.deepEqual(
    [...dirty.destinations].sort(),
    ['tcp 10.96.0.10:80', contested].map((id) => [id, new Set(['10.244.1.5:8080'])]),
  );
  assert.equal(dirty.services.size, 0);
  assert.deepEqual([...dirty.entries], [['KUBE-LOOP-BACK', new Set(['10.244.1.5,tcp:8080,10.244.1.5'])]]);
  assert.equal(dirty.addresses.size, 0);
  assert.deepEqual(planner.wantedBy(`destination ${contested} 10.244.1.5:8080`), ['IPv4 ns1/svc1:p80/tcp']);

  planner.apply(message(slice([e2, e1])));
  assert.deepEqual([...touchedServices(planner.project())], [], 'the same again is no change');
});

const vip = '203.0.113.5';
const wins = (planner: ReturnType<typeof plannerOf>): (string | undefined)[] => [
  planner.wantedBy(`service tcp ${vip}:80`)[0],
  planner.wantedBy(`address ${vip}`).join(),
  [...planner.desired.sets]
    .filter(([, entries]) => [...entries].some((entry) => entry.startsWith(`${vip},`)))
    .map(([set]) => set.replace('KUBE-', ''))
    .join(),
];

test('T92: an external IP and port of two Services: the same winner in every order and after every event, one warning, nothing flaps', () => {
  const first = one({ externalIPs: [ip(vip)], externalPolicyLocal: true });
  const second = two({ externalIPs: [ip(vip)] });
  for (const records of [
    [first, second],
    [second, first],
  ]) {
    const planner = plannerOf([...records, ...slices]);
    const winner = ['IPv4 ns1/two:p80/tcp', 'IPv4 ns1/two:p80/tcp', 'EXTERNAL-IP'];
    for (let sync = 0; sync < 5; sync += 1) {
      assert.deepEqual(wins(planner), winner, 'the address is bound for the winner alone');
      planner.apply(message(slice(sync % 2 === 0 ? [] : [e1], { key: 'ns1/one-a', service: 'ns1/one' })));
      planner.project();
    }
    const told = planner.warnings().filter(({ message: text }) => text.includes(vip));
    assert.deepEqual(
      told.map(({ object }) => object),
      ['service ns1/one'],
    );
    planner.apply(message(service(null, 'ns1/two')));
    const dirty = planner.project();
    assert.deepEqual(wins(planner), ['IPv4 ns1/one:p80/tcp', 'IPv4 ns1/one:p80/tcp', 'EXTERNAL-IP-LOCAL']);
    assert.equal(difference(planner.desired, MemoryState.of(planner.desired), dirty, differenceDefaults).length, 0);
  }
});

test('whoever loses costs the others nothing as long as it loses', () => {
  const desired = new DesiredState(['IPv4'], 'address');
  const claimant = (name: string, createdMs: number): LivePort => {
    const wanted = plannerOf([service({ externalIPs: [ip(vip)], createdMs }, `ns/${name}`)]).ports.get(
      `IPv4 ns/${name}:p80/tcp`,
    );
    assert.ok(wanted !== undefined);
    return wanted;
  };
  const [a, b, c] = [claimant('a', 1000), claimant('b', 2000), claimant('c', 3000)];
  const parties = (next: LivePort, isGone = false): readonly string[] =>
    [...desired.replace(next.id, isGone ? undefined : next)].map((id) => id.slice(8, 9)).sort();
  assert.deepEqual(parties(b), ['b']);
  assert.deepEqual(parties(c), ['c']);
  assert.deepEqual(parties(a), ['a', 'b', 'c'], 'another winner is everybody’s business');
  assert.deepEqual(parties(c), ['c']);
  assert.deepEqual(parties(a), ['a'], 'it wins as before');
  assert.deepEqual(parties(b, true), ['b']);
  assert.deepEqual(parties(a, true), ['a', 'c']);
  assert.deepEqual(desired.claimantsOf(`tcp ${vip}:80`), [c.id]);
});

test('T93: the same node port, and a cluster IP used twice, are decided likewise', () => {
  const reused = [one({ clusterIPs: [ip('10.96.0.11')] }), two(), ...slices, nodeAddresses('192.168.1.10')];
  for (const records of [reused, reused.toReversed()]) {
    const planner = plannerOf(records);
    for (const service of ['tcp 10.96.0.11:80', contested]) {
      assert.deepEqual(planner.wantedBy(`service ${service}`)[0], 'IPv4 ns1/two:p80/tcp');
    }
    assert.deepEqual(planner.wantedBy('address 10.96.0.11'), ['IPv4 ns1/two:p80/tcp']);
    assert.equal(planner.warnings().length, 2, 'one for each thing that is lost');
  }
});

test('a load balancer IP beats an external IP, of the same Service too; source ranges and rules are the winner’s', () => {
  const ranges = { sourceRanges: ['10.0.0.0/8'], hasSourceRanges: true };
  const balanced = two({ createdMs: 9000, loadBalancerIPs: [ip(vip)], ...ranges });
  const planner = plannerOf([one({ externalIPs: [ip(vip)] }), balanced]);
  const sets = 'LOAD-BALANCER,LOAD-BALANCER-FW,LOAD-BALANCER-SOURCE-CIDR';
  assert.deepEqual(wins(planner), ['IPv4 ns1/two:p80/tcp', 'IPv4 ns1/two:p80/tcp', sets]);
  assert.deepEqual([...planner.rules.outFilters('IPv4').keys()], [`tcp ${vip}:80`]);

  const older = one({ createdMs: 1, loadBalancerIPs: [ip(vip)] });
  planner.apply(message(older));
  planner.project();
  assert.deepEqual(wins(planner), ['IPv4 ns1/one:p80/tcp', 'IPv4 ns1/one:p80/tcp', 'LOAD-BALANCER']);
  assert.equal(planner.rules.outFilters('IPv4').size, 0, 'the rule belongs to the one that lost');

  const itself = plannerOf([two({ loadBalancerIPs: [ip(vip)], externalIPs: [ip(vip)] })]);
  assert.deepEqual(wins(itself), ['IPv4 ns1/two:p80/tcp', 'IPv4 ns1/two:p80/tcp', 'LOAD-BALANCER']);
});

test('an address is bound for whoever is served on it, and by two ports of two Services for both', () => {
  const ports = [servicePort('p80', 80), servicePort('p81', 81)];
  const planner = plannerOf([one({ externalIPs: [ip(vip)], ports }), two({ externalIPs: [ip(vip)] })]);
  assert.deepEqual(planner.wantedBy(`address ${vip}`), ['IPv4 ns1/one:p81/tcp', 'IPv4 ns1/two:p80/tcp']);
});
