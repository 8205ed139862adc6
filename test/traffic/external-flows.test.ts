/**
 * Packets from outside, from pods and from the node to every kind of frontend: who answers, whom the pod sees, who is kept out (behaviour.md
 * 0, 2.5, D; section 9 #14, #20; T27 to T38, T116, T119), in both families and both ways of binding a VIP.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Proxier, type ProxierHandle } from '../../lib/index.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import { runTool } from '../harness/run-tool.ts';
import { addresses, clearTables, clusterCidrs, type PeerName, Topology } from '../harness/topology.ts';
import { assertAnswered, type Family, nodeAddressTowards, type PodName, sourceOfPod } from './expectations.ts';
import { type ExternalService, externalIps, manifestOf, nodePortOf, vips } from './external-services.ts';

const everywhere: readonly PodName[] = ['p1', 'p2', 'p3'];
const here: readonly PodName[] = ['p1', 'p2'];
const balancer = { type: 'LoadBalancer' } as const;
const local = { externalTrafficPolicy: 'Local' } as const;

const services: readonly ExternalService[] = [
  { number: 1, name: 'lb', pods: everywhere, spec: balancer, ingress: vips(1) },
  {
    ...{ number: 2, name: 'lb-local', pods: everywhere, ingress: vips(2) },
    spec: { ...balancer, ...local, healthCheckNodePort: 32_002 },
  },
  {
    ...{ number: 3, name: 'lb-ranges-with-node', pods: everywhere, ingress: vips(3) },
    spec: { ...balancer, loadBalancerSourceRanges: ['192.168.1.0/24', 'fd00:192:168:1::/64'] },
  },
  {
    ...{ number: 4, name: 'lb-ranges-without-node', pods: everywhere, ingress: vips(4) },
    spec: {
      ...balancer,
      loadBalancerSourceRanges: [`${addresses.client.ipv4}/32`, `${addresses.client.ipv6}/128`],
    },
  },
  {
    ...{ number: 5, name: 'lb-local-remote-only', pods: ['p3'], ingress: vips(5) },
    spec: { ...balancer, ...local, healthCheckNodePort: 32_005 },
  },
  {
    number: 6,
    name: 'lb-ranges-of-ipv6',
    pods: everywhere,
    ingress: vips(6),
    spec: { ...balancer, loadBalancerSourceRanges: ['::/0'] },
  },
  {
    ...{ number: 7, name: 'external', pods: everywhere },
    spec: { externalIPs: Object.values(externalIps(7)) },
  },
  {
    ...{ number: 8, name: 'external-local', pods: everywhere },
    spec: { externalIPs: Object.values(externalIps(8)), ...local },
  },
  { number: 9, name: 'node-port-local', pods: everywhere, spec: { type: 'NodePort', ...local } },
];

type Source = (from: PeerName, pod: PodName, family: Family) => string;

/** As the pod sees it: the node, or whoever asked. */
const masqueraded: Source = (_from, pod, family) => nodeAddressTowards(pod, family);
/** Packets of the node itself carry an address of its own in any case. */
const kept: Source = (from, pod, family) => {
  if (from === 'n1') return nodeAddressTowards(pod, family);
  return from === 'client' || from === 'n2'
    ? addresses[from][family]
    : sourceOfPod(from === 'p1' ? 'p1' : 'p2', pod, family);
};

interface Flow {
  readonly what: string;
  readonly to: Readonly<Record<Family, string>>;
  /** Default: port 80 of TCP. */
  readonly at?: { readonly protocol: 'tcp' | 'udp' | 'sctp'; readonly port: number };
  readonly families?: readonly Family[];
  readonly from: readonly PeerName[];
  readonly pods: readonly PodName[];
  readonly source: Source;
}

const node = addresses.n1;
const all: readonly PeerName[] = ['client', 'p1', 'n1'];

