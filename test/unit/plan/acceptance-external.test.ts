/** The acceptance tests of behaviour.md section 10 C (T27-T41, wanted state), the health check part of T18, and T108 for cluster IPs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { difference } from '../../../lib/plan/difference.ts';
import type { Planner } from '../../../lib/plan/planner.ts';
import type { ObjectRecord, ServiceBody } from '../../../lib/records.ts';
import { differenceDefaults, emptyState } from '../../harness/difference-options.ts';
import { MemoryState } from '../../harness/memory-state.ts';
import {
  e1,
  e2,
  ip,
  message,
  node,
  nodeAddresses,
  type planDefaults,
  plannerOf,
  service,
  servicePort,
  slice,
} from '../../harness/records.ts';
import { stateText } from '../../harness/state-text.ts';

const vip = '198.18.0.1';
const here = '10.244.1.5:8080';
const there = '10.244.2.7:8080';

function lb(body: Partial<ServiceBody> = {}): ObjectRecord {
  return service({ loadBalancerIPs: [ip(vip)], ...body });
}

function ranged(...sourceRanges: string[]): ObjectRecord {
  return lb({ sourceRanges, hasSourceRanges: true });
}

function external(address: string, body: Partial<ServiceBody> = {}): ObjectRecord {
  return service({ externalIPs: [ip(address)], ...body });
}

function planned(records: readonly ObjectRecord[], options: Partial<typeof planDefaults> = {}): Planner {
  return plannerOf([node(), nodeAddresses(), slice([e1, e2]), ...records], options);
}

/** Entries that speak of the address, with the sets cut to what follows `KUBE-`; destinations; whether it is bound. */
function served(planner: Planner, address: string): { sets: string[]; destinations: string[]; isBound: boolean } {
  const { sets, ipvs, addresses } = stateText(planner.desired);
  return {
    sets: sets.filter((line) => line.includes(` ${address},`)).map((line) => line.replace('add KUBE-', '')),
    destinations: ipvs.flatMap((line) => new RegExp(`^-a -t ${address}:80 -r (\\S+) `).exec(line)?.[1] ?? []),
    isBound: addresses.includes(address),
  };
}

test('T27: a load balancer IP is a virtual service, bound, in KUBE-LOAD-BALANCER and in no other set', () => {
  const planner = planned([lb()]);
  assert.deepEqual(served(planner, vip), {
    sets: [`LOAD-BALANCER ${vip},tcp:80`],
    destinations: [here, there],
    isBound: true,
  });
  assert.deepEqual(planner.wantedBy(`service tcp ${vip}:80`), ['IPv4 ns1/svc1:p80/tcp']);
  assert.deepEqual(planner.wantedBy(`entry KUBE-LOAD-BALANCER ${vip},tcp:80`), ['IPv4 ns1/svc1:p80/tcp']);
  assert.deepEqual(planner.wantedBy(`address ${vip}`), ['IPv4 ns1/svc1:p80/tcp']);
  assert.deepEqual(planner.warnings(), []);
});

test('T29: policy Local is in the exempting set as well, with local endpoints only', () => {
  assert.deepEqual(served(planned([lb({ externalPolicyLocal: true })]), vip), {
    sets: [`LOAD-BALANCER ${vip},tcp:80`, `LOAD-BALANCER-LOCAL ${vip},tcp:80`],
    destinations: [here],
    isBound: true,
  });
});

test('T24 for VIPs: without a local endpoint to all, or with externalLocalFallback none to nobody', () => {
  const records = [
    lb({ externalPolicyLocal: true, externalIPs: [ip('203.0.113.5')], ports: [servicePort('p80', 80, 'tcp', 30080)] }),
    slice([e2]),
  ];
  const where = (options: Partial<typeof planDefaults>): string[][] =>
    [vip, '203.0.113.5', '10.96.0.10'].map((address) => served(planned(records, options), address).destinations);
  assert.deepEqual(where({}), [[there], [there], [there]]);
  assert.deepEqual(where({ externalLocalFallback: 'none' }), [[], [], [there]]);
  const strict = stateText(planned(records, { externalLocalFallback: 'none' }).desired);
  assert.ok(!strict.ipvs.some((line) => line.startsWith('-a -t 192.168.1.10:30080')));
});

