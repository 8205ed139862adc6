/** Options of the proxier in any combination that a worker may be told. */
import type fc from 'fast-check';
import type { ReconcileInit } from '../../lib/reconcile/protocol.ts';
import { ownNode } from './arbitrary-objects.ts';
import { defaultInit } from './default-init.ts';
import { diced } from './dice.ts';

export const reconcileInits: fc.Arbitrary<ReconcileInit> = diced(24, (dice) => ({
  ...defaultInit,
  nodeName: ownNode,
  families: dice.pick([['IPv4', 'IPv6'], ['IPv4'], ['IPv6'], ['IPv4', 'IPv6']]),
  scheduler: dice.pick(['rr', 'wlc', 'mh', 'sh']),
  masqueradeAll: dice.oneIn(4),
  masqueradeBit: dice.pick([14, 20]),
  detectLocal: dice.pick<ReconcileInit['detectLocal']>([
    { mode: 'ClusterCIDR', cidrs: ['10.244.0.0/16'] },
    { mode: 'ClusterCIDR', cidrs: [] },
    { mode: 'NodeCIDR' },
    { mode: 'BridgeInterface', bridge: 'cbr0' },
    { mode: 'InterfaceNamePrefix', prefix: 'veth' },
  ]),
  nodePortAddresses: dice.pick<ReconcileInit['nodePortAddresses']>([[], ['192.168.0.0/16'], 'primary', ['fd00::/8']]),
  externalLocalFallback: dice.pick(['cluster', 'none']),
  sourceRangesOfOtherFamily: dice.pick(['deny', 'allow']),
  allowedExternalIPs: dice.pick<ReconcileInit['allowedExternalIPs']>(['any', 'any', ['203.0.113.0/24'], []]),
  vipBinding: dice.pick(['address', 'local-route']),
  drainTimeoutMs: dice.pick([60_000, 0]),
  drainServices: dice.oneIn(3),
  ownership: dice.pick(['ledger', 'all']),
  excludeCIDRs: dice.pick([[], ['10.99.0.0/16']]),
  takeOver: dice.oneIn(3),
  applySysctls: !dice.oneIn(3),
  strictARP: dice.oneIn(3),
  ipvsTimeouts: dice.pick([
    { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
    { tcpSeconds: 600, tcpFinSeconds: 0, udpSeconds: 60 },
  ]),
}));
