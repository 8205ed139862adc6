/** The admin socket: where it is made and where not, what it answers, and what a client cannot do to it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { get, request } from 'node:http';
import { createConnection, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import { openAdminSocket } from '../../../lib/proxier/admin-socket.ts';
import { defaultAdminSocketPath, makeAdminDirectory } from '../../../lib/proxier/admin-socket-place.ts';
import type { Inquiry } from '../../../lib/proxier/inquiry.ts';
import { askInstanceLock, takeInstanceLock } from '../../../lib/proxier/instance-lock.ts';
import { FakeNode } from './setup.ts';

type Answers = Pick<Inquiry, 'health' | 'statistics' | 'status' | 'explain'>;

async function directory(context: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'admin-'));
  context.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** One that knows nothing but its health. */
function answers(more: Partial<Answers> = {}): Answers {
  const health = {
    ready: true,
    healthy: true,
    reasons: [],
    lastSync: undefined,
    oldestPendingMs: 0,
    sources: [],
    oldestChange: undefined,
    waiting: [],
    drift: { missing: 0, extra: 0, changed: 0 },
    workerRestarts: 0,
  };
  const nothing = async (): Promise<never> => {
    throw new ProxierError('ERR_WORKER', 'the worker was lost');
  };
  const statistics = (): never => {
    throw new ProxierError('ERR_CLOSED', 'the proxier has not begun to work, or is stopped');
  };
  return { health: () => health, statistics, status: nothing, explain: nothing, ...more };
}

function emptySource(): ObjectSource {
  const source = new ObjectSource({ name: 'test' });
  source.synced();
  return source;
}

function ask(socketPath: string, path: string, method: string = 'GET'): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, method, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: text === '' ? undefined : JSON.parse(text) }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

const refused = (message: RegExp) => ({ code: 'ERR_ADMIN_SOCKET', message });

describe('its place', () => {
  test('its owner alone may connect; nothing else is left beside it, and nothing at all after the end', async (context) => {
    const place = await directory(context);
    const path = join(place, 's.sock');
    const socket = await openAdminSocket(path, answers());
    assert.deepEqual(await readdir(place), ['s.sock']);
    const status = await lstat(path);
    assert.ok(status.isSocket());
    assert.equal(status.mode & 0o777, 0o600);
    assert.equal((await ask(path, '/health')).status, 200);
    await socket.close();
    await socket.close();
    assert.deepEqual(await readdir(place), []);
  });

  test('a socket that nobody answers on is replaced; one that is answered is not', async (context) => {
    const path = join(await directory(context), 's.sock');
    // What a killed process leaves: a name without anybody behind it.
    const left = createServer().listen({ path: `${path}.x` });
    await once(left, 'listening');
    await link(`${path}.x`, path);
    left.close();
    await once(left, 'close');
    const first = await openAdminSocket(path, answers());
    await assert.rejects(openAdminSocket(path, answers()), refused(/in use: another process answers there/));
    assert.equal((await ask(path, '/health')).status, 200, 'the first one goes on');
    await first.close();
  });

  test('what is no socket stays as it is: a file, a directory, a link, even one to a socket', async (context) => {
    const place = await directory(context);
    const file = join(place, 'file');
    await writeFile(file, 'mine');
    await assert.rejects(openAdminSocket(file, answers()), refused(/no socket; it is left alone/));
    assert.equal(await readFile(file, 'utf8'), 'mine');
    await assert.rejects(openAdminSocket(place, answers()), refused(/no socket/));
    const dangling = join(place, 'dangling');
    await symlink(join(place, 'nowhere'), dangling);
    await assert.rejects(openAdminSocket(dangling, answers()), refused(/no socket/));
    await assert.rejects(lstat(join(place, 'nowhere')), { code: 'ENOENT' });
    const socket = await openAdminSocket(join(place, 's.sock'), answers());
    const leading = join(place, 'leading');
    await symlink(join(place, 's.sock'), leading);
    await assert.rejects(openAdminSocket(leading, answers()), refused(/no socket/));
    await socket.close();
    await assert.rejects(openAdminSocket(join(place, 'no', 's.sock'), answers()), refused(/ENOENT/));
    await assert.rejects(openAdminSocket(join(place, 'x'.repeat(120)), answers()), refused(/too long/));
  });

  test('one that somebody has put in its place meanwhile is not removed with it', async (context) => {
    const path = join(await directory(context), 's.sock');
    const first = await openAdminSocket(path, answers());
    await rm(path);
    const second = await openAdminSocket(path, answers());
    await first.close();
    assert.equal((await ask(path, '/health')).status, 200);
    await second.close();
  });

  test('by default in a directory for its owner alone, by its network namespace', async (context) => {
    const place = join(await directory(context), 'ipvs-proxier');
    await makeAdminDirectory(place);
    await makeAdminDirectory(place);
    assert.equal((await lstat(place)).mode & 0o777, 0o700);
    assert.match(await defaultAdminSocketPath(place), /\/ipvs-proxier\/\d+\.sock$/);
    await chmod(place, 0o777);
    await assert.rejects(makeAdminDirectory(place), refused(/others can write to it/));
    await rm(place, { recursive: true });
    await mkdir(`${place}.elsewhere`);
    await symlink(`${place}.elsewhere`, place);
    await assert.rejects(makeAdminDirectory(place), refused(/is not a directory/));
  });
});