const outFilter = [`tcp ${vip}:80`];

test('T30, T31: source ranges without this node ask for a rule, with it for an entry of the VIP itself', () => {
  const out = planned([ranged('10.0.0.0/8')]);
  const guarded = [`LOAD-BALANCER ${vip},tcp:80`, `LOAD-BALANCER-FW ${vip},tcp:80`];
  assert.deepEqual(served(out, vip).sets, [...guarded, `LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,10.0.0.0/8`]);
  assert.deepEqual([...out.rules.outFilters('IPv4').keys()], outFilter);

  const within = planned([ranged('10.0.0.0/8', '192.168.0.0/16')]);
  assert.deepEqual(served(within, vip).sets, [
    ...guarded,
    `LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,10.0.0.0/8`,
    `LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,192.168.0.0/16`,
    `LOAD-BALANCER-SOURCE-IP ${vip},tcp:80,${vip}`,
  ]);
  assert.equal(within.rules.outFilters('IPv4').size, 0);
});

test("the node's IP is its InternalIP; when it changes, the Services with ranges follow, and no others", () => {
  const planner = planned([ranged('192.168.0.0/16'), service({ clusterIPs: [ip('10.96.0.11')] }, 'ns1/plain')]);
  const revision = planner.rules.revision;
  planner.apply(message(node({ addresses: [ip('172.20.0.1'), ip('192.168.1.10')] })));
  assert.deepEqual([...planner.project().services].sort(), ['tcp 10.96.0.10:80', `tcp ${vip}:80`]);
  assert.deepEqual([...planner.rules.outFilters('IPv4').keys()], outFilter);
  assert.deepEqual([...planner.rules.takeChanged()], outFilter);
  assert.notEqual(planner.rules.revision, revision);
  planner.apply(message(node({ zone: 'z2', addresses: [ip('172.20.0.1')] })));
  assert.equal(planner.project().services.size, 0, 'another zone is nothing to a Service without hints');
  planner.apply(message(node(null)));
  planner.project();
  assert.equal(planner.rules.outFilters('IPv4').size, 1, 'a node that is not known is in no range');
});

test('ranges are read once for each Service as it is, however its endpoints come and go', () => {
  let read = 0;
  const counted = new Proxy(['10.0.0.0/8'], {
    get: (list, name, receiver): unknown => {
      if (name === '0') read += 1;
      return Reflect.get(list, name, receiver);
    },
  });
  const planner = planned([lb({ sourceRanges: counted, hasSourceRanges: true })]);
  const before = read;
  assert.ok(before > 0);
  planner.apply(message(slice([e1])));
  assert.deepEqual([...(planner.project().destinations.get(`tcp ${vip}:80`) ?? [])], [there]);
  assert.equal(read, before);
});

test('T32: everybody is two halves, and includes this node, known or not', () => {
  for (const records of [[], [node(null)]]) {
    const planner = planned([ranged('0.0.0.0/0'), ...records]);
    assert.deepEqual(
      served(planner, vip).sets.filter((line) => line.includes('SOURCE')),
      [
        `LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,0.0.0.0/1`,
        `LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,128.0.0.0/1`,
        `LOAD-BALANCER-SOURCE-IP ${vip},tcp:80,${vip}`,
      ],
    );
    assert.equal(planner.rules.outFilters('IPv4').size, 0);
  }
});

test('T33: a single address is an entry as the kernel lists it, so that nothing differs the second time', () => {
  const six = { clusterIPs: [ip('10.96.0.10'), ip('fd00:96::10')], loadBalancerIPs: [ip(vip), ip('fd00:18::1')] };
  const planner = planned([lb({ ...six, sourceRanges: ['10.1.1.1/32', 'fd00:9::1/128'], hasSourceRanges: true })]);
  const { sets } = stateText(planner.desired);
  assert.ok(sets.includes(`add KUBE-LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,10.1.1.1`));
  assert.ok(sets.includes('add KUBE-6-LOAD-BALANCER-SOURCE-CID fd00:18::1,tcp:80,fd00:9::1'));
  assert.equal(difference(planner.desired, MemoryState.of(planner.desired), 'all', differenceDefaults).length, 0);
});

