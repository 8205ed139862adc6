/** The first sync: from the records to the last answer. Read, rules and the static part come before the clock. */

import { messages, snapshot } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { initOf, ReconcilerRun, warmCompiler } from '../reconciler-run.ts';

const WARM_SERVICES = 2000;

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, warm } = options;
  if (warm) await warmCompiler(options, snapshot(Math.min(WARM_SERVICES, services), endpoints));
  const message = snapshot(services, endpoints);
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  const { micros, iptablesMicros, operations, roundTrips, kernelMicros, ticks, longestMicros } = await run.say(message);
  const wanted = services * (4 + endpoints);
  if (operations !== wanted) throw new Error(`${operations} operations, not ${wanted}`);
  const again = await run.say({
    records: [...messages(0, 1, endpoints)].flatMap(({ records }) => records),
    allSynced: true,
  });
  if (again.operations !== 0) throw new Error('what was said again was written again');
  await run.close();
  return {
    ms: (micros - iptablesMicros) / 1000,
    operations,
    kernelMs: kernelMicros / 1000,
    roundTrips,
    ticks,
    longestMs: longestMicros / 1000,
  };
}