const answered: readonly Flow[] = [
  { what: 'load balancer IP', to: vips(1), from: all, pods: everywhere, source: masqueraded },
  {
    ...{ what: 'load balancer IP, UDP', to: vips(1), from: ['client'], pods: everywhere, source: masqueraded },
    at: { protocol: 'udp', port: 53 },
  },
  {
    ...{ what: 'load balancer IP, SCTP', to: vips(1), from: ['client'], pods: everywhere, source: masqueraded },
    at: { protocol: 'sctp', port: 3868 },
  },
  { what: 'load balancer IP, policy Local', to: vips(2), from: all, pods: here, source: kept },
  {
    ...{ what: 'load balancer IP, policy Local, UDP', to: vips(2), from: ['client'], pods: here, source: kept },
    at: { protocol: 'udp', port: 53 },
  },
  { what: 'ranges that the node is in', to: vips(3), from: ['client', 'n1'], pods: everywhere, source: masqueraded },
  { what: 'ranges that the node is not in', to: vips(4), from: ['client'], pods: everywhere, source: masqueraded },
  {
    what: 'policy Local and no pod here, from the node (#20)',
    to: vips(5),
    from: ['n1'],
    pods: ['p3'],
    source: masqueraded,
  },
  { what: 'the range ::/0', to: vips(6), families: ['ipv6'], from: all, pods: everywhere, source: masqueraded },
  { what: 'external IP', to: externalIps(7), from: all, pods: everywhere, source: masqueraded },
  {
    ...{ what: 'external IP, SCTP', to: externalIps(7), from: ['client'], pods: everywhere, source: masqueraded },
    at: { protocol: 'sctp', port: 3868 },
  },
  { what: 'external IP, policy Local', to: externalIps(8), from: all, pods: here, source: kept },
  {
    ...{ what: 'node port, policy Local', to: node, from: all, pods: here, source: kept },
    at: { protocol: 'tcp', port: nodePortOf(9, 'tcp') },
  },
  {
    ...{ what: 'node port, policy Local, SCTP', to: node, from: ['client'], pods: here, source: kept },
    at: { protocol: 'sctp', port: nodePortOf(9, 'sctp') },
  },
];

const keptOut: readonly Pick<Flow, 'what' | 'to' | 'from' | 'families'>[] = [
  { what: 'ranges that the node is in: pods are not', to: vips(3), from: ['p1'] },
  { what: 'ranges that the node is not in: neither the node nor pods', to: vips(4), from: ['n1', 'p1'] },
  { what: 'ranges of the other family only: nobody', to: vips(6), families: ['ipv4'], from: ['client', 'n1', 'p1'] },
];

const bothFamilies: readonly Family[] = ['ipv4', 'ipv6'];

for (const vipBinding of ['address', 'local-route'] as const)
  describe(`packets to external frontends, VIPs bound by ${vipBinding}`, () => {
    let topology: Topology;
    let handle: ProxierHandle;
    let manifests: ManifestDirectory;

    before(async () => {
      await clearTables();
      topology = await Topology.create();
      for (const pod of everywhere) await topology.serve(pod, 'tcp:8080', 'udp:5353', 'sctp:9000');
      manifests = new ManifestDirectory('nodes.yaml');
      manifests.write('external.json', manifestOf(services));
      const proxier = new Proxier({
        ...{ nodeName: 'n1', manifests: manifests.path, clusterCIDR: [...clusterCidrs], vipBinding },
        // In this thread: a worker takes the test kernel seconds to start.
        thread: 'inline',
      });
      handle = await proxier.run();
    });

    after(async () => {
      await handle?.stop();
      await topology?.[Symbol.asyncDispose]();
      manifests?.[Symbol.dispose]();
      await clearTables();
    });

    async function askAll({ what, to, at, families = bothFamilies, from, pods, source }: Flow): Promise<void> {
      const { protocol, port } = at ?? { protocol: 'tcp', port: 80 };
      for (const family of families)
        for (const peer of from) {
          const outcomes = await topology.ask(peer, protocol, to[family], port, { count: pods.length * 2 });
          try {
            assertAnswered(outcomes, pods, (pod) => source(peer, pod, family));
          } catch (error) {
            throw new Error(`${peer} → ${what} (${family})`, { cause: error });
          }
        }
    }

    test('the first pass put everything into the kernel', () => {
      assert.deepEqual(handle.report.failures, []);
    });

    // What depends on how a VIP is bound is not what depends on the protocol.
    const isWhole = vipBinding === 'address' || process.env['TEST_LONG'] === '1';
    for (const flow of isWhole ? answered : answered.filter(({ at }) => at === undefined))
      test(`${flow.from} → ${flow.what}`, () => askAll(flow));

    test('source ranges keep the others out, silently', async () => {
      for (const { what, to, families = bothFamilies, from } of keptOut)
        for (const family of families)
          for (const peer of from) {
            const { kind } = await topology.askOnce(peer, 'tcp', to[family], 80, { timeoutMs: 300 });
            assert.equal(kind, 'timeout', `${peer} → ${what} (${family})`);
          }
    });

    if (!isWhole) return;
    test('with FORWARD policy DROP', async () => {
      const tools = ['iptables-legacy', 'ip6tables-legacy'];
      for (const tool of tools) await runTool(tool, ['-P', 'FORWARD', 'DROP']);
      try {
        for (const flow of answered.filter(({ to }) => to === answered[0]?.to || to === node)) await askAll(flow);
      } finally {
        for (const tool of tools) await runTool(tool, ['-P', 'FORWARD', 'ACCEPT']);
      }
    });
  });
