/** T80: what a proxier wrote is removed, nothing of others is; on the fake kernel. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { operationText } from '../../../lib/kernel/batch.ts';
import { openKernel } from '../../../lib/kernel/index.ts';
import type { Iptables } from '../../../lib/kernel/iptables.ts';
import type { Operation } from '../../../lib/operations.ts';
import { cleanup } from '../../../lib/proxier/cleanup.ts';
import type { CleanupReport } from '../../../lib/reconcile/cleanup.ts';
import { FakeIptables, FakeKernel, fakeCleanup, fakeProxier } from '../../../lib/testing/index.ts';
import { fixtureFolder } from '../../harness/kube-proxy-dump.ts';
import { ip } from './world.ts';

const foreignKey = { protocol: 'tcp', address: ip('172.31.1.1'), port: 80 } as const;
const kubeletRules = [
  '*filter',
  ':KUBE-FIREWALL - [0:0]',
  ':KUBE-KUBELET-CANARY - [0:0]',
  '-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP',
  '-A INPUT -j KUBE-FIREWALL',
  'COMMIT',
  '*nat',
  ':CNI-HOSTPORT - [0:0]',
  ':KUBE-KUBELET-CANARY - [0:0]',
  '-A PREROUTING -j CNI-HOSTPORT',
  'COMMIT',
  '',
].join('\n');

let kernel: FakeKernel;
let iptables: FakeIptables;

/** All that there is: IPVS, sets, addresses, routes, rules of both families. */
async function everything(): Promise<string> {
  return [kernel.dump(), await iptables.save('IPv4'), await iptables.save('IPv6')].join('\n');
}

async function served(manifest: string): Promise<void> {
  await using proxier = fakeProxier(
    { nodeName: 'node-a', manifests: join(fixtureFolder, manifest), families: ['IPv4', 'IPv6'] },
    kernel,
    { iptables },
  );
  const { report } = await proxier.run();
  assert.deepEqual(report.failures, []);
}

function objects({ failures }: CleanupReport): string[] {
  return failures.map(({ object }) => object);
}

beforeEach(() => {
  kernel = new FakeKernel();
  iptables = new FakeIptables(kernel);
  const { outside } = kernel;
  const link = outside.addLink('eth0', '', true);
  const address = {
    link: 'eth0',
    linkIndex: link.index,
    address: ip('192.168.50.10'),
    prefixLength: 24,
    scope: 'global',
  } as const;
  outside.apply({ verb: 'add-address', address: { ...address } });
  const service = { scheduler: 'wlc', flags: 0, timeoutSeconds: 0 };
  outside.apply({ verb: 'create-service', service: { ...service, key: foreignKey } });
  outside.apply({ verb: 'create-service', service: { ...service, key: { fwmark: 7, family: 'IPv4' } } });
  outside.apply({ verb: 'create-set', set: { name: 'mine', type: 'hash:ip', family: 'IPv4' } });
  for (const family of ['IPv4', 'IPv6'] as const) iptables.outside(family, kubeletRules);
});

