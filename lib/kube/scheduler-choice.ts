/** What the hook `schedulerFor` says of one Service, checked. */
import type { ServiceTuning } from '../records.ts';
import { allowedFlags, flagBits, parseScheduler } from './annotations.ts';
import { type SchedulerHook, type ServiceObject, shownResult } from './hooks.ts';
import { asArray, isObject, reasonOf } from './json.ts';

export type SchedulerTuning = Pick<ServiceTuning, 'scheduler' | 'schedulerFlags'>;

export interface AskedScheduler {
  /** Undefined: the annotations count, then the option. */
  readonly choice: SchedulerTuning | undefined;
  /** Empty = none. */
  readonly problem: string;
}

export function askScheduler(hook: SchedulerHook, service: ServiceObject): AskedScheduler {
  try {
    return checked(hook(service));
  } catch (error) {
    return { choice: undefined, problem: `schedulerFor threw: ${reasonOf(error)}; the annotations count` };
  }
}

function checked(said: unknown): AskedScheduler {
  if (said === undefined) return { choice: undefined, problem: '' };
  const fields = isObject(said) ? said : { scheduler: said };
  const scheduler = typeof fields['scheduler'] === 'string' ? parseScheduler(fields['scheduler']) : undefined;
  if (scheduler === undefined) {
    return wrong(said, 'the name of an IPVS scheduler such as wrr, { scheduler, flags } or undefined');
  }
  if (fields['flags'] === undefined) return { choice: { scheduler }, problem: '' };
  const list = asArray(fields['flags']);
  const schedulerFlags = list === undefined ? undefined : flagBits(scheduler, list);
  if (schedulerFlags === undefined) return wrong(said, `a choice with a list of flags: ${allowedFlags(scheduler)}`);
  return { choice: { scheduler, schedulerFlags }, problem: '' };
}

function wrong(said: unknown, allowed: string): AskedScheduler {
  return {
    choice: undefined,
    problem: `schedulerFor gave ${shownResult(said)}, which is not ${allowed}; the annotations count`,
  };
}
