/** What the worker keeps for each Service: heap and buffers after a collection, from a tenth of the cluster to all of it. */
import { memory } from '../../workload.ts';
import { messages } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { initOf, ReconcilerRun } from '../reconciler-run.ts';

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints } = options;
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  const part = Math.floor(services / 10);
  const fill = async (from: number, to: number): Promise<number> => {
    // As it arrives in a worker: nobody else holds a string of it.
    for (const message of messages(from, to, endpoints)) await run.say(structuredClone(message));
    return (await memory()).js;
  };
  const few = await fill(0, part);
  const all = await fill(part, services);
  await run.close();
  return { bytesPerService: (all - few) / (services - part), heapMB: all / 1e6 };
}
