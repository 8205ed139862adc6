/** The answer to `plan`: what a first complete pass would write, against the kernel or against nothing. Writes nothing. */
import { operationText } from '../kernel/batch.ts';
import { type Change, difference } from '../plan/difference.ts';
import type { Planner } from '../plan/planner.ts';
import { familyRules, type RuleOptions, ruleChanges, type ServiceRules, savedServiceRules } from '../plan/rules.ts';
import { setSpecs } from '../plan/sets.ts';
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
  const { changes, warnings } = dataChanges(input, statics);
  return {
    against,
    operations: [...statics.changes, ...changes].map((change) => planned(change, planner)),
    rules: families.flatMap((family) => {
      const saved = input.saved.get(family) ?? '';
      const wanted = planner.rules.of(family);
      // What earlier Services asked for stays until all Services are known.
      const services = input.mayRemove ? wanted : joined(savedServiceRules(saved), wanted);
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

function joined(there: ServiceRules, wanted: ServiceRules): ServiceRules {
  return {
    externalIPs: there.externalIPs || wanted.externalIPs,
    outFilters: new Map([...there.outFilters, ...wanted.outFilters]),
  };
}

function dataChanges(
  { planner, observed, init, mayRemove, ...known }: PlanInput,
  { broken }: StaticChanges,
): { readonly changes: readonly Change[]; readonly warnings: readonly string[] } {
  const applied = new AppliedState(vipLink);
  const foreign = known.foreign.fork();
  foreign.adopt(observed, applied, known.written);
  const { events } = foreign.settle('all', planner.desired, applied);
  const refs = new Map<string, SetRef>(
    init.families.flatMap((family) => setSpecs(family)).map((spec) => [spec.name, spec]),
  );
  const changes = difference(planner.desired, applied, 'all', {
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
  return { changes, warnings };
}

function planned({ operation, object }: Change, planner: Planner): PlannedOperation {
  return { verb: operation.verb, text: operationText(operation), wantedBy: planner.wantedBy(object) };
}
