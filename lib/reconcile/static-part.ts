/** What is there whatever the Services are: the VIP device, the seventeen sets of each family, IPVS's time-outs. */

import { NetlinkError, type NetlinkErrorDetails, ProxierError } from '../errors.ts';
import { Batch } from '../kernel/batch.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import type { Change } from '../plan/change.ts';
import { objectOf } from '../plan/object-id.ts';
import { setSpecs } from '../plan/sets.ts';
import type { SetName } from '../plan/state.ts';
import type { IpvsTimeouts, VirtualService } from '../types.ts';
import { asksForTimeouts, holdsEntriesOf, type Observed, probeKey, type StaticRead, vipLink } from './observed.ts';
import type { ReconcileInit } from './protocol.ts';

export interface StaticChanges {
  readonly changes: readonly Change[];
  /** Sets of another type that rules refer to, and why they stay: what they are for does not work, the rest does. */
  readonly broken: ReadonlyMap<SetName, string>;
}

/** Link first: it is the cheapest thing to fail. Nothing to do, nothing returned. */
export function staticChanges(
  observed: StaticRead,
  { families, ipvsTimeouts }: Pick<ReconcileInit, 'families' | 'ipvsTimeouts'>,
): StaticChanges {
  const operations: Operation[] = [];
  const broken = new Map<SetName, string>();
  if (observed.isProbeLeft) operations.push({ verb: 'remove-service', key: probeKey });
  if (observed.link === undefined) operations.push({ verb: 'ensure-link', name: vipLink });
  for (const set of families.flatMap((family) => setSpecs(family))) {
    const state = observed.setStates.get(set.name);
    if (state === undefined) {
      operations.push({ verb: 'ensure-set', set });
    } else if (!holdsEntriesOf(state, set)) {
      // Sets of different types cannot be swapped, and one that rules refer to cannot be removed.
      if (state.references === 0) {
        operations.push({ verb: 'remove-set', name: set.name }, { verb: 'create-set', set });
      } else {
        broken.set(
          set.name,
          `the set is ${state.type} (${state.family}) and should be ${set.type} (${set.family}), and ${state.references} iptables rules use it: remove those rules and the set (iptables -F of the KUBE chains, ipset destroy ${set.name})`,
        );
      }
    }
  }
  if (asksForTimeouts(ipvsTimeouts) && !hasTimeouts(observed.timeouts, ipvsTimeouts)) {
    operations.push({ verb: 'set-timeouts', timeouts: ipvsTimeouts });
  }
  return { changes: operations.map((operation) => ({ operation, object: objectOf(operation) })), broken };
}

/** Those of the kernel are as asked, but for the ones that are 0 and not asked for. */
function hasTimeouts(is: IpvsTimeouts | undefined, asked: IpvsTimeouts): boolean {
  const fits = (key: keyof IpvsTimeouts): boolean => asked[key] === 0 || is?.[key] === asked[key];
  return fits('tcpSeconds') && fits('tcpFinSeconds') && fits('udpSeconds');
}

/** Throws when a link of the VIP device's name is something else: it is left as it is. */
export function checkLink(observed: Observed): void {
  const { link } = observed;
  if (link === undefined || link.kind === 'dummy') return;
  throw new NetlinkError('ERR_NETLINK', {
    errno: 17,
    errnoName: 'EEXIST',
    command: 'RTM_NEWLINK',
    object: vipLink,
    reason: `there is a ${link.kind === '' ? 'physical' : link.kind} link of this name, and a dummy link is needed; rename or remove it`,
  });
}

/** The VIP device is not there and cannot be made. */
export function linkError(message: string): ProxierError {
  return new ProxierError(
    'ERR_KERNEL_UNSUPPORTED',
    `the VIP device ${vipLink} cannot be made: ${message}. The kernel needs the dummy driver (modprobe dummy), the process CAP_NET_ADMIN`,
  );
}

/**
 * Throws ERR_SCHEDULER_UNKNOWN when the kernel does not know the scheduler. A kernel that uses it knows it; otherwise a virtual service
 * that nobody can reach is made and removed at once, for that is the only way to ask.
 */
export function checkScheduler(session: KernelSession, scheduler: string, observed: Observed): void {
  for (const { service } of observed.services.values()) if (service.scheduler === scheduler) return;
  const error = probeScheduler(session, scheduler);
  if (error === undefined) return;
  if (error.errnoName === 'ENOENT') {
    throw new NetlinkError('ERR_SCHEDULER_UNKNOWN', {
      ...error,
      reason: `the kernel has no IPVS scheduler ${JSON.stringify(scheduler)}: choose another one, or load its module (modprobe ip_vs_${scheduler})`,
    });
  }
  throw new NetlinkError(error.errnoName === 'EPERM' ? 'ERR_PERMISSION' : 'ERR_NETLINK', error);
}

/** The kernel has it now, or has never said that it does not: it is asked anew. */
export function hasScheduler(session: KernelSession, scheduler: string): boolean {
  return probeScheduler(session, scheduler)?.errnoName !== 'ENOENT';
}

function probeScheduler(session: KernelSession, scheduler: string): NetlinkErrorDetails | undefined {
  const service: VirtualService = { key: probeKey, scheduler, flags: 0, timeoutSeconds: 0 };
  const { failures } = session.run(new Batch(2).createService(service).removeService(probeKey));
  return failures.find(({ index, error }) => index === 0 && error.errnoName !== 'EEXIST')?.error;
}
