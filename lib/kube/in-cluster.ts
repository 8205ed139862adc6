/** The service account that a pod finds in its file system: no package needed, so that an agent in the cluster loads none. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ProxierError } from '../errors.ts';
import { type Clock, systemClock } from './clock.ts';
import type { ApiCredentials, RequestAuth } from './credentials.ts';

const DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Bound tokens are rewritten long before they expire; client-go reads them once a minute, too. */
const REREAD_MS = 60_000;

export interface InClusterOptions {
  /** Holds `token` and `ca.crt`. Default: where the kubelet puts them. */
  readonly directory?: string;
  /** Default: KUBERNETES_SERVICE_HOST. A proxier that makes that very address work needs one that works without it. */
  readonly host?: string;
  /** Default: KUBERNETES_SERVICE_PORT, else 443. */
  readonly port?: string;
  readonly clock?: Clock;
}

export async function isInCluster(directory: string = DIRECTORY): Promise<boolean> {
  const host = process.env['KUBERNETES_SERVICE_HOST'];
  if (host === undefined || host === '') return false;
  return readFile(join(directory, 'token')).then(
    () => true,
    () => false,
  );
}

/** Rejects with ERR_KUBE_CONFIG when this is no pod. */
export async function inClusterCredentials(options: InClusterOptions = {}): Promise<ApiCredentials> {
  const directory = options.directory ?? DIRECTORY;
  const clock = options.clock ?? systemClock;
  const host = options.host ?? process.env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = options.port ?? process.env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === '') {
    throw new ProxierError(
      'ERR_KUBE_CONFIG',
      'in-cluster: KUBERNETES_SERVICE_HOST is not set, so this is no pod; name a kubeconfig file',
    );
  }
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;

  const read = async (): Promise<RequestAuth> => {
    const [token, ca] = await Promise.all([
      readFile(join(directory, 'token'), 'utf8'),
      readFile(join(directory, 'ca.crt'), 'utf8'),
    ]);
    return { server, tls: { ca }, headers: { authorization: `Bearer ${token.trim()}` } };
  };
  let readAtMs = clock.nowMs();
  let current: RequestAuth;
  try {
    current = await read();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const remedy = 'give the pod a service account with automountServiceAccountToken, or name a kubeconfig file';
    throw new ProxierError('ERR_KUBE_CONFIG', `in-cluster: ${reason}; ${remedy}`, { cause: error });
  }
  const reread = async (): Promise<void> => {
    readAtMs = clock.nowMs();
    try {
      current = await read();
    } catch {
      // The kubelet swaps the files; the last token stays good for a while, and the next reading is a minute away.
    }
  };
  return {
    async authenticate() {
      if (clock.nowMs() - readAtMs >= REREAD_MS) await reread();
      return current;
    },
    refresh: reread,
  };
}