test('T34, T35: ranges of the other family, and a list with nothing usable, deny; the option opens the first, never the second', () => {
  const isGuarded = (record: ObjectRecord, sourceRangesOfOtherFamily: 'deny' | 'allow'): string[] =>
    served(planned([record], { sourceRangesOfOtherFamily }), vip).sets.filter((line) => /FW|SOURCE/.test(line));
  const closed = [`LOAD-BALANCER-FW ${vip},tcp:80`];
  assert.deepEqual(isGuarded(ranged('fd00::/8'), 'deny'), closed);
  assert.deepEqual(isGuarded(ranged('fd00::/8'), 'allow'), []);
  for (const option of ['deny', 'allow'] as const) assert.deepEqual(isGuarded(ranged(), option), closed);
  assert.deepEqual([...planned([ranged()]).rules.outFilters('IPv4').keys()], outFilter, 'this node is denied, too');
});

test('T36, T38: an external IP is in one set or the other, by policy', () => {
  const address = '203.0.113.5';
  assert.deepEqual(served(planned([external(address)]), address), {
    sets: [`EXTERNAL-IP ${address},tcp:80`],
    destinations: [here, there],
    isBound: true,
  });
  assert.deepEqual(served(planned([external(address, { externalPolicyLocal: true })]), address), {
    sets: [`EXTERNAL-IP-LOCAL ${address},tcp:80`],
    destinations: [here],
    isBound: true,
  });
});

test('T37: an address of an interface of this node is served and not bound; when it leaves the interface, it is', () => {
  const planner = planned([external('192.168.1.10'), lb({ loadBalancerIPs: [ip('172.17.0.1')] })]);
  const own = served(plannerOf([nodeAddresses(), external('192.168.1.10')]), '192.168.1.10');
  assert.deepEqual([own.sets, own.isBound], [['EXTERNAL-IP 192.168.1.10,tcp:80'], false]);
  assert.equal(served(planner, '172.17.0.1').isBound, false);
  assert.ok(!stateText(planner.desired).sets.includes('add KUBE-IPVS-IPS 172.17.0.1'), 'nor are its daemons cut off');
  planner.apply(message(nodeAddresses('192.168.1.10')));
  assert.deepEqual([...planner.project().addresses], ['172.17.0.1']);
  assert.equal(served(planner, '172.17.0.1').isBound, true);
});

test("T39: another Node's address is refused, as external IP and as load balancer IP, once, for as long as it is one", () => {
  const ports = [servicePort('p80', 80), servicePort('p81', 81)];
  const other = node({ self: false, addresses: [ip('192.168.1.20')] }, 'n2');
  for (const record of [external('192.168.1.20', { ports }), lb({ loadBalancerIPs: [ip('192.168.1.20')], ports })]) {
    const planner = planned([record, other]);
    assert.deepEqual(served(planner, '192.168.1.20'), { sets: [], destinations: [], isBound: false });
    const warnings = planner.warnings();
    assert.deepEqual(
      warnings.map(({ object }) => object),
      ['service ns1/svc1'],
    );
    assert.match(warnings[0]?.message ?? '', /192\.168\.1\.20 is an address of Node n2/);
    planner.apply(message(node({ self: false, addresses: [ip('192.168.1.21')] }, 'n2')));
    planner.project();
    assert.equal(served(planner, '192.168.1.20').isBound, true);
    planner.apply(message(other));
    planner.project();
    assert.equal(served(planner, '192.168.1.20').isBound, false);
    assert.equal(planner.warnings().length, 1, 'it is true again');
  }
  const mine = planned([external('192.168.1.10'), node({ self: false, addresses: [ip('192.168.1.10')] }, 'n2')]);
  assert.equal(mine.desired.services.has('tcp 192.168.1.10:80'), true, 'on an interface of ours it is local anyway');
});

