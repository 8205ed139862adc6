/** Asks the proxier that runs in this network namespace, through its admin socket. */
import { get } from 'node:http';
import { ProxierError } from '../errors.ts';
import { askInstanceLock } from '../proxier/instance-lock.ts';

export interface AskOptions {
  /** Where its admin socket is. Default: where the proxier itself says, which is found by its instance lock. */
  readonly socket?: string;
  /** For tests: another lock. */
  readonly lockName?: string;
}

/** A proxier that says where it can be asked. */
export interface FoundProxier {
  readonly socket: string;
  /** Undefined: it was given by its socket. */
  readonly pid: number | undefined;
}

export interface ProxierAnswer {
  /** Of HTTP. */
  readonly status: number;
  /** JSON, parsed. */
  readonly body: unknown;
}

/** The worker may take its time, see `Inquiry`. */
const TIMEOUT_MS = 30_000;
const MAX_BYTES = 64 * 2 ** 20;

/**
 * Undefined: none runs here.
 *
 * @throws ProxierError ERR_ADMIN_SOCKET when one runs that cannot be asked.
 */
export async function findProxier({ socket, lockName }: AskOptions = {}): Promise<FoundProxier | undefined> {
  if (socket !== undefined) return { socket, pid: undefined };
  if (process.platform !== 'linux') return undefined;
  const holder = await askInstanceLock(lockName);
  if (holder === undefined) return undefined;
  const { pid, adminSocket } = holder;
  if (adminSocket !== undefined) return { socket: adminSocket, pid };
  throw new ProxierError(
    'ERR_ADMIN_SOCKET',
    `a proxier runs here (${pid === undefined ? 'it does not say which process' : `pid ${pid}`}) and has no admin socket: ` +
      'it was told to have none, or could not make it, as its log says',
  );
}

/** @throws ProxierError ERR_ADMIN_SOCKET, ERR_PERMISSION, ERR_TIMEOUT */
export function askProxier({ socket, pid }: FoundProxier, path: string): Promise<ProxierAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => reject(askError(socket, pid, error));
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const request = get({ socketPath: socket, path, agent: false, signal }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BYTES) response.destroy(new Error(`the answer has more than ${MAX_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', fail);
      response.on('end', () => {
        try {
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
        } catch {
          fail(new Error('what answers there is no proxier'));
        }
      });
    });
    request.on('error', fail);
  });
}

function askError(socket: string, pid: number | undefined, cause: Error): ProxierError {
  const code: unknown = Reflect.get(cause, 'code');
  if (cause.name === 'AbortError' || cause.name === 'TimeoutError') {
    return new ProxierError('ERR_TIMEOUT', `no answer on ${socket} within ${TIMEOUT_MS} ms`, { cause });
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new ProxierError(
      'ERR_PERMISSION',
      `${socket}: only the user that the proxier runs as, and root, may ask it`,
      {
        cause,
      },
    );
  }
  const isAway = code === 'ENOENT' || code === 'ECONNREFUSED';
  const message =
    isAway && pid !== undefined
      ? `the proxier that runs here (pid ${pid}) has its admin socket at ${socket}, which is not to be seen from here: ask in its container ` +
        '(kubectl exec), or mount its /run/ipvs-proxier'
      : isAway
        ? `nobody answers on ${socket}`
        : `${socket}: ${cause.message}`;
  return new ProxierError('ERR_ADMIN_SOCKET', message, { cause });
}
