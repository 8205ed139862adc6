/** Packets through the real Proxier: who answers, and whom the pod sees as its client (behaviour.md 0, D; T1, T115, T116, T119). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Proxier, type ProxierHandle } from '../../lib/index.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import { runTool } from '../harness/run-tool.ts';
import { addresses, clearTables, clusterCidrs, Topology } from '../harness/topology.ts';
import { assertAnswered, assertRefused, nodeAddressTowards, type PodName, sourceOfPod } from './expectations.ts';

const web = { vip: '10.96.0.10', port: 80, nodePort: 30080 };
const shop = { ipv4: '10.96.0.20', ipv6: 'fd00:10:96::20', port: 80, nodePort: 30081 };
const dns = { vip: '10.96.0.53', port: 53 };
const diameter = { vip: '10.96.0.30', port: 3868, nodePort: 30868 };

/** A cluster IP whose port is another Service's node port. */
const clash = `
apiVersion: v1
kind: Service
metadata: { name: clash, namespace: default }
spec:
  clusterIP: 10.96.0.40
  ports: [{ name: http, protocol: TCP, port: 30080 }]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: clash-1, namespace: default, labels: { kubernetes.io/service-name: clash } }
addressType: IPv4
ports: [{ name: http, protocol: TCP, port: 8080 }]
endpoints: [{ addresses: [10.244.1.5], nodeName: n1, conditions: { ready: true } }]
`;

