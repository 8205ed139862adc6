/**
 * iptables through its own tools: `*-save` to read, `*-restore --noflush` to write. Legacy and nft are two separate rule sets in
 * the kernel, both of which see each packet, so the backend the host uses must be used, and never both.
 */
import { readFileSync } from 'node:fs';
import { ProxierError } from '../errors.ts';
import type { IpFamily } from '../types.ts';
import { type ExecResult, exec } from './exec.ts';

export type IptablesBackend = 'legacy' | 'nft';

export interface Iptables {
  readonly backend: IptablesBackend;
  /** `iptables-save` text of all tables of a family. */
  save(family: IpFamily, signal?: AbortSignal): Promise<string>;
  /**
   * Applies `iptables-restore --noflush` input: atomic per table; chains that it does not name stay. Throws ERR_IPTABLES, also when
   * `signal` is aborted: the tool is killed then, and has ended when this rejects.
   */
  restore(family: IpFamily, text: string, signal?: AbortSignal): Promise<void>;
}

export interface IptablesOptions {
  /** `auto`: the backend that holds KUBE chains, else the one that `iptables` stands for, else the one that works. */
  readonly backend: IptablesBackend | 'auto';
  readonly families: readonly IpFamily[];
  /** Kills the tools that are asked meanwhile. */
  readonly signal?: AbortSignal | undefined;
}

/** A restore waits up to 5 s for the lock of legacy iptables; a save of 50,000 rules takes about a second. */
const LOCK_SECONDS = 5;
const TIMEOUT_MS = 30_000;

const tool: Record<IpFamily, string> = { IPv4: 'iptables', IPv6: 'ip6tables' };

/** Chains of kube-proxy, of the kubelet, and ours: all of them say which backend this host's Kubernetes uses. */
const kubeChain = /^:KUBE-/m;

class IptablesTools implements Iptables {
  readonly backend: IptablesBackend;
  constructor(backend: IptablesBackend) {
    this.backend = backend;
  }

  async save(family: IpFamily, signal?: AbortSignal): Promise<string> {
    const program = `${tool[family]}-${this.backend}-save`;
    const result = await exec(program, [], { timeoutMs: TIMEOUT_MS, signal });
    if (result.status !== 0) throw failure(program, result);
    return result.stdout;
  }

