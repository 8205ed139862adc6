/**
 * One proxier per network namespace: a listening abstract unix socket. Its name lives in the network namespace like the tables do,
 * and the kernel frees it when the process dies, however it dies.
 */
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { ProxierError } from '../errors.ts';

/**
 * As long as `sun_path` allows (107 bytes after the NUL): libuv before 1.47 pads a shorter name with NULs and later ones do
 * not, so processes of different Node versions would not see each other.
 */
const LOCK_NAME = `\0${'ipvs-proxier/instance'.padEnd(107, '.')}`;
const ASK_TIMEOUT_MS = 300;

export interface InstanceLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** The lock, or who holds it, as the holder describes itself (`pid 4711`). */
export type LockResult =
  | { readonly held: true; readonly lock: InstanceLock }
  | { readonly held: false; readonly holder: string };

/**
 * Takes the lock of this network namespace. The listening socket keeps the process alive until it is released.
 *
 * @throws ProxierError ERR_OTHER_PROXIER when it can be neither taken nor seen to be taken: then another one cannot be ruled out.
 * @param name Socket name, for tests. Default: the one all proxiers share.
 */
export async function takeInstanceLock(name: string = LOCK_NAME): Promise<LockResult> {
  const peers = new Set<Socket>();
  const server = createServer((socket) => {
    peers.add(socket);
    socket.on('close', () => peers.delete(socket));
    socket.on('error', () => {});
    // A peer that never hangs up must not keep the answer, nor the release, waiting.
    socket.end(`pid ${process.pid}`, () => socket.destroy());
  });
  if (await listens(server, name)) return { held: true, lock: { release: () => closed(server, peers) } };
  return { held: false, holder: await ask(name) };
}

/** False when the name is taken. */
function listens(server: Server, name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(lockError(error));
    });
    server.listen({ path: name }, () => resolve(true));
  });
}

function lockError(cause: Error): ProxierError {
  const message =
    `the instance lock of this network namespace cannot be taken (${cause.message}), so another proxier cannot be ruled out; ` +
    'to start without it set ignoreOtherProxiers (--ignore-other-proxiers)';
  return new ProxierError('ERR_OTHER_PROXIER', message, { cause });
}

function closed(server: Server, peers: Iterable<Socket>): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    for (const peer of peers) peer.destroy();
  });
}

function ask(name: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = createConnection({ path: name });
    const done = (): void => {
      socket.destroy();
      resolve(/^pid \d{1,10}$/.test(text) ? text : 'a process that does not say which');
    };
    socket.setEncoding('utf8');
    socket.setTimeout(ASK_TIMEOUT_MS, done);
    socket.on('data', (chunk) => {
      text += String(chunk).slice(0, 64);
    });
    socket.on('end', done);
    socket.on('error', done);
  });
}
