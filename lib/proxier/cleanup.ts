/** Leaving: everything that a proxier wrote into this network namespace is removed, and nothing else. */
import { InvalidArgumentError, ProxierError, toErrorRecord } from '../errors.ts';
import { type KernelClient, openKernel } from '../kernel/index.ts';
import { type PresentIptables, presentIptables } from '../kernel/iptables.ts';
import { nearestWord } from '../nearest-word.ts';
import { type CleanupReport, cleanUp } from '../reconcile/cleanup.ts';
import type { Logger } from '../types.ts';
import { guardLogger, silentLogger } from './logging.ts';
import { type Claim, claimNode, otherProxierError } from './other-proxiers.ts';

export interface CleanupOptions {
  /** Reads, and says what would be removed. Default false. */
  readonly dryRun?: boolean;
  /** The chains of kube-proxy's iptables mode (KUBE-SVC-…, KUBE-SEP-…) go, too. Default false: they stay. */
  readonly fromIptablesMode?: boolean;
  /** Clean up although a proxier or a kube-proxy works in this network namespace: it will write it all again. Default false. */
  readonly ignoreOtherProxiers?: boolean;
  /** Takes log lines: `pino()` and `console` fit. Default: nothing is logged. */
  readonly logger?: Logger;
  /** Ends it between two batches or during an iptables call; what was removed is gone, and a second call goes on from there. */
  readonly signal?: AbortSignal;
  /** Where the kernel calls run. Default `worker`; `inline` blocks this thread for as long as the kernel takes. */
  readonly thread?: 'worker' | 'inline';
}

/** What a clean-up is made of besides its options; tests put other things in. */
export interface CleanupDependencies {
  openKernel(thread: 'worker' | 'inline'): Promise<KernelClient>;
  openIptables(signal: AbortSignal | undefined): Promise<PresentIptables>;
  claimNode(): Promise<Claim>;
}

const systemDependencies: CleanupDependencies = {
  openKernel: (thread) => openKernel({ thread }),
  openIptables: (signal) =>
    presentIptables({ families: ['IPv4', 'IPv6'], ...(signal === undefined ? {} : { signal }) }),
  claimNode,
};

/**
 * Removes the virtual services that are ours by what the kernel shows, the bound addresses with kube-ipvs0, the local routes, the chains and
 * jumps of both iptables backends, the sets; of both families. Virtual services and chains of others stay, and so do sysctls. What
 * kube-proxy's IPVS mode has written is the same to it. May be repeated: with nothing left nothing is done.
 *
 * @returns What was done; what failed is named there, and everything else was removed all the same.
 * @throws InvalidArgumentError for options that cannot be; ProxierError ERR_OTHER_PROXIER while another proxier works here, ERR_PERMISSION,
 * ERR_ADDON, and whatever says that the kernel cannot be read. Nothing was removed then.
 */
export function cleanup(options?: CleanupOptions): Promise<CleanupReport>;
/** @internal */
export function cleanup(options: CleanupOptions, dependencies: CleanupDependencies): Promise<CleanupReport>;
export async function cleanup(
  options: CleanupOptions = {},
  dependencies: CleanupDependencies = systemDependencies,
): Promise<CleanupReport> {
  check(options);
  const { dryRun = false, fromIptablesMode = false, signal, thread = 'worker' } = options;
  const log = guardLogger(options.logger ?? silentLogger);
  const lock = dryRun ? undefined : await claim(options, dependencies, log);
  try {
    await using kernel = await dependencies.openKernel(thread);
    const openIptables = (): Promise<PresentIptables> => dependencies.openIptables(signal);
    const report = await cleanUp({ kernel, openIptables, fromIptablesMode, dryRun, signal });
    for (const { object, operation, error } of report.failures) {
      log.error({ object, operation, err: error.message }, `${object} was not removed`);
    }
    return report;
  } catch (error) {
    if (signal?.aborted !== true) throw error;
    throw new ProxierError('ERR_CLOSED', 'the clean-up was called off; what is left can be removed by another one', {
      cause: error,
    });
  } finally {
    await lock?.release();
  }
}

/** While it works no proxier can start, unless one was told to ignore others, as this one may be. */
async function claim(
  { ignoreOtherProxiers = false }: CleanupOptions,
  { claimNode }: CleanupDependencies,
  log: Logger,
): Promise<Claim['lock']> {
  const claimed = claimNode();
  const { lock, others } = await (ignoreOtherProxiers ? claimed.catch(unknownClaim) : claimed);
  if (others.length === 0) return lock;
  if (ignoreOtherProxiers) {
    log.warn({ others }, `${others.join(' and ')} works here and writes again what is removed`);
    return lock;
  }
  await lock?.release();
  throw otherProxierError(others);
}

function unknownClaim(error: unknown): Claim {
  return { lock: undefined, others: [`a proxier that cannot be ruled out (${toErrorRecord(error).message})`] };
}

const flags = ['dryRun', 'fromIptablesMode', 'ignoreOtherProxiers'] as const;
const names: readonly string[] = [...flags, 'logger', 'signal', 'thread'];

function check(options: CleanupOptions): void {
  const given: Readonly<Record<string, unknown>> = { ...options };
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const near = nearestWord(name, names);
    throw new InvalidArgumentError(
      name,
      `is no option of cleanup${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  }
  for (const name of flags) {
    if (given[name] !== undefined && typeof given[name] !== 'boolean') {
      throw new InvalidArgumentError(name, `${JSON.stringify(given[name])} is not true or false`);
    }
  }
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal', 'is no AbortSignal');
  }
  if (options.thread !== undefined && options.thread !== 'worker' && options.thread !== 'inline') {
    throw new InvalidArgumentError('thread', `${JSON.stringify(options.thread)} is not worker or inline`);
  }
}