describe('packets through a Proxier', () => {
  let topology: Topology;
  let handle: ProxierHandle;
  let manifests: ManifestDirectory;

  before(async () => {
    await clearTables();
    topology = await Topology.create();
    const ports = ['tcp:8080', 'tcp:9090', 'tcp:5353', 'udp:5353', 'sctp:9000'] as const;
    for (const pod of ['p1', 'p2', 'p3'] as const) await topology.serve(pod, ...ports);
    // A daemon of the node, which no service address may lead to.
    await topology.serve('n1', 'tcp:2222');
    manifests = new ManifestDirectory(
      ...['nodes.yaml', 'web.yaml', 'dns-udp.yaml', 'dual-stack.yaml', 'sctp.yaml', 'no-endpoints.yaml'],
    );
    manifests.write('clash.yaml', clash);
    handle = await new Proxier({ nodeName: 'n1', manifests: manifests.path, clusterCIDR: [...clusterCidrs] }).run();
  });

  after(async () => {
    await handle?.stop();
    await topology?.[Symbol.asyncDispose]();
    manifests?.[Symbol.dispose]();
    await clearTables();
  });

  test('the first pass put everything into the kernel', () => {
    assert.deepEqual(handle.report.failures, []);
    assert.equal(handle.report.unknown, 0);
  });

  test('pod → cluster IP: round robin, the source is kept, but for the pod that reaches itself', async () => {
    const outcomes = await topology.ask('p2', 'tcp', web.vip, web.port, { count: 6 });
    assertAnswered(outcomes, ['p1', 'p2', 'p3'], (pod) => sourceOfPod('p2', pod, 'ipv4'));
  });

  test('the second port of the same Service', async () => {
    const outcomes = await topology.ask('p1', 'tcp', web.vip, 9090, { count: 6 });
    assertAnswered(outcomes, ['p1', 'p2', 'p3'], (pod) => sourceOfPod('p1', pod, 'ipv4'));
  });

  for (const from of ['n1', 'client'] as const)
    test(`${from} → cluster IP: masqueraded`, async () => {
      const outcomes = await topology.ask(from, 'tcp', web.vip, web.port, { count: 6 });
      assertAnswered(outcomes, ['p1', 'p2', 'p3'], (pod) => nodeAddressTowards(pod, 'ipv4'));
    });

  for (const from of ['n1', 'client', 'p2'] as const)
    test(`${from} → node port: masqueraded`, async () => {
      const outcomes = await topology.ask(from, 'tcp', addresses.n1.ipv4, web.nodePort, { count: 6 });
      assertAnswered(outcomes, ['p1', 'p2', 'p3'], (pod) => nodeAddressTowards(pod, 'ipv4'));
    });

  test('IPv6: cluster IP from a pod, from the node and from outside, and the node port', async () => {
    const pods: readonly PodName[] = ['p1', 'p3'];
    const kept = await topology.ask('p1', 'tcp', shop.ipv6, shop.port, { count: 4 });
    assertAnswered(kept, pods, (pod) => sourceOfPod('p1', pod, 'ipv6'));
    for (const from of ['n1', 'client'] as const) {
      const outcomes = await topology.ask(from, 'tcp', shop.ipv6, shop.port, { count: 4 });
      assertAnswered(outcomes, pods, (pod) => nodeAddressTowards(pod, 'ipv6'));
    }
    const outside = await topology.ask('client', 'tcp', addresses.n1.ipv6, shop.nodePort, { count: 4 });
    assertAnswered(outside, pods, (pod) => nodeAddressTowards(pod, 'ipv6'));
  });

  test('UDP: from a pod and from the node', async () => {
    const kept = await topology.ask('p1', 'udp', dns.vip, dns.port, { count: 4 });
    assertAnswered(kept, ['p2', 'p3'], (pod) => sourceOfPod('p1', pod, 'ipv4'));
    const masqueraded = await topology.ask('n1', 'udp', dns.vip, dns.port, { count: 4 });
    assertAnswered(masqueraded, ['p2', 'p3'], (pod) => nodeAddressTowards(pod, 'ipv4'));
  });

  test('TCP and UDP on the same port of one address', async () => {
    const outcomes = await topology.ask('p1', 'tcp', dns.vip, dns.port, { count: 4 });
    assertAnswered(outcomes, ['p2', 'p3'], (pod) => sourceOfPod('p1', pod, 'ipv4'));
  });

  test('SCTP: cluster IP from a pod, node port from outside', async () => {
    const kept = await topology.ask('p2', 'sctp', diameter.vip, diameter.port, { count: 4 });
    assertAnswered(kept, ['p1', 'p3'], (pod) => sourceOfPod('p2', pod, 'ipv4'));
    const outside = await topology.ask('client', 'sctp', addresses.n1.ipv4, diameter.nodePort, { count: 4 });
    assertAnswered(outside, ['p1', 'p3'], (pod) => nodeAddressTowards(pod, 'ipv4'));
  });

  test('a Service without ready endpoints refuses', async () => {
    for (const from of ['p1', 'n1', 'client'] as const)
      assertRefused(await topology.askOnce(from, 'tcp', '10.96.0.99', 80));
  });

  test('a cluster IP does not lead to a daemon of the node', async () => {
    assert.equal((await topology.askOnce('p1', 'tcp', addresses.n1.ipv4, 2222)).kind, 'answered');
    for (const from of ['p1', 'client'] as const) assertRefused(await topology.askOnce(from, 'tcp', web.vip, 2222));
  });

  test('a cluster IP port that is also a node port keeps the source (kubernetes #132068)', async () => {
    const outcomes = await topology.ask('p2', 'tcp', '10.96.0.40', 30080, { count: 2 });
    assertAnswered(outcomes, ['p1'], () => addresses.p2.ipv4);
  });

  test('FORWARD policy DROP does not stop services', async () => {
    for (const tool of ['iptables-legacy', 'ip6tables-legacy']) await runTool(tool, ['-P', 'FORWARD', 'DROP']);
    try {
      const kept = await topology.ask('p2', 'tcp', web.vip, web.port, { count: 6 });
      assertAnswered(kept, ['p1', 'p2', 'p3'], (pod) => sourceOfPod('p2', pod, 'ipv4'));
      const outside = await topology.ask('client', 'tcp', addresses.n1.ipv6, shop.nodePort, { count: 4 });
      assertAnswered(outside, ['p1', 'p3'], (pod) => nodeAddressTowards(pod, 'ipv6'));
    } finally {
      for (const tool of ['iptables-legacy', 'ip6tables-legacy']) await runTool(tool, ['-P', 'FORWARD', 'ACCEPT']);
    }
  });
});