describe('what it answers', () => {
  test('questions only, as JSON, each failure with its code', async (context) => {
    const path = join(await directory(context), 's.sock');
    let healthy = true;
    const known = answers();
    const socket = await openAdminSocket(path, { ...known, health: () => ({ ...known.health(), healthy }) });
    context.after(() => socket.close());
    assert.equal((await ask(path, '/health')).status, 200);
    healthy = false;
    assert.equal((await ask(path, '/health')).status, 503);
    assert.deepEqual(await ask(path, '/explain?key=x'), {
      status: 503,
      body: { error: { code: 'ERR_WORKER', message: 'the worker was lost' } },
    });
    assert.equal((await ask(path, '/statistics')).status, 503);
    assert.equal((await ask(path, '/nowhere')).status, 404);
    assert.deepEqual(
      [(await ask(path, '/health', 'HEAD')).body, (await ask(path, '/nowhere', 'HEAD')).status],
      [undefined, 404],
    );
    for (const method of ['POST', 'PUT', 'DELETE']) assert.equal((await ask(path, '/status', method)).status, 405);
  });

  test('of a proxier that runs: status and explanations, bad questions refused; closed with it', async (context) => {
    const path = join(await directory(context), 's.sock');
    const node = new FakeNode();
    const handle = await node.proxier(emptySource(), { adminSocket: path }).run();
    const { status, body } = await ask(path, '/status');
    assert.equal(status, 200);
    assert.ok(typeof body === 'object' && body !== null && 'reconciler' in body && 'health' in body);
    assert.deepEqual(await ask(path, '/statistics'), {
      status: 200,
      body: JSON.parse(JSON.stringify(handle.statistics())),
    });
    assert.ok('statistics' in body);
    assert.deepEqual(
      [
        (await ask(path, '/status?limit=x')).status,
        (await ask(path, '/explain')).status,
        (await ask(path, `/explain?key=${'x'.repeat(600)}`)).status,
        (await ask(path, '/explain?key=ns1/web')).status,
      ],
      [400, 400, 400, 404],
    );
    await handle.stop();
    await assert.rejects(lstat(path), { code: 'ENOENT' });
    await assert.rejects(handle.explain('ns1/web'), { code: 'ERR_CLOSED' });
    assert.equal((await handle.status()).error?.code, 'ERR_CLOSED');
  });

  test('one that cannot be made is a warning, and the proxier does its work', async (context) => {
    const file = join(await directory(context), 'file');
    await writeFile(file, 'mine');
    const node = new FakeNode();
    const proxier = node.proxier(emptySource(), { adminSocket: file });
    const warnings: string[] = [];
    proxier.on('warning', ({ object }) => warnings.push(object));
    const handle = await proxier.run();
    assert.deepEqual(warnings, ['admin socket']);
    assert.equal(handle.health().ready, true);
    await handle.stop();
    assert.equal(await readFile(file, 'utf8'), 'mine');
  });

  test('the instance lock says where it is, and ceases to with the lock', {
    skip: process.platform !== 'linux',
  }, async () => {
    const name = `\0ipvs-proxier/admin ${process.pid}`.padEnd(108, '.');
    assert.equal(await askInstanceLock(name), undefined);
    const taken = await takeInstanceLock(name);
    assert.ok(taken.held);
    assert.deepEqual(await askInstanceLock(name), { pid: process.pid, adminSocket: undefined });
    taken.lock.announce('/run/ipvs-proxier/1.sock');
    assert.deepEqual(await askInstanceLock(name), { pid: process.pid, adminSocket: '/run/ipvs-proxier/1.sock' });
    const second = await takeInstanceLock(name);
    assert.deepEqual(second, { held: false, holder: `pid ${process.pid}` });
    await taken.lock.release();
    assert.equal(await askInstanceLock(name), undefined);
  });
});

