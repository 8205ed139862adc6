/** The clean-up on a fake kernel, for embedders' own tests. */
import { openKernel } from '../kernel/index.ts';
import type { Iptables } from '../kernel/iptables.ts';
import { type CleanupOptions, cleanup } from '../proxier/cleanup.ts';
import type { CleanupReport } from '../reconcile/cleanup.ts';
import type { FakeKernel } from './fake-kernel.ts';

/**
 * `cleanup` as it is, but that its kernel and rule sets are the fakes, and that no other proxier is in its way.
 *
 * @param iptables The rule sets that there are, of either backend. Default: none.
 */
export function fakeCleanup(
  kernel: FakeKernel,
  iptables: readonly Iptables[] = [],
  options: CleanupOptions = {},
): Promise<CleanupReport> {
  return cleanup(options, {
    openKernel: () => openKernel({ session: kernel.session() }),
    openIptables: async () => ({
      present: iptables.map((each) => ({ iptables: each, families: ['IPv4', 'IPv6'] })),
      problems: [],
    }),
    claimNode: async () => ({ lock: undefined, others: [] }),
  });
}
