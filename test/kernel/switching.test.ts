/** From kube-proxy to ipvs-proxier and back on a real kernel, and T80: what `cleanup` leaves. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runCommandLine } from '../../lib/cli/program.ts';
import { Proxier } from '../../lib/index.ts';
import { fixtureDump, fixtureFolder } from '../harness/kube-proxy-dump.ts';
import { runTool } from '../harness/run-tool.ts';
import { dumpTables, tableDifference } from '../harness/tables.ts';
import { clearTables } from '../harness/topology.ts';
import { MemoryTerminal } from '../unit/cli/memory-terminal.ts';

const scenario = '11-dual-stack';
const manifests = join(fixtureFolder, `${scenario}.json`);
const flags = ['--manifests', manifests, '--node-name', 'node-a'];

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new MemoryTerminal();
  const code = await runCommandLine(args, terminal);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

async function lines(program: string, ...args: string[]): Promise<string[]> {
  return (await runTool(program, args)).split('\n').filter((line) => line !== '');
}

/** The part of a dump of kube-proxy 1.36.2 that begins with this title. */
function section(title: string): string {
  const text = readFileSync(join(fixtureFolder, `${scenario}.txt`), 'utf8');
  const [part = ''] = (text.split(`##### ${title}`)[1] ?? '').split('\n##### ');
  return part.slice(part.indexOf('\n') + 1);
}

/** The node as kube-proxy left it, written by the tools that printed it. */
async function asKubeProxyLeftIt(): Promise<void> {
  await runTool('ipset', ['restore'], {
    input: section('ipset save').replaceAll(/ bucketsize \d+| initval 0x\w+/g, ''),
  });
  await runTool('ipvsadm', ['-R'], { input: section('ipvsadm -Sn') });
  await runTool('ip', ['link', 'add', 'kube-ipvs0', 'type', 'dummy']);
  for (const address of fixtureDump(scenario).addresses) {
    await runTool('ip', ['addr', 'add', address, 'dev', 'kube-ipvs0']);
  }
  for (const table of ['nat', 'filter']) {
    await runTool('iptables-legacy-restore', ['--noflush'], { input: section(`iptables-save -t ${table}`) });
  }
  await runTool('ip6tables-legacy-restore', ['--noflush'], { input: section('ip6tables-save') });
}

describe('switching', () => {
  /** The tables before any proxier: somebody else's virtual services, and the kubelet's chains. */
  let others = '';

  before(async () => {
    await clearTables();
    await runTool('ip', ['link', 'set', 'lo', 'up']);
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
    await runTool('ip', ['link', 'delete', 'eth0'], { mayFail: true });
    await clearTables();
  });

  test("kube-proxy's tables are taken as they are: no virtual service, destination or address is written", async () => {
    await asKubeProxyLeftIt();
    await using handle = await new Proxier({ nodeName: 'node-a', manifests }).run();
    const { failures, byVerb, contested } = handle.report;
    assert.deepEqual({ failures, contested }, { failures: [], contested: 0 });
    const touched = Object.keys(byVerb).filter((verb) => /service|destination|address|set$/.test(verb));
    assert.deepEqual(touched, []);
  });

  test('and what we leave when we stop is what kube-proxy would have written: it finds nothing to do but rules', async () => {
    const dump = fixtureDump(scenario);
    const ours = (await lines('ipvsadm', '-Sn')).filter((line) => !/172\.31\.1\.1|-f 77/.test(line));
    assert.deepEqual(ours.sort(), dump.ipvs);
    assert.deepEqual((await lines('ipset', 'save')).filter((line) => line.startsWith('add ')).sort(), dump.sets);
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
