/** Runs in a network namespace of its own, or without privileges; prints what a session said there as JSON. */
import { parseAddress } from '../../lib/address.ts';
import { ProxierError } from '../../lib/errors.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type Cursor, readAll } from '../../lib/kernel/session.ts';

function outcome<T>(read: () => Cursor<T>): unknown {
  try {
    return readAll(read());
  } catch (error) {
    return error instanceof ProxierError ? { code: error.code, message: error.message } : String(error);
  }
}

const address = parseAddress('10.96.0.10');
if (address === undefined) throw new Error('unreachable');
const key = { protocol: 'tcp', address, port: 80 } as const;
const set = { name: 'SESSION-HOST-TEST', type: 'hash:ip,port', family: 'IPv4' } as const;
const session = openSession({ timeoutMs: 60_000 });
const start = performance.now();
const { failures } = session.run(
  new Batch()
    .createService({ key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 })
    .ensureSet(set)
    .addEntry(set, '10.96.0.10,tcp:80')
    .removeService(key)
    .addAddress({ link: 'lo', address, prefixLength: 32 }),
);
const said = {
  failures: failures.map(({ index, error }) => ({ index, errnoName: error.errnoName, reason: error.reason })),
  services: outcome(() => session.services()),
  destinations: outcome(() => session.destinations(key)),
  entries: outcome(() => session.entries(set.name)),
  addresses: outcome(() => session.addresses()),
  waited: performance.now() - start > 30_000,
};
session.close();
process.stdout.write(JSON.stringify(said));
