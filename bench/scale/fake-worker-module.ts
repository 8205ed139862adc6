/** The reconciler on a kernel in memory, for a worker: measures everything but the kernel where there is no IPVS. */
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../../lib/reconcile/protocol.ts';
import { Reconciler } from '../../lib/reconcile/reconciler.ts';
import { FakeKernel } from '../../lib/testing/index.ts';
import type { Handler } from '../../lib/thread/host.ts';
import { fakeEffects } from './reconciler-run.ts';

export function createHandler(init: ReconcileInit): Handler<ReconcileRequest, ReconcileReply> {
  const kernel = new FakeKernel();
  const reconciler = new Reconciler(init, fakeEffects(kernel));
  return {
    handle: async (request) => {
      const reply = await reconciler.handle(request);
      // It would be all that was ever written.
      kernel.log.length = 0;
      return reply;
    },
    close: () => reconciler.close(),
  };
}
