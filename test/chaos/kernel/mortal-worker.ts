/**
 * The reconciler's worker with an end: the thread exits after so many operations, in the midst of a batch. Its rules are those of a fake:
 * those of the kernel cost a second of the test kernel's time at each start.
 */
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../../lib/reconcile/reconciler.ts';
import { kernelEffects } from '../../../lib/reconcile/worker-module.ts';
import { FakeIptables } from '../../../lib/testing/fake-iptables.ts';
import type { Handler } from '../../../lib/thread/host.ts';
import { endless, Lifetime, mortalEffects } from '../mortal.ts';
import { kernelOfRules } from './real-world.ts';

export interface MortalInit {
  readonly init: ReconcileInit;
  /** Shared: how many operations are left, see `Lifetime`. The worker that comes after it lives. */
  readonly left: Int32Array;
}

export function createHandler({ init, left }: MortalInit): Handler<ReconcileRequest, ReconcileReply> {
  const life = new Lifetime(left, () => {
    Atomics.store(left, 0, endless);
    process.exit(1);
  });
  const iptables = new FakeIptables(kernelOfRules());
  const effects = { ...kernelEffects(init), openIptables: async () => iptables };
  return new Reconciler(init, mortalEffects(effects, life));
}
