/**
 * One proxier per network namespace: a listening abstract unix socket. Its name lives in the network namespace like the tables do,
 * and the kernel frees it when the process dies, however it dies.
 */
import { createConnection, createServer, type Server } from 'node:net';

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
 * @param name Socket name, for tests. Default: the one all proxiers share.
 */
export async function takeInstanceLock(name: string = LOCK_NAME): Promise<LockResult> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(`pid ${process.pid}`);
  });
  if (await listens(server, name)) return { held: true, lock: { release: () => closed(server) } };
  return { held: false, holder: await ask(name) };
}

/** False when the name is taken; rejects for anything else. */
function listens(server: Server, name: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ path: name }, () => resolve(true));
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
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
