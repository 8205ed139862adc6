/** Kernel settings that cannot be read, are not ours to write, or nobody may write (behaviour.md 5.2). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import type { PlanResult } from '../../../lib/reconcile/protocol.ts';
import { newKernel, service, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10');
const conntrack = 'net/ipv4/vs/conntrack';

function unreadable(world: World, key: string): void {
  const read = world.sysctls.read.bind(world.sysctls);
  world.sysctls.read = (asked) => {
    if (asked === key) throw new ProxierError('ERR_SYSCTL', `cannot read sysctl ${key}: EACCES`);
    return read(asked);
  };
}

async function planned(world: World, against: PlanResult['against'] = 'kernel'): Promise<PlanResult> {
  const { plan } = await world.send({ kind: 'plan', against });
  assert.ok(plan);
  return plan;
}

function warned(world: World): string[] {
  return world.events.flatMap((event) => (event.kind === 'warning' ? [event.object] : []));
}

describe('a setting that cannot be read', () => {
  for (const key of [conntrack, 'kernel/osrelease']) {
    test(`${key}: a failure of its own, everything else goes on`, async () => {
      const world = new World();
      unreadable(world, key);
      const started = await world.start();
      const failing = key === conntrack ? [`sysctl ${key}`] : [];
      assert.deepEqual(
        started.failures.map(({ object }) => object),
        failing,
      );
      await world.say(web);
      assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
      world.kernel.outside.removeLink('kube-ipvs0');
      const full = await world.resync();
      assert.deepEqual(
        full.failures.map(({ object, error }) => [object, error.code]),
        failing.map((object) => [object, 'ERR_SYSCTL']),
      );
      assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
      const { warnings } = await planned(world);
      assert.equal(warnings.filter((text) => text.includes('EACCES')).length, failing.length);
    });
  }

  test('is a warning when settings are only reported', async () => {
    const world = new World(newKernel(), { applySysctls: false });
    unreadable(world, conntrack);
    assert.deepEqual((await world.start()).failures, []);
    assert.ok(warned(world).includes(`sysctl ${conntrack}`));
  });
});

test('a plan writes no settings that are only to be reported: they are among its warnings', async () => {
  const world = new World(newKernel(), { applySysctls: false });
  for (const against of ['kernel', 'empty'] as const) {
    const { sysctls, warnings } = await planned(world, against);
    assert.deepEqual(sysctls, []);
    assert.equal(warnings.filter((text) => text.includes('sysctl -w net.ipv4.')).length, 4);
  }
  const writes = await planned(new World());
  assert.equal(writes.sysctls.length, 4);
  assert.deepEqual(writes.warnings, []);
});

test('a setting that is wrong again after it was right is told again', async () => {
  const world = new World(newKernel(), { applySysctls: false });
  await world.start();
  for (const value of ['1', '0', '0']) {
    world.sysctls.values.set(conntrack, value);
    await world.resync();
  }
  assert.deepEqual(
    warned(world).filter((object) => object.includes('conntrack')),
    [`sysctl ${conntrack}`, `sysctl ${conntrack}`],
  );
});

test('IPv6 that is served and not forwarded is told of once; nobody sets it', async () => {
  const world = new World(newKernel(), { families: ['IPv4', 'IPv6'] });
  await world.start();
  await world.resync();
  const forwarding = 'net/ipv6/conf/all/forwarding';
  assert.deepEqual(warned(world), [`sysctl ${forwarding}`]);
  assert.equal(world.sysctls.values.get(forwarding), '0');
  assert.ok((await planned(world)).warnings.some((text) => text.includes('sysctl -w net.ipv6.conf.all.forwarding=1')));
  for (const [families, value] of [[['IPv4'], '0'] as const, [['IPv6'], '1'] as const]) {
    const quiet = new World(newKernel(), { families });
    quiet.sysctls.values.set(forwarding, value);
    await quiet.start();
    assert.deepEqual(warned(quiet), []);
  }
});

describe('IPVS time-outs', () => {
  const ipvsTimeouts = { tcpSeconds: 0, tcpFinSeconds: 60, udpSeconds: 300 };

  test('are written when one that is asked for differs, and planned; a 0 is left as it is', async () => {
    const world = new World(newKernel(), { ipvsTimeouts });
    const { operations } = await planned(world);
    assert.ok(operations.some(({ text }) => text === 'ipvsadm --set 0 60 300'));
    assert.equal((await world.start()).byVerb['set-timeouts'], 1);
    assert.deepEqual(world.kernel.outside.timeouts, { tcpSeconds: 900, tcpFinSeconds: 60, udpSeconds: 300 });
    world.kernel.outside.timeouts = { tcpSeconds: 5, tcpFinSeconds: 60, udpSeconds: 300 };
    assert.equal((await world.resync()).operations, 0);
    world.kernel.outside.timeouts = { tcpSeconds: 5, tcpFinSeconds: 61, udpSeconds: 300 };
    assert.equal((await world.resync()).operations, 1);
  });

  test('that are refused are a failure, and everything else goes on', async () => {
    const world = new World(newKernel(), { ipvsTimeouts });
    world.kernel.failNext(({ verb }) => verb === 'set-timeouts', 'EINVAL', 2);
    assert.deepEqual(
      (await world.start()).failures.map(({ object }) => object),
      ['timeouts'],
    );
    await world.say(web);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
    await world.pass(1000);
    assert.equal(world.kernel.outside.timeouts.tcpFinSeconds, 60);
  });
});

test('conntrack tuning that is refused is a warning, and no failure; what is larger already stays', async () => {
  const conntrack = { maxPerCore: 32_768, min: 131_072, tcpEstablishedTimeoutSeconds: 86_400 };
  const world = new World(newKernel(), { conntrack, strictARP: true });
  const { values, readOnly } = world.sysctls;
  values.set('net/netfilter/nf_conntrack_max', '8192');
  values.set('net/netfilter/nf_conntrack_buckets', '65536');
  readOnly.add('net/netfilter/nf_conntrack_max');
  const report = await world.start();
  assert.deepEqual(report.failures, []);
  // The last of these is not in this kernel.
  assert.deepEqual(warned(world), [
    'sysctl net/netfilter/nf_conntrack_max',
    'sysctl net/netfilter/nf_conntrack_tcp_timeout_established',
  ]);
  assert.deepEqual(
    ['net/netfilter/nf_conntrack_buckets', 'net/ipv4/conf/all/arp_ignore', 'net/ipv4/conf/all/arp_announce'].map(
      (key) => values.get(key),
    ),
    ['65536', '1', '2'],
  );
  readOnly.clear();
  values.set('net/netfilter/nf_conntrack_tcp_timeout_established', '432000');
  assert.equal((await world.resync()).sysctlsWritten, 2);
  assert.equal(values.get('net/netfilter/nf_conntrack_max'), '131072');
  assert.equal((await world.resync()).sysctlsWritten, 0);
});

test('settings of the bridge and of reverse path filtering are advice, where they are there and wrong', async () => {
  const world = new World();
  for (const [key, value] of [
    ['net/bridge/bridge-nf-call-iptables', '0'],
    ['net/bridge/bridge-nf-call-ip6tables', '0'],
    ['net/ipv4/conf/all/rp_filter', '1'],
  ] as const)
    world.sysctls.values.set(key, value);
  await world.start();
  assert.deepEqual(warned(world), ['sysctl net/bridge/bridge-nf-call-iptables', 'sysctl net/ipv4/conf/all/rp_filter']);
});
