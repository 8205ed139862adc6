/** The reconciler behind a host: on a worker, or in this thread. */
import type { ReconcileInit, ReconcileReply, ReconcileRequest } from '../reconcile/protocol.ts';
import type { HandlerModule, Host, HostOptions } from '../thread/host.ts';
import { openInlineHost } from '../thread/inline-host.ts';
import { openPiscinaHost } from '../thread/piscina-host.ts';

export async function openReconciler(
  init: ReconcileInit,
  thread: 'worker' | 'inline',
  options: HostOptions,
): Promise<Host<ReconcileRequest, ReconcileReply>> {
  if (thread === 'worker') {
    return openPiscinaHost(new URL('../reconcile/worker-module.js', import.meta.url), init, options);
  }
  // Loaded on use: with a worker the caller's thread needs neither the reconciler nor the addon.
  const module: HandlerModule<ReconcileInit, ReconcileRequest, ReconcileReply> = await import(
    '../reconcile/worker-module.ts'
  );
  return openInlineHost(module, init, options);
}
