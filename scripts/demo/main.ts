/**
 * The demo, run in a kernel that has IPVS (scripts/demo.mjs boots one): a cluster of network namespaces, a Proxier that reads the
 * manifests of examples/, and real requests. Every claim it prints was checked; exit status 0 only if all were true.
 */
import { readFileSync } from 'node:fs';
import { Proxier, type ProxierHandle } from '../../lib/index.ts';
import { ManifestDirectory } from '../../test/harness/manifest-directory.ts';
import { clearTables, clusterCidrs, Topology } from '../../test/harness/topology.ts';
import { askCommand } from './ask-command.ts';
import { showChanges } from './changes.ts';
import { showExternal } from './external.ts';
import { showRestart } from './restart.ts';
import { Story } from './story.ts';
import { showTraffic } from './traffic.ts';

const exampleFiles = [
  ...['nodes.yaml', 'web.yaml', 'dns-udp.yaml', 'dual-stack.yaml', 'no-endpoints.yaml'],
  ...['load-balancer.yaml', 'local-policies.yaml'],
] as const;

export interface Demo {
  readonly story: Story;
  readonly topology: Topology;
  readonly manifests: ManifestDirectory;
  readonly startProxier: () => Promise<ProxierHandle>;
}

async function main(): Promise<number> {
  const started = performance.now();
  const story = new Story();
  story.title('ipvs-proxier: Kubernetes Services as load balancing in the Linux kernel (IPVS)');
  story.say(`Linux ${readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim()}, Node ${process.version}`);
  await clearTables();
  await using topology = await Topology.create();
  showCluster(story);
  for (const pod of ['p1', 'p2', 'p3'] as const)
    await topology.serve(pod, 'tcp:8080', 'tcp:8443', 'tcp:9090', 'tcp:5353', 'udp:5353');

  using manifests = new ManifestDirectory(...exampleFiles);
  const startProxier = (): Promise<ProxierHandle> =>
    new Proxier({ nodeName: 'n1', manifests: manifests.path, clusterCIDR: [...clusterCidrs] }).run();
  const demo: Demo = { story, topology, manifests, startProxier };

  story.chapter('Without a proxier, a Service is only an address nobody has');
  const nobody = await topology.askOnce('p1', 'tcp', '10.96.0.10', 80, { timeoutMs: 1000 });
  story.claim('pod p1 asks http://10.96.0.10 and nobody answers', nobody.kind !== 'answered', JSON.stringify(nobody));

  let proxier = await showApply(demo);
  try {
    await showTraffic(demo);
    await showExternal(demo);
    await showChanges(demo, proxier);
    proxier = await showRestart(demo, proxier);
  } finally {
    await proxier.stop();
  }
  return story.end((performance.now() - started) / 1000);
}

function showCluster(story: Story): void {
  story.chapter('A small cluster, made of network namespaces with real packets between them');
  story.say(
    'n1  192.168.1.10            a node; ipvs-proxier runs here',
    '├── p1  10.244.1.5          pod, serves HTTP and UDP',
    '└── p2  10.244.1.6          pod, serves HTTP and UDP',
    'n2  192.168.1.20            another node',
    '└── p3  10.244.2.7          pod, serves HTTP and UDP',
    'client  192.168.1.100       a machine that is not part of the cluster',
    'All of them have IPv6 addresses, too (fd00:…). Every pod answers with its name and the address it was asked from.',
  );
}

async function showApply(demo: Demo): Promise<ProxierHandle> {
  const { story, startProxier } = demo;
  story.chapter('The proxier reads the manifests and writes the kernel');
  story.say(
    'examples/web.yaml           Service web: cluster IP 10.96.0.10, node port 30080, pods p1, p2, p3',
    'examples/dns-udp.yaml       Service kube-dns: 10.96.0.53 over UDP and TCP, pods p2, p3',
    'examples/dual-stack.yaml    Service shop: 10.96.0.20 and fd00:10:96::20, pods p1, p3',
    'examples/no-endpoints.yaml  Service maintenance: 10.96.0.99, no pod is ready',
    'examples/load-balancer.yaml Service payments: load balancer IP 203.0.113.42, for 192.168.1.100 only, pods p1, p3',
    'examples/local-policies.yaml Service edge: load balancer IP 203.0.113.44, traffic stays on the node, pods p1, p3',
  );
  const begin = performance.now();
  const proxier = await startProxier();
  const { operations, kernelMicros, roundTrips, services, destinations, failures } = proxier.report;
  story.say(
    `Started in ${Math.round(performance.now() - begin)} ms: ${operations} kernel operations in ${roundTrips} round trips (${(kernelMicros / 1000).toFixed(1)} ms), for ${services} virtual services with ${destinations} destinations.`,
    '',
    '$ ipvs-proxier status --kernel',
  );
  const table = await askCommand('status', '--kernel');
  const lines = table.trimEnd().split('\n');
  const shown = lines.filter((line) => !/^KUBE-\S+ .* 0$/.test(line));
  story.say(...shown.map((line) => `  ${line}`), `  (not shown: ${lines.length - shown.length} empty sets)`);
  story.claim('nothing failed', failures.length === 0, JSON.stringify(failures));
  story.claim('the table has the Service web', table.includes('10.96.0.10:80') && table.includes('10.244.2.7:8080'));
  return proxier;
}

process.exitCode = await main();