test('external IPs outside allowedExternalIPs are refused with a warning (CVE-2020-8554); load balancer IPs are not asked', () => {
  const body = { externalIPs: [ip('203.0.113.5'), ip('203.0.114.5')], loadBalancerIPs: [ip(vip)] };
  const planner = planned([service(body)], { allowedExternalIPs: ['203.0.113.0/24'] });
  assert.deepEqual(stateText(planner.desired).addresses, ['10.96.0.10', vip, '203.0.113.5']);
  assert.match(planner.warnings()[0]?.message ?? '', /203\.0\.114\.5 is in none of allowedExternalIPs/);
  const none = planned([service(body)], { allowedExternalIPs: [] });
  assert.deepEqual(stateText(none.desired).addresses, ['10.96.0.10', vip]);
});

test('T40: a load balancer IP that is withdrawn: the address first, then the virtual service, then its entries, the ranges last', () => {
  const before = MemoryState.of(planned([ranged('10.0.0.0/8')]).desired);
  const changes = difference(planned([service()]).desired, before, 'all', differenceDefaults);
  assert.deepEqual(
    changes.map(({ object }) => object),
    [
      `address ${vip}`,
      `service tcp ${vip}:80`,
      `entry KUBE-IPVS-IPS ${vip}`,
      `entry KUBE-LOAD-BALANCER ${vip},tcp:80`,
      `entry KUBE-LOAD-BALANCER-FW ${vip},tcp:80`,
      `entry KUBE-LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,10.0.0.0/8`,
    ],
  );
  const made = difference(planned([ranged('10.0.0.0/8')]).desired, emptyState(), 'all', differenceDefaults);
  const order = made.map(({ object }) => object).filter((object) => object.includes(vip) && !/^dest/.test(object));
  assert.deepEqual(order, [
    `service tcp ${vip}:80`,
    `entry KUBE-LOAD-BALANCER-SOURCE-CIDR ${vip},tcp:80,10.0.0.0/8`,
    `entry KUBE-LOAD-BALANCER-FW ${vip},tcp:80`,
    `entry KUBE-LOAD-BALANCER ${vip},tcp:80`,
    `entry KUBE-IPVS-IPS ${vip}`,
    `address ${vip}`,
  ]);
});

test('T41, T18: the health check node port has its entry whatever node ports answer on, one for all ports of the Service', () => {
  const ports = [servicePort('p80', 80, 'tcp', 30080), servicePort('dns', 53, 'udp')];
  const record = lb({ ports, externalPolicyLocal: true, healthCheckNodePort: 32000 });
  for (const nodePortAddresses of [[], ['127.0.0.0/8']]) {
    const planner = planned([record], { nodePortAddresses });
    assert.ok(stateText(planner.desired).sets.includes('add KUBE-HEALTH-CHECK-NODE-PORT 32000'));
    assert.equal(planner.wantedBy('entry KUBE-HEALTH-CHECK-NODE-PORT 32000').length, 2);
    planner.apply(message(lb({ ports })));
    planner.project();
    assert.ok(!stateText(planner.desired).sets.some((line) => line.includes('HEALTH-CHECK')));
  }
});

test('VIPs of a family that the Service has no cluster IP in are not served', () => {
  const planner = planned([lb({ loadBalancerIPs: [ip('fd00:18::1')], externalIPs: [ip('fd00:18::2')] })]);
  assert.deepEqual(stateText(planner.desired).addresses, ['10.96.0.10']);
});

test('T108: a cluster IP that an interface of this node has is served and not bound, with a warning', () => {
  const planner = planned([service({ clusterIPs: [ip('192.168.1.10')] })]);
  assert.deepEqual(served(planner, '192.168.1.10'), {
    sets: ['CLUSTER-IP 192.168.1.10,tcp:80'],
    destinations: [here, there],
    isBound: false,
  });
  assert.match(planner.warnings()[0]?.message ?? '', /192\.168\.1\.10 is on an interface of this node/);
});