  async restore(family: IpFamily, text: string, signal?: AbortSignal): Promise<void> {
    const program = `${tool[family]}-${this.backend}-restore`;
    const result = await exec(program, ['--noflush', '-w', String(LOCK_SECONDS)], {
      input: text,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    if (result.status !== 0) throw failure(program, result, text);
  }
}

function failure(program: string, result: ExecResult, input?: string): ProxierError {
  if (result.missing) {
    return new ProxierError('ERR_IPTABLES', `${program} is not installed: install the iptables package (1.8 or later)`);
  }
  const line = /line (?:no )?(\d+)/.exec(result.stderr)?.[1];
  const culprit =
    line === undefined || input === undefined ? '' : `; line ${line}: ${input.split('\n')[Number(line) - 1] ?? ''}`;
  const status = result.status < 0 ? 'was killed' : `failed with status ${result.status}`;
  return new ProxierError('ERR_IPTABLES', `${program} ${status}: ${result.stderr.trim()}${culprit}`);
}

/**
 * Finds the backend to use. Throws ERR_IPTABLES when no backend works, ERR_IPTABLES_CONFLICT when both hold KUBE chains: packets would
 * meet both rule sets. Reads only, except that with no KUBE chain anywhere a chain is created and removed at once (`probe`)
 * to see whether the kernel can do NAT for that backend: nft's tools exist on hosts whose kernel lacks it.
 */
export async function detectIptables(options: IptablesOptions & { readonly probe?: boolean }): Promise<Iptables> {
  const held: Record<IptablesBackend, boolean> = {
    legacy: await holdsKubeChains('legacy', options),
    nft: await holdsKubeChains('nft', options),
  };
  if (held.legacy && held.nft) throw conflict();
  if (options.backend !== 'auto') {
    const other = options.backend === 'legacy' ? 'nft' : 'legacy';
    if (held[other]) throw conflict(options.backend);
    return new IptablesTools(options.backend);
  }
  if (held.legacy) return new IptablesTools('legacy');
  if (held.nft) return new IptablesTools('nft');
  const first = await defaultBackend(options.signal);
  if (options.probe !== true) return new IptablesTools(first);
  const second = first === 'nft' ? 'legacy' : 'nft';
  const reasons: string[] = [];
  for (const backend of [first, second] as const) {
    const reason = await probe(backend, options.signal);
    if (reason === undefined) return new IptablesTools(backend);
    reasons.push(`${backend}: ${reason}`);
  }
  throw new ProxierError(
    'ERR_IPTABLES',
    `no usable iptables: ${reasons.join('; ')}. Install the iptables package, and load nf_tables with nft_compat or ip_tables with iptable_nat`,
  );
}

export interface PresentIptables {
  /** The backends whose rule sets are there, and the families they are there of. */
  readonly present: readonly { readonly iptables: Iptables; readonly families: readonly IpFamily[] }[];
  /** Why what is there cannot be read: a tool is missing, or fails. */
  readonly problems: readonly string[];
}

/** The rule sets that exist on this host, of either backend. Creates none: legacy tables come into being when they are asked for. */
export async function presentIptables({
  families,
  signal,
}: Omit<IptablesOptions, 'backend'>): Promise<PresentIptables> {
  const present: { iptables: Iptables; families: readonly IpFamily[] }[] = [];
  const problems: string[] = [];
  for (const backend of ['legacy', 'nft'] as const) {
    const held: IpFamily[] = [];
    for (const family of families) {
      if (backend === 'legacy' && !hasLegacyTables(family)) continue;
      const program = `${tool[family]}-${backend}-save`;
      const result = await exec(program, [], { timeoutMs: TIMEOUT_MS, signal });
      if (result.status === 0) held.push(family);
      // Without its tools, or its part of the kernel, nobody has written rules with nft; legacy tables are there for certain.
      else if (backend === 'legacy') problems.push(failure(program, result).message);
    }
    if (held.length > 0) present.push({ iptables: new IptablesTools(backend), families: held });
  }
  return { present, problems };
}

function conflict(wanted?: IptablesBackend): ProxierError {
  const what =
    wanted === undefined
      ? 'both iptables-legacy and iptables-nft hold KUBE chains'
      : `iptables: '${wanted}' was asked for, but the other backend holds KUBE chains`;
  return new ProxierError(
    'ERR_IPTABLES_CONFLICT',
    `${what}, and packets pass through both. Find out which one the kubelet uses (KUBE-KUBELET-CANARY in its mangle table), remove the KUBE chains of the other (kube-proxy --cleanup with that backend, or a reboot) and start again`,
  );
}

async function holdsKubeChains(
  backend: IptablesBackend,
  { families, signal }: Pick<IptablesOptions, 'families' | 'signal'>,
): Promise<boolean> {
  for (const family of families) {
    // Asking legacy iptables about a table loads its module and so creates the table: look whether there is one first.
    if (backend === 'legacy' && !hasLegacyTables(family)) continue;
    const result = await exec(`${tool[family]}-${backend}-save`, [], { timeoutMs: TIMEOUT_MS, signal });
    if (result.status === 0 && kubeChain.test(result.stdout)) return true;
  }
  return false;
}

function hasLegacyTables(family: IpFamily): boolean {
  try {
    // thread-self: the network namespace of this thread, not of the process.
    return readFileSync(`/proc/thread-self/net/${family === 'IPv4' ? 'ip' : 'ip6'}_tables_names`, 'utf8').trim() !== '';
  } catch {
    return false;
  }
}

async function defaultBackend(signal: AbortSignal | undefined): Promise<IptablesBackend> {
  const version = await exec('iptables', ['-V'], { timeoutMs: TIMEOUT_MS, signal });
  return version.status === 0 && version.stdout.includes('nf_tables') ? 'nft' : 'legacy';
}

/** Undefined = works; otherwise why not. IPv4 stands for both families. */
async function probe(backend: IptablesBackend, signal: AbortSignal | undefined): Promise<string | undefined> {
  const program = `iptables-${backend}-restore`;
  for (const body of [':IPVS-PROXIER-PROBE - [0:0]', '-X IPVS-PROXIER-PROBE']) {
    const result = await exec(program, ['--noflush', '-w', String(LOCK_SECONDS)], {
      input: `*nat\n${body}\nCOMMIT\n`,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    if (result.status !== 0)
      return result.missing ? `${program} is not installed` : result.stderr.trim().split('\n')[0];
  }
  return undefined;
}
