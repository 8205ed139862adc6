/** The reconciler's promises in quiet weather: the gate, adoption, repair, draining, plans (T59 to T69, T76 to T79 of behaviour.md). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ReconcileEvent } from '../../../lib/reconcile/protocol.ts';
import { bindOutside, ip, newKernel, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10', { nodePort: 30080 });
const dns = service('ns1/dns', '10.96.0.11', { protocol: 'udp', port: 53 });
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);
const dnsSlice = (...addresses: string[]) => slice('ns1/dns-1', 'ns1/dns', addresses, { protocol: 'udp' });
const webKey = 'tcp 10.96.0.10:80';

async function served(init: ConstructorParameters<typeof World>[1] = {}): Promise<World> {
  const world = new World(newKernel(), init);
  await world.start();
  await world.say(web, webSlice('10.244.1.5', '10.244.2.7'), dns, dnsSlice('10.244.1.6'));
  world.kernel.log.length = 0;
  return world;
}

function kinds(events: readonly ReconcileEvent[]): string[] {
  return events.map(({ kind }) => kind);
}

describe('start and the gate', () => {
  test('start writes the static part only; nothing else before every source has synced (T59)', async () => {
    const world = new World();
    world.kernel.outside.apply({
      verb: 'create-service',
      service: {
        key: { protocol: 'tcp', address: ip('10.96.9.9'), port: 80 },
        scheduler: 'rr',
        flags: 0,
        timeoutSeconds: 0,
      },
    });
    const report = await world.start();
    assert.deepEqual(report.byVerb, { 'ensure-link': 1, 'ensure-set': 17 });
    assert.equal(report.rulesWritten, 1);
    assert.equal(report.sysctlsWritten, 4);
    assert.equal(report.complete, false);
    assert.equal(world.sysctls.values.get('net/ipv4/vs/conntrack'), '1');
    const before = world.kernel.dump();
    const { report: none } = await world.hint(web, webSlice('10.244.1.5'));
    assert.equal(none, undefined);
    await world.pass(120_000);
    assert.equal(world.kernel.dump(), before);
  });

  test('a source that has to begin again closes the gate for removals, and only for those', async () => {
    const world = await served();
    await world.hint(service('ns1/dns', null), webSlice('10.244.1.5', '10.244.3.3'));
    assert.match(world.kernel.dump(), /-A -u 10\.96\.0\.11:53/);
    assert.match(world.kernel.dump(), /-r 10\.244\.2\.7:8080 -m -w 1\n.*-r 10\.244\.3\.3:8080 -m -w 1/);
    await world.say();
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.11/);
    assert.match(world.kernel.dump(), /-r 10\.244\.2\.7:8080 -m -w 0/);
  });

  test('the whole table, entry for entry', async () => {
    const world = await served();
    assert.equal(
      world.kernel.dump().replace(/^create .*\n/gm, ''),
      `-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.244.2.7:8080 -m -w 1
-A -t 192.168.1.10:30080 -s rr
-a -t 192.168.1.10:30080 -r 10.244.1.5:8080 -m -w 1
-a -t 192.168.1.10:30080 -r 10.244.2.7:8080 -m -w 1
-A -u 10.96.0.11:53 -s rr
-a -u 10.96.0.11:53 -r 10.244.1.6:8080 -m -w 1

add KUBE-CLUSTER-IP 10.96.0.10,tcp:80
add KUBE-CLUSTER-IP 10.96.0.11,udp:53
add KUBE-IPVS-IPS 10.96.0.10
add KUBE-IPVS-IPS 10.96.0.11
add KUBE-NODE-PORT-TCP 30080

link eth0 physical
link kube-ipvs0 dummy
link lo physical
eth0 192.168.1.10/24 global
kube-ipvs0 10.96.0.10/32 host
kube-ipvs0 10.96.0.11/32 host
`,
    );
  });

  test('both families from one start', async () => {
    const world = new World(newKernel(), { families: ['IPv4', 'IPv6'] });
    const report = await world.start();
    assert.deepEqual(report.byVerb, { 'ensure-link': 1, 'ensure-set': 34 });
    assert.equal(report.rulesWritten, 2);
  });

  test('a link of the name that is no dummy stops the start and stays (T78)', async () => {
    const world = new World();
    world.kernel.outside.addLink('kube-ipvs0', 'bridge', true);
    const before = world.kernel.dump();
    await assert.rejects(world.start(), { code: 'ERR_NETLINK', message: /kube-ipvs0.*bridge/ });
    assert.equal(world.kernel.dump(), before);
  });

  test('what the kernel lacks is named, and nothing is left behind', async () => {
    const broken = [
      [newKernel({ ipvs: false }), {}, 'ERR_KERNEL_UNSUPPORTED'],
      [newKernel({ ipset: false }), {}, 'ERR_KERNEL_UNSUPPORTED'],
      [newKernel({ permitted: false }), {}, 'ERR_PERMISSION'],
      [newKernel({ dummy: false }), {}, 'ERR_KERNEL_UNSUPPORTED'],
      [newKernel(), { scheduler: 'nope' }, 'ERR_SCHEDULER_UNKNOWN'],
    ] as const;
    for (const [kernel, init, code] of broken) {
      const world = new World(kernel, init);
      await assert.rejects(world.start(), { code });
      assert.doesNotMatch(kernel.dump(), /kube-ipvs0|198\.51\.100\.0/, code);
      await assert.rejects(world.resync(), { code: 'ERR_CLOSED' });
    }
  });

  test('sysctls can be left alone: then they are named', async () => {
    const world = new World(newKernel(), { applySysctls: false });
    const report = await world.start();
    assert.equal(report.sysctlsWritten, 0);
    assert.equal(world.sysctls.values.get('net/ipv4/vs/conntrack'), '0');
    assert.equal(world.events.filter(({ kind }) => kind === 'warning').length, 4);
    await world.pass(120_000);
    assert.equal(world.events.length, 4, 'said once');
  });
});

describe('restart', () => {
  test('an unchanged cluster: no operation, no rule, no sysctl, no probe (T79)', async () => {
    const world = await served();
    const before = world.kernel.dump();
    const rules = world.iptables.log.length;
    world.die();
    const started = await world.start();
    assert.equal(started.operations, 0);
    assert.equal(started.services, 3, 'what is ours was adopted');
    await world.hint(web, dns, dnsSlice('10.244.1.6'));
    const report = await world.say(webSlice('10.244.2.7', '10.244.1.5'));
    assert.equal(report.operations + report.rulesWritten + report.sysctlsWritten, 0);
    assert.equal(report.complete, true);
    assert.deepEqual(world.kernel.log, []);
    assert.equal(world.iptables.log.length, rules);
    assert.equal(world.kernel.dump(), before);
    assert.deepEqual(kinds(world.events), []);
  });

  test('while it was away things changed: only the difference is written, dead endpoints first, then additions', async () => {
    const world = await served();
    world.die();
    await world.start();
    await world.say(web, webSlice('10.244.1.5', '10.244.3.3'));
    assert.deepEqual(world.kernel.log, [
      'ipvsadm -e -t 10.96.0.10:80 -r 10.244.2.7:8080 -m -w 0',
      'ipvsadm -e -t 192.168.1.10:30080 -r 10.244.2.7:8080 -m -w 0',
      'ipvsadm -a -t 10.96.0.10:80 -r 10.244.3.3:8080 -m -w 1',
      'ipvsadm -a -t 192.168.1.10:30080 -r 10.244.3.3:8080 -m -w 1',
      'ip addr del 10.96.0.11/32 dev kube-ipvs0',
      'ipvsadm -D -u 10.96.0.11:53',
      'ipset del KUBE-IPVS-IPS 10.96.0.11',
      'ipset del KUBE-CLUSTER-IP 10.96.0.11,udp:53',
    ]);
  });

  test('an adopted address keeps its scope; a wanted destination of weight 0 gets it back (T68)', async () => {
    const world = await served();
    bindOutside(world.kernel, 'kube-ipvs0', '10.96.0.12', 32);
    world.kernel.outside.apply({
      verb: 'update-destination',
      key: { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 },
      destination: { address: ip('10.244.1.5'), port: 8080, weight: 0, forward: 'masquerade' },
    });
    world.die();
    await world.start();
    await world.say(
      web,
      webSlice('10.244.1.5', '10.244.2.7'),
      dns,
      dnsSlice('10.244.1.6'),
      service('ns1/more', '10.96.0.12'),
    );
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.5:8080 -m -w 1\n(.*\n)*kube-ipvs0 10\.96\.0\.12\/32 global/);
  });

  test('records and a snapshot that drops some of them: gone with its end, not before', async () => {
    const world = await served();
    const message = { records: [web, webSlice('10.244.1.5', '10.244.2.7')], allSynced: true };
    await world.send({ kind: 'records', nowMs: world.nowMs, message: { ...message, snapshot: 'begin' } });
    assert.deepEqual(world.kernel.log, []);
    await world.send({
      kind: 'records',
      nowMs: world.nowMs,
      message: { records: [], snapshot: 'end', allSynced: true },
    });
    assert.equal(world.kernel.log.length, 4);
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.11/);
    assert.match(world.kernel.dump(), /192\.168\.1\.10:30080/, 'the node addresses survive a snapshot');
  });
});

describe('changes', () => {
  test('one endpoint costs its own messages, and one round trip', async () => {
    const world = await served();
    const came = await world.say(webSlice('10.244.1.5', '10.244.2.7', '10.244.3.3'));
    assert.deepEqual(came.byVerb, { 'create-destination': 2 });
    assert.equal(came.roundTrips, 1);
    const udp = await world.say(dnsSlice('10.244.1.9'));
    assert.deepEqual(udp.byVerb, { 'create-destination': 1, 'remove-destination': 1 }, 'T66');
    const nothing = await world.say(webSlice('10.244.3.3', '10.244.2.7', '10.244.1.5'));
    assert.equal(nothing.operations, 0);
  });

  test('a Service that moves to another port or goes: old away, new there, in one pass (T60)', async () => {
    const world = await served();
    await world.say(service('ns1/dns', '10.96.0.11', { protocol: 'udp', port: 5353 }));
    assert.match(world.kernel.dump(), /-a -u 10\.96\.0\.11:5353 -r 10\.244\.1\.6:8080/);
    assert.doesNotMatch(world.kernel.dump(), /11:53 |udp:53\n/);
    await world.say(service('ns1/dns', null), service('ns1/web', null));
    assert.equal(world.kernel.outside.services.size, 0);
    assert.doesNotMatch(world.kernel.dump(), /^add |kube-ipvs0 10/m);
  });

  test('a node address that comes or goes moves the node ports with the next full pass', async () => {
    const world = await served();
    bindOutside(world.kernel, 'eth0', '192.168.1.11', 24);
    bindOutside(world.kernel, 'lo', '127.0.0.1', 8);
    world.kernel.outside.addresses.delete('eth0 192.168.1.10');
    await world.pass(30_000);
    assert.match(world.kernel.dump(), /-A -t 192\.168\.1\.11:30080/);
    assert.doesNotMatch(world.kernel.dump(), /-A -t 192\.168\.1\.10:30080|127\.0\.0\.1:30080/);
  });
});

describe('draining', () => {
  const draining = { service: webKey, destination: '10.244.2.7:8080' };

  test('weight 0 while connections last, looked at each second, gone when idle (T65)', async () => {
    const world = await served();
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 3, 0);
    world.kernel.setConnections('tcp 192.168.1.10:30080', '10.244.2.7:8080', 0, 1);
    const report = await world.say(webSlice('10.244.1.5'));
    assert.equal(report.draining, 2);
    await world.pass(10_000);
    assert.deepEqual(world.events, []);
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 0, 0);
    await world.pass(1000);
    assert.deepEqual(world.events, [{ kind: 'drained', ...draining, reason: 'idle' }]);
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.10:80 -r 10\.244\.2\.7/);
    assert.match(world.kernel.dump(), /30080 -r 10\.244\.2\.7:8080 -m -w 0/);
  });

  test('gone when its time is up, connections or not (T69); a restart begins a new term and writes nothing', async () => {
    const world = await served();
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 3, 0);
    await world.say(webSlice('10.244.1.5'));
    await world.pass(50_000);
    world.die();
    world.kernel.log.length = 0;
    await world.start();
    const report = await world.say(web, webSlice('10.244.1.5'), dns, dnsSlice('10.244.1.6'));
    assert.equal(report.operations, 0);
    assert.equal(report.draining, 1);
    await world.pass(59_000);
    assert.deepEqual(world.events.at(-1)?.kind, 'drained', 'the idle one of the node port, before the restart');
    await world.pass(1000);
    assert.deepEqual(world.events.at(-1), { kind: 'drained', ...draining, reason: 'deadline' });
    assert.doesNotMatch(world.kernel.dump(), /10\.244\.2\.7/);
    assert.equal((await world.resync()).draining, 0);
  });

  test('an endpoint that returns gets its weight back in place (T67)', async () => {
    const world = await served();
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 3, 0);
    await world.say(webSlice('10.244.1.5'));
    world.kernel.log.length = 0;
    const report = await world.say(webSlice('10.244.1.5', '10.244.2.7'));
    assert.deepEqual(report.byVerb, { 'update-destination': 2 });
    assert.equal(report.draining, 0);
    await world.pass(120_000);
    assert.equal(world.events.length, 0);
    assert.match(world.kernel.dump(), /10\.96\.0\.10:80 -r 10\.244\.2\.7:8080 -m -w 1/);
  });
});

describe('the full pass', () => {
  test('mends what somebody else did to ours, within the period (T61, T76, T77)', async () => {
    const world = await served();
    const before = world.kernel.dump();
    const rules = await world.iptables.save('IPv4');
    const { outside } = world.kernel;
    outside.removeLink('kube-ipvs0');
    outside.services.delete(webKey);
    outside.services.get('udp 10.96.0.11:53')?.destinations.clear();
    outside.sets.get('KUBE-CLUSTER-IP')?.entries.clear();
    outside.sets.get('KUBE-NODE-PORT-TCP')?.entries.add('30099');
    outside.sets.delete('KUBE-LOOP-BACK');
    world.sysctls.values.set('net/ipv4/ip_forward', '0');
    world.iptables.outside(
      'IPv4',
      '*nat\n-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\nCOMMIT\n',
    );
    const [report] = await world.pass(30_000);
    assert.equal(report?.kind, 'full');
    assert.deepEqual(report.failures, []);
    assert.equal(report.rulesWritten + report.sysctlsWritten, 2);
    assert.equal(world.kernel.dump(), before);
    assert.equal(await world.iptables.save('IPv4'), rules);
    const again = await world.resync();
    assert.equal(again.operations + again.rulesWritten + again.sysctlsWritten, 0);
  });

  test('a stale virtual service on a bound address goes (T61), with it what only it had', async () => {
    const world = await served();
    world.die();
    bindOutside(world.kernel, 'kube-ipvs0', '10.96.9.9', 32);
    world.kernel.outside.apply({
      verb: 'create-service',
      service: {
        key: { protocol: 'tcp', address: ip('10.96.9.9'), port: 80 },
        scheduler: 'rr',
        flags: 0,
        timeoutSeconds: 0,
      },
    });
    await world.start();
    await world.say(web, webSlice('10.244.1.5', '10.244.2.7'), dns, dnsSlice('10.244.1.6'));
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.9\.9/);
  });

  test('a kernel that cannot be read is left as it is (T26)', async () => {
    for (const read of ['addresses', 'services', 'destinations', 'entries'] as const) {
      const world = await served();
      const before = world.kernel.dump();
      world.kernel.failRead(read, 'ENOBUFS');
      const report = await world.resync();
      assert.equal(report.operations, 0, read);
      assert.equal(report.failures[0]?.object, 'kernel');
      assert.equal(world.kernel.dump(), before);
      const reports = await world.pass(1000);
      assert.equal(reports[0]?.kind, 'full', 'read again soon');
      assert.deepEqual(reports[0]?.failures, []);
    }
  });
});

describe('others', () => {
  const fwmark = { fwmark: 7, family: 'IPv4' } as const;
  const keepalived = { protocol: 'tcp', address: ip('172.31.1.1'), port: 80 } as const;

  test('their virtual services stay, and are told of once (T63, T64)', async () => {
    const world = new World();
    for (const key of [fwmark, keepalived]) {
      world.kernel.outside.apply({
        verb: 'create-service',
        service: { key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0 },
      });
    }
    await world.start();
    const report = await world.say(web, webSlice('10.244.1.5'));
    assert.equal(report.foreign, 2);
    await world.pass(120_000);
    assert.deepEqual(world.events, [
      { kind: 'foreign', service: 'tcp 172.31.1.1:80' },
      { kind: 'foreign', service: 'fwmark 7 IPv4' },
    ]);
    assert.match(world.kernel.dump(), /-A -f 7 -s wlc\n(.*\n)*-A -t 172\.31\.1\.1:80 -s wlc/);
  });

  async function contest(scheduler: string, takeOver: boolean): Promise<World> {
    const world = new World(newKernel(), { takeOver });
    const key = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 } as const;
    world.kernel.outside.apply({ verb: 'create-service', service: { key, scheduler, flags: 0, timeoutSeconds: 0 } });
    const destination = { address: ip('10.244.1.5'), port: 8080, weight: 1, forward: 'masquerade' } as const;
    world.kernel.outside.apply({ verb: 'create-destination', key, destination });
    await world.start();
    await world.say(service('ns1/web', '10.96.0.10'), webSlice('10.244.1.5', '10.244.2.7'), dns);
    return world;
  }

  test('a wanted one that is as it should be is adopted', async () => {
    const world = await contest('rr', false);
    assert.deepEqual(world.events, []);
    assert.match(world.kernel.dump(), /-r 10\.244\.2\.7:8080[\s\S]*add KUBE-CLUSTER-IP 10\.96\.0\.10,tcp:80/);
  });

  test('a wanted one that differs is contested: untouched with all that would belong to it, until it is gone', async () => {
    const world = await contest('wlc', false);
    assert.deepEqual(kinds(world.events), ['contested']);
    assert.doesNotMatch(world.kernel.dump(), /10\.244\.2\.7|KUBE-CLUSTER-IP 10\.96\.0\.10|kube-ipvs0 10\.96\.0\.10/);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s wlc\n(.*\n)*-A -u 10\.96\.0\.11:53/);
    world.die();
    await world.start();
    const report = await world.say(service('ns1/web', '10.96.0.10'), webSlice('10.244.1.5', '10.244.2.7'), dns);
    assert.equal(report.operations, 0, 'and the next start does not take it for ours');
    assert.equal(report.contested, 1);
    world.kernel.outside.services.delete(webKey);
    await world.pass(30_000);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr[\s\S]*kube-ipvs0 10\.96\.0\.10\/32/);
  });

  test('takeOver overwrites it in place', async () => {
    const world = await contest('wlc', true);
    assert.deepEqual(world.events, []);
    assert.ok(world.kernel.log.includes('ipvsadm -E -t 10.96.0.10:80 -s rr'));
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr[\s\S]*kube-ipvs0 10\.96\.0\.10\/32/);
  });
});

describe('plan', () => {
  test('says in order what start and the first pass would do, and does nothing', async () => {
    const planned = new World();
    const before = planned.kernel.dump();
    await planned.send({
      kind: 'records',
      nowMs: 0,
      message: { records: [web, webSlice('10.244.1.5')], allSynced: true },
    });
    const { plan } = await planned.send({ kind: 'plan', against: 'kernel' });
    assert.equal(planned.kernel.dump(), before);
    assert.deepEqual(planned.kernel.log, [], 'no probe either');
    const done = new World();
    await done.start();
    await done.say(web, webSlice('10.244.1.5'));
    assert.deepEqual(
      plan?.operations.map(({ text }) => text),
      done.kernel.log.filter((line) => !line.includes('198.51.100.0')),
    );
    assert.deepEqual(plan.rules, done.iptables.log);
    assert.equal(plan.sysctls.length, 4);
    const bound = plan.operations.find(({ verb }) => verb === 'add-address');
    assert.deepEqual(bound?.wantedBy, ['IPv4 ns1/web:p/tcp']);
    const { plan: second } = await done.send({ kind: 'plan', against: 'kernel' });
    assert.deepEqual(
      { ...second, warnings: [], explanations: [] },
      { against: 'kernel', operations: [], rules: [], sysctls: [], warnings: [], explanations: [] },
    );
  });

  test('against nothing needs no session and no privileges', async () => {
    const world = new World(newKernel({ ipvs: false, ipset: false, permitted: false }));
    await world.send({
      kind: 'records',
      nowMs: 0,
      message: { records: [web, webSlice('10.244.1.5')], allSynced: true },
    });
    const { plan } = await world.send({ kind: 'plan', against: 'empty' });
    assert.equal(plan?.operations.length, 18 + 2 + 3 + 2 + 1);
    assert.ok(plan.operations.some(({ text }) => text.includes('192.168.1.10:30080')));
  });

  test('a plan does not make a running reconciler forget what it has to do', async () => {
    const world = new World();
    await world.start();
    await world.hint(web, webSlice('10.244.1.5'));
    await world.send({ kind: 'plan', against: 'kernel' });
    await world.say();
    assert.equal(world.kernel.outside.services.size, 2);
  });
});
