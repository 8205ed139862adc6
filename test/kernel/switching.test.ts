/**
 * From kube-proxy to ipvs-proxier and back on a real kernel, with connections that are open all the time, also while a process of ours is
 * killed in the midst of a pass; and T80: what `cleanup` leaves.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCommandLine } from '../../lib/cli/program.ts';
import { Proxier } from '../../lib/index.ts';
import { runMortal } from '../chaos/kernel/run-mortal.ts';
import { fixtureDump, fixtureFolder } from '../harness/kube-proxy-dump.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import { restoreDump } from '../harness/restore-dump.ts';
import { runTool } from '../harness/run-tool.ts';
import { dumpTables, tableDifference } from '../harness/tables.ts';
import { clearTables, namespaceOf, podGateways, Topology } from '../harness/topology.ts';
import { Watcher } from '../harness/watcher.ts';
import { MemoryTerminal } from '../unit/cli/memory-terminal.ts';

const scenario = '11-dual-stack';
const manifests = join(fixtureFolder, `${scenario}.json`);
/** kube-proxy knew no other address of the node. */
const options = {
  nodeName: 'node-a',
  manifests,
  nodePortAddresses: ['192.168.50.0/24', 'fd00:50::/64'],
  /** A worker takes the test kernel seconds to start. */
  thread: 'inline',
} as const;
const flags = ['--manifests', manifests, '--node-name', 'node-a'];

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new MemoryTerminal();
  const code = await runCommandLine(args, terminal);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

async function lines(program: string, ...args: string[]): Promise<string[]> {
  return (await runTool(program, args)).split('\n').filter((line) => line !== '');
}

