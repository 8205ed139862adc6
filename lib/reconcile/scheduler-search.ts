/** Schedulers that Services ask for and the kernel did not have: it is asked again, for somebody may have loaded the module. */
import type { KernelSession } from '../kernel/session.ts';
import type { Planner } from '../plan/planner.ts';
import type { ObjectRecord } from '../records.ts';
import { hasScheduler } from './static-part.ts';

/** When a Service is said that asks for one of them: whoever wrote it may have loaded the module before. */
export function askForSaid(planner: Planner, session: KernelSession, records: readonly ObjectRecord[]): void {
  const missing = planner.unknownSchedulers;
  if (missing.size === 0) return;
  const asked = records.flatMap((record) => (record.kind === 'service' ? (record.body?.tuning?.scheduler ?? []) : []));
  const found = new Set([...new Set(asked)].filter((name) => missing.has(name) && hasScheduler(session, name)));
  if (found.size > 0) planner.lackSchedulers(new Set([...missing].filter((name) => !found.has(name))));
}

/** For all of them. False: there are none, and nothing has changed. */
export function askForAll(planner: Planner, session: KernelSession): boolean {
  const missing = planner.unknownSchedulers;
  if (missing.size === 0) return false;
  planner.lackSchedulers(new Set([...missing].filter((name) => !hasScheduler(session, name))));
  return true;
}
