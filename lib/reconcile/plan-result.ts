/** The answer to `plan`: what a first complete pass would write, against the kernel or against nothing. Writes nothing. */
import { operationText } from '../kernel/batch.ts';
import { type Change, difference } from '../plan/difference.ts';
import type { Planner } from '../plan/planner.ts';
import { familyRules, type RuleOptions, ruleChanges, type ServiceRules, savedServiceRules } from '../plan/rules.ts';
import { setSpecs } from '../plan/sets.ts';
import type { KernelState, ServiceId, ServiceNode } from '../plan/state.ts';
import type { IpFamily, SetRef } from '../types.ts';
import { AppliedState } from './applied.ts';
import type { ForeignServices } from './foreign.ts';
import { type Observed, vipLink } from './observed.ts';
import type { PlannedOperation, PlanResult, ReconcileEvent, ReconcileInit } from './protocol.ts';
import { type StaticChanges, staticChanges } from './static-part.ts';

export interface PlanInput {
  readonly against: 'kernel' | 'empty';
  readonly init: Pick<ReconcileInit, 'families' | 'ipvsTimeouts'>;
  readonly planner: Planner;
  readonly observed: Observed;
  /** What a running reconciler knows of whose is whose; is not changed. */
  readonly foreign: ForeignServices;
  readonly written: Pick<AppliedState, 'wrote'>;
  /** The desired state with what would be kept for its connections, were this what the kernel has. */
  withLeftOvers(applied: KernelState): KernelState;
  readonly mayRemove: boolean;
  /** `iptables-save` text of a family. */
  readonly saved: ReadonlyMap<IpFamily, string>;
  readonly ruleOptions: RuleOptions;
  readonly settings: Pick<PlanResult, 'sysctls' | 'warnings'>;
  /** What nobody has been told yet: the warnings among it are the plan's, too. */
  readonly events: readonly ReconcileEvent[];
}

export function planResult(input: PlanInput): PlanResult {
  const { against, planner, observed } = input;
  const { families } = input.init;
  const statics = staticChanges(observed, input.init);
  const { changes, warnings, stays } = dataChanges(input, statics);
  return {
    against,
    operations: [...statics.changes, ...changes].map((change) => planned(change, planner)),
    rules: families.flatMap((family) => {
      const saved = input.saved.get(family) ?? '';
      const wanted = planner.rules.of(family);
      const services = input.mayRemove
        ? withRulesOf(stays, savedServiceRules(saved), wanted)
        : joined(savedServiceRules(saved), wanted);
      const text = ruleChanges(saved, familyRules(family, input.ruleOptions, services));
      return text === undefined ? [] : [{ family, text }];
    }),
    sysctls: input.settings.sysctls,
    warnings: [
      ...input.events.flatMap((event) => (event.kind === 'warning' ? [`${event.object}: ${event.message}`] : [])),
      ...input.settings.warnings,
      ...warnings,
    ],
    explanations: planner.explain(),
  };
}

/** A virtual service that stays though nobody wants it keeps its rule. */
function withRulesOf(stays: (service: ServiceId) => boolean, there: ServiceRules, wanted: ServiceRules): ServiceRules {
  const kept = [...there.outFilters].filter(([service]) => !wanted.outFilters.has(service) && stays(service));
  return { ...wanted, outFilters: new Map([...wanted.outFilters, ...kept]) };
}

/** What earlier Services asked for stays until all Services are known. */
function joined(there: ServiceRules, wanted: ServiceRules): ServiceRules {
  return {
    externalIPs: there.externalIPs || wanted.externalIPs,
    outFilters: new Map([...there.outFilters, ...wanted.outFilters]),
  };
}

function dataChanges(
  { planner, observed, init, mayRemove, ...known }: PlanInput,
  { broken }: StaticChanges,
): {
  readonly changes: readonly Change[];
  readonly warnings: readonly string[];
  /** The virtual service is there, nobody wants it, and it is not removed. */
  stays(service: ServiceId): boolean;
} {
  const applied = new AppliedState(vipLink);
  const foreign = known.foreign.fork();
  foreign.adopt(observed, applied, known.written);
  const { events } = foreign.settle('all', planner.desired, applied);
  const refs = new Map<string, SetRef>(
    init.families.flatMap((family) => setSpecs(family)).map((spec) => [spec.name, spec]),
  );
  const desired = mayRemove ? known.withLeftOvers(applied) : planner.desired;
  const isKept = ({ service }: ServiceNode): boolean => foreign.policy.keeps(service.key.address);
  const stays = (service: ServiceId): boolean => {
    const node = applied.services.get(service);
    const isWanted = planner.desired.services.has(service) && !planner.leftOvers.has(service);
    return node !== undefined && !isWanted && (desired.services.has(service) || isKept(node));
  };
  const changes = difference(desired, applied, 'all', {
    mayRemove,
    setRef(name) {
      const ref = refs.get(name);
      if (ref === undefined) throw new RangeError(`${name} is not a set of ours`);
      return ref;
    },
    link: vipLink,
    untouchable: foreign.untouchable,
    keeps: (address) => foreign.policy.keeps(address),
  }).filter(({ operation }) => !('set' in operation && broken.has(operation.set.name)));
  const warnings = [
    ...[...broken].map(([set, reason]) => `${set}: ${reason}`),
    ...events.flatMap((event) => (event.kind === 'contested' ? [event.message] : [])),
  ];
  return { changes, warnings, stays };
}

function planned({ operation, object }: Change, planner: Planner): PlannedOperation {
  return { verb: operation.verb, text: operationText(operation), wantedBy: planner.wantedBy(object) };
}
