/** Who else programs Services on this node: two of them undo each other's work for ever. */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { get } from 'node:http';
import { ProxierError } from '../errors.ts';
import { type InstanceLock, takeInstanceLock } from './instance-lock.ts';

const ASK_TIMEOUT_MS = 300;
const PIDS_AT_ONCE = 64;
/** kube-proxy's metricsBindAddress, whose `/proxyMode` names the mode (behaviour.md 7.3). */
const PROXY_MODE_URLS = ['http://127.0.0.1:10249/proxyMode', 'http://[::1]:10249/proxyMode'];
const PROXY_MODES = ['ipvs', 'iptables', 'nftables'];

/** What the check looks at; a parameter for tests. */
export interface ProxierSurroundings {
  readonly lockName?: string;
  readonly procPath: string;
  readonly proxyModeUrls: readonly string[];
}

export const thisNode: ProxierSurroundings = { procPath: '/proc', proxyModeUrls: PROXY_MODE_URLS };

export interface Claim {
  /** Absent when another proxier holds it, or the platform has none. */
  readonly lock: InstanceLock | undefined;
  /** What else is there, in words; empty = nobody. */
  readonly others: readonly string[];
}

/**
 * Takes the instance lock, and looks for a kube-proxy; one that cannot be seen is none.
 *
 * @throws ProxierError ERR_OTHER_PROXIER when the lock cannot be asked about.
 */
export async function claimNode(surroundings: ProxierSurroundings = thisNode): Promise<Claim> {
  const [lock, kubeProxy] = await Promise.all([
    process.platform === 'linux' ? takeInstanceLock(surroundings.lockName) : undefined,
    findKubeProxy(surroundings),
  ]);
  const others = kubeProxy === undefined ? [] : [kubeProxy];
  if (lock !== undefined && !lock.held) others.unshift(`another ipvs-proxier (${lock.holder})`);
  return { lock: lock?.held === true ? lock.lock : undefined, others };
}

export function otherProxierError(others: readonly string[]): ProxierError {
  return new ProxierError(
    'ERR_OTHER_PROXIER',
    `${others.join(' and ')} already serves this network namespace, and two would undo each other's work: ` +
      'stop it first (for kube-proxy: remove its DaemonSet from this node), or set ignoreOtherProxiers (--ignore-other-proxiers)',
  );
}

/** As a process of this network namespace, or, from a pod that sees no other processes, by its port. */
async function findKubeProxy({ procPath, proxyModeUrls }: ProxierSurroundings): Promise<string | undefined> {
  const [pid, ...modes] = await Promise.all([kubeProxyPid(procPath), ...proxyModeUrls.map(proxyMode)]);
  const mode = modes.find((answer) => answer !== undefined);
  if (pid === undefined && mode === undefined) return undefined;
  const details = [...(pid === undefined ? [] : [`pid ${pid}`]), ...(mode === undefined ? [] : [`mode ${mode}`])];
  return `kube-proxy (${details.join(', ')})`;
}

async function kubeProxyPid(procPath: string): Promise<string | undefined> {
  const own = await quietly(readlink(`${procPath}/self/ns/net`));
  if (own === undefined) return undefined;
  const pids = (await quietly(readdir(procPath)))?.filter((name) => /^\d+$/.test(name)) ?? [];
  const isKubeProxy = async (pid: string): Promise<boolean> => {
    const comm = await quietly(readFile(`${procPath}/${pid}/comm`, 'utf8'));
    return comm?.trim() === 'kube-proxy' && (await quietly(readlink(`${procPath}/${pid}/ns/net`))) === own;
  };
  // Some at a time: each has a file open, and a busy node has thousands of processes.
  for (let from = 0; from < pids.length; from += PIDS_AT_ONCE) {
    const some = pids.slice(from, from + PIDS_AT_ONCE);
    const found = await Promise.all(some.map(isKubeProxy));
    if (found.includes(true)) return some[found.indexOf(true)];
  }
  return undefined;
}

async function quietly<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch {
    return undefined;
  }
}

function proxyMode(url: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let body = '';
    const request = get(url, { agent: false, signal: AbortSignal.timeout(ASK_TIMEOUT_MS) }, (response) => {
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        if (body.length < 64) body += chunk;
      });
      response.on('end', () => resolve(PROXY_MODES.find((mode) => mode === body.trim())));
      response.on('error', () => resolve(undefined));
    });
    request.on('error', () => resolve(undefined));
  });
}
