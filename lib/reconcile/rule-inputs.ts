/** What the rules of this node follow from: the options, the Node's pod CIDRs, and what Services ask for. */
import type { Planner } from '../plan/planner.ts';
import { awaitsNode, type RuleOptions } from '../plan/rules.ts';
import type { ServiceId } from '../plan/state.ts';
import type { WantedRules } from '../plan/wanted-rules.ts';
import type { AppliedState } from './applied.ts';
import type { ReconcileInit } from './protocol.ts';
import type { RulesSource } from './rules-lane.ts';

type RuleInit = Pick<ReconcileInit, 'nodeName' | 'masqueradeAll' | 'masqueradeBit' | 'detectLocal' | 'vipBinding'>;

export class RuleInputs implements RulesSource {
  readonly #init: RuleInit;
  readonly #planner: Planner;
  readonly #applied: AppliedState;
  readonly #isComplete: () => boolean;
  /** The Node's, as last known: a Node that goes for a moment, or comes back without, still has its pods. */
  #podCIDRs: readonly string[] | undefined;
  #optionsRevision = 0;

  constructor(init: RuleInit, planner: Planner, applied: AppliedState, isComplete: () => boolean) {
    this.#init = init;
    this.#planner = planner;
    this.#applied = applied;
    this.#isComplete = isComplete;
  }

  get revision(): number {
    return this.#planner.rules.revision + this.#optionsRevision;
  }

  get options(): RuleOptions {
    const { masqueradeAll, masqueradeBit, detectLocal, vipBinding } = this.#init;
    return { masqueradeAll, masqueradeBit, detectLocal, vipBinding, randomFully: true, podCIDRs: this.#podCIDRs };
  }

  get wanted(): WantedRules {
    return this.#planner.rules;
  }

  get isComplete(): boolean {
    return this.#isComplete();
  }

  isThere(service: ServiceId): boolean {
    return this.#applied.services.has(service);
  }

  isWanted(service: ServiceId): boolean {
    return this.#planner.desired.services.has(service) && !this.#planner.leftOvers.has(service);
  }

  /** The records may have said something about the Node. */
  followNode(): void {
    const podCIDRs = this.#planner.self?.podCIDRs;
    const before = this.#podCIDRs;
    if (podCIDRs !== undefined && podCIDRs.length > 0) this.#podCIDRs = podCIDRs;
    else this.#podCIDRs ??= podCIDRs;
    if (before?.join() !== this.#podCIDRs?.join()) this.#optionsRevision += 1;
  }

  /** What is to be said of them, by object. */
  warnings(): ReadonlyMap<string, string> {
    const message =
      "detectLocal NodeCIDR: the Node is not known, and so are its pod CIDRs; the rule that source-translates traffic to cluster IPs stays as it is, or is written as without detection where there is none, until the Node comes. Is nodeName the Node's name?";
    return new Map(awaitsNode(this.options) ? [[`node ${this.#init.nodeName}`, message]] : []);
  }
}
