import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { takeInstanceLock } from '../../../lib/proxier/instance-lock.ts';
import { claimNode } from '../../../lib/proxier/other-proxiers.ts';

const linuxOnly = process.platform === 'linux' ? {} : { skip: 'abstract sockets are Linux only' };

/** A lock of this test alone: proxiers of the machine are none of its business. */
function lockName(context: TestContext): string {
  return `\0ipvs-proxier/test ${process.pid} ${context.name}`.padEnd(108, '.').slice(0, 108);
}

test('the lock is held by one, who says who it is, until it lets go', linuxOnly, async (context) => {
  const name = lockName(context);
  const first = await takeInstanceLock(name);
  assert.ok(first.held);
  assert.deepEqual(await takeInstanceLock(name), { held: false, holder: `pid ${process.pid}` });
  await first.lock.release();
  await first.lock.release();
  const second = await takeInstanceLock(name);
  assert.ok(second.held);
  await second.lock.release();
});

test('a peer that never hangs up keeps nobody waiting', linuxOnly, async (context) => {
  const name = lockName(context);
  const held = await takeInstanceLock(name);
  assert.ok(held.held);
  const peer = createConnection({ path: name, allowHalfOpen: true });
  context.after(() => peer.destroy());
  peer.on('error', () => {});
  await once(peer, 'connect');
  const [said] = await once(peer, 'data');
  assert.equal(String(said), `pid ${process.pid}`);
  await held.lock.release();
  const again = await takeInstanceLock(name);
  assert.ok(again.held, 'the name is free');
  await again.lock.release();
});

test('a peer that comes and says nothing is let go with the lock', linuxOnly, async (context) => {
  const name = lockName(context);
  const held = await takeInstanceLock(name);
  assert.ok(held.held);
  const peer = createConnection({ path: name, allowHalfOpen: true });
  context.after(() => peer.destroy());
  peer.pause();
  peer.on('error', () => {});
  await once(peer, 'connect');
  await held.lock.release();
  assert.ok((await takeAndRelease(name)).held);
});

async function takeAndRelease(name: string): ReturnType<typeof takeInstanceLock> {
  const result = await takeInstanceLock(name);
  if (result.held) await result.lock.release();
  return result;
}

test('a lock that can be neither taken nor seen says so by code, and what to do', async () => {
  await assert.rejects(takeInstanceLock('/nowhere/at/all/lock'), {
    name: 'ProxierError',
    code: 'ERR_OTHER_PROXIER',
    message: /cannot be taken \(listen .*\).*ignoreOtherProxiers/,
  });
});

async function fakeProc(processes: readonly { comm: string; net: string }[]): Promise<string> {
  const proc = await mkdtemp(join(tmpdir(), 'proxier-proc-'));
  const all = [
    { pid: 'self', comm: 'node', net: 'net:[1]' },
    ...processes.map((each, index) => ({ pid: `${index + 1}`, ...each })),
  ];
  for (const { pid, comm, net } of all) {
    await mkdir(join(proc, pid, 'ns'), { recursive: true });
    await writeFile(join(proc, pid, 'comm'), `${comm}\n`);
    await symlink(net, join(proc, pid, 'ns', 'net'));
  }
  return proc;
}

test('a kube-proxy of this network namespace is found, one of another is not', linuxOnly, async (context) => {
  const here = await fakeProc([
    { comm: 'bash', net: 'net:[1]' },
    { comm: 'kube-proxy', net: 'net:[1]' },
  ]);
  const elsewhere = await fakeProc([{ comm: 'kube-proxy', net: 'net:[2]' }]);
  context.after(() => Promise.all([here, elsewhere].map((path) => rm(path, { recursive: true }))));
  const found = await claimNode({ lockName: lockName(context), procPath: here, proxyModeUrls: [] });
  assert.deepEqual(found.others, ['kube-proxy (pid 2)']);
  const second = await claimNode({ lockName: lockName(context), procPath: elsewhere, proxyModeUrls: [] });
  assert.deepEqual(second.others, [`another ipvs-proxier (pid ${process.pid})`]);
  assert.equal(second.lock, undefined);
  await found.lock?.release();
});

test(
  'a kube-proxy that only its port shows is found; other servers and silent ones are not',
  linuxOnly,
  async (context) => {
    const proc = await fakeProc([]);
    const server = createServer((request, response) => {
      if (request.url === '/proxyMode') response.end('iptables');
      else if (request.url === '/other') response.end('<html>hello</html>');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    context.after(async () => {
      server.closeAllConnections();
      server.close();
      await rm(proc, { recursive: true });
    });
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    const base = `http://127.0.0.1:${address.port}`;
    const look = async (paths: readonly string[]): Promise<readonly string[]> => {
      const claim = await claimNode({
        lockName: lockName(context),
        procPath: proc,
        proxyModeUrls: paths.map((path) => base + path),
      });
      await claim.lock?.release();
      return claim.others;
    };
    assert.deepEqual(await look(['/proxyMode']), ['kube-proxy (mode iptables)']);
    assert.deepEqual(await look(['/other', '/hangs']), []);
  },
);
