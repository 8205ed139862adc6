/** When the lists are complete, how long until `default/kubernetes` and DNS can be used: virtual service, destinations, address. */
import { openSession } from '../../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../../lib/kernel/session.ts';
import { nowMicros, vip } from '../../workload.ts';
import { messages } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { initOf, ReconcilerRun } from '../reconciler-run.ts';

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, routes } = options;
  const all = [...messages(0, services, endpoints)];
  const last = all.pop();
  if (last === undefined) throw new RangeError('no cluster');
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  const listing = nowMicros();
  for (const message of all) await run.say(message);
  const listMs = (nowMicros() - listing) / 1000;
  const session = openSession();
  let looking = 0;
  let usableMs = Number.NaN;
  const start = nowMicros();
  const after = (): boolean => {
    const now = nowMicros();
    if (Number.isNaN(usableMs) && isUsable(session, 0, endpoints, routes) && isUsable(session, 1, endpoints, routes)) {
      usableMs = (now - start - looking) / 1000;
    }
    looking += nowMicros() - now;
    return false;
  };
  const errand = await run.ask({ kind: 'records', nowMs: 1000, message: last }, after);
  if (Number.isNaN(usableMs)) throw new Error('they are not usable after the first pass');
  session.close();
  await run.close();
  return {
    usableMs,
    wholeMs: errand.micros / 1000,
    listMs,
    ticks: errand.ticks,
    longestMs: errand.longestMicros / 1000,
  };
}

function isUsable(session: KernelSession, service: number, endpoints: number, routes: boolean): boolean {
  const key = { protocol: 'tcp', address: vip(service), port: 80 } as const;
  if (readAll(session.destinations(key)).filter(({ weight }) => weight > 0).length !== endpoints) return false;
  if (routes) return readAll(session.localRoutes()).some(({ address }) => address === vip(service));
  return readAll(session.addresses()).some(({ address }) => address === vip(service));
}
