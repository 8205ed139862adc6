/** `run --init-only`: the privileged part of a start, and nothing else. */
import type { InitializeReport } from '../reconcile/initialize-host.ts';
import type { ProxierSettings } from './options.ts';
import { resolveOptions } from './options-schema.ts';

/**
 * Blocks for some milliseconds.
 *
 * @throws InvalidArgumentError for options that cannot be; ProxierError ERR_ADDON, ERR_KERNEL_UNSUPPORTED, ERR_PERMISSION.
 */
export async function initializeHost(settings: ProxierSettings): Promise<InitializeReport> {
  // Where objects come from is of no matter: none is read.
  const { init } = resolveOptions({ ...settings, inCluster: true });
  // Loaded on use: only here does the caller's thread need the addon.
  const [{ initializeHost: initialize }, { kernelEffects }] = await Promise.all([
    import('../reconcile/initialize-host.ts'),
    import('../reconcile/worker-module.ts'),
  ]);
  return initialize(init, kernelEffects(init));
}
