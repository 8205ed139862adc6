/** What the flight recorder keeps, and what it does not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OperationFailure } from '../../../lib/kernel/session.ts';
import type { Operation } from '../../../lib/operations.ts';
import { FlightRecorder } from '../../../lib/reconcile/flight-recorder.ts';
import { PassTrace } from '../../../lib/reconcile/pass-trace.ts';
import { Ring } from '../../../lib/reconcile/ring.ts';
import { service, slice, World } from './world.ts';

function adds(count: number): { readonly operation: Operation }[] {
  return Array.from({ length: count }, (_, index) => ({
    operation: {
      verb: 'add-entry',
      set: { name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', family: 'IPv4' },
      entry: `10.96.0.1,tcp:${index + 1}`,
    },
  }));
}

function refusal(index: number): OperationFailure {
  const error = { errno: 12, errnoName: 'ENOMEM', command: 'IPSET_CMD_ADD', object: 'x', reason: 'no memory' };
  return { index, operation: 'ipset add', outcome: 'failed', error };
}

describe('a ring', () => {
  test('keeps the newest, in order, within its entries and its bytes', () => {
    const ring = new Ring<number>(3, 100);
    for (let item = 1; item <= 5; item += 1) ring.push(item, 10);
    assert.deepEqual([...ring], [3, 4, 5]);
    assert.deepEqual([ring.size, ring.bytes, ring.oldest], [3, 30, 3]);
    ring.push(6, 85);
    assert.deepEqual([...ring], [5, 6], 'as many go as it takes');
    ring.push(7, 1000);
    assert.deepEqual([[...ring], ring.bytes], [[7], 1000], 'one that is too large is alone');
    ring.push(8, 10);
    assert.deepEqual([[...ring], ring.bytes], [[8], 10]);
  });
});

describe('the recorder', () => {
  test('a pass of very many operations takes a fixed part of it, refused ones apart, and says how many', () => {
    const recorder = new FlightRecorder({ entries: 1000 });
    const small = new PassTrace();
    recorder.round(small);
    recorder.batch(small, adds(3), [], 1);
    const bulk = new PassTrace();
    recorder.round(bulk);
    for (let batch = 0; batch < 50; batch += 1) recorder.batch(bulk, adds(1000), [refusal(7), refusal(500)], 2);
    assert.equal([...recorder.operations].filter(({ pass }) => pass === 1).length, 3, 'what was there stays');
    assert.equal(recorder.operations.size, 3 + 32);
    assert.equal(recorder.refusals.size, 100);
    const orders = [...recorder.operations, ...recorder.refusals].map(({ order }) => order);
    assert.equal(new Set(orders).size, orders.length, 'each has its place');
  });

  test('of a flood of passes the last stay, and their refusals for longer', () => {
    const recorder = new FlightRecorder({ entries: 100 });
    const first = new PassTrace();
    recorder.batch(first, adds(1), [refusal(0)], 0);
    for (let pass = 0; pass < 500; pass += 1) recorder.batch(new PassTrace(), adds(10), [], pass);
    assert.equal(recorder.operations.size, 100);
    assert.equal(recorder.refusals.size, 1);
  });

  test('it is bounded by bytes: long names cost more', () => {
    const recorder = new FlightRecorder({ bytes: 10_000 });
    for (let index = 0; index < 1000; index += 1) recorder.note('warning', `service ns/${index}`, 'x'.repeat(1000), 0);
    assert.ok(recorder.notes.size < 10 && recorder.notes.bytes <= 10_000, String(recorder.notes.bytes));
  });

  test('of a message of very many records the first are kept, and a snapshot is one entry', () => {
    const recorder = new FlightRecorder();
    const records = Array.from({ length: 2000 }, (_, index) => service(`ns1/s${index}`, '10.96.0.1'));
    recorder.message({ records, allSynced: true }, 5);
    recorder.message({ records, allSynced: true, snapshot: 'whole' }, 6);
    assert.equal(recorder.records.size, 64);
    assert.deepEqual(
      [...recorder.bulks].map(({ count, isSnapshot }) => [count, isSnapshot]),
      [
        [1936, false],
        [2000, true],
      ],
    );
  });

  test('in a reconciler: history of one endpoint survives a change of thousands of others', async () => {
    const world = new World();
    await world.start();
    await world.say(service('ns1/web', '10.96.0.10'), slice('ns1/web-1', 'ns1/web', ['10.244.1.5']));
    const many = Array.from({ length: 2000 }, (_, index) => `10.245.${index >> 8}.${index & 255}`);
    await world.say(service('ns1/big', '10.96.0.11'), slice('ns1/big-1', 'ns1/big', many));
    for (let round = 0; round < 30; round += 1) {
      await world.say(slice('ns1/big-1', 'ns1/big', round % 2 === 0 ? many.slice(1000) : many));
    }
    const { history } = await world.explain('10.244.1.5');
    assert.ok(world.kernel.log.length > 30_000, 'it was a flood');
    assert.deepEqual(
      history
        .filter(({ kind, object }) => kind === 'record' || object !== undefined)
        .map(({ text }) => text)
        .slice(0, 3),
      [
        'Service ns1/web: 10.96.0.10',
        'EndpointSlice ns1/web-1: 1 endpoints',
        'ipvsadm -a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1: done',
      ],
    );
  });
});
