/** What the records come to, derived as a whole from nothing but them: the truth that whoever follows changes is measured by. */
import { familyOf } from '../../lib/address.ts';
import type { EndpointRef } from '../../lib/model/exclusions.ts';
import { Model, primaryOf } from '../../lib/model/model.ts';
import { DesiredState } from '../../lib/plan/desired-state.ts';
import type { FrontendContext } from '../../lib/plan/frontends/frontend.ts';
import { addHash, nameHash } from '../../lib/plan/hash.ts';
import type { PlanOptions } from '../../lib/plan/planner.ts';
import { wantedPort } from '../../lib/plan/wanted-port.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import type { IpFamily } from '../../lib/types.ts';

export interface ScratchPlan {
  readonly desired: DesiredState;
  hash(family: IpFamily): number;
}

/** With node ports on every address of the node, and any external IP allowed. */
export function planFromScratch(
  records: readonly ObjectRecord[],
  options: PlanOptions,
  excluded: readonly EndpointRef[] = [],
): ScratchPlan {
  const model = new Model(options);
  for (const record of records) model.apply(record);
  model.exclude(excluded);
  const context: FrontendContext = {
    ...options,
    unknownSchedulers: new Set(),
    isInterfaceAddress: (address) => model.nodeAddresses(familyOf(address)).has(address),
    otherNodeWith: (address) => model.otherNodeWith(address),
    isAllowedExternalIP: () => true,
    nodeIP: (family) => primaryOf(model.self, family),
    nodePortAddresses: (family) => [...model.nodeAddresses(family)],
  };
  const desired = new DesiredState(options.families, options.vipBinding);
  for (const port of model.servicePorts()) desired.replace(port.id, wantedPort(port, context));
  return {
    desired,
    hash: (family) => {
      const sums = new Map<string, number>();
      for (const port of desired.ports.values()) {
        if (port.family === family) sums.set(port.service, addHash(sums.get(port.service) ?? 0, port.hash));
      }
      return [...sums].reduce((sum, [service, child]) => addHash(sum, nameHash(service, child)), 0);
    },
  };
}
