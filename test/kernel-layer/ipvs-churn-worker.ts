/** Makes and removes services beside others, until it is terminated, so that a reader has something to stumble over. */
import assert from 'node:assert/strict';
import { parentPort } from 'node:worker_threads';
import { parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import type { AddressServiceKey, IpAddress } from '../../lib/types.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined);
  return parsed;
}

const session = openSession();
const key = (i: number): AddressServiceKey => ({
  protocol: 'udp',
  address: address(`10.77.${i >> 8}.${i & 255}`),
  port: 53,
});
for (let round = 0; ; round++) {
  const batch = new Batch();
  for (let i = 0; i < 40; i++) {
    const fresh = key((round * 40 + i) % 4000);
    batch.ensureService({ key: fresh, scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
    batch.removeService(key((round * 40 + i + 3800) % 4000));
  }
  session.run(batch);
  if (round === 5) parentPort?.postMessage('churning');
}
