/** The reconciler in its worker on a real kernel, judged by ipvsadm, ipset, iptables-save and ip. Leaves nothing behind. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Batch, operationText } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { Operation } from '../../lib/operations.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest, SyncReport } from '../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import { FakeKernel } from '../../lib/testing/fake-kernel.ts';
import type { Host } from '../../lib/thread/host.ts';
import { openPiscinaHost } from '../../lib/thread/piscina-host.ts';
import type { Destination, LinkAddress, SetSpec, VirtualService } from '../../lib/types.ts';
import { defaultInit } from '../harness/default-init.ts';
import { runTool } from '../harness/run-tool.ts';
import { ip, service, slice } from '../unit/reconcile/world.ts';

type ReconcilerHost = Host<ReconcileRequest, ReconcileReply>;

const nodeLink = 'recon-node0';
const nodeAddress = '192.168.77.10';
const init: ReconcileInit = {
  ...defaultInit,
  families: ['IPv4', 'IPv6'],
  nodePortAddresses: ['192.168.77.0/24'],
  drainTimeoutMs: 5000,
};

const web = service('ns1/web', '10.96.0.10', { nodePort: 30080 });
const dns = service('ns1/dns', '10.96.0.11', { protocol: 'udp', port: 53 });
const webSlice = (...addresses: string[]): ObjectRecord => slice('ns1/web-1', 'ns1/web', addresses, { local: true });
const dnsSlice = slice('ns1/dns-1', 'ns1/dns', ['10.244.2.9'], { protocol: 'udp' });
const everything = [web, webSlice('10.244.1.5', '10.244.1.6'), dns, dnsSlice];

const tables = {
  ipvs: async () => sortedLines(await runTool('ipvsadm', ['-Sn'])),
  entries: async () => sortedLines(await runTool('ipset', ['save'])).filter((line) => line.startsWith('add KUBE-')),
  sets: async () => sortedLines(await runTool('ipset', ['save'])).filter((line) => line.startsWith('create KUBE-')),
  vips: async () =>
    sortedLines(await runTool('ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0'], { mayFail: true })).map((line) =>
      line
        .replace(/^\d+: |\\.*$/g, '')
        .trim()
        .replace(/ +/g, ' '),
    ),
  rules: async () =>
    ruleLines(await runTool('iptables-legacy-save', [], { mayFail: true })) +
    ruleLines(await runTool('iptables-nft-save', [], { mayFail: true })),
};

function sortedLines(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .sort();
}

function ruleLines(text: string): string {
  return text
    .split('\n')
    .filter((line) => line.startsWith('-A') && line.includes('KUBE-'))
    .join('\n');
}

async function whole(): Promise<unknown> {
  return {
    ipvs: await tables.ipvs(),
    ipset: await runTool('ipset', ['save']),
    vips: await tables.vips(),
    rules: await tables.rules(),
  };
}

async function clean(): Promise<void> {
  await runTool('ipvsadm', ['-C'], { mayFail: true });
  for (const link of ['kube-ipvs0', nodeLink]) await runTool('ip', ['link', 'del', link], { mayFail: true });
  for (const program of ['iptables-legacy', 'ip6tables-legacy', 'iptables-nft', 'ip6tables-nft']) {
    for (const table of ['nat', 'filter']) {
      await runTool(program, ['-t', table, '-F'], { mayFail: true });
      await runTool(program, ['-t', table, '-X'], { mayFail: true });
    }
  }
  const names = (await runTool('ipset', ['list', '-n'], { mayFail: true }))
    .split('\n')
    .filter((name) => name.startsWith('KUBE-'));
  for (const name of names) await runTool('ipset', ['destroy', name]);
}

describe('reconciler', () => {
  let host: ReconcilerHost;
  let nowMs = 1_000_000;

  const open = async (): Promise<ReconcilerHost> =>
    openPiscinaHost(new URL('../../lib/reconcile/worker-module.js', import.meta.url), init);
  const send = async (request: ReconcileRequest): Promise<SyncReport> => {
    const { report } = await host.call(request);
    assert.ok(report, request.kind);
    assert.deepEqual(report.failures, []);
    assert.equal(report.unknown, 0);
    return report;
  };
  const say = (...records: ObjectRecord[]): Promise<SyncReport> =>
    send({ kind: 'records', nowMs, message: { records, allSynced: true } });

  before(async () => {
    await clean();
    await runTool('ip', ['link', 'add', nodeLink, 'type', 'dummy']);
    await runTool('ip', ['addr', 'add', `${nodeAddress}/24`, 'dev', nodeLink]);
    await runTool('ip', ['link', 'set', nodeLink, 'up']);
    await runTool('ipvsadm', ['-A', '-t', '172.31.1.1:80', '-s', 'wlc']);
    await runTool('ipvsadm', ['-A', '-f', '77', '-s', 'rr']);
    host = await open();
  });
  after(async () => {
    await host.close();
    await clean();
  });

  test('start: the link, the sets of both families, the rules, the sysctls, and nothing else', async () => {
    const before = await tables.ipvs();
    const report = await send({ kind: 'start', nowMs });
    assert.deepEqual(report.byVerb, { 'ensure-link': 1, 'ensure-set': 34 });
    assert.equal(report.rulesWritten, 2);
    const sets = await tables.sets();
    assert.equal(sets.length, 34);
    assert.ok(
      sets.some((line) => line.startsWith('create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6 ')),
    );
    assert.deepEqual(await tables.vips(), []);
    assert.deepEqual(await tables.ipvs(), before);
    assert.match(await tables.rules(), /-A PREROUTING .*-j KUBE-SERVICES/);
    for (const key of ['ipv4/vs/conntrack', 'ipv4/vs/expire_nodest_conn', 'ipv4/ip_forward']) {
      assert.equal((await readFile(`/proc/sys/net/${key}`, 'utf8')).trim(), '1', key);
    }
  });

  test('the records, entry for entry; what is not ours stays', async () => {
    await host.call({ kind: 'records', nowMs, message: { records: everything.slice(0, 2), allSynced: false } });
    assert.deepEqual(await tables.entries(), []);
    const report = await say(...everything.slice(2));
    assert.equal(report.complete, true);
    assert.equal(report.foreign, 2);
    assert.deepEqual(await tables.ipvs(), [
      '-A -f 77 -s rr',
      '-A -t 10.96.0.10:80 -s rr',
      '-A -t 172.31.1.1:80 -s wlc',
      `-A -t ${nodeAddress}:30080 -s rr`,
      '-A -u 10.96.0.11:53 -s rr',
      '-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1',
      '-a -t 10.96.0.10:80 -r 10.244.1.6:8080 -m -w 1',
      `-a -t ${nodeAddress}:30080 -r 10.244.1.5:8080 -m -w 1`,
      `-a -t ${nodeAddress}:30080 -r 10.244.1.6:8080 -m -w 1`,
      '-a -u 10.96.0.11:53 -r 10.244.2.9:8080 -m -w 1',
    ]);
    assert.deepEqual(await tables.entries(), [
      'add KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'add KUBE-CLUSTER-IP 10.96.0.11,udp:53',
      'add KUBE-IPVS-IPS 10.96.0.10',
      'add KUBE-IPVS-IPS 10.96.0.11',
      'add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
      'add KUBE-LOOP-BACK 10.244.1.6,tcp:8080,10.244.1.6',
      'add KUBE-NODE-PORT-TCP 30080',
    ]);
    assert.deepEqual(await tables.vips(), [
      'kube-ipvs0 inet 10.96.0.10/32 scope host kube-ipvs0',
      'kube-ipvs0 inet 10.96.0.11/32 scope host kube-ipvs0',
    ]);
    assert.doesNotMatch(await runTool('ip', ['link', 'show', 'kube-ipvs0']), /state UP/);
  });

  test('a new worker on an unchanged cluster writes nothing at all', async () => {
    const before = await whole();
    await host.close();
    host = await open();
    const started = await send({ kind: 'start', nowMs });
    const report = await say(...everything);
    for (const { operations, rulesWritten, sysctlsWritten } of [started, report]) {
      assert.deepEqual(
        { operations, rulesWritten, sysctlsWritten },
        { operations: 0, rulesWritten: 0, sysctlsWritten: 0 },
      );
    }
    assert.deepEqual(await whole(), before);
    const { plan } = await host.call({ kind: 'plan', against: 'kernel' });
    assert.deepEqual([plan?.operations, plan?.rules, plan?.sysctls], [[], [], []]);
  });

  test('what the tools of others break is mended by the next full pass', async () => {
    const before = await whole();
    await runTool('ipvsadm', ['-D', '-t', '10.96.0.10:80']);
    await runTool('ipvsadm', ['-e', '-u', '10.96.0.11:53', '-r', '10.244.2.9:8080', '-m', '-w', '0']);
    await runTool('ipset', ['flush', 'KUBE-CLUSTER-IP']);
    await runTool('ipset', ['add', 'KUBE-NODE-PORT-UDP', '31000']);
    await runTool('ip', ['link', 'del', 'kube-ipvs0']);
    const program = (await runTool('iptables-legacy-save', [], { mayFail: true })).includes('KUBE-')
      ? 'iptables-legacy'
      : 'iptables-nft';
    await runTool(program, ['-t', 'nat', '-F', 'KUBE-MARK-MASQ']);
    await runTool(program, [
      '-t',
      'nat',
      '-D',
      'OUTPUT',
      '-m',
      'comment',
      '--comment',
      'kubernetes service portals',
      '-j',
      'KUBE-SERVICES',
    ]);
    nowMs += 30_000;
    const report = await send({ kind: 'tick', nowMs });
    assert.equal(report.kind, 'full');
    assert.equal(report.rulesWritten, 1);
    assert.deepEqual(await whole(), before);
  });

  test('the audit counts what others did, and puts it right; a round that finds nothing writes nothing', async () => {
    const before = await whole();
    await runTool('ipvsadm', ['-D', '-t', '10.96.0.10:80']);
    await runTool('ipvsadm', ['-d', '-u', '10.96.0.11:53', '-r', '10.244.2.9:8080']);
    await runTool('ipset', ['del', 'KUBE-CLUSTER-IP', '10.96.0.11,udp:53']);
    await runTool('ipset', ['add', 'KUBE-IPVS-IPS', '10.96.9.9']);
    for (const drift of [{ missing: 3, extra: 1, changed: 0 }, undefined]) {
      nowMs += 30_000;
      const report = await send({ kind: 'tick', nowMs });
      assert.equal(report.kind, 'full');
      assert.deepEqual(report.drift, drift);
      assert.equal(report.operations === 0, drift === undefined);
      assert.deepEqual(await whole(), before);
    }
  });

  test('an endpoint that goes drains and is deleted; a Service that goes takes everything of its own along', async () => {
    const drained = await say(webSlice('10.244.1.5'));
    assert.equal(drained.draining, 2);
    assert.equal((await tables.ipvs()).filter((line) => line.endsWith('-r 10.244.1.6:8080 -m -w 0')).length, 2);
    nowMs += 1000;
    await send({ kind: 'tick', nowMs });
    assert.ok(!(await tables.ipvs()).some((line) => line.includes('10.244.1.6')));
    await say(service('ns1/web', null));
    await say(service('ns1/dns', null));
    assert.deepEqual(await tables.entries(), []);
    assert.deepEqual(await tables.vips(), []);
    assert.deepEqual(await tables.ipvs(), ['-A -f 77 -s rr', '-A -t 172.31.1.1:80 -s wlc']);
  });

  test('a start that cannot be: named, and nothing is touched', async () => {
    const before = await whole();
    const scheduler = await openPiscinaHost<ReconcileInit, ReconcileRequest, ReconcileReply>(
      new URL('../../lib/reconcile/worker-module.js', import.meta.url),
      { ...init, scheduler: 'nonesuch' },
    );
    await assert.rejects(scheduler.call({ kind: 'start', nowMs }), {
      code: 'ERR_SCHEDULER_UNKNOWN',
      message: /ip_vs_nonesuch/,
    });
    await scheduler.close();
    assert.deepEqual(await whole(), before);
    await runTool('ip', ['link', 'del', 'kube-ipvs0']);
    await runTool('ip', ['link', 'add', 'kube-ipvs0', 'type', 'bridge']);
    const second = await open();
    await assert.rejects(second.call({ kind: 'start', nowMs }), { code: 'ERR_NETLINK', message: /kube-ipvs0.*bridge/ });
    await second.close();
    assert.match(await runTool('ip', ['-d', 'link', 'show', 'kube-ipvs0']), /bridge/);
  });
});

describe('the fake kernel has the manners of this one', () => {
  const link = 'fake-conf0';
  const key = { protocol: 'tcp', address: ip('10.99.7.1'), port: 80 } as const;
  const absent = { ...key, port: 81 };
  const rr: VirtualService = { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 };
  const to = (address: string, weight = 1): Destination => ({
    address: ip(address),
    port: 8080,
    weight,
    forward: 'masquerade',
  });
  const set = (name: string, type: SetSpec['type'], rest: Partial<SetSpec> = {}): SetSpec => ({
    name,
    type,
    family: 'IPv4',
    ...rest,
  });
  const ports = set('FK-PORTS', 'bitmap:port');
  const tuples = set('FK-TUPLES', 'hash:ip,port', { hashSize: 64, maxElements: 2 });
  const other = set('FK-OTHER', 'hash:ip,port');
  const vip: LinkAddress = { link, address: ip('10.99.7.2'), prefixLength: 32, scope: 'host' };

  const operations: readonly Operation[] = [
    { verb: 'update-service', service: rr },
    { verb: 'create-destination', key, destination: to('10.99.8.1') },
    { verb: 'create-service', service: { ...rr, scheduler: 'nonesuch' } },
    { verb: 'create-service', service: rr },
    { verb: 'create-service', service: rr },
    { verb: 'ensure-service', service: { ...rr, flags: 1, timeoutSeconds: 300 } },
    { verb: 'update-service', service: { ...rr, scheduler: 'nonesuch' } },
    { verb: 'update-destination', key, destination: to('10.99.8.1') },
    { verb: 'create-destination', key, destination: to('10.99.8.1') },
    { verb: 'create-destination', key, destination: to('10.99.8.1') },
    { verb: 'ensure-destination', key, destination: to('10.99.8.1', 5) },
    { verb: 'ensure-destination', key, destination: to('10.99.8.2', 0) },
    { verb: 'create-destination', key, destination: to('224.0.0.1') },
    { verb: 'remove-destination', key, destination: to('10.99.8.9') },
    { verb: 'remove-destination', key: absent, destination: to('10.99.8.9') },
    { verb: 'remove-destination', key, destination: to('10.99.8.2') },
    { verb: 'remove-service', key: absent },
    { verb: 'create-set', set: ports },
    { verb: 'create-set', set: ports },
    { verb: 'ensure-set', set: ports },
    { verb: 'ensure-set', set: tuples },
    { verb: 'ensure-set', set: { ...tuples, hashSize: 1024 } },
    { verb: 'ensure-set', set: { ...tuples, maxElements: 3 } },
    { verb: 'ensure-set', set: { ...tuples, type: 'hash:ip' } },
    { verb: 'ensure-set', set: { ...tuples, family: 'IPv6' } },
    { verb: 'ensure-set', set: { ...tuples, timeoutSeconds: 0, comment: true } },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:79 timeout 0 comment "kept"' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:79' },
    { verb: 'ensure-set', set: tuples },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:79 timeout 5' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:79 comment "no room"' },
    { verb: 'remove-entry', set: tuples, entry: '10.99.7.1,tcp:79 timeout 5' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:80' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:80' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,udp:80' },
    { verb: 'add-entry', set: tuples, entry: '10.99.7.1,tcp:81' },
    { verb: 'add-entry', set: other, entry: '10.99.7.1,tcp:81' },
    { verb: 'remove-entry', set: other, entry: '10.99.7.1,tcp:81' },
    { verb: 'remove-entry', set: tuples, entry: '10.99.7.1,tcp:99' },
    { verb: 'flush-set', name: 'FK-OTHER' },
    { verb: 'swap-sets', name: 'FK-TUPLES', other: 'FK-OTHER' },
    { verb: 'swap-sets', name: 'FK-OTHER', other: 'FK-TUPLES' },
    { verb: 'swap-sets', name: 'FK-TUPLES', other: 'FK-PORTS' },
    { verb: 'create-set', set: other },
    { verb: 'swap-sets', name: 'FK-TUPLES', other: 'FK-OTHER' },
    { verb: 'rename-set', name: 'FK-OTHER', newName: 'FK-TUPLES' },
    { verb: 'rename-set', name: 'FK-ABSENT', newName: 'FK-RENAMED' },
    { verb: 'rename-set', name: 'FK-OTHER', newName: 'FK-RENAMED' },
    { verb: 'rename-set', name: 'FK-RENAMED', newName: 'FK-OTHER' },
    { verb: 'add-entry', set: ports, entry: '30080' },
    { verb: 'remove-set', name: 'FK-ABSENT' },
    { verb: 'add-address', address: vip },
    { verb: 'remove-address', link, address: vip.address, prefixLength: 32 },
    { verb: 'ensure-link', name: link },
    { verb: 'ensure-link', name: link },
    { verb: 'add-address', address: vip },
    { verb: 'add-address', address: { ...vip, scope: 'global' } },
    { verb: 'add-address', address: { link, address: ip('fd99::7'), prefixLength: 128, deprecated: true } },
    { verb: 'remove-address', link, address: ip('10.99.7.3'), prefixLength: 32 },
    { verb: 'ensure-link', name: 'lo' },
    { verb: 'remove-link', name: 'lo' },
    { verb: 'remove-link', name: 'fake-absent0' },
  ];
  const ends: readonly Operation[] = [
    { verb: 'remove-service', key },
    { verb: 'remove-link', name: link },
    ...[ports, tuples, other].map(({ name }) => ({ verb: 'remove-set', name }) as const),
  ];

  function fate(session: KernelSession, operation: Operation): string {
    const [failure] = session.run(new Batch(1).push(operation)).failures;
    return `${operationText(operation)}: ${failure === undefined ? 'done' : `${failure.outcome} ${failure.error.errnoName}`}`;
  }

  function tablesOf(session: KernelSession): unknown {
    return {
      services: readAll(session.services()).filter(
        (service) => 'address' in service.key && service.key.address === key.address,
      ),
      destinations: readAll(session.destinations(key)),
      sets: readAll(session.sets())
        .filter(({ name }) => name.startsWith('FK-'))
        .map(({ name, type, entries, references }) => ({ name, type, entries, references }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      entries: ['FK-PORTS', 'FK-TUPLES', 'FK-OTHER'].map((name) => readAll(session.entries(name)).sort()),
      addresses: readAll(session.addresses())
        .filter((address) => address.link === link)
        .map(({ linkIndex, ...address }) => address)
        .sort((a, b) => (a.address < b.address ? -1 : 1)),
    };
  }

  test('operation by operation, and in what is there in the end', () => {
    const real = openSession();
    const fake = new FakeKernel().session();
    try {
      for (const operation of operations) assert.equal(fate(fake, operation), fate(real, operation));
      assert.deepEqual(tablesOf(fake), tablesOf(real));
      assert.throws(() => readAll(fake.entries('FK-ABSENT')), { errnoName: 'ENOENT' });
      assert.throws(() => readAll(real.entries('FK-ABSENT')), { errnoName: 'ENOENT' });
    } finally {
      for (const operation of ends) fate(real, operation);
      real.close();
    }
  });
});
