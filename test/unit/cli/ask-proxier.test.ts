/** `status` and `explain` over a real socket, of a real Proxier on the fake kernel. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { findProxier } from '../../../lib/cli/ask-proxier.ts';
import { runCommandLine } from '../../../lib/cli/program.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import { takeInstanceLock } from '../../../lib/proxier/instance-lock.ts';
import type { ProxierHandle } from '../../../lib/proxier/proxier.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { fakeProxier } from '../../../lib/testing/fake-proxier.ts';
import { VirtualClock } from '../../../lib/testing/virtual-clock.ts';
import { service, slice } from '../proxier/setup.ts';
import { MemoryTerminal } from './memory-terminal.ts';

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const terminal = new MemoryTerminal();
  const code = await runCommandLine(args, terminal);
  return { code, stdout: terminal.stdout, stderr: terminal.stderr };
}

interface Running {
  readonly socket: string;
  readonly kernel: FakeKernel;
  readonly clock: VirtualClock;
  readonly handle: ProxierHandle;
}

/** Serves `default/web`; `default/bad` is refused again and again. */
async function running(context: TestContext): Promise<Running> {
  const directory = await mkdtemp(join(tmpdir(), 'ask-'));
  context.after(() => rm(directory, { recursive: true, force: true }));
  const socket = join(directory, 's.sock');
  const source = new ObjectSource();
  for (const [name, address] of [
    ['web', '10.96.0.10'],
    ['bad', '10.96.0.11'],
  ] as const) {
    source.apply(service(name, address));
    source.apply(slice(name, [`10.244.1.${name.length}`]));
  }
  source.synced();
  const kernel = new FakeKernel();
  const isBad = (address: string): boolean => address === '10.96.0.11';
  kernel.failNext(
    (operation) =>
      operation.verb === 'create-service' && 'address' in operation.service.key && isBad(operation.service.key.address),
    'ENOMEM',
    1000,
  );
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  const proxier = fakeProxier({ nodeName: 'n1', families: ['IPv4'], source, adminSocket: socket }, kernel, { clock });
  const handle = await proxier.run();
  context.after(() => handle.stop());
  return { socket, kernel, clock, handle };
}

test('status: the summary, what is not applied and why; exit code 3 until it is', async (context) => {
  const { socket, kernel, handle } = await running(context);
  const before = await run('status', '--socket', socket);
  assert.equal(before.code, 3);
  assert.equal(before.stderr, '');
  const lines = before.stdout.split('\n');
  assert.match(
    lines[0] ?? '',
    new RegExp(`^ipvs-proxier, pid ${process.pid}, node n1, since 2026-01-01T00:00:00.000Z: healthy$`),
  );
  assert.ok(lines.includes('service ports: 2, 1 of them not applied as a whole'));
  assert.ok(lines.includes('objects: 5 applied, 4 pending, 1 failing, 0 draining, 0 contested, 0 foreign'));
  const failing = lines.find((line) => line.startsWith('failing '));
  assert.match(
    failing ?? '',
    /^failing service tcp 10\.96\.0\.11:80: .*ENOMEM.*tried 1 times since 2026-01-01T00:00:00.000Z, next at 2026-01-01T00:00:00\.\d{3}Z: ipvsadm -A -t 10\.96\.0\.11:80 -s rr; for IPv4 default\/bad:http\/tcp$/,
  );
  assert.equal(lines.filter((line) => line.startsWith('pending ')).length, 4);
  assert.match((await run('status', '--socket', socket, '--limit', '1')).stdout, /\nand 4 more that are not applied/);
  kernel.heal();
  await handle.resync();
  const after = await run('status', '--socket', socket);
  assert.equal(after.code, 0);
  assert.match(after.stdout, /\nobjects: 10 applied, 0 pending, 0 failing/);
});

