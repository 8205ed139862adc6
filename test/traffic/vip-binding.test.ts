/**
 * What clients notice of the way VIPs are bound: nothing while it changes, and otherwise only a process of the node that uses IPv6
 * (docs/vip-binding.md; T114, T118). That all kinds of frontends work in both ways is external-flows.test.ts.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Proxier, type ProxierHandle, type ProxierOptions } from '../../lib/index.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import { runTool } from '../harness/run-tool.ts';
import { addresses, clearTables, podGateways, Topology } from '../harness/topology.ts';
import { Watcher } from '../harness/watcher.ts';
import { assertAnswered, type Family, nodeAddressTowards, sourceOfPod } from './expectations.ts';

type VipBinding = NonNullable<ProxierOptions['vipBinding']>;

const vip: Readonly<Record<Family, string>> = { ipv4: '10.96.0.20', ipv6: 'fd00:10:96::20' };
/** On the client's own link. */
const onLink: Readonly<Record<Family, string>> = { ipv4: '192.168.1.200', ipv6: 'fd00:192:168:1::200' };
const arpIgnore = '/proc/sys/net/ipv4/conf/all/arp_ignore';
const families = ['ipv4', 'ipv6'] as const;
const backEnds = ['p1', 'p3'] as const;

describe('packets to VIPs, however they are bound', () => {
  let topology: Topology;
  let handle: ProxierHandle | undefined;
  let manifests: ManifestDirectory;

  /** Without a detector: only the source tells what comes from the node itself (behaviour.md 4.4, third form). */
  async function run(vipBinding: VipBinding, strictARP = false): Promise<void> {
    await handle?.stop();
    const proxier = new Proxier({ nodeName: 'n1', manifests: manifests.path, vipBinding, strictARP, thread: 'inline' });
    handle = await proxier.run();
    assert.deepEqual(handle.report.failures, []);
  }

  before(async () => {
    await clearTables();
    topology = await Topology.create();
    for (const pod of backEnds) await topology.serve(pod, 'tcp:8080');
    manifests = new ManifestDirectory('nodes.yaml', 'dual-stack.yaml');
    manifests.edit('dual-stack.yaml', (text) =>
      text.replace('type: NodePort', `type: NodePort\n  externalIPs: [${onLink.ipv4}, "${onLink.ipv6}"]`),
    );
    await run('address');
  });

  after(async () => {
    await handle?.stop();
    await topology?.[Symbol.asyncDispose]();
    manifests?.[Symbol.dispose]();
    await clearTables();
    for (const key of [arpIgnore, '/proc/sys/net/ipv4/conf/all/arp_announce']) writeFileSync(key, '0');
  });

  async function isAnswered(address: string): Promise<boolean> {
    await runTool('ip', ['-n', 'ipvs-test-client', 'neigh', 'flush', 'dev', 'eth0']);
    return (await topology.askOnce('client', 'tcp', address, 80, { timeoutMs: 300 })).kind === 'answered';
  }

  /** The addresses a process of the node had, as it asked. */
  async function ownAddresses(address: string, port: number): Promise<string[]> {
    const outcomes = await topology.ask('n1', 'tcp', address, port, { count: 4 });
    return [...new Set(outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.local : outcome.text)))];
  }

  function sameInEveryWay(source: Readonly<Record<Family, string>>): void {
    for (const family of families) {
      test(`${family}: cluster IP from a pod and from the node, whose processes have ${source[family]}`, async () => {
        const kept = await topology.ask('p1', 'tcp', vip[family], 80, { count: 4 });
        assertAnswered(kept, backEnds, (pod) => sourceOfPod('p1', pod, family));
        const own = await topology.ask('n1', 'tcp', vip[family], 80, { count: 4 });
        assertAnswered(own, backEnds, (pod) => nodeAddressTowards(pod, family));
        assert.deepEqual(await ownAddresses(vip[family], 80), [source[family]]);
      });

      test(`${family}: a VIP is nobody's source address on the way elsewhere`, async () => {
        for (const pod of backEnds)
          assert.deepEqual(await ownAddresses(addresses[pod][family], 8080), [nodeAddressTowards(pod, family)]);
      });
    }

    test('a VIP on the link of the client: ARP is answered for it, neighbour discovery is not', async () => {
      assert.equal(await isAnswered(onLink.ipv4), true);
      assert.equal(await isAnswered(onLink.ipv6), false);
    });
  }

  describe('by an address', () => sameInEveryWay(vip));

  for (const to of ['local-route', 'address'] as const) {
    test(`a change to ${to} is noticed by nobody`, async () => {
      const clients = families.flatMap((family) =>
        (['p1', 'n1'] as const).map(
          (peer) => new Watcher(topology.startAsking(peer, 'tcp', vip[family], 80, { count: 0, intervalMs: 50 })),
        ),
      );
      for (const client of clients) assert.ok(await client.until((outcomes) => outcomes.length > 0));
      await run(to, to === 'address');
      const counts = clients.map(({ outcomes }) => outcomes.length);
      for (const [index, client] of clients.entries()) {
        assert.ok(await client.until((outcomes) => outcomes.length > (counts[index] ?? 0) + 1));
        await client.stop();
        assert.deepEqual(client.failures, []);
      }
      const bound = await runTool('ip', ['-o', 'address', 'show', 'dev', 'kube-ipvs0']);
      const routes = await runTool('ip', ['route', 'show', 'table', 'local', 'proto', '155']);
      assert.deepEqual(
        [bound.includes(vip.ipv4), routes.includes(vip.ipv4)],
        to === 'address' ? [true, false] : [false, true],
      );
    });

    // The kernel's choice among the node's addresses: the one that has most in common with the VIP (RFC 6724, rule 8).
    if (to === 'local-route') {
      describe('by a local route', () => sameInEveryWay({ ipv4: vip.ipv4, ipv6: podGateways.n1.ipv6 }));
      test('arp_ignore holds for local routes, too', async () => {
        writeFileSync(arpIgnore, '1');
        assert.equal(await isAnswered(onLink.ipv4), false);
        writeFileSync(arpIgnore, '0');
      });
    }
  }

  test('with strictARP nobody answers ARP for a VIP, and pods reach it as before (T118)', async () => {
    assert.equal(await isAnswered(onLink.ipv4), false);
    assert.equal((await topology.askOnce('p1', 'tcp', onLink.ipv4, 80)).kind, 'answered');
  });
});
