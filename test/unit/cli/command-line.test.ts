import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { runCommandLine } from '../../../lib/cli/program.ts';
import { MemoryTerminal } from './memory-terminal.ts';

const root = resolve(import.meta.dirname, '../../../..');
const manifests = resolve(root, 'test/fixtures/manifests');
const common = ['--node-name', 'n1', '--ip-families', 'IPv4'];

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new MemoryTerminal();
  const code = await runCommandLine(args, terminal);
  assert.equal(terminal.listeners, 0, 'signal handlers are taken back');
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

/** Command line → what standard error must say. All of these are wrong as they stand: exit 2, nothing on standard output. */
const usageErrors: readonly (readonly [string[], RegExp])[] = [
  [['run', '--bogus'], /error: unknown option '--bogus'/],
  [['run', '--manifest', 'x'], /Did you mean --manifests/],
  [['runn'], /unknown command 'runn'/],
  [[], /Usage: ipvs-proxier/],
  [['run', 'extra', '--manifests', 'x'], /too many arguments/],
  [['run', '--manifests'], /argument missing/],
  [['run', '--manifests', 'x', '--kubeconfig', 'y'], /error: --kubeconfig and --manifests cannot be given together/],
  [
    ['run', '--manifests', 'x', '--masquerade-bit', 'high'],
    /'--masquerade-bit <bit>' argument 'high' is invalid. Not a whole number/,
  ],
  [
    ['run', '--manifests', 'x', '--masquerade-bit', '32'],
    /'--masquerade-bit <bit>' argument '32' is invalid. Not a whole number from 0 to 31/,
  ],
  [['run', '--manifests', 'x', '--sync-period', '30'], /'30' is invalid. Not a duration/],
  [
    ['run', '--manifests', 'x', '--sync-period', '1ms'],
    /error: --sync-period \(ms\): 1 is not a whole number from 100/,
  ],
  [
    ['run', '--manifests', 'x', '--cluster-cidr', '10.244.0.0'],
    /error: --cluster-cidr\[0\]: "10.244.0.0" is not a CIDR/,
  ],
  [
    ['run', '--manifests', 'x', '--nodeport-addresses', '10.0.0.0/8,nonsense'],
    /--nodeport-addresses\[1\]: "nonsense" is not a CIDR/,
  ],
  [['run', '--manifests', 'x', '--timeout', '5s'], /--timeout needs --once/],
  [['run', '--manifests', 'x', '--ip-families', 'IPv5'], /Not one of IPv4, IPv6, IPv4,IPv6/],
  [['run', '--manifests', 'x', '--detect-local-mode', 'Guess'], /'Guess' is invalid. Not one of ClusterCIDR/],
  [['run', '--manifests', 'x', '--detect-local-mode', 'BridgeInterface'], /needs --pod-bridge-interface/],
  [
    ['run', '--manifests', 'x', '--scheduler', 'rr', '--ipvs-scheduler', 'rr'],
    /--scheduler and --ipvs-scheduler are the same/,
  ],
  [['run', '--manifests', 'x', '--proxy-mode=iptables'], /--proxy-mode: "iptables" is not ipvs.*docs\/switching\.md/],
  [['run', '--manifests', 'x', '--master=http://1.2.3.4'], /--master .*: write the server into the kubeconfig/],
  [['run', '--manifests', 'x', '--ipvs-tcp-timeout=1500ms'], /Not a duration of whole seconds/],
  [['run', '--manifests', 'x', '--masquerade-all=maybe'], /Not true or false/],
  [
    ['run', '--manifests', 'x', '--config', '/nowhere/config.conf'],
    /error: --config: \/nowhere\/config\.conf cannot be read/,
  ],
  [['run', '--manifests', 'x', '--init-only', '--once'], /cannot be used with/],
  [['cleanup', '--manifests', 'x'], /unknown option/],
];