describe('switching', () => {
  /** The tables before any proxier: somebody else's virtual services, and the kubelet's chains. */
  let others = '';

  let topology: Topology;
  /** One connection each: of the node itself, and of a machine outside. */
  const streams: Watcher[] = [];

  /** Every one of them is answered from now on, as it was until now. */
  async function streamsGoOn(): Promise<void> {
    const lengths = streams.map(({ outcomes }) => outcomes.length);
    for (const [index, stream] of streams.entries()) {
      assert.ok(await stream.until(({ length }) => length > (lengths[index] ?? 0) + 1));
      assert.deepEqual(stream.failures, []);
      const names = new Set(stream.outcomes.map((outcome) => (outcome.kind === 'answered' ? outcome.name : '')));
      assert.equal(names.size, 1, [...names].join());
    }
  }

  before(async () => {
    await clearTables();
    topology = await Topology.create();
    for (const pod of ['p1', 'p2'] as const) await topology.serve(pod, 'tcp:8080');
    // The third endpoint of the manifests.
    await runTool('ip', ['-n', namespaceOf('p1') ?? '', 'addr', 'add', '10.244.0.5/32', 'dev', 'eth0']);
    await runTool('ip', ['route', 'add', '10.244.0.5/32', 'dev', 'pod-p1', 'src', podGateways.n1.ipv4]);
    await runTool('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-peer']);
    await runTool('ip', ['addr', 'add', '192.168.50.10/24', 'dev', 'eth0']);
    await runTool('ip', ['addr', 'add', 'fd00:50::10/64', 'dev', 'eth0', 'nodad']);
    await runTool('ip', ['link', 'set', 'eth0', 'up']);
    await runTool('ipvsadm', ['-A', '-t', '172.31.1.1:80', '-s', 'wlc']);
    await runTool('ipvsadm', ['-A', '-f', '77', '-s', 'rr']);
    const kubelet =
      '*nat\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n*filter\n:KUBE-FIREWALL - [0:0]\n-A OUTPUT -j KUBE-FIREWALL\n-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP\nCOMMIT\n';
    for (const tool of ['iptables-legacy-restore', 'ip6tables-legacy-restore']) {
      await runTool(tool, ['--noflush'], { input: kubelet });
    }
    others = await dumpTables();
  });

  after(async () => {
    for (const stream of streams) await stream.stop();
    await topology?.[Symbol.asyncDispose]();
    await runTool('ip', ['link', 'delete', 'eth0'], { mayFail: true });
    await clearTables();
  });

  test("kube-proxy's tables are taken as they are: no virtual service, destination or address is written", async () => {
    await restoreDump(scenario);
    for (const [from, address] of [
      ['n1', '10.96.0.70'],
      ['client', '203.0.113.20'],
    ] as const) {
      streams.push(
        new Watcher(topology.startAsking(from, 'tcp', address, 80, { count: 0, intervalMs: 50, keep: true })),
      );
    }
    await streamsGoOn();
    await using handle = await new Proxier(options).run();
    const { failures, byVerb, contested } = handle.report;
    assert.deepEqual({ failures, contested }, { failures: [], contested: 0 });
    const touched = Object.keys(byVerb).filter((verb) => /service|destination|address|set$/.test(verb));
    assert.deepEqual(touched, []);
    await streamsGoOn();
  });

  test('and what we leave when we stop is what kube-proxy would have written: it finds nothing to do but rules', async () => {
    const dump = fixtureDump(scenario);
    const ours = (await lines('ipvsadm', '-Sn')).filter((line) => !/172\.31\.1\.1|-f 77/.test(line));
    assert.deepEqual(ours.sort(), dump.ipvs);
    assert.deepEqual((await lines('ipset', 'save')).filter((line) => line.startsWith('add ')).sort(), dump.sets);
  });

  test('a process that is killed in the midst of a pass, and the next one: what is there is not written again', async (context) => {
    using both = new ManifestDirectory();
    for (const name of [`${scenario}.json`, '08-lb-sourceranges.json'])
      both.write(name, readFileSync(join(fixtureFolder, name), 'utf8'));
    // The pass is some 65 operations.
    const operations = 1 + Math.floor(Math.random() * 50);
    context.diagnostic(`killed after ${operations} operations`);
    const { signal, said } = await runMortal(operations, { ...options, manifests: both.path });
    assert.deepEqual([signal, said], ['SIGKILL', '']);
    await streamsGoOn();
    const left = await dumpTables();
    await using handle = await new Proxier({ ...options, manifests: both.path }).run();
    await streamsGoOn();
    const written = tableDifference(left, await dumpTables()).filter((line) => !/^. (-A|:)KUBE|^. -A KUBE/.test(line));
    assert.deepEqual([handle.report.operations, handle.report.failures], [written.length, []]);
    assert.deepEqual(
      written.filter((line) => !line.startsWith('+')),
      [],
    );
  });

  test('cleanup leaves what was there before, says so, and finds nothing the second time (T80)', async () => {
    const dry = await run('cleanup', '--dry-run');
    assert.equal(dry.code, 0, dry.stderr);
    assert.match(dry.stdout, /^ip link del kube-ipvs0\n/m);
    const { code, stdout, stderr } = await run('cleanup');
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^\d+ operations: 1 remove-link, \d+ remove-service, 34 remove-set$/m);
    assert.match(stdout, /^rules removed: IPv4 \(legacy\), IPv6 \(legacy\)$/m);
    assert.match(stdout, /^left alone: virtual service tcp 172\.31\.1\.1:80 is somebody else's$/m);
    assert.deepEqual(tableDifference(others, await dumpTables()), []);
    const second = await run('cleanup');
    assert.deepEqual([second.code, second.stdout.split('\n')[0]], [0, 'nothing to remove']);
  });

  test('VIPs that are bound by routes go, too; nobody cleans up under a proxier that works', async () => {
    const terminal = new MemoryTerminal();
    const running = runCommandLine(['run', '--vip-binding=local-route', ...flags], terminal);
    let ended = false;
    void running.then(() => {
      ended = true;
    });
    while (!ended && !/ ready/.test(terminal.stderr)) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(ended, false, terminal.stderr);
    const routes = (): Promise<string[]> => lines('ip', 'route', 'show', 'table', 'local', 'proto', '155');
    assert.notDeepEqual(await routes(), []);
    const refused = await run('cleanup');
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /another ipvs-proxier \(pid \d+\).*\(ERR_OTHER_PROXIER\)/);
    terminal.signal('SIGTERM');
    assert.equal(await running, 0);
    const { code, stdout } = await run('cleanup');
    assert.equal(code, 0, stdout);
    assert.deepEqual(await routes(), []);
  });

  test('--init-only sets what needs privileges, and finds it right the second time', async () => {
    await runTool('sysctl', ['-w', 'net.ipv4.vs.expire_nodest_conn=0']);
    const first = await run('run', '--init-only', '--ipvs-tcpfin-timeout=77s');
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^sysctl -w net\.ipv4\.vs\.expire_nodest_conn=1$/m);
    assert.match((await lines('ipvsadm', '-l', '--timeout')).join(), / 77 /);
    const second = await run('run', '--init-only');
    assert.equal(second.stdout, 'nothing to set\n');
    await runTool('ipvsadm', ['--set', '0', '120', '0']);
    assert.deepEqual(tableDifference(others, await dumpTables()), [], 'no frame, no rules');
  });
});
