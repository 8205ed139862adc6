/** iptables rules as data: our chains of one family, and the jumps that lead to them. */
import type { IpFamily } from '../types.ts';
import type { ServiceId } from './state.ts';

export type TableName = 'nat' | 'filter';

/** A rule as iptables-save prints it and iptables-restore reads it: `-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000`. */
export type RuleLine = string;

export interface RuleTable {
  readonly name: TableName;
  /** Our chains with all their rules, in order. */
  readonly chains: ReadonlyMap<string, readonly RuleLine[]>;
  /** Rules of built-in chains that lead to ours, in the order in which they are inserted, each at the top of its chain. */
  readonly jumps: readonly RuleLine[];
  /** Chains whose rules are a guess: written where there are none, otherwise left as they are. */
  readonly provisional?: ReadonlySet<string>;
}

export interface RuleSet {
  readonly family: IpFamily;
  readonly tables: readonly RuleTable[];
}

/** What the rules of a family have to do with the Services there are. */
export interface ServiceRules {
  /** Some Service has external IPs. The rules for packets from bridge ports load br_netfilter, so they are there for those only. */
  readonly externalIPs: boolean;
  /** Rules of KUBE-IPVS-OUT-FILTER by the virtual service they guard, in any order. */
  readonly outFilters: ReadonlyMap<ServiceId, RuleLine>;
}
