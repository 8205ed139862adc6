/** A KubeProxyConfiguration as clusters have it: what becomes of each field, and what is said of the rest. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Command } from 'commander';
import { runCommandLine } from '../../../lib/cli/program.ts';
import { type Asked, asked } from '../../../lib/cli/proxier-options.ts';
import { addSettings } from '../../../lib/cli/settings/flags.ts';
import { resolveOptions } from '../../../lib/proxier/options-schema.ts';
import { MemoryTerminal } from './memory-terminal.ts';

const fixture = resolve(import.meta.dirname, '../../../../test/fixtures/kube-proxy-config/kubeadm.conf');
const header = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const conntrack = {
  ...{ maxPerCore: 32_768, min: 131_072 },
  ...{ tcpEstablishedTimeoutSeconds: 86_400, tcpCloseWaitTimeoutSeconds: 3600 },
};

let directory = '';
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kube-proxy-config-'));
});
after(() => rm(directory, { recursive: true }));

async function file(content: string): Promise<string> {
  const path = join(directory, 'config.conf');
  await writeFile(path, content);
  return path;
}

async function read(path: string, ...args: string[]): Promise<Asked & { readonly said: readonly string[] }> {
  const terminal = new MemoryTerminal();
  const command = new Command('x').exitOverride();
  const flags = addSettings(command);
  command.parse(args, { from: 'user' });
  const what = await asked(flags, path, terminal);
  const said = terminal.stderr.split('\n').flatMap((line) => /^\S+ (\w+) +(.*)$/.exec(line)?.slice(1).join(' ') ?? []);
  return { ...what, said: said.map((line) => line.replaceAll(path, 'FILE')) };
}

describe('KubeProxyConfiguration', () => {
  test("kubeadm's, as it is: nothing has to be said of it", async () => {
    const what = await read(fixture);
    assert.deepEqual(what.said, []);
    assert.deepEqual(what.settings, {
      bindAddress: '0.0.0.0',
      clusterCIDR: ['10.244.0.0/16', 'fd00:10:244::/56'],
      conntrack,
    });
    assert.equal(what.draft.kubeconfig, '/var/lib/kube-proxy/kubeconfig.conf');
    assert.equal(what.oomScoreAdj, -999);
    assert.doesNotThrow(() => resolveOptions({ ...what.settings, inCluster: true }));
  });

  test('every field that does something, from JSON too', async () => {
    const configuration = {
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'ipvs',
      hostnameOverride: 'node-a',
      bindAddress: '192.168.1.10',
      detectLocalMode: 'BridgeInterface',
      detectLocal: { bridgeInterface: 'cbr0' },
      nodePortAddresses: ['10.0.0.0/8'],
      oomScoreAdj: 0,
      iptables: { masqueradeAll: true, masqueradeBit: 0 },
      ipvs: {
        ...{
          scheduler: 'lc',
          syncPeriod: '10s',
          minSyncPeriod: '1.5s',
          excludeCIDRs: ['10.9.0.0/16'],
          strictARP: true,
        },
        ...{ tcpTimeout: '1h', tcpFinTimeout: '30s', udpTimeout: '1m0s' },
      },
      conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', udpStreamTimeout: '3m' },
      logging: { format: 'json', verbosity: 5 },
    };
    const { settings, said, oomScoreAdj, draft } = await read(await file(JSON.stringify(configuration)));
    assert.deepEqual(said, []);
    assert.deepEqual(settings, {
      ...{ nodeName: 'node-a', bindAddress: '192.168.1.10', nodePortAddresses: ['10.0.0.0/8'] },
      detectLocal: { mode: 'BridgeInterface', bridge: 'cbr0' },
      ...{ masqueradeAll: true, masqueradeBit: 0, scheduler: 'lc', syncPeriodMs: 10_000, minSyncPeriodMs: 1500 },
      ...{ excludeCIDRs: ['10.9.0.0/16'], strictARP: true },
      ipvsTimeouts: { tcpSeconds: 3600, tcpFinSeconds: 30, udpSeconds: 60 },
      conntrack: {
        ...{ maxPerCore: 0, min: 0, tcpEstablishedTimeoutSeconds: 0, tcpCloseWaitTimeoutSeconds: 3600 },
        udpStreamTimeoutSeconds: 180,
      },
    });
    assert.deepEqual([oomScoreAdj, draft.logFormat, draft.verbosity], [0, 'json', 5]);
  });

  test("Go's zero values, written down, are the same as nothing", async () => {
    const zeros = `mode: ipvs
clusterCIDR: ""
detectLocalMode: ""
serviceProxyName: ""
hostnameOverride: ""
nodePortAddresses: null
oomScoreAdj: null
featureGates: {}
healthzBindAddress: ""
configSyncPeriod: 0s
clientConnection: { kubeconfig: "", qps: 0, burst: 0 }
conntrack: { maxPerCore: null, min: null, tcpBeLiberal: false, udpTimeout: 0s }
iptables: { masqueradeBit: null, masqueradeAll: false, localhostNodePorts: null, syncPeriod: 0s }
ipvs: { scheduler: "", syncPeriod: 0s, minSyncPeriod: 0s, excludeCIDRs: null, strictARP: false, tcpTimeout: 0s }
logging: { format: "", verbosity: 0, flushFrequency: 0, options: { json: { infoBufferSize: "0" } } }
nftables: null
winkernel: { networkName: "", enableDSR: false }
`;
    const { settings, said, draft } = await read(await file(`${header}${zeros}`));
    assert.deepEqual([settings, said, draft.kubeconfig], [{ conntrack }, [], undefined]);
  });

  test('what nothing comes of is named by field, value and reason; an empty mode is said to be ipvs', async () => {
    const { said } = await read(
      await file(
        `${header}mode: ""\nhealthzBindAddress: 0.0.0.0:10256\nfeatureGates: { A: true }\nnftables: { masqueradeAll: true }\nipvs: { schedular: rr }\nclientConnection: { qps: 50 }\nnoSuch: [1]\n`,
      ),
    );
    assert.deepEqual(said, [
      'WARN FILE: healthzBindAddress 0.0.0.0:10256: not served yet by this version: the health check server',
      'WARN FILE: featureGates {"A":true}: there are no feature gates here',
      'WARN FILE: nftables {"masqueradeAll":true}: of another mode than IPVS',
      'WARN FILE: ipvs.schedular "rr": there is no such field; did you mean ipvs.scheduler?'.replace('"rr"', 'rr'),
      'WARN FILE: clientConnection.qps 50: a node watches three kinds of objects, and makes no other requests that would have to be limited',
      'WARN FILE: noSuch [1]: there is no such field',
      'INFO FILE: mode is empty, which kube-proxy takes for iptables; ipvs-proxier works in IPVS mode',
    ]);
  });

  test('the file wins over flags that have a field in it, and that is said; but for the node and the log', async () => {
    const path = await file(`${header}mode: ipvs\nhostnameOverride: from-file\nipvs: { scheduler: lc }\n`);
    const { settings, said, oomScoreAdj, draft } = await read(
      path,
      ...['--hostname-override', 'from-flag', '--scheduler', 'sh', '--cluster-cidr=10.0.0.0/8', '--v=4'],
      ...['--drain-timeout', '1m'],
    );
    assert.deepEqual(settings, { nodeName: 'from-flag', scheduler: 'lc', drainTimeoutMs: 60_000, conntrack });
    assert.deepEqual([oomScoreAdj, draft.verbosity], [-999, 4]);
    assert.deepEqual(said, [
      'WARN --scheduler is not looked at, because there is --config (as with kube-proxy): set ipvs.scheduler in FILE',
      'WARN --cluster-cidr is not looked at, because there is --config (as with kube-proxy): set clusterCIDR in FILE',
    ]);
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    [`${header}mode: iptables\n`, /FILE: mode: "iptables" is not ipvs, and ipvs-proxier has no other mode/],
    [`${header}ipvs: { syncPeriod: 30 }\n`, /FILE: ipvs\.syncPeriod: 30 is not a duration such as 30s/],
    [`${header}ipvs: { tcpTimeout: 1500ms }\n`, /FILE: ipvs\.tcpTimeout: 1500ms is not a duration of whole seconds/],
    [`${header}ipvs: yes\n`, /FILE: ipvs: yes is not an object/],
    [
      `${header}iptables: { masqueradeBit: 32 }\n`,
      /FILE: iptables\.masqueradeBit: 32 is not a whole number from 0 to 31/,
    ],
    [`${header}iptables: { masqueradeAll: "true" }\n`, /FILE: iptables\.masqueradeAll: true is not true or false/],
    [`${header}nodePortAddresses: 10.0.0.0/8\n`, /FILE: nodePortAddresses: 10\.0\.0\.0\/8 is not a list/],
    [`${header}nodePortAddresses: [10.0.0.0]\n`, /FILE: nodePortAddresses\[0\]: "10\.0\.0\.0" is not a CIDR/],
    [`${header}clusterCIDR: 10.0.0.0/8,10.1.0.0/16\n`, /FILE: clusterCIDR: .* at most one CIDR per family/],
    [`${header}detectLocalMode: Guess\n`, /FILE: detectLocalMode: Guess is not one of ClusterCIDR/],
    [`${header}oomScoreAdj: 1001\n`, /FILE: oomScoreAdj: 1001 is not a whole number from -1000 to 1000/],
    [`${header}bindAddress: node-a\n`, /FILE: bindAddress: node-a is not an IP address/],
    ['kind: ConfigMap\napiVersion: v1\n', /FILE is a ConfigMap: take the file out of it/],
    [
      'kind: KubeletConfiguration\napiVersion: x\n',
      /FILE is KubeletConfiguration of x; it has to be KubeProxyConfiguration/,
    ],
    ['[1, 2', /FILE is neither YAML nor JSON/],
    ['', /FILE holds no object/],
  ];
  for (const [content, message] of wrong) {
    test(`is refused: ${message.source}`, async () => {
      const path = await file(content);
      const terminal = new MemoryTerminal();
      const args = ['plan', '--from-empty', '--config', path, '--manifests', directory, '--ip-families', 'IPv4'];
      const code = await runCommandLine(args, terminal);
      assert.equal(code, 2, terminal.stderr);
      assert.match(terminal.stderr.replaceAll(path, 'FILE'), message);
      assert.equal(terminal.stdout, '');
    });
  }

  test('plan reads it, and --manifests takes the place of its kubeconfig', async () => {
    const manifests = resolve(import.meta.dirname, '../../../../examples/web.yaml');
    const terminal = new MemoryTerminal();
    const code = await runCommandLine(
      ['plan', '--from-empty', '--config', fixture, '--manifests', manifests, '--node-name', 'n1'],
      terminal,
    );
    assert.equal(code, 0, terminal.stderr);
    assert.match(terminal.stdout, /! -s 10\.244\.0\.0\/16 /);
    assert.match(terminal.stdout, /! -s fd00:10:244::\/56 /);
    assert.match(terminal.stdout, /sysctl -w net\.netfilter\.nf_conntrack_tcp_timeout_established=86400/);
    assert.match(terminal.stderr, /kubeconfig\.conf is not used: --manifests takes its place/);
    assert.ok((await readFile(fixture, 'utf8')).includes('clusterCIDR'));
  });
});
