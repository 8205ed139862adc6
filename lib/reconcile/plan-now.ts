/** What the kernel holds now, or nothing, for a plan. Reads, and writes nothing. */
import { familyOf } from '../address.ts';
import type { Iptables } from '../kernel/iptables.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { IpFamily } from '../types.ts';
import type { ReconcileEffects } from './effects.ts';
import { emptyObserved, type Observed, readKernel } from './observed.ts';
import type { ReconcileInit } from './protocol.ts';

export interface PlanGround {
  readonly observed: Observed;
  /** `iptables-save` text of a family. */
  readonly saved: ReadonlyMap<IpFamily, string>;
}

export interface PlanGroundInput {
  readonly init: Pick<ReconcileInit, 'families' | 'ipvsTimeouts'>;
  readonly effects: Pick<ReconcileEffects, 'openIptables'>;
  readonly signal: AbortSignal;
  /** That of a running reconciler. */
  readonly iptables: Iptables | undefined;
  openSession(): KernelSession;
}

/** In one go, so that it is of one moment. */
export async function readGround({
  init,
  effects,
  signal,
  openSession,
  ...known
}: PlanGroundInput): Promise<PlanGround> {
  const observed = readKernel(openSession(), init);
  const iptables = known.iptables ?? (await effects.openIptables({ probe: false, signal }));
  const saved = new Map<IpFamily, string>();
  for (const family of init.families) saved.set(family, await iptables.save(family, signal));
  return { observed, saved };
}

/** A plan against nothing knows the node's addresses as anybody may read them. */
export function emptyGround(
  init: Pick<ReconcileInit, 'families'>,
  effects: Pick<ReconcileEffects, 'interfaceAddresses'>,
): PlanGround {
  const nodeAddresses = effects.interfaceAddresses().filter((address) => init.families.includes(familyOf(address)));
  return { observed: { ...emptyObserved, nodeAddresses }, saved: new Map() };
}
