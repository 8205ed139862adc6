/** What a reconciler is made of, and how its parts hang together. What they do for a request is in `steps.ts`. */
import { Planner } from '../plan/planner.ts';
import { AddressFollower } from './address-follower.ts';
import { AppliedState } from './applied.ts';
import { ConntrackLane } from './conntrack-lane.ts';
import { DirtyQueue } from './dirty-queue.ts';
import { Drains } from './drains.ts';
import type { ReconcileEffects } from './effects.ts';
import { ForeignServices } from './foreign.ts';
import { vipLink } from './observed.ts';
import { OwnershipPolicy } from './ownership-policy.ts';
import { Progress } from './progress.ts';
import type { ReconcileEvent, ReconcileInit } from './protocol.ts';
import { RetryQueue } from './retry-queue.ts';
import { RuleInputs } from './rule-inputs.ts';
import { RulesLane } from './rules-lane.ts';
import { Settings } from './settings.ts';
import { StandingWarnings } from './standing-warnings.ts';
import { Statics } from './statics.ts';

export class Parts {
  readonly init: ReconcileInit;
  readonly effects: ReconcileEffects;
  readonly progress: Progress = new Progress();
  readonly planner: Planner;
  readonly applied: AppliedState = new AppliedState(vipLink);
  readonly dirty: DirtyQueue;
  readonly foreign: ForeignServices;
  readonly retries: RetryQueue;
  readonly statics: Statics;
  readonly settings: Settings;
  readonly addresses: AddressFollower;
  readonly drains: Drains;
  readonly conntrack: ConntrackLane;
  readonly ruleInputs: RuleInputs;
  readonly rules: RulesLane;
  readonly warnings: StandingWarnings = new StandingWarnings();
  /** Ends the programs that run for us when we are closed. */
  readonly closing: AbortController = new AbortController();
  /** What is to be told with the next reply. */
  readonly events: ReconcileEvent[] = [];

  constructor(init: ReconcileInit, effects: ReconcileEffects) {
    this.init = init;
    this.effects = effects;
    this.planner = new Planner(init);
    this.dirty = new DirtyQueue(this.planner, this.applied);
    this.foreign = new ForeignServices(new OwnershipPolicy(init));
    this.retries = new RetryQueue(effects.random);
    this.statics = new Statics(init);
    this.settings = new Settings(init, effects);
    this.addresses = new AddressFollower(init, this.applied, this.retries);
    this.drains = new Drains(this.planner, this.applied, init, this.foreign.policy);
    const { untouchable } = this.foreign;
    this.conntrack = new ConntrackLane({ desired: this.planner.desired, applied: this.applied, untouchable });
    this.ruleInputs = new RuleInputs(init, this.planner, this.applied, () => this.progress.isComplete);
    this.rules = new RulesLane(init.families, this.ruleInputs, effects.random);
  }
}
