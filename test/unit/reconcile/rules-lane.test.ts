/** The rules: what waits for them, what does not, and what they do while the Node is not known. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import type { Iptables } from '../../../lib/kernel/iptables.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { FakeIptables } from '../../../lib/testing/fake-iptables.ts';
import { FakeSysctls } from '../../../lib/testing/fake-sysctls.ts';
import { defaultInit } from '../../harness/default-init.ts';
import { ip, newKernel, restricted, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10');
const other = service('ns1/other', '10.96.0.11');
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);
const otherSlice = (...addresses: string[]) => slice('ns1/other-1', 'ns1/other', addresses);
const records = [web, webSlice('10.244.1.5'), other, otherSlice('10.244.1.6')];

async function right(): Promise<string> {
  const world = new World();
  await world.start();
  await world.say(...records);
  return world.kernel.dump();
}

describe('the iptables lane', () => {
  test('a node whose rules were never right exposes nothing until they are (T73)', async () => {
    const world = new World();
    world.iptables.failNext('restore', 3);
    const started = await world.start();
    assert.deepEqual(
      started.failures.map(({ object, error }) => [object, error.code]),
      [['rules IPv4', 'ERR_IPTABLES']],
    );
    const report = await world.say(...records, service('ns1/np', '10.96.0.12', { nodePort: 30080 }));
    assert.equal(report.failures[0]?.object, 'rules IPv4', 'which is not the success of a first pass');
    assert.doesNotMatch(world.kernel.dump(), /kube-ipvs0 10|^-A|^add/m, 'neither a VIP nor a node port');
    await world.say(service('ns1/np', null));
    const reports = await world.pass(1000);
    assert.deepEqual(
      reports.map(({ rulesWritten, failures }) => [rulesWritten, failures[0]?.retryInMs]),
      [
        [0, 400],
        [1, undefined],
      ],
    );
    assert.equal(world.kernel.dump(), await right(), 'and then all of it at once');
  });

  test('a resync that mends them writes what waited for them', async () => {
    const world = new World();
    world.iptables.failNext('restore', 2);
    await world.start();
    await world.say(...records);
    const report = await world.resync();
    assert.deepEqual(report.failures, []);
    assert.equal(world.kernel.dump(), await right());
  });

  test('a restart that cannot check them: nothing appears or goes, the destinations of what is there follow', async () => {
    const world = new World();
    await world.start();
    await world.say(...records);
    world.die();
    world.iptables.failNext('save', 3);
    await world.start();
    await world.say(web, webSlice('10.244.1.7'), service('ns1/third', '10.96.0.12'));
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.5:8080 -m -w 0\n.*-r 10\.244\.1\.7:8080 -m -w 1/);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.11:80[\s\S]*kube-ipvs0 10\.96\.0\.11/);
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.12/);
    await world.pass(1000);
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.11/);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.12/);
  });

  test('once they were right, a failure takes nothing away and holds nothing up (T73)', async () => {
    const world = new World();
    await world.start();
    await world.say(web, webSlice('10.244.1.5'));
    world.iptables.outside('IPv4', '*nat\n-F KUBE-MARK-MASQ\nCOMMIT\n');
    world.iptables.failNext('restore', 2);
    const report = await world.resync();
    assert.equal(report.failures[0]?.object, 'rules IPv4');
    await world.say(other, otherSlice('10.244.1.6'));
    assert.equal(world.kernel.dump(), await right());
    const reports = await world.pass(1000);
    assert.deepEqual(
      reports.map(({ rulesWritten, failures }) => [rulesWritten, failures.length]),
      [
        [0, 1],
        [1, 0],
      ],
    );
  });

  test('one family does not wait for the other', async () => {
    const world = new World(newKernel(), { families: ['IPv6', 'IPv4'] });
    const save = world.iptables.save.bind(world.iptables);
    world.iptables.save = async (family) => {
      if (family === 'IPv6') throw new ProxierError('ERR_IPTABLES', 'ip6tables-save is not installed');
      return save(family);
    };
    await world.start();
    const report = await world.say(...records);
    assert.deepEqual(
      report.failures.map(({ object }) => object),
      ['rules IPv6'],
    );
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
  });

  test('a full pass that waits for the xtables lock holds up no record', async () => {
    const world = new World(newKernel());
    await world.start();
    await world.say(web, webSlice('10.244.1.5'));
    let open = (): void => {};
    world.iptables.holdUntil(
      new Promise((resolve) => {
        open = resolve;
      }),
    );
    const full = world.resync();
    await world.say(other, otherSlice('10.244.1.6'));
    assert.equal(world.kernel.dump(), await right());
    open();
    assert.deepEqual((await full).failures, []);
  });
});

describe('KUBE-IPVS-OUT-FILTER', () => {
  const node: ObjectRecord = {
    source: 'test',
    seq: 1,
    kind: 'node',
    key: 'n1',
    uid: 'n1',
    body: { self: true, zone: '', addresses: [ip('192.168.1.10')], podCIDRs: [] },
  };
  const lb = restricted('ns1/lb', '10.96.0.20', '198.18.0.1', '10.0.0.0/8');
  const lbSlice = slice('ns1/lb-1', 'ns1/lb', ['10.244.1.9']);
  const rule = '-A KUBE-IPVS-OUT-FILTER -s 198.18.0.1/32 -m ipvs --vproto 6 --vaddr 198.18.0.1 --vport 80 -j DROP';
  const rulesOf = async (world: World): Promise<string[]> =>
    (await world.iptables.save('IPv4')).match(/^-A KUBE-IPVS-OUT-FILTER .*$/gm) ?? [];
  const started = async (...records: ObjectRecord[]): Promise<World> => {
    const world = new World();
    await world.start();
    await world.say(node, ...records);
    return world;
  };

  test('a VIP that this node must not reach is made after its rule; what else there is does not wait for it', async () => {
    const world = await started(web, webSlice('10.244.1.5'));
    await world.say(lb, lbSlice, other, otherSlice('10.244.1.6'));
    const first = world.kernel.dump();
    assert.doesNotMatch(first, /198\.18\.0\.1/, 'neither the virtual service, nor its tuple, nor its address');
    assert.match(first, /kube-ipvs0 10\.96\.0\.11[\s\S]*kube-ipvs0 10\.96\.0\.20/);
    const [report] = await world.pass(0);
    assert.deepEqual([report?.rulesWritten, report?.failures], [1, []]);
    assert.deepEqual(await rulesOf(world), [rule]);
    assert.match(world.kernel.dump(), /add KUBE-LOAD-BALANCER-FW 198\.18\.0\.1,tcp:80/);
    assert.match(world.kernel.dump(), /kube-ipvs0 198\.18\.0\.1/);
  });

  test('the first pass waits for the rules of all there are: one restore', async () => {
    const second = restricted('ns1/lb2', '10.96.0.21', '198.18.0.2', '10.0.0.0/8');
    const world = await started(lb, lbSlice, second);
    assert.equal((await rulesOf(world)).length, 2);
    assert.match(world.kernel.dump(), /kube-ipvs0 198\.18\.0\.1[\s\S]*kube-ipvs0 198\.18\.0\.2/);
    assert.equal(world.iptables.log.length, 2, 'one at the start, one for both VIPs');
    assert.deepEqual(await world.pass(1000), [], 'and nothing is left to do');
  });

  test('iptables that fails: the VIP waits and is named, others are served, and in the end it is, too (T73)', async () => {
    const world = await started(web, webSlice('10.244.1.5'));
    world.iptables.failNext('restore', 2);
    await world.say(lb, lbSlice);
    const [failed, retried] = await world.pass(200);
    assert.deepEqual(
      failed?.failures.map(({ object, error }) => [object, error.code]),
      [
        ['rules IPv4', 'ERR_IPTABLES'],
        ['service tcp 198.18.0.1:80', 'ERR_IPTABLES'],
      ],
    );
    await world.say(other, otherSlice('10.244.1.6'));
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.11/);
    assert.equal(retried?.failures.length, 2);
    await world.pass(1000);
    assert.match(world.kernel.dump(), /kube-ipvs0 198\.18\.0\.1/);
  });

  test('a host without xt_ipvs: those VIPs are not served, the constant rules are mended all the same', async () => {
    const world = new World();
    const restore = world.iptables.restore.bind(world.iptables);
    world.iptables.restore = async (family, text) => {
      if (text.includes('-m ipvs')) throw new ProxierError('ERR_IPTABLES', "Couldn't load match `ipvs'");
      return restore(family, text);
    };
    await world.start();
    world.iptables.outside('IPv4', '*nat\n-F KUBE-MARK-MASQ\nCOMMIT\n');
    const report = await world.say(node, lb, lbSlice, web, webSlice('10.244.1.5'));
    assert.deepEqual(
      report.failures.map(({ object }) => object),
      ['rules IPv4', 'service tcp 198.18.0.1:80'],
    );
    assert.match(await world.iptables.save('IPv4'), /-A KUBE-MARK-MASQ -j MARK/);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
    assert.doesNotMatch(world.kernel.dump(), /198\.18\.0\.1/);
    await world.say(restricted('ns1/lb', '10.96.0.20', '198.18.0.1', '0.0.0.0/0'));
    await world.pass(1000);
    assert.match(world.kernel.dump(), /kube-ipvs0 198\.18\.0\.1/, 'this node may reach it now: no rule is needed');
  });

  test('a rule goes after its VIP, not before, and not because the VIP cannot be removed', async () => {
    const world = await started(lb, lbSlice);
    world.kernel.failNext(({ verb }) => verb === 'remove-service', 'ENOMEM', 2);
    await world.say(service('ns1/lb', null));
    await world.pass(50);
    assert.deepEqual(await rulesOf(world), [rule], 'the virtual service is there');
    assert.match(world.kernel.dump(), /add KUBE-LOAD-BALANCER-FW 198\.18\.0\.1,tcp:80/, 'and so are its ranges');
    await world.pass(1000);
    assert.doesNotMatch(world.kernel.dump(), /198\.18\.0\.1/);
    assert.deepEqual(await rulesOf(world), []);
  });

  test('a rule that is to go, and iptables that cannot be asked: tried again with a back-off, not at once for ever', async () => {
    const world = await started(lb, lbSlice);
    world.kernel.failNext(({ verb }) => verb === 'remove-service', 'ENOMEM', 2);
    await world.say(service('ns1/lb', null));
    await world.pass(50);
    world.iptables.failNext('save', 40);
    const reports = await world.pass(10_000);
    assert.doesNotMatch(world.kernel.dump(), /198\.18\.0\.1/);
    const failed = reports.filter(({ failures }) => failures[0]?.object === 'rules IPv4');
    assert.deepEqual(failed.map(({ failures }) => failures[0]?.retryInMs).slice(0, 3), [100, 200, 400]);
    assert.ok(failed.length < 10, `${failed.length} checks`);
  });

  test('a VIP that is kept for its connections keeps its rule, and has it when it is wanted again', async () => {
    const world = new World(newKernel(), { drainServices: true });
    await world.start();
    await world.say(node, lb, lbSlice);
    world.kernel.setConnections('tcp 198.18.0.1:80', '10.244.1.9:8080', 1, 0);
    await world.say(service('ns1/lb', null));
    await world.pass(5000);
    assert.match(world.kernel.dump(), /kube-ipvs0 198\.18\.0\.1/);
    assert.deepEqual(await rulesOf(world), [rule]);
    const log = world.iptables.log.length;
    await world.say(lb);
    await world.pass(1000);
    assert.deepEqual([await rulesOf(world), world.iptables.log.length], [[rule], log]);
    await world.say(service('ns1/lb', null));
    await world.pass(100_000);
    assert.doesNotMatch(world.kernel.dump(), /198\.18\.0\.1/);
    assert.deepEqual(await rulesOf(world), []);
  });

  test('ranges that come to leave this node out, or to take it in, change the rule of a VIP that goes on being served', async () => {
    const world = await started(restricted('ns1/lb', '10.96.0.20', '198.18.0.1', '192.168.0.0/16'), lbSlice);
    assert.deepEqual(await rulesOf(world), []);
    assert.match(world.kernel.dump(), /add KUBE-LOAD-BALANCER-SOURCE-IP 198\.18\.0\.1,tcp:80,198\.18\.0\.1/);
    world.kernel.afterEach = ({ verb }) => assert.doesNotMatch(verb, /-service|-address/);
    await world.say(lb);
    await world.pass(1000);
    assert.deepEqual(await rulesOf(world), [rule]);
    await world.say(service('ns1/lb', '10.96.0.20', { body: { loadBalancerIPs: [ip('198.18.0.1')] } }));
    await world.pass(1000);
    assert.deepEqual(await rulesOf(world), []);
  });

  test('a restart leaves the rules of VIPs alone until it knows what is asked for', async () => {
    const world = await started(lb, lbSlice);
    world.die();
    const log = world.iptables.log.length;
    await world.start();
    await world.hint(node);
    await world.pass(40_000);
    assert.deepEqual(await rulesOf(world), [rule]);
    await world.say(lb, lbSlice);
    await world.pass(1000);
    assert.equal(world.iptables.log.length, log, 'nothing was written');
    world.die();
    await world.start();
    await world.say(node);
    await world.pass(1000);
    assert.deepEqual(await rulesOf(world), [], 'what nobody asks for any more is gone');
  });

  test('external IPs bring the rules for packets from bridge ports, and take them along', async () => {
    const physdev = async (world: World): Promise<number> =>
      (await world.iptables.save('IPv4')).match(/-m physdev/g)?.length ?? 0;
    const world = await started(web);
    assert.equal(await physdev(world), 0);
    await world.say(service('ns1/ext', '10.96.0.30', { body: { externalIPs: [ip('203.0.113.5')] } }));
    assert.match(world.kernel.dump(), /kube-ipvs0 203\.0\.113\.5/, 'which do not hold it up');
    await world.pass(0);
    assert.equal(await physdev(world), 2);
    await world.say(service('ns1/ext', null));
    await world.pass(0);
    assert.equal(await physdev(world), 0);
  });

  test('rules that are right cost a tick nothing, and Services that need none neither', async () => {
    const many = Array.from({ length: 200 }, (_, index) => {
      const low = `${index >> 8}.${index & 255}`;
      return restricted(`ns1/lb${index}`, `10.97.${low}`, `198.18.${low}`, '10.0.0.0/8');
    });
    const world = await started(...many);
    assert.equal((await rulesOf(world)).length, 200);
    const log = world.iptables.log.length;
    assert.deepEqual(await world.pass(10_000), []);
    await world.say(web, webSlice('10.244.1.5'));
    await world.pass(1000);
    assert.equal(world.iptables.log.length, log, 'a Service without a rule asks for no check');
  });
});

describe('NodeCIDR', () => {
  const seen = (podCIDRs: readonly string[] | null): ObjectRecord => {
    const body = podCIDRs === null ? null : { self: true, zone: '', addresses: [], podCIDRs };
    return { source: 'test', seq: 1, kind: 'node', key: 'n1', uid: 'n1', body };
  };
  const withNodeCIDR = (): World => new World(newKernel(), { detectLocal: { mode: 'NodeCIDR' } });

  test("the Node's pod CIDRs are awaited before the first frontends appear", async () => {
    const world = withNodeCIDR();
    await world.start();
    const report = await world.say(seen(['10.244.1.0/24']), web, webSlice('10.244.1.5'));
    assert.equal(report.rulesWritten, 1);
    assert.match(await world.iptables.save('IPv4'), /! -s 10\.244\.1\.0\/24/);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10\/32/);
    assert.deepEqual(world.events, []);
  });

  test('a restart leaves right rules as they are while it does not know the Node', async () => {
    const world = withNodeCIDR();
    await world.start();
    await world.say(seen(['10.244.1.0/24']), web);
    const rules = await world.iptables.save('IPv4');
    world.die();
    assert.equal((await world.start()).rulesWritten, 0);
    await world.pass(40_000);
    assert.equal(await world.iptables.save('IPv4'), rules);
    const { plan } = await world.send({ kind: 'plan', against: 'kernel' });
    assert.deepEqual(plan?.rules, []);
    assert.equal((await world.say(seen(['10.244.1.0/24']), web)).rulesWritten, 0);
    assert.equal(await world.iptables.save('IPv4'), rules);
  });

  test('a Node that goes for a moment, or is made anew without, keeps its pod CIDRs until it has others', async () => {
    const world = withNodeCIDR();
    await world.start();
    await world.say(seen(['10.244.1.0/24']), web);
    const rules = await world.iptables.save('IPv4');
    for (const record of [seen(null), seen([])]) {
      await world.say(record);
      await world.pass(40_000);
      assert.equal(await world.iptables.save('IPv4'), rules);
    }
    await world.say(seen(['10.244.9.0/24']));
    await world.pass(1000);
    assert.match(await world.iptables.save('IPv4'), /! -s 10\.244\.9\.0\/24/);
  });

  test('a Node that nobody knows is told of, once', async () => {
    const world = withNodeCIDR();
    await world.start();
    await world.say(web);
    await world.pass(120_000);
    assert.deepEqual(
      world.events.map((event) => (event.kind === 'warning' ? event.object : event.kind)),
      ['node n1'],
    );
    assert.match(await world.iptables.save('IPv4'), /KUBE-CLUSTER-IP src,dst -j KUBE-MARK-MASQ/);
  });
});

describe('close', () => {
  test('ends the program that runs, and nothing is written afterwards', async () => {
    const kernel = newKernel();
    const fake = new FakeIptables(kernel);
    const calls: string[] = [];
    const entered = new EventEmitter();
    /** Stands for a tool that hangs until it is killed. */
    const hang = async (call: string, signal: AbortSignal | undefined): Promise<never> => {
      calls.push(call);
      entered.emit('entered');
      if (signal?.aborted === false) await once(signal, 'abort');
      await new Promise(setImmediate);
      calls.push(`${call} ended`);
      throw new ProxierError('ERR_IPTABLES', 'was killed');
    };
    let hangs = false;
    const iptables: Iptables = {
      backend: 'nft',
      save: (family, signal) => (hangs ? hang('save', signal) : fake.save(family)),
      restore: (family, text) => fake.restore(family, text),
    };
    const reconciler = new Reconciler(
      { ...defaultInit, families: ['IPv4', 'IPv6'] },
      {
        openSession: () => kernel.session(),
        openIptables: async () => iptables,
        sysctls: new FakeSysctls(),
        cores: 2,
        interfaceAddresses: () => [],
        random: () => 0,
        nowMicros: () => 0,
      },
    );
    await reconciler.handle({ kind: 'start', nowMs: 0 });
    await reconciler.handle({ kind: 'records', nowMs: 0, message: { records: [web], allSynced: true } });
    const written = fake.log.length;
    hangs = true;
    const begun = once(entered, 'entered');
    const resyncs = [1, 2].map((nowMs) => reconciler.handle({ kind: 'resync', nowMs }));
    await begun;
    await reconciler.close();
    calls.push('closed');
    await Promise.allSettled(resyncs);
    assert.deepEqual(calls, ['save', 'save ended', 'closed'], 'neither the other family nor the second check began');
    assert.equal(fake.log.length, written);
  });
});
