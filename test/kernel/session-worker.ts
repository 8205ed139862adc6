/** A worker that opens a session of its own and writes: `rounds` batches, each adding and removing `count` destinations of its service. */
import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { readAll } from '../../lib/kernel/session.ts';

const { port, rounds, count }: { port: number; rounds: number; count: number } = workerData;

function address(text: string) {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

const key = { protocol: 'tcp', address: address('10.99.8.1'), port } as const;
const session = openSession();
session.run(new Batch().ensureService({ key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 }));
parentPort?.postMessage('open');
const failures: unknown[] = [];
for (let round = 0; round < rounds; round++) {
  const batch = new Batch();
  for (let i = 0; i < count; i++) {
    const destination = { address: address(`10.98.${i >> 8}.${i & 255}`), port: 80 };
    if (round % 2 === 0) batch.ensureDestination(key, { ...destination, weight: 1, forward: 'masquerade' });
    else batch.updateDestination(key, { ...destination, weight: round, forward: 'masquerade' });
  }
  failures.push(...session.run(batch).failures);
}
parentPort?.postMessage({ failures, destinations: readAll(session.destinations(key)).length });
