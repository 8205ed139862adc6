/** What is not ours, and what fails, costs what it is itself: no change, and no first sync, walks the cluster because of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectRecord } from '../../../lib/records.ts';
import { countVisits } from '../../harness/count-visits.ts';
import { foreignService, newKernel, service, slice, World } from './world.ts';

const address = (block: number, index: number): string => `10.${block}.${index >> 8}.${index & 255}`;

/** VIPs of their own, and node ports. */
function cluster(services: number): ObjectRecord[] {
  return Array.from({ length: services }, (_, index) => [
    service(`ns1/s${index}`, address(96, index), { nodePort: 20_000 + index }),
    slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(128, index)]),
  ]).flat();
}

interface Cost {
  readonly perService: number;
  readonly comes: number;
  readonly goes: number;
}

/** With a foreign virtual service, one that is contested, and a virtual service, a tuple and a node port that the kernel refuses. */
async function costs(services: number): Promise<Cost> {
  const kernel = newKernel();
  foreignService(kernel, '10.99.0.1', 80);
  foreignService(kernel, '10.95.0.1', 80);
  const world = new World(kernel);
  await world.start();
  kernel.failNext(
    (operation) =>
      (operation.verb === 'create-service' && JSON.stringify(operation).includes('10.95.0.2')) ||
      (operation.verb === 'add-entry' && ['10.95.0.3,tcp:80', '30004'].includes(operation.entry)),
    'EPERM',
    Number.POSITIVE_INFINITY,
  );
  const harmed = [1, 2, 3, 4].flatMap((index) => [
    service(`ns1/h${index}`, `10.95.0.${index}`, { nodePort: 30_000 + index }),
    slice(`ns1/h${index}-1`, `ns1/h${index}`, ['10.200.0.9']),
  ]);
  const first = await countVisits(() => world.say(...cluster(services), ...harmed));
  assert.equal(first.result.contested, 1);
  assert.equal(first.result.failures.length, 3);
  const one = [service('ns1/new', '10.95.1.1', { nodePort: 31_000 }), slice('ns1/n', 'ns1/new', ['10.200.0.1'])];
  const comes = await countVisits(() => world.say(...one));
  assert.equal(comes.result.operations, 8);
  // Not its address: the fake kernel itself looks through all of them when one goes.
  const goes = await countVisits(() => world.say(service('ns1/new', '10.95.1.1')));
  assert.equal(goes.result.operations, 2);
  await world.close();
  return { perService: first.visits / services, comes: comes.visits, goes: goes.visits };
}

test('one virtual service of somebody else, and objects that fail: the same cost in a cluster of 300 and of 3,000 Services', async () => {
  // What is remembered by the first time.
  await costs(10);
  const [small, large] = [await costs(300), await costs(3000)];
  assert.ok(large.comes <= small.comes * 1.05 && large.goes <= small.goes * 1.05, JSON.stringify({ small, large }));
  assert.ok(large.perService <= small.perService * 1.2, JSON.stringify({ small, large }));
});
