/** Random histories of a node: options, what the API says before the first start, and what happens then. */
import fc from 'fast-check';
import { type ClusterEvent, clusterEvents, ownNode } from '../harness/arbitrary-objects.ts';
import { type Dice, diced } from '../harness/dice.ts';
import { syncPeriodMs } from './events.ts';
import type { MachineOptions } from './machine.ts';
import { type Step, step } from './steps.ts';

export interface History {
  readonly options: MachineOptions;
  /** What the API has before the first process starts. */
  readonly before: readonly ClusterEvent[];
  readonly steps: readonly Step[];
}

function options(dice: Dice): MachineOptions {
  return {
    nodeName: ownNode,
    clusterCIDR: '10.244.0.0/16',
    syncPeriodMs,
    families: dice.pick([['IPv4'], ['IPv4'], ['IPv4', 'IPv6']]),
    vipBinding: dice.pick(['address', 'local-route']),
    ownership: dice.pick(['all', 'ledger']),
    drainTimeoutMs: dice.pick([20_000, 0]),
    drainServices: dice.oneIn(3),
    minSyncPeriodMs: dice.pick([0, 1000]),
    excludeCIDRs: ['172.31.0.0/16'],
  };
}

export const histories: fc.Arbitrary<History> = fc.record({
  options: diced(6, options),
  before: fc.array(clusterEvents, { maxLength: 8, size: 'max' }),
  steps: fc.array(diced(60, step), { maxLength: 24, size: 'max' }),
});