for (const [args, message] of usageErrors) {
  test(`usage error: ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await run(...args);
    assert.equal(code, 2);
    assert.match(stderr, message);
    assert.equal(stdout, '');
    assert.doesNotMatch(stderr, /^\s+at /m, 'no stack unless asked for');
  });
}

test('help names commands and exit codes, and is no error', async () => {
  const { code, stdout } = await run('--help');
  assert.equal(code, 0);
  for (const word of ['run', 'plan', 'status', 'cleanup', 'Exit codes:', '3  run --once'])
    assert.ok(stdout.includes(word), word);
  assert.match((await run('run', '--help')).stdout, /--once[\s\S]*--timeout[\s\S]*Exit codes:/);
  assert.match((await run('--version')).stdout, /^\d+\.\d+\.\d+/);
});

test('without a kubeconfig, manifests or a pod there is nothing to serve', async () => {
  const { code, stderr } = await run('run');
  assert.equal(code, 1);
  assert.match(
    stderr,
    /^error: nothing says where .* give --kubeconfig FILE or --manifests PATH \(ERR_KUBE_CONFIG\)\n$/,
  );
});

test('files that are not there are named', async () => {
  const manifest = await run('plan', '--from-empty', '--manifests', '/nowhere/m.yaml', ...common);
  assert.equal(manifest.code, 1);
  assert.match(manifest.stderr, /error: .*\/nowhere\/m\.yaml.*\(ERR_MANIFEST\)/);
  const kubeconfig = await run('plan', '--from-empty', '--kubeconfig', '/nowhere/config', ...common);
  assert.equal(kubeconfig.code, 1);
  assert.match(kubeconfig.stderr, /error: .*\/nowhere\/config.*\(ERR_KUBE_CONFIG\)/);
  const verbose = await run('plan', '--from-empty', '--manifests', '/nowhere/m.yaml', '-v', ...common);
  assert.match(verbose.stderr, /^\s+at /m, '-v shows the stack');
});

test('plan --from-empty shows every command, who wants it, and what is wrong with the manifests', async () => {
  const { code, stdout, stderr } = await run('plan', '--from-empty', '--manifests', manifests, ...common);
  assert.equal(code, 0, stderr);
  const service = stdout.indexOf('ipvsadm -A -t 10.96.0.10:80 -s rr');
  assert.ok(service > 0, stdout);
  assert.ok(stdout.slice(0, service).trimEnd().endsWith('# IPv4 default/web:http/tcp'));
  assert.match(stdout, /ipvsadm -a -t 10\.96\.0\.10:80 -r 10\.244\.1\.5:8080 -m -w 1/);
  assert.match(stdout, /ipset add KUBE-CLUSTER-IP 10\.96\.0\.10,tcp:80/);
  assert.match(stdout, /ip addr add 10\.96\.0\.10\/32 dev kube-ipvs0/);
  assert.match(stdout, /iptables-restore --noflush <<'END'\n\*nat/);
  assert.match(stdout, /# warning: .*default\/crooked.*999\.1\.1\.1/);
  assert.match(
    stdout,
    /^# frontend IPv4 default\/web:http\/tcp cluster-ip tcp 10\.96\.0\.10:80: all endpoints \(internalTrafficPolicy Cluster\)$/m,
  );
  assert.match(
    stdout,
    /^# endpoint IPv4 default\/web:http\/tcp 10\.244\.2\.7:8080 of slice default\/web-1: cluster in \(ready\)$/m,
  );
  assert.match(stdout, /# from empty: \d+ operations, rules of IPv4, \d+ sysctls\n$/);
  assert.match(stderr, /WARN .*999\.1\.1\.1/);
});

test('plan --json is the plan, and logs may be JSON too', async () => {
  const args = ['--from-empty', '--json', '--log-format', 'json', '--manifests', manifests, ...common];
  const { code, stdout, stderr } = await run('plan', ...args);
  assert.equal(code, 0);
  const plan: unknown = JSON.parse(stdout);
  assert.ok(typeof plan === 'object' && plan !== null && 'operations' in plan && 'rules' in plan && 'sysctls' in plan);
  for (const line of stderr.trim().split('\n')) assert.ok(JSON.parse(line).level);
  assert.ok('explanations' in plan && Array.isArray(plan.explanations) && plan.explanations.length === 1);
  const without = await run('plan', '--no-endpoints', ...args);
  assert.deepEqual(JSON.parse(without.stdout), { ...plan, explanations: [] });
  const text = await run('plan', '--from-empty', '--no-endpoints', '--manifests', manifests, ...common);
  assert.doesNotMatch(text.stdout, /^# (frontend|endpoint) /m);
});

test('a manifest that does not parse is told by file, and the plan says what it waited for', async (context) => {
  // Not a fixture: whoever lints the tree would trip over it.
  const broken = await mkdtemp(join(tmpdir(), 'manifests-'));
  context.after(() => rm(broken, { recursive: true }));
  await writeFile(join(broken, 'broken.yaml'), 'kind: Service\nmetadata: { name: web\nspec: [not closed\n');
  const { code, stderr } = await run(
    'plan',
    ...['--from-empty', '--timeout', '200ms', '--manifests', broken, ...common],
  );
  assert.equal(code, 1);
  assert.match(stderr, /WARN .*broken\.yaml/s);
  assert.match(stderr, /error: the first list of .* did not arrive within 200 ms \(.*broken\.yaml.*\) \(ERR_TIMEOUT\)/);
});

test('the built command is executable and ends with its exit code', async () => {
  const main = resolve(import.meta.dirname, '../../../lib/cli/main.js');
  const child = spawn(process.execPath, [main, 'run', '--bogus'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise((done) => child.once('close', done));
  assert.equal(code, 2);
  assert.match(stderr, /unknown option '--bogus'/);
});
