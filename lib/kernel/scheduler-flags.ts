/** The scheduler flags of a virtual service under the names that ipvsadm gives them. */
import { InvalidArgumentError } from '../errors.ts';
import { ServiceFlag } from '../types.ts';

/**
 * `fallback`: a destination that is down or of weight 0 passes its clients on to another one instead of refusing them.
 * `port`: the client's port counts too, not only its address. (IP_VS_SVC_F_SCHED_SH_*, IP_VS_SVC_F_SCHED_MH_*)
 */
export type SchedulerFlagName = 'fallback' | 'port';

const NAMES: Readonly<Record<SchedulerFlagName, number>> = { fallback: ServiceFlag.sched1, port: ServiceFlag.sched2 };

/**
 * The bits of `VirtualService.flags` for the named flags of a scheduler.
 *
 * @example { key, scheduler: 'mh', flags: schedulerFlags('mh', ['fallback', 'port']), timeoutSeconds: 0 }
 * @throws InvalidArgumentError for a scheduler without flags, or a flag it does not have.
 */
export function schedulerFlags(scheduler: 'sh' | 'mh', names: readonly SchedulerFlagName[]): number {
  if (scheduler !== 'sh' && scheduler !== 'mh') {
    throw new InvalidArgumentError('scheduler', `"${String(scheduler)}" has no flags with names, only sh and mh have`);
  }
  let flags = 0;
  for (const name of names) {
    if (!Object.hasOwn(NAMES, name)) {
      throw new InvalidArgumentError('names', `"${String(name)}" is none of ${Object.keys(NAMES).join(', ')}`);
    }
    flags |= NAMES[name];
  }
  return flags;
}

/** The scheduler flags among `flags` as `ipvsadm -b` takes them: `sh-fallback`, `mh-port`, and `flag-3` for one without a name. */
export function schedulerFlagNames(scheduler: string, flags: number): string[] {
  const named = scheduler === 'sh' || scheduler === 'mh';
  const names: string[] = [];
  if ((flags & ServiceFlag.sched1) !== 0) names.push(named ? `${scheduler}-fallback` : 'flag-1');
  if ((flags & ServiceFlag.sched2) !== 0) names.push(named ? `${scheduler}-port` : 'flag-2');
  if ((flags & ServiceFlag.sched3) !== 0) names.push('flag-3');
  return names;
}