describe('cleanup', () => {
  for (const manifest of ['05-nodeport-cluster.json', '11-dual-stack.json']) {
    test(`leaves what was there before the proxier, and finds nothing the second time (${manifest})`, async () => {
      const before = await everything();
      await served(manifest);
      assert.notEqual(await everything(), before);
      const dry = await fakeCleanup(kernel, [iptables], { dryRun: true });
      assert.notEqual(await everything(), before, 'a dry run writes nothing');
      const report = await fakeCleanup(kernel, [iptables]);
      assert.deepEqual(report.failures, []);
      assert.deepEqual(report.left, [
        "virtual service tcp 172.31.1.1:80 is somebody else's",
        "virtual service fwmark 7 IPv4 is somebody else's",
      ]);
      assert.equal(await everything(), before);
      assert.deepEqual({ ...dry, dryRun: false }, report, 'the dry run said just that');
      const second = await fakeCleanup(kernel, [iptables]);
      assert.deepEqual(
        { operations: second.operations, rules: second.rules, failures: second.failures },
        { operations: [], rules: [], failures: [] },
      );
    });
  }

  test('no packet reaches a VIP before its virtual service goes, and sets outlive the rules that use them', async () => {
    await served('05-nodeport-cluster.json');
    const verbs: string[] = [];
    kernel.afterEach = ({ verb }: Operation) => void verbs.push(verb);
    const restore = iptables.restore.bind(iptables);
    iptables.restore = async (family, text) => {
      verbs.push('rules');
      await restore(family, text);
    };
    await fakeCleanup(kernel, [iptables]);
    const order = verbs.filter((verb, index) => verb !== verbs[index - 1]);
    assert.deepEqual(order, ['remove-link', 'remove-service', 'rules', 'remove-set']);
  });

  test('what fails is named, the rest goes on, and the second time knows what is still to be done', async () => {
    const before = await everything();
    await served('05-nodeport-cluster.json');
    const first = '10.96.0.40:80';
    kernel.failNext((operation) => operationText(operation) === `ipvsadm -D -t ${first}`, 'EBUSY');
    iptables.failNext('restore');
    const report = await fakeCleanup(kernel, [iptables]);
    assert.deepEqual(objects(report), [`service tcp ${first}`, 'rules IPv4 (legacy)']);
    assert.ok(report.left.some((text) => text.includes('tells whose the virtual services are')));
    assert.equal(kernel.outside.links.has('kube-ipvs0'), false);
    assert.deepEqual(objects(await fakeCleanup(kernel, [iptables])), []);
    assert.equal(await everything(), before);
  });

  test('chains that others use stay for them; a link that is no dummy stays; legacy and broken sets go', async () => {
    kernel.outside.addLink('kube-ipvs0', 'bridge', false);
    for (const name of ['KUBE-NODE-PORT-SCTP', 'KUBE-6-NODE-PORT-LOCAL-SCTP']) {
      kernel.outside.apply({ verb: 'create-set', set: { name, type: 'bitmap:port', family: 'IPv4' } });
    }
    kernel.outside.apply({ verb: 'create-set', set: { name: 'KUBE-CLUSTER-IP', type: 'hash:ip', family: 'IPv4' } });
    iptables.outside(
      'IPv4',
      '*nat\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-SERVICES - [0:0]\n-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n-A CNI-HOSTPORT -j KUBE-MARK-MASQ\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT\n',
    );
    const report = await fakeCleanup(kernel, [iptables]);
    assert.deepEqual(report.failures, []);
    assert.ok(report.left.includes('link kube-ipvs0 is a bridge and no dummy: not ours'));
    assert.ok(report.left.includes('IPv4 chain nat KUBE-MARK-MASQ is used by CNI-HOSTPORT (legacy)'));
    const rules = await iptables.save('IPv4');
    assert.match(rules, /-A KUBE-MARK-MASQ -j MARK/);
    assert.doesNotMatch(rules, /KUBE-SERVICES/);
    assert.deepEqual([...kernel.outside.sets.keys()], ['mine']);
    assert.ok(kernel.outside.links.has('kube-ipvs0'));
  });

  test('both backends are cleaned, each family that is there; legacy tables that are not there are not brought to be', async () => {
    const nft = new FakeIptables(kernel);
    const asNft: Iptables = {
      backend: 'nft',
      save: (family) => nft.save(family),
      restore: (family, text) => nft.restore(family, text),
    };
    const rules = '*nat\n:KUBE-SERVICES - [0:0]\n-A OUTPUT -j KUBE-SERVICES\nCOMMIT\n';
    for (const each of [iptables, nft]) for (const family of ['IPv4', 'IPv6'] as const) each.outside(family, rules);
    const report = await cleanup(
      {},
      {
        openKernel: () => openKernel({ session: kernel.session() }),
        openIptables: async () => ({
          present: [
            { iptables, families: ['IPv4'] },
            { iptables: asNft, families: ['IPv4', 'IPv6'] },
          ],
          problems: ['ip6tables-legacy-save is not installed'],
        }),
        claimNode: async () => ({ lock: undefined, others: [] }),
      },
    );
    assert.deepEqual(
      report.rules.map(({ backend, family }) => `${backend} ${family}`),
      ['legacy IPv4', 'nft IPv4', 'nft IPv6'],
    );
    assert.deepEqual(
      report.failures.map(({ error }) => error.message),
      ['ip6tables-legacy-save is not installed'],
    );
    for (const text of [await iptables.save('IPv4'), await nft.save('IPv4'), await nft.save('IPv6')]) {
      assert.doesNotMatch(text, /KUBE-SERVICES/);
    }
    assert.match(await iptables.save('IPv6'), /KUBE-SERVICES/);
  });

  test('is refused while a proxier works here, unless told otherwise; a dry run never is', async () => {
    let claims = 0;
    const dependencies = {
      openKernel: () => openKernel({ session: kernel.session() }),
      openIptables: async () => ({ present: [], problems: [] }),
      claimNode: async () => {
        claims += 1;
        return { lock: undefined, others: ['kube-proxy (pid 7)'] };
      },
    };
    await served('05-nodeport-cluster.json');
    await assert.rejects(cleanup({}, dependencies), { code: 'ERR_OTHER_PROXIER', message: /kube-proxy \(pid 7\)/ });
    assert.ok(kernel.outside.links.has('kube-ipvs0'));
    await cleanup({ dryRun: true }, dependencies);
    assert.equal(claims, 1, 'a dry run claims nothing');
    await cleanup({ ignoreOtherProxiers: true }, dependencies);
    assert.equal(kernel.outside.links.has('kube-ipvs0'), false);
  });

  test('chains of iptables mode go only when asked for', async () => {
    const chains = ['KUBE-SVC-ABCDEFGHIJKLMNOP', 'KUBE-SEP-ABCDEFGHIJKLMNOP', 'KUBE-NODEPORTS', 'KUBE-PROXY-CANARY'];
    const declared = chains.map((chain) => `:${chain} - [0:0]`).join('\n');
    const rule = '-A KUBE-SVC-ABCDEFGHIJKLMNOP -j KUBE-SEP-ABCDEFGHIJKLMNOP';
    iptables.outside('IPv4', `*nat\n${declared}\n${rule}\n-A PREROUTING -j KUBE-NODEPORTS\nCOMMIT\n`);
    await fakeCleanup(kernel, [iptables]);
    assert.match(await iptables.save('IPv4'), /-A KUBE-SVC-ABCDEFGHIJKLMNOP -j KUBE-SEP/);
    await fakeCleanup(kernel, [iptables], { fromIptablesMode: true });
    const rules = await iptables.save('IPv4');
    assert.doesNotMatch(rules, /KUBE-(SVC|SEP|NODEPORTS|PROXY-CANARY)/);
    assert.match(rules, /:KUBE-KUBELET-CANARY/);
  });

  test('a kernel without IPVS has nothing in it, and is no error; one that may not be read is', async () => {
    const bare = new FakeKernel({ ipvs: false, ipset: false });
    const report = await fakeCleanup(bare);
    assert.deepEqual([report.operations, report.failures, report.left], [[], [], []]);
    await assert.rejects(fakeCleanup(new FakeKernel({ permitted: false })), { code: 'ERR_PERMISSION' });
  });

  test('options that cannot be are refused before anything is read', async () => {
    await assert.rejects(fakeCleanup(kernel, [], JSON.parse('{"dryrun":true}')), /dryrun: .*did you mean dryRun/);
    await assert.rejects(fakeCleanup(kernel, [], JSON.parse('{"dryRun":"yes"}')), /dryRun: "yes" is not true or false/);
  });
});
