/** What large clusters cost, in counts (behaviour.md T101, T106, T111 to T113); in time it is measured by bench. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ObjectRecord } from '../../../lib/records.ts';
import { ip, newKernel, service, slice, World } from './world.ts';

/** `10.<block>.x.y` */
const address = (block: number, index: number): string => `10.${block}.${(index >> 8) & 255}.${index & 255}`;

/** Services with so many endpoints each, on other nodes. */
function cluster(services: number, endpoints: number): ObjectRecord[] {
  return Array.from({ length: services }, (_, index) => {
    const pods = Array.from({ length: endpoints }, (_, pod) => address(128 + pod, index));
    return [service(`ns1/s${index}`, address(96, index)), slice(`ns1/s${index}-1`, `ns1/s${index}`, pods)];
  }).flat();
}

async function served(records: readonly ObjectRecord[]): Promise<{ world: World; operations: number }> {
  const world = new World();
  await world.start();
  const { operations, rulesWritten } = await world.say(...records);
  assert.equal(rulesWritten, 0, 'no program is run for a Service');
  return { world, operations };
}

test('2,000 Services of ten endpoints: what has to be there, in one pass, without a program (T111); one endpoint more is one write (T112)', async () => {
  const { world, operations } = await served(cluster(2000, 10));
  // A virtual service, its tuple, its place in KUBE-IPVS-IPS and its address; and the endpoints.
  assert.equal(operations, 2000 * (4 + 10));
  const pods = Array.from({ length: 11 }, (_, pod) => address(128 + pod, 7));
  const report = await world.say(slice('ns1/s7-1', 'ns1/s7', pods));
  assert.deepEqual([report.operations, report.roundTrips], [1, 1]);
  const gone = await world.say(slice('ns1/s7-1', 'ns1/s7', pods.slice(1)));
  assert.deepEqual(gone.byVerb, { 'update-destination': 1 });
  await world.close();
});

test('10,000 Services, nothing changed: a full pass writes nothing, and neither does a restart (T113)', async () => {
  const records = cluster(10_000, 1);
  const { world } = await served(records);
  assert.equal((await world.resync()).operations, 0);
  world.die();
  await world.start();
  assert.equal((await world.say(...records)).operations, 0);
  await world.close();
});

test('a thousand endpoints said by three slices each are a thousand destinations (T101)', async () => {
  const pods = Array.from({ length: 1000 }, (_, index) => address(128, index));
  const slices = [1, 2, 3].map((part) => slice(`ns1/big-${part}`, 'ns1/big', pods));
  const { world, operations } = await served([service('ns1/big', '10.96.0.10'), ...slices]);
  assert.equal(operations, 4 + 1000);
  await world.close();
});

test('5,000 source ranges are all there, and nobody else suffers (T106)', async () => {
  const ranges = Array.from({ length: 5000 }, (_, index) => `172.${16 + (index >> 8)}.${index & 255}.0/24`);
  const body = { loadBalancerIPs: [ip('198.18.0.1')], sourceRanges: ranges, hasSourceRanges: true };
  const world = new World(newKernel());
  await world.start();
  const { failures } = await world.say(service('ns1/lb', '10.96.0.10', { body }), ...cluster(10, 1));
  assert.deepEqual(failures, []);
  const entries = world.kernel.dump().match(/add KUBE-LOAD-BALANCER-SOURCE-CIDR /g) ?? [];
  assert.equal(entries.length, 5000);
  await world.close();
});
