/** The command on a real kernel, in this process: T61, T76, T79, T81, what it prints, and its exit codes. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runCommandLine } from '../../lib/cli/program.ts';
import { Proxier } from '../../lib/index.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import { runTool } from '../harness/run-tool.ts';
import { dumpTables, tableDifference } from '../harness/tables.ts';
import { clearTables } from '../harness/topology.ts';
import { MemoryTerminal } from '../unit/cli/memory-terminal.ts';

describe('the command ipvs-proxier', () => {
  let manifests: ManifestDirectory;
  /** The tables as the first run left them. */
  let whole = '';
  const flags = (): string[] => ['--manifests', manifests.path, '--node-name', 'n1', '--cluster-cidr', '10.244.0.0/16'];

  async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    const terminal = new MemoryTerminal();
    const code = await runCommandLine(args, terminal);
    return { code, stdout: terminal.stdout, stderr: terminal.stderr };
  }

  before(async () => {
    await clearTables();
    manifests = new ManifestDirectory('web.yaml', 'dns-udp.yaml');
  });

  after(async () => {
    manifests?.[Symbol.dispose]();
    await clearTables();
  });

  test('run --once puts it all there and says what it did; the second time it writes nothing', async () => {
    const first = await run('run', '--once', ...flags());
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^\d\d+ operations: .*\d+ create-service/);
    whole = await dumpTables();
    assert.match(whole, /-A -t 10\.96\.0\.10:80 -s rr/);
    const second = await run('run', '--once', ...flags());
    assert.equal(second.code, 0, second.stderr);
    assert.match(second.stdout, /^0 operations\n0 rule tables and 0 sysctls written\n/);
    assert.equal(await dumpTables(), whole);
  });

  test('plan names what is missing and who wants it, and leaves the writing to run', async () => {
    await runTool('ipvsadm', ['-D', '-t', '10.96.0.10:80']);
    const text = await dumpTables();
    const plan = await run('plan', ...flags());
    assert.match(plan.stdout, /^# IPv4 default\/web:http\/tcp\nipvsadm -A -t 10\.96\.0\.10:80 -s rr\n/);
    assert.match(plan.stdout, /# against the kernel: 4 operations, no rules, 0 sysctls\n$/);
    assert.equal(await dumpTables(), text);
  });

  test('status shows it, and whose it is', async () => {
    await runTool('ipvsadm', ['-A', '-t', '172.31.1.1:80', '-s', 'wlc']);
    const { code, stdout } = await run('status');
    assert.equal(code, 0);
    assert.match(stdout, /^udp +10\.96\.0\.53:53 +rr +- +ours$/m);
    assert.match(stdout, /^tcp +172\.31\.1\.1:80 +wlc +- +foreign$/m);
    assert.match(stdout, /^KUBE-CLUSTER-IP +hash:ip,port +IPv4 +\d+$/m);
    const json: unknown = JSON.parse((await run('status', '--json')).stdout);
    assert.ok(typeof json === 'object' && json !== null && 'services' in json && Array.isArray(json.services));
    await runTool('ipvsadm', ['-D', '-t', '172.31.1.1:80']);
  });

  test('run mends, serves until it is told to stop, and leaves everything; a second one is refused meanwhile', async () => {
    const terminal = new MemoryTerminal();
    const running = runCommandLine(['run', ...flags()], terminal);
    await terminal.heard(/ ready/, running);
    const second = await run('run', '--once', ...flags());
    assert.equal(second.code, 1);
    assert.match(second.stderr, /error: another ipvs-proxier \(pid \d+\).*\(ERR_OTHER_PROXIER\)/);
    const status = await run('status');
    assert.equal(status.code, 0, status.stderr);
    assert.match(status.stdout, /^ipvs-proxier, pid \d+, node n1, since .*: healthy$/m, 'it is asked, not the kernel');
    const explained = await run('explain', 'tcp', '10.96.0.10:80');
    assert.equal(explained.code, 0, explained.stderr);
    assert.match(
      explained.stdout,
      /operation pass \d+\.\d+ ipvsadm -A -t 10\.96\.0\.10:80 -s rr: done$/m,
      'as it was mended',
    );
    terminal.signal('SIGTERM');
    assert.equal(await running, 0);
    assert.match((await run('explain', 'tcp 10.96.0.10:80')).stderr, /no proxier runs in this network namespace/);
    assert.deepEqual(tableDifference(whole, await dumpTables()), []);
  });

  test('a scheduler the kernel does not know is named', async () => {
    const scheduler = await run('run', '--once', '--scheduler', 'nosuch', ...flags());
    assert.equal(scheduler.code, 1);
    assert.match(scheduler.stderr, /error: .*"nosuch".*\(ERR_SCHEDULER_UNKNOWN\)/);
  });

  test('what cannot be written is named, and the exit code is 3; the rest is served', async () => {
    await clearTables();
    await runTool('ipset', ['create', 'KUBE-CLUSTER-IP', 'hash:mac']);
    // However long the first pass takes here, it is the signal that ends the retries, not a time.
    const terminal = new MemoryTerminal();
    const running = runCommandLine(['run', '--once', '--timeout', '1h', ...flags()], terminal);
    await terminal.heard(/ ready/, running);
    terminal.signal('SIGTERM');
    assert.equal(await running, 3, terminal.stderr);
    assert.match(terminal.stdout, /^failed: .*KUBE-CLUSTER-IP/m);
    assert.match(await dumpTables(), /-A -t 10\.96\.0\.10:80 -s rr/);
    await clearTables();
  });

  test('a Proxier that is handed to await using stops at the end of its block', async () => {
    const finished: Promise<void>[] = [];
    {
      await using handle = await new Proxier({
        nodeName: 'n1',
        manifests: manifests.path,
        clusterCIDR: '10.244.0.0/16',
      }).run();
      finished.push(handle.finished);
      assert.equal(handle.health().healthy, true);
    }
    await Promise.all(finished);
  });
});