test('status --json and explain --json: what the handle says, dates as text', async (context) => {
  const { socket, handle } = await running(context);
  const said: unknown = JSON.parse((await run('status', '--socket', socket, '--json')).stdout);
  assert.deepEqual(said, JSON.parse(JSON.stringify(await handle.status())));
  const explained: unknown = JSON.parse((await run('explain', '--socket', socket, '--json', 'default/web')).stdout);
  assert.deepEqual(explained, JSON.parse(JSON.stringify(await handle.explain('default/web'))));
});

test('explain: by words as they come, with the exit code of what is asked about', async (context) => {
  const { socket } = await running(context);
  const web = await run('explain', '--socket', socket, 'tcp', '10.96.0.10:80');
  assert.equal(web.code, 0);
  for (const line of [
    /^virtual service tcp 10\.96\.0\.10:80: applied$/m,
    /^ {2}frontend IPv4 default\/web:http\/tcp cluster-ip tcp 10\.96\.0\.10:80: all endpoints \(internalTrafficPolicy Cluster\)$/m,
    /^ {2}endpoint IPv4 default\/web:http\/tcp 10\.244\.1\.3:8080 of slice default\/web-1: cluster in \(ready\)$/m,
    /^ {2}applied destination tcp 10\.96\.0\.10:80 10\.244\.1\.3:8080: there: ipvsadm -a /m,
    /^history$/m,
    /^ {2}2026-01-01T00:00:00\.000Z record seq \d+ Service default\/web: 10\.96\.0\.10$/m,
    /^ {2}2026-01-01T00:00:00\.000Z operation pass \d+\.1 ipvsadm -A -t 10\.96\.0\.10:80 -s rr: done$/m,
    /^ {2}2026-01-01T00:00:00\.000Z pass \d+ full pass to revision \d+: /m,
  ]) {
    assert.match(web.stdout, line);
  }
  const bad = await run('explain', '--socket', socket, 'default/bad');
  assert.equal(bad.code, 3);
  assert.match(
    bad.stdout,
    /^ {2}pending address 10\.96\.0\.11: waits for service tcp 10\.96\.0\.11:80, which was refused/m,
  );
  const unknown = await run('explain', '--socket', socket, 'default/wep');
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout, /^default\/wep: no record has .*; did you mean default\/web\?\n$/);
});

test('nobody there, something else there, nothing to ask for: said, with the exit code', async (context) => {
  const { socket, handle } = await running(context);
  await handle.stop();
  for (const command of [['status'], ['explain', 'default/web']]) {
    const { code, stderr, stdout } = await run(...command, '--socket', socket);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^error: nobody answers on .*s\.sock \(ERR_ADMIN_SOCKET\)\n$/);
  }
  const other = createServer((_request, response) => response.end('hello')).listen(socket);
  context.after(() => other.close());
  assert.match((await run('explain', '--socket', socket, 'x')).stderr, /what answers there is no proxier/);
  assert.equal((await run('explain')).code, 2);
  assert.equal((await run('status', '--kernel', '--socket', socket)).code, 2);
  assert.equal((await run('status', '--limit', 'many')).code, 2);
});

test('an answer of another form is refused by name, not shown by half', async (context) => {
  const { socket, handle } = await running(context);
  await handle.stop();
  const other = createServer((_request, response) => response.end('{"pid":"x"}')).listen(socket);
  context.after(() => other.close());
  assert.match((await run('status', '--socket', socket)).stderr, /another form than this version reads \(pid\)/);
});

test('a proxier is found by its lock, which may say that it has no socket', {
  skip: process.platform !== 'linux',
}, async () => {
  const lockName = `\0ipvs-proxier/ask ${process.pid}`.padEnd(108, '.');
  assert.equal(await findProxier({ lockName }), undefined);
  const taken = await takeInstanceLock(lockName);
  assert.ok(taken.held);
  await assert.rejects(findProxier({ lockName }), {
    code: 'ERR_ADMIN_SOCKET',
    message: /pid \d+\) and has no admin socket/,
  });
  taken.lock.announce('/run/ipvs-proxier/7.sock');
  assert.deepEqual(await findProxier({ lockName }), { socket: '/run/ipvs-proxier/7.sock', pid: process.pid });
  await taken.lock.release();
});
