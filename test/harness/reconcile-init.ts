/** What a reconciler is made with, where the test or the measurement is about something else. */
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';

export const defaultInit: ReconcileInit = {
  nodeName: 'n1',
  families: ['IPv4'],
  scheduler: 'rr',
  masqueradeAll: false,
  masqueradeBit: 14,
  detectLocal: { mode: 'ClusterCIDR', cidrs: ['10.244.0.0/16'] },
  nodePortAddresses: [],
  syncPeriodMs: 30_000,
  drainTimeoutMs: 60_000,
  takeOver: false,
  iptables: 'auto',
  applySysctls: true,
};