describe('its clients', () => {
  const limits = { connections: 4, headMs: 200, lifetimeMs: 400 };

  async function connected(context: TestContext, path: string): Promise<Socket> {
    const socket = createConnection({ path });
    context.after(() => socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  test('garbage, a request line without end, half a request, a peer that breaks off: each is hung up on, and others are served', async (context) => {
    const path = join(await directory(context), 's.sock');
    const admin = await openAdminSocket(path, answers(), limits);
    context.after(() => admin.close());
    const words = [
      '\0\x01\x02nonsense\r\n\r\n',
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n`,
      'GET /status HTTP/1.1\r\nHost:',
      '',
    ];
    for (const word of words) {
      const socket = await connected(context, path);
      socket.write(word);
      socket.resume();
      await once(socket, 'close');
    }
    for (let peer = 0; peer < 10; peer += 1) {
      const socket = await connected(context, path);
      socket.write('GET /status HTTP/1.1\r\nHost: x\r\n\r\n');
      socket.destroy();
    }
    assert.equal((await ask(path, '/health')).status, 200);
  });

  test('one that does not read its answer is hung up on; so are those beyond the number', async (context) => {
    const path = join(await directory(context), 's.sock');
    const large = 'x'.repeat(20 * 2 ** 20);
    const known = answers();
    const admin = await openAdminSocket(
      path,
      { ...known, health: () => ({ ...known.health(), reasons: [large] }) },
      limits,
    );
    context.after(() => admin.close());
    const slow = await Promise.all([1, 2, 3, 4].map(() => connected(context, path)));
    const closed = slow.map((socket) => once(socket, 'close'));
    for (const socket of slow) socket.pause().write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    const fifth = await connected(context, path);
    fifth.resume();
    await once(fifth, 'close');
    // They hold all places, until they are hung up on; as long as they do not read, only the server knows.
    let status: number | undefined;
    while (status === undefined) {
      status = await ask(path, '/nowhere').then(
        (answer) => answer.status,
        () => undefined,
      );
    }
    assert.equal(status, 404);
    for (const socket of slow) socket.resume();
    await Promise.all(closed);
  });

  test('while the worker is busy with one question the others wait, health does not, and the end waits for nobody', async (context) => {
    const path = join(await directory(context), 's.sock');
    let running = 0;
    let most = 0;
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const status = async (): Promise<never> => {
      running += 1;
      most = Math.max(most, running);
      await gate;
      running -= 1;
      throw new ProxierError('ERR_WORKER', 'busy');
    };
    const admin = await openAdminSocket(path, answers({ status }));
    const asked = [1, 2, 3].map(() => ask(path, '/status').catch((error: NodeJS.ErrnoException) => error.code));
    const heard = new Promise<number | undefined>((resolve) => {
      get({ socketPath: path, path: '/health', agent: false }, (response) => resolve(response.resume().statusCode));
    });
    assert.equal(await heard, 200);
    await admin.close();
    assert.deepEqual(await Promise.all(asked), ['ECONNRESET', 'ECONNRESET', 'ECONNRESET']);
    open();
    assert.ok(most <= 1);
  });
});
