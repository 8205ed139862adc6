/** What the worker is told when an embedder says no more than it must: the defaults are the options' own. */
import { resolveOptions } from '../../lib/proxier/options-schema.ts';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';

/** Node `n1`, IPv4, pods in 10.244.0.0/16, a drain is over in a minute. */
export const defaultInit: ReconcileInit = resolveOptions({
  nodeName: 'n1',
  families: ['IPv4'],
  clusterCIDR: '10.244.0.0/16',
  drainTimeoutMs: 60_000,
  manifests: '/nonexistent',
}).init;
