/** Another network namespace: entered by a thread for the rest of its life. */
import { stat } from 'node:fs/promises';
import { InvalidArgumentError, NetlinkError, ProxierError } from '../errors.ts';
import { loadAddon, NetnsCode } from './binding.ts';
import { Errno, errnoName } from './errno.ts';

/**
 * Moves the calling thread, which has to be a worker, into the network namespace of this path (`/run/netns/blue`, `/proc/1234/ns/net`).
 * It stays there until it ends.
 *
 * @throws InvalidArgumentError netns: nothing there, not a network namespace, or called on the main thread. NetlinkError ERR_PERMISSION
 * without CAP_SYS_ADMIN.
 */
export function enterNetns(path: string): void {
  const code = loadAddon().enterNetns(path);
  switch (code) {
    case 0:
      return;
    case NetnsCode.mainThread:
      throw onMainThread();
    case NetnsCode.notNamespace:
      throw new InvalidArgumentError(
        'netns',
        `${path} is not a network namespace: give /run/netns/NAME, which "ip netns add NAME" makes, or /proc/PID/ns/net`,
      );
    case Errno.EPERM: {
      const reason = 'needs CAP_SYS_ADMIN to enter a network namespace: run as root, or give the container SYS_ADMIN';
      throw new NetlinkError('ERR_PERMISSION', {
        errno: code,
        errnoName: 'EPERM',
        command: 'setns',
        object: path,
        reason,
      });
    }
    default:
      throw unusable(path, errnoName(code));
  }
}

/** What is wrong with a namespace option for a session in this thread. */
export function onMainThread(): InvalidArgumentError {
  return new InvalidArgumentError(
    'netns',
    'a session in the calling thread is in the network namespace of that thread; open another one with ' +
      "openKernel({ netns, thread: 'worker' }), which enters it on a thread of its own",
  );
}

/**
 * Looks at the path before a worker is started for it. That this asks libuv's thread pool is on purpose: the pool's threads are made by the
 * first to ask, in that thread's network namespace, and file and name look-ups of the whole process then run in it.
 */
export async function checkNetns(path: string): Promise<void> {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    throw new InvalidArgumentError(
      'netns',
      `"${path}" is not the path of a network namespace, such as /run/netns/blue`,
    );
  }
  try {
    await stat(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (code === '') throw new ProxierError('ERR_INVALID_ARGUMENT', `netns: ${path}`, { cause: error });
    throw unusable(path, code);
  }
}

function unusable(path: string, code: string): InvalidArgumentError {
  const remedy = code === 'ENOENT' ? ': there is no such file; "ip netns add NAME" makes /run/netns/NAME' : '';
  return new InvalidArgumentError('netns', `${path}: ${code}${remedy}`);
}
