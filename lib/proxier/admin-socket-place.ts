/**
 * Where the admin socket is, and how it gets there: with mode 0600 from its first moment on, never over anything that is not a socket,
 * and never over a socket that somebody answers on.
 */
import { chmod, link, lstat, mkdir, mkdtemp, readlink, rmdir, unlink } from 'node:fs/promises';
import { createConnection, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { ProxierError } from '../errors.ts';

const DIRECTORY = '/run/ipvs-proxier';
const ASK_TIMEOUT_MS = 300;
/** `sun_path` without its NUL. Some versions of libuv cut a longer one without a word. */
const MAX_PATH_BYTES = 107;

/** `/run/ipvs-proxier/4026531840.sock`, by the inode of this process's network namespace: there is one proxier in each. */
export async function defaultAdminSocketPath(directory: string = DIRECTORY): Promise<string> {
  const namespace = await readlink('/proc/self/ns/net');
  return join(directory, `${/\d+/.exec(namespace)?.[0] ?? 'unknown'}.sock`);
}

/** Makes the directory of the default path, for its owner alone. One that others can write to is refused. */
export async function makeAdminDirectory(directory: string = DIRECTORY): Promise<void> {
  try {
    await mkdir(directory, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw placeError(directory, `cannot be made: ${messageOf(error)}`, error);
  }
  const { mode, uid, isDirectory } = await statusOf(directory);
  if (!isDirectory) throw placeError(directory, 'is not a directory');
  if ((uid !== process.getuid?.() && uid !== 0) || (mode & 0o022) !== 0) {
    throw placeError(directory, "is somebody else's, or others can write to it: chmod 700, or set adminSocket");
  }
}

/**
 * Makes the server listen at the path. A socket that is there and that nobody answers on was left by a process that died, and is replaced.
 * It is made in a directory of its own, which nobody else can look into, and gets its name when it is as it should be.
 *
 * @returns Removes it again, unless another one is in its place by then.
 * @throws ProxierError ERR_ADMIN_SOCKET
 */
export async function listenAt(server: Server, path: string): Promise<() => Promise<void>> {
  const directory = dirname(path);
  if (
    Buffer.byteLength(join(directory, '.s-000000', 's')) > MAX_PATH_BYTES ||
    Buffer.byteLength(path) > MAX_PATH_BYTES
  ) {
    throw placeError(path, `is too long: a socket's path has at most ${MAX_PATH_BYTES} bytes`);
  }
  await removeStale(path);
  let hidden: string;
  try {
    hidden = await mkdtemp(join(directory, '.s-'));
  } catch (error) {
    throw placeError(path, `cannot be made: ${messageOf(error)}`, error);
  }
  const made = join(hidden, 's');
  try {
    await listens(server, made);
    await chmod(made, 0o600);
    await link(made, path);
    const { inode } = await statusOf(path);
    return () => removeOwn(path, inode);
  } catch (error) {
    server.close();
    throw placeError(path, `cannot be made: ${messageOf(error)}`, error);
  } finally {
    await unlink(made).catch(() => {});
    await rmdir(hidden).catch(() => {});
  }
}

async function removeStale(path: string): Promise<void> {
  const before = await statusOf(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw placeError(path, `cannot be looked at: ${messageOf(error)}`, error);
  });
  if (before === undefined) return;
  if (!before.isSocket)
    throw placeError(path, 'is there and is no socket; it is left alone: remove it, or set adminSocket');
  if (await isAnswered(path)) throw placeError(path, 'is in use: another process answers there');
  await removeOwn(path, before.inode);
}

/** Only if it is that very socket. */
async function removeOwn(path: string, inode: number): Promise<void> {
  try {
    const now = await statusOf(path);
    if (now.isSocket && now.inode === inode) await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw placeError(path, `cannot be removed: ${messageOf(error)}`, error);
  }
}

/** Who does not refuse is there, be it that it does not answer in time. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path });
    const done = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.setTimeout(ASK_TIMEOUT_MS, () => done(true));
    socket.on('connect', () => done(true));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') done(false);
      else if (error.code === 'EAGAIN') done(true);
      else reject(placeError(path, `cannot be asked: ${error.message}`, error));
    });
  });
}

function listens(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Of the thing itself, not of what a symbolic link leads to. */
async function statusOf(path: string): Promise<{
  readonly isSocket: boolean;
  readonly isDirectory: boolean;
  readonly inode: number;
  readonly mode: number;
  readonly uid: number;
}> {
  const status = await lstat(path);
  const { ino: inode, mode, uid } = status;
  return { isSocket: status.isSocket(), isDirectory: status.isDirectory(), inode, mode, uid };
}

function placeError(path: string, message: string, cause?: unknown): ProxierError {
  return new ProxierError('ERR_ADMIN_SOCKET', `the admin socket ${path} ${message}`, { cause });
}

function codeOf(error: unknown): unknown {
  return error instanceof Error ? Reflect.get(error, 'code') : undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
