/** The command as it runs in a pod: in-cluster credentials, an API server over HTTPS in another process, the kernel's own tables. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { makeCertificates } from '../../../test/unit/kube/certificates.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';

const dist = resolve(import.meta.dirname, '../../..');
/** Where a pod finds its service account; in the test kernel that is a directory in memory. */
const account = '/var/run/secrets/kubernetes.io/serviceaccount';
/** An audit and the garbage collector have had their time. */
const SETTLE_MS = 40_000;

export async function run({ services, endpoints }: ScenarioOptions): Promise<Facts> {
  if (process.env['TEST_KERNEL'] !== 'uml') throw new Error('this writes a service account to /var/run: not on a host');
  const certificates = await makeCertificates();
  mkdirSync(account, { recursive: true });
  writeFileSync(join(account, 'token'), 'bench');
  writeFileSync(join(account, 'ca.crt'), certificates.ca);
  const { directory } = certificates;
  const script = join(dist, 'bench/scale/api-server.js');
  const files = [join(directory, 'server.key'), join(directory, 'server.crt')];
  const server = spawn(process.execPath, [script, String(services), String(endpoints), ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const command: ChildProcess[] = [server];
  try {
    const port = await line(server, /^\d+$/);
    const flags = ['--hostname-override', 'bench', '--cluster-cidr', '10.244.0.0/16', '--ip-families', 'IPv4'];
    const env = { ...process.env, KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port };
    const started = performance.now();
    const proxier = spawn(process.execPath, [join(dist, 'lib/cli/main.js'), 'run', ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    command.push(proxier);
    await line(proxier, /ready/);
    const readyMs = performance.now() - started;
    await setTimeout(SETTLE_MS);
    return { rssMB: statusMB(proxier, 'VmRSS'), peakMB: statusMB(proxier, 'VmHWM'), readyMs };
  } finally {
    for (const child of command) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await certificates.remove();
  }
}

/** The first line of either output that matches; later ones are read and forgotten. */
function line(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((done, fail) => {
    const seen: string[] = [];
    child.once('exit', (code) => fail(new Error(`ended with ${code}: ${seen.slice(-5).join(' | ')}`)));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (text) => {
        if (pattern.test(text)) done(text);
        else seen.push(text);
        if (seen.length > 20) seen.shift();
      });
    }
  });
}

function statusMB(child: ChildProcess, field: string): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024) / 1e6;
}
