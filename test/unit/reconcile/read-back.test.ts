/** What a write left unknown is read object by object, never the table: counted in calls of the session. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../../lib/operations.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { SessionCalls } from './counted-session.ts';
import { newKernel, restricted, service, slice, World } from './world.ts';

const address = (block: number, index: number): string => `10.${block}.${index >> 8}.${index & 255}`;

async function served(
  count: number,
  ...more: ObjectRecord[]
): Promise<{ readonly world: World; readonly calls: SessionCalls }> {
  const calls = new SessionCalls();
  const kernel = newKernel();
  const world = new World(kernel, { syncPeriodMs: 600_000 }, () => calls.wrap(kernel.session()));
  await world.start();
  const records = Array.from({ length: count }, (_, index) => [
    service(`ns1/s${index}`, address(96, index)),
    slice(`ns1/s${index}-1`, `ns1/s${index}`, [address(244, index)]),
  ]).flat();
  await world.say(...records, ...more);
  calls.reset();
  return { world, calls };
}

const reads = ({ counts }: SessionCalls): Record<string, number> => {
  const { run, openMonitor, ...rest } = counts;
  return rest;
};

test('one destination, one entry, one address without an answer: each is read on its own, in a table of 300', async () => {
  const verbs = ['create-destination', 'add-entry', 'add-address'] as const;
  const expected = [{ destinations: 1, service: 1 }, { testEntry: 1 }, { addresses: 1, localRoutes: 1 }];
  for (const [index, verb] of verbs.entries()) {
    for (const fault of ['lost', 'dropped'] as const) {
      const { world, calls } = await served(300);
      world.kernel.failNext((operation) => operation.verb === verb, fault);
      const report = await world.say(service('ns1/new', '10.97.0.1'), slice('ns1/new-1', 'ns1/new', ['10.244.9.9']));
      assert.equal(report.unknown, 1);
      assert.deepEqual(report.failures, []);
      assert.deepEqual(reads(calls), expected[index], `${verb} ${fault}`);
      assert.equal((await world.resync()).operations, 0, 'and all is there');
    }
  }
});

test('a virtual service that somebody removed is found out by a write, and read alone', async () => {
  const { world, calls } = await served(300);
  world.kernel.outside.services.delete('tcp 10.96.0.7:80');
  const report = await world.say(slice('ns1/s7-1', 'ns1/s7', [address(244, 7), '10.245.0.1']));
  assert.deepEqual(report.failures, []);
  assert.deepEqual(reads(calls), { service: 1 });
  assert.equal(world.kernel.outside.services.get('tcp 10.96.0.7:80')?.destinations.size, 2);
});

test('an entry of a set of networks is looked for in its list: a test would find it within a wider one', async () => {
  const { world, calls } = await served(2, restricted('ns1/lb', '10.97.0.2', '198.18.0.2', '10.0.0.0/8'));
  const isNarrow = (operation: Operation): boolean =>
    operation.verb === 'add-entry' && operation.entry.includes(',10.1.2.3');
  world.kernel.failNext(isNarrow, 'dropped');
  const said = restricted('ns1/lb', '10.97.0.2', '198.18.0.2', '10.0.0.0/8', '10.1.2.3/32');
  const report = await world.say(said);
  assert.deepEqual(report.failures, []);
  assert.deepEqual([report.unknown, calls.count('entries'), calls.count('testEntry')], [1, 1, 0]);
  assert.equal((await world.resync()).operations, 0);
});

test('a whole batch without an answer: one list of what is a good part of the table, single reads where it is not', async () => {
  const pods = (index: number): string[] => [address(244, index), address(245, index)];
  const change = (count: number): ObjectRecord[] =>
    Array.from({ length: count }, (_, index) => slice(`ns1/s${index}-1`, `ns1/s${index}`, pods(index)));
  const writes = (operation: Operation): boolean => operation.verb === 'create-destination';
  const many = await served(300);
  many.world.kernel.failNext(writes, 'dropped', 200);
  assert.equal((await many.world.say(...change(200))).unknown, 200);
  assert.deepEqual(reads(many.calls), { servicesWithDestinations: 1 });
  const some = await served(300);
  some.world.kernel.failNext(writes, 'dropped', 70);
  assert.equal((await some.world.say(...change(70))).unknown, 70);
  assert.deepEqual(reads(some.calls), { destinations: 70, service: 70 }, 'a quarter of the table and less');
  for (const { world } of [many, some]) assert.equal((await world.resync()).operations, 0);
});
