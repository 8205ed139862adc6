/** What can happen to a node, as few numbers, so that a history shrinks. */
import type { IpFamily } from '../../lib/types.ts';
import { type ClusterEvent, clusterEvent, type ObjectEvent } from '../harness/arbitrary-objects.ts';
import type { Dice } from '../harness/dice.ts';
import type { ForeignKind } from './foreign.ts';

export type Step =
  | { readonly kind: 'say'; readonly event: ClusterEvent }
  | { readonly kind: 'pass'; readonly ms: number }
  /** After so many more operations, while this happens; without it: now. */
  | { readonly kind: 'killWorker' | 'killProcess'; readonly after: number; readonly during?: ObjectEvent }
  /** `ipvsadm -C`. */
  | { readonly kind: 'clearIpvs' }
  /** Gone at once, and loaded again after so long; what is told to it meanwhile is refused. */
  | { readonly kind: 'reloadIpvs'; readonly ms: number }
  | { readonly kind: 'set'; readonly how: 'flush' | 'destroy' | 'retype'; readonly pick: number }
  | { readonly kind: 'link'; readonly how: 'remove' | 'replace' | 'unbind' | 'bind'; readonly pick: number }
  | { readonly kind: 'entry'; readonly how: 'add' | 'remove'; readonly pick: number }
  | { readonly kind: 'service'; readonly how: 'remove' | 'edit' | 'empty' | 'extra'; readonly pick: number }
  | { readonly kind: 'rules'; readonly family: IpFamily }
  /** Of the operations after `skip` others, so many have no answer; carried out (`lost`) or not (`dropped`). */
  | { readonly kind: 'unanswered'; readonly how: 'lost' | 'dropped'; readonly skip: number; readonly times: number }
  /** For so long, every operation or one in `oneIn` is refused. */
  | {
      readonly kind: 'refused';
      readonly errno: 'EPERM' | 'ENOMEM' | 'EINVAL';
      readonly oneIn: number;
      readonly ms: number;
    }
  | { readonly kind: 'unreadable'; readonly errno: 'ENOBUFS' | 'EPERM' | 'ENOMEM'; readonly times: number }
  | { readonly kind: 'overflow' }
  | { readonly kind: 'rulesFail'; readonly call: 'save' | 'restore'; readonly times: number }
  | { readonly kind: 'drain'; readonly address: string; readonly timeoutMs: number; readonly undoneInMs: number }
  | { readonly kind: 'connections'; readonly pick: number; readonly count: number }
  | { readonly kind: 'foreign'; readonly what: ForeignKind; readonly number: number }
  | { readonly kind: 'ask'; readonly what: 'resync' | 'settled' | 'plan' };

export function step(dice: Dice): Step {
  const pick = dice.roll(64);
  switch (dice.roll(42)) {
    case 23:
      return { kind: 'clearIpvs' };
    case 22:
      return { kind: 'reloadIpvs', ms: dice.pick([0, 500, 5000]) };
    case 21:
      return { kind: 'set', how: dice.pick(['flush', 'destroy', 'retype']), pick };
    case 20:
      return { kind: 'link', how: dice.pick(['remove', 'replace', 'unbind', 'bind']), pick };
    case 19:
      return { kind: 'entry', how: dice.pick(['add', 'remove']), pick };
    case 18:
      return { kind: 'service', how: dice.pick(['remove', 'edit', 'empty', 'extra']), pick };
    case 17:
      return { kind: 'rules', family: dice.pick(['IPv4', 'IPv6']) };
    case 16:
      return { kind: 'unanswered', how: dice.pick(['lost', 'dropped']), skip: pick % 16, times: 1 + dice.roll(40) };
    case 15: {
      const errno = dice.pick(['EPERM', 'ENOMEM', 'EINVAL'] as const);
      return { kind: 'refused', errno, oneIn: dice.pick([1, 2, 5]), ms: dice.pick([500, 5000, 50_000]) };
    }
    case 14:
      return { kind: 'unreadable', errno: dice.pick(['ENOBUFS', 'EPERM', 'ENOMEM']), times: 1 + dice.roll(8) };
    case 13:
      return { kind: 'overflow' };
    case 12:
      return { kind: 'rulesFail', call: dice.pick(['save', 'restore']), times: 1 + dice.roll(5) };
    case 11: {
      const address = dice.pick(['10.244.1.5', '10.244.2.7', '10.244.1.6']);
      const undoneInMs = dice.pick([0, 500, 5000, 20_000]);
      return { kind: 'drain', address, timeoutMs: dice.pick([0, 2000, 30_000]), undoneInMs };
    }
    case 10:
      return { kind: 'connections', pick, count: dice.roll(3) };
    case 9:
      return { kind: 'foreign', what: dice.pick(['service', 'fwmark', 'set', 'address']), number: pick % 3 };
    case 8:
      return { kind: 'ask', what: dice.pick(['resync', 'settled', 'plan']) };
    case 25:
    case 24:
    case 7:
    case 6:
    case 5:
    case 4: {
      const kind = dice.pick(['killWorker', 'killProcess'] as const);
      const after = dice.pick([0, 0, 1, 3, 8]) + (pick % 4);
      const during = clusterEvent(dice);
      return during.kind === 'nodeAddresses' ? { kind, after } : { kind, after, during };
    }
    case 3:
      return { kind: dice.pick(['killWorker', 'killProcess']), after: 0 };
    case 2:
    case 1:
      return { kind: 'pass', ms: dice.pick([0, 100, 1000, 5000, 40_000]) };
    default:
      return { kind: 'say', event: clusterEvent(dice) };
  }
}

/**
 * Takes from the ledger, by which the next process or worker knows what is ours; or puts something of others into what a death may have
 * left outside it.
 */
export function harmsLedger(step: Step): boolean {
  return step.kind === 'set' || step.kind === 'link' || step.kind === 'entry' || step.kind === 'service';
}
