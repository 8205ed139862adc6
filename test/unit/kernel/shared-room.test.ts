/** The memory in which large batches and tables cross threads: how often it is taken, who may have it, what a caller sees of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { openKernel } from '../../../lib/kernel/client.ts';
import { SharedRoom } from '../../../lib/kernel/shared-room.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { AddressServiceKey } from '../../../lib/types.ts';

const OPERATIONS = 1000;

function key(i: number): AddressServiceKey {
  const address = parseAddress(`10.96.${i >> 8}.${i & 255}`);
  assert.ok(address !== undefined);
  return { protocol: 'tcp', address, port: 80 };
}

function services(count: number): Batch {
  const batch = new Batch();
  for (let i = 0; i < count; i++) batch.createService({ key: key(i), scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
  return batch;
}

/** A client, and the memory that each batch came in. */
function watched(fake: FakeKernel): { client: ReturnType<typeof openKernel>; arrived: ArrayBufferLike[] } {
  const session = fake.session();
  const arrived: ArrayBufferLike[] = [];
  const run = session.run.bind(session);
  session.run = (batch, options) => {
    arrived.push(batch.reader().bytes.buffer);
    return run(batch, options);
  };
  return { client: openKernel({ session }), arrived };
}

test('a large batch is copied once, into memory that the next one uses again; it stays as it was, and can be run again', async () => {
  const { client, arrived } = watched(new FakeKernel());
  await using kernel = await client;
  const batch = services(OPERATIONS);
  const text = batch.toString();
  assert.equal((await kernel.run(batch)).applied, OPERATIONS);
  assert.equal(batch.toString(), text);
  const second = await kernel.run(batch, { onFailure: 'report' });
  assert.deepEqual([second.applied, second.failures.length], [0, OPERATIONS]);
  assert.equal(second.failures[OPERATIONS - 1]?.operation, text.trimEnd().split('\n').at(-1));
  const [first, again] = arrived;
  assert.ok(first instanceof SharedArrayBuffer && again instanceof SharedArrayBuffer);
  // Each message brings an object of its own for the same memory.
  new Uint8Array(first)[0] = 0x5a;
  assert.equal(new Uint8Array(again)[0], 0x5a, 'one memory for both');
});

test('a batch may change while it runs: what was given counts', async () => {
  const { client, arrived } = watched(new FakeKernel());
  await using kernel = await client;
  const batch = services(OPERATIONS);
  const first = kernel.run(batch);
  const second = kernel.run(
    batch
      .clear()
      .append(services(OPERATIONS + 1))
      .removeService(key(0)),
    { onFailure: 'report' },
  );
  const third = kernel.run(batch.clear().createService({ key: key(0), scheduler: 'wrr', flags: 0, timeoutSeconds: 0 }));
  assert.deepEqual(
    (await Promise.all([first, second, third])).map(({ applied, failures }) => [applied, failures.length]),
    [
      [OPERATIONS, 0],
      [2, OPERATIONS],
      [1, 0],
    ],
  );
  assert.deepEqual(
    arrived.map((memory) => memory instanceof SharedArrayBuffer),
    [true, false, false],
    'the first has the shared memory as long as it runs',
  );
  assert.equal((await kernel.ipvs.list()).length, OPERATIONS + 1);
});

test('memory is lent to one call at a time, grows, and is not lent again after a failure', async () => {
  const room = new SharedRoom();
  const seen: (ArrayBufferLike | undefined)[] = [];
  const lend = (bytes: number, work: () => Promise<void> = async () => {}): Promise<void> =>
    room.lend(bytes, (memory) => {
      assert.ok(memory === undefined || memory.length >= bytes);
      seen.push(memory?.buffer);
      return work();
    });
  await lend(10_000, () => lend(10_000));
  await lend(100_000);
  await lend(1_000_000);
  await lend(10_000);
  await assert.rejects(
    lend(10_000, () => Promise.reject(new Error('lost'))),
    /lost/,
  );
  await lend(10_000);
  await lend(100);
  await lend(1_000_000_000);
  const [first, nested, again, larger, kept, failed, fresh, few, many] = seen;
  assert.ok(
    first instanceof SharedArrayBuffer && larger instanceof SharedArrayBuffer && fresh instanceof SharedArrayBuffer,
  );
  assert.deepEqual([nested, few, many], [undefined, undefined, undefined]);
  assert.equal(again, first);
  assert.notEqual(larger, first);
  assert.ok(kept === larger && failed === larger);
  assert.notEqual(fresh, larger);
});

test('a batch that was left to grow holds less than 100 bytes an operation', () => {
  for (let count = 5000; count <= 100_000; count = Math.ceil(count * 1.37)) {
    const batch = new Batch();
    for (let i = 0; i < count; i++) batch.removeService(key(i % 60_000));
    const held = batch.reader().bytes.length;
    assert.ok(held <= batch.bytes * 1.25 + 1024 || held < 512 * 1024, `${held} bytes for ${batch.bytes} of records`);
  }
});

test('a batch that was cleared is empty, and keeps its memory', () => {
  const batch = services(OPERATIONS);
  const { buffer } = batch.reader().bytes;
  assert.deepEqual([...batch.clear()], []);
  assert.equal(batch.size, 0);
  for (const operation of services(OPERATIONS)) batch.push(operation);
  assert.equal(batch.reader().bytes.buffer, buffer);
  assert.equal(batch.toString(), services(OPERATIONS).toString());
  const set = { name: 'S', type: 'hash:ip', family: 'IPv4' } as const;
  batch.clear().createSet(set).clear();
  for (let i = 0; i < 2000; i++) batch.addEntry(set, `10.1.${i >> 8}.${i & 255}`);
  assert.equal(batch.size, 2000, 'additions no longer count for the set that was to be made');
});
