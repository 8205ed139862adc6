/** What a Proxier is made of besides its options; tests put other things in. */
import type { Source } from '../kube/source.ts';
import type { ReconcileInit } from '../reconcile/protocol.ts';
import type { HostOptions } from '../thread/host.ts';
import { defaultAdminSocketPath, makeAdminDirectory } from './admin-socket-place.ts';
import { type Clock, systemClock } from './clock.ts';
import { openReconciler } from './open-reconciler.ts';
import type { ResolvedOptions } from './options-schema.ts';
import { type Claim, claimNode } from './other-proxiers.ts';
import type { ReconcileHost } from './pump.ts';
import { makeSources } from './sources.ts';

export interface ProxierDependencies {
  readonly clock: Clock;
  openHost(init: ReconcileInit, thread: 'worker' | 'inline', options: HostOptions): Promise<ReconcileHost>;
  makeSources(options: ResolvedOptions): readonly Source[];
  claimNode(): Promise<Claim>;
  /** Where the admin socket is when the options do not say; makes its directory. Undefined = there is none. */
  adminSocketPath(): Promise<string | undefined>;
}

export const systemDependencies: ProxierDependencies = {
  clock: systemClock,
  openHost: openReconciler,
  makeSources,
  claimNode,
  adminSocketPath: async () => {
    if (process.platform !== 'linux') return undefined;
    await makeAdminDirectory();
    return defaultAdminSocketPath();
  },
};
