/** A Service of 1,000 endpoints in ten slices, of which so and so many change at once, beside the rest of the cluster. */
import { median, pod } from '../../workload.ts';
import { change, messages, serviceRecord, sliceRecord } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { initOf, ReconcilerRun } from '../reconciler-run.ts';

const SLICES = 10;
const SLICE = 100;
const SIZES = [1, 10, 50, 100, 200, 400, 600, 800, 1000];
const WARM_CHANGES = 200;

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, times } = options;
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  for (const message of messages(0, services, endpoints)) await run.say(message);
  const pods = Array.from({ length: SLICES * SLICE }, (_, index) => pod(50_000 + index));
  const slices = (gone: number): ReturnType<typeof sliceRecord>[] =>
    Array.from({ length: SLICES }, (_, slice) =>
      sliceRecord(
        services,
        pods.slice(Math.max(slice * SLICE, Math.min(gone, (slice + 1) * SLICE)), (slice + 1) * SLICE),
        slice,
      ),
    );
  /** Only the slices that differ are said. */
  const touched = (gone: number, changed: number): ReturnType<typeof sliceRecord>[] =>
    slices(gone).slice(0, Math.ceil(changed / SLICE));
  await run.say(change(serviceRecord(services), ...slices(0)));
  const micros: number[] = [];
  const roundTrips: number[] = [];
  for (const size of SIZES) {
    const took: number[] = [];
    let trips = 0;
    for (let round = 0; round < (size === 1 ? WARM_CHANGES : 5) + times; round++) {
      const goes = await run.say(change(...touched(size, size)));
      const comes = await run.say(change(...touched(0, size)));
      if (goes.operations !== size || comes.operations !== size)
        throw new Error(`${goes.operations} for ${size} endpoints`);
      took.push(goes.micros, comes.micros);
      trips = goes.roundTrips;
    }
    micros.push(median(took.slice(-2 * times)));
    roundTrips.push(trips);
  }
  await run.close();
  return { sizes: SIZES, micros, roundTrips };
}
