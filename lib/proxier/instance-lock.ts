/**
 * One proxier per network namespace: a listening abstract unix socket. Its name lives in the network namespace like the tables do,
 * and the kernel frees it when the process dies, however it dies.
 *
 * The admin socket is another one, and cannot be this: a name in the file system has an owner and a mode, which an abstract name has not,
 * so that everybody in the network namespace may connect here. And as a lock a path is worth little: it is not seen from another mount
 * namespace, as the one of each container is, and it stays behind when its process is killed. So this one is the lock and says where the other
 * one is, and nothing else.
 */
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { ProxierError } from '../errors.ts';

/**
 * As long as `sun_path` allows (107 bytes after the NUL): libuv before 1.47 pads a shorter name with NULs and later ones do
 * not, so processes of different Node versions would not see each other.
 */
const LOCK_NAME = `\0${'ipvs-proxier/instance'.padEnd(107, '.')}`;
const ASK_TIMEOUT_MS = 300;
/** Of a pid and a path. */
const MAX_ANSWER = 256;

export interface InstanceLock {
  /** From now on whoever asks is told of this admin socket; undefined = there is none. */
  announce(adminSocket: string | undefined): void;
  /** Idempotent. */
  release(): Promise<void>;
}

/** Who holds the lock, by its own words. */
export interface LockHolder {
  /** Undefined: it does not say. In its own pid namespace. */
  readonly pid: number | undefined;
  /** In its own mount namespace. */
  readonly adminSocket: string | undefined;
}

/** The lock, or who holds it (`pid 4711`). */
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
  let adminSocket: string | undefined;
  const announce = (path: string | undefined): void => {
    adminSocket = path;
  };
  const server = createServer((socket) => {
    peers.add(socket);
    socket.on('close', () => peers.delete(socket));
    socket.on('error', () => {});
    // A peer that never hangs up must not keep the answer, nor the release, waiting.
    socket.end(`pid ${process.pid}${adminSocket === undefined ? '' : `\nadmin ${adminSocket}`}`, () =>
      socket.destroy(),
    );
  });
  if (await listens(server, name)) return { held: true, lock: { announce, release: () => closed(server, peers) } };
  return { held: false, holder: holderText(await askInstanceLock(name)) };
}

function holderText(holder: LockHolder | undefined): string {
  return holder?.pid === undefined ? 'a process that does not say which' : `pid ${holder.pid}`;
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

/** Who holds the lock of this network namespace; undefined = nobody, as far as can be seen. Never rejects. */
export function askInstanceLock(name: string = LOCK_NAME): Promise<LockHolder | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket = createConnection({ path: name });
    const done = (): void => {
      socket.destroy();
      const [, pid, adminSocket] = /^pid (\d{1,10})(?:\nadmin ([!-~]{1,107}))?$/.exec(text) ?? [];
      resolve({ pid: pid === undefined ? undefined : Number(pid), adminSocket });
    };
    socket.setEncoding('utf8');
    socket.setTimeout(ASK_TIMEOUT_MS, done);
    socket.on('data', (chunk) => {
      text += String(chunk).slice(0, MAX_ANSWER - text.length);
    });
    socket.on('end', done);
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') resolve(undefined);
      else done();
    });
  });
}
