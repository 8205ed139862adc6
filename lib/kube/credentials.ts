/** Where the API server is and how to prove who we are: from a KubeConfig-like object, a kubeconfig file, or the pod's own files. */
import { access, readFile } from 'node:fs/promises';
import type { RequestOptions } from 'node:https';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ProxierError } from '../errors.ts';
import { inClusterCredentials, isInCluster } from './in-cluster.ts';
import { isAbsent } from './json.ts';

/** The part of `KubeConfig` of `@kubernetes/client-node` (1.x and 2.x) that is used; any object with these two methods will do. */
export interface KubeAuth {
  getCurrentCluster(): { readonly server: string; readonly proxyUrl?: string | undefined } | null;
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}

/** What a TLS connection is made with; equal identities share connections. */
export interface TlsIdentity {
  readonly ca?: string | Buffer | (string | Buffer)[];
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly pfx?: string | Buffer;
  readonly passphrase?: string;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Everything one request needs. */
export interface RequestAuth {
  /** `https://host:port`, maybe with a path in front of the API's own. */
  readonly server: string;
  readonly tls: TlsIdentity;
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** `user:password` */
  readonly basic?: string;
}

export interface ApiCredentials {
  /** Called once for each request: reads what may have been rotated. */
  authenticate(): Promise<RequestAuth>;
  /** The server said 401: forget what was cached. Never rejects for what may heal. */
  refresh(): Promise<void>;
}

/** `default` (KUBECONFIG, then ~/.kube/config, then the pod's service account), `in-cluster`, a path, or a KubeConfig. */
export type KubeConfigOption = KubeAuth | string;

export async function resolveCredentials(option: KubeConfigOption): Promise<ApiCredentials> {
  if (typeof option !== 'string') return kubeAuthCredentials(option);
  if (option === 'in-cluster') return inClusterCredentials();
  if (option !== 'default') return loadKubeConfig(option);
  const named = process.env['KUBECONFIG'];
  if (named !== undefined && named !== '') return loadKubeConfig('default');
  const file = join(homedir(), '.kube', 'config');
  if (await isReadable(file)) return loadKubeConfig(file);
  if (await isInCluster()) return inClusterCredentials();
  throw new ProxierError(
    'ERR_KUBE_CONFIG',
    `no way to an API server: KUBECONFIG is not set, ${file} is not there, and this is no pod (no service account token); name a kubeconfig file`,
  );
}

/**
 * Credentials of a kubeconfig file, read by `@kubernetes/client-node`, which is loaded by this call and not before. `default`: the
 * files named by KUBECONFIG. Rejects with ERR_KUBE_CONFIG when the file is missing or names no cluster.
 */
export async function loadKubeConfig(path: string): Promise<ApiCredentials> {
  const load = async (): Promise<KubeAuth> => {
    const from = path === 'default' ? `KUBECONFIG=${process.env['KUBECONFIG'] ?? ''}` : path;
    try {
      // Read first: the message of a missing file is then ours, and 0.7 s of loading the package are saved.
      if (path !== 'default') await readFile(path);
      const { KubeConfig } = await import('@kubernetes/client-node');
      const config = new KubeConfig();
      if (path === 'default') config.loadFromDefault();
      else config.loadFromFile(path);
      return config;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const remedy = 'give the path of a readable kubeconfig file, or `in-cluster` inside a pod';
      throw new ProxierError('ERR_KUBE_CONFIG', `kubeconfig ${from} cannot be used: ${reason}; ${remedy}`, {
        cause: error,
      });
    }
  };
  return kubeAuthCredentials(await load(), load, path);
}

/** `reload` makes a fresh one after a 401: a plugin's token without an expiry is otherwise cached for ever. */
export function kubeAuthCredentials(
  auth: KubeAuth,
  reload?: () => Promise<KubeAuth>,
  name = 'kubeConfig',
): ApiCredentials {
  let current = auth;
  serverOf(current, name);
  return {
    async authenticate() {
      const server = serverOf(current, name);
      const options: RequestOptions = {};
      await current.applyToHTTPSOptions(options);
      return {
        server,
        tls: tlsOf(options),
        headers: headersOf(options),
        ...(isAbsent(options.auth) ? {} : { basic: options.auth }),
      };
    },
    async refresh() {
      if (reload === undefined) return;
      try {
        current = await reload();
      } catch {
        // The file may be being rewritten just now; the old one goes on failing with 401 until it can be read.
      }
    },
  };
}

function serverOf(auth: KubeAuth, name: string): string {
  const cluster = auth.getCurrentCluster();
  if (cluster === null) {
    throw new ProxierError('ERR_KUBE_CONFIG', `${name}: its current-context names no cluster; set current-context`);
  }
  if (!isAbsent(cluster.proxyUrl) && cluster.proxyUrl !== '') {
    throw new ProxierError(
      'ERR_KUBE_CONFIG',
      `${name}: proxy-url ${cluster.proxyUrl} is not supported; name a server that can be reached directly`,
    );
  }
  if (!/^https?:\/\//.test(cluster.server) || !URL.canParse(cluster.server)) {
    throw new ProxierError(
      'ERR_KUBE_CONFIG',
      `${name}: server ${JSON.stringify(cluster.server)} is not an http(s) URL; correct the cluster entry`,
    );
  }
  return cluster.server;
}

/**
 * The agent that client-node puts in the options is left there: it is cached by the names of cluster and user, so a rotated
 * certificate would keep the old connections.
 */
function tlsOf(options: RequestOptions): TlsIdentity {
  const { ca, cert, key, pfx, passphrase, servername, rejectUnauthorized } = options;
  return {
    ...(isPem(ca) || Array.isArray(ca) ? { ca } : {}),
    ...(isPem(cert) ? { cert } : {}),
    ...(isPem(key) ? { key } : {}),
    ...(isPem(pfx) ? { pfx } : {}),
    ...(isAbsent(passphrase) ? {} : { passphrase }),
    ...(isAbsent(servername) ? {} : { servername }),
    ...(isAbsent(rejectUnauthorized) ? {} : { rejectUnauthorized }),
  };
}

function isPem(value: unknown): value is string | Buffer {
  return typeof value === 'string' || Buffer.isBuffer(value);
}

function headersOf(options: RequestOptions): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (Array.isArray(value)) headers[name] = value.map(String);
    else if (!isAbsent(value)) headers[name] = String(value);
  }
  return headers;
}

async function isReadable(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
