/** Operations of callers without types: one part of each replaced by what does not belong there, or left out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import type { Operation } from '../../../lib/operations.ts';

const key = { protocol: 'tcp', address: '10.96.0.10', port: 80 };
const service = { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0, prefixLength: 32, persistenceEngine: 'sip' };
const tunnel = { type: 'gue', port: 5555, checksum: true, remoteChecksum: false };
const destination = {
  address: '10.0.0.5',
  port: 80,
  weight: 1,
  forward: 'tunnel',
  tunnel,
  upperThreshold: 3,
  lowerThreshold: 2,
};
const set = {
  name: 'A',
  type: 'hash:net',
  family: 'IPv4',
  hashSize: 64,
  maxElements: 9,
  timeoutSeconds: 3,
  comment: true,
};
const lifetimes = { validSeconds: 60, preferredSeconds: 30, deprecated: false };
const address = {
  link: 'd0',
  address: 'fd00::1',
  prefixLength: 64,
  scope: 'host',
  noDad: false,
  noPrefixRoute: false,
  ...lifetimes,
};
const tuple = { protocol: 'udp', source: '10.0.0.1', sourcePort: 1, destination: '10.0.0.2', destinationPort: 2 };
const ping = { ...tuple, protocol: 'icmp', sourcePort: 0, destinationPort: 0, icmp: { type: 8, code: 0, id: 7 } };
const operations: readonly object[] = [
  { verb: 'create-service', service },
  { verb: 'remove-service', key: { fwmark: 3, family: 'IPv4' } },
  { verb: 'create-destination', key, destination },
  { verb: 'remove-destination', key, destination: { address: '10.0.0.5', port: 80 } },
  { verb: 'zero-service', key },
  { verb: 'set-timeouts', timeouts: { tcpSeconds: 3, tcpFinSeconds: 3, udpSeconds: 3 } },
  { verb: 'create-set', set },
  { verb: 'swap-sets', name: 'A', other: 'B' },
  { verb: 'rename-set', name: 'A', newName: 'B' },
  {
    verb: 'add-entry',
    set: { name: 'A', type: 'hash:net', family: 'IPv4' },
    entry: '10.0.0.0/8 timeout 3 comment "x"',
  },
  { verb: 'ensure-link', name: 'd0' },
  { verb: 'add-address', address },
  { verb: 'remove-address', link: 'd0', address: '10.0.0.1', prefixLength: 32 },
  {
    verb: 'add-local-route',
    route: { address: '10.0.0.0', prefixLength: 8, link: 'd0', protocol: 200, source: '10.0.0.1' },
  },
  { verb: 'remove-connection', tuple, zone: 0, id: 3 },
  { verb: 'remove-connection', tuple: ping },
];
const unprintable = {
  toString(): string {
    throw new Error('no');
  },
};
const names = ['', ' ', 'x', '\0', 'constructor', '__proto__', 'toString', '10.0.0.1'];
const numbers = [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 10n];
const strange: readonly unknown[] = [
  undefined,
  null,
  {},
  [],
  true,
  () => 1,
  Symbol('s'),
  unprintable,
  ...names,
  ...numbers,
];

/** The path of the part, and the object with another one there. */
function* mutants(value: object, path = ''): Generator<[path: string, mutant: object]> {
  for (const [name, part] of Object.entries(value)) {
    for (const other of strange) yield [path + name, { ...value, [name]: other }];
    yield [path + name, Object.fromEntries(Object.entries(value).filter(([key]) => key !== name))];
    if (typeof part !== 'object' || part === null) continue;
    for (const [inner, mutant] of mutants(part, `${path}${name}.`)) yield [inner, { ...value, [name]: mutant }];
  }
}

function untyped(value: unknown): Operation {
  const isOperation = (_candidate: unknown): _candidate is Operation => true;
  assert.ok(isOperation(value));
  return value;
}

test('whatever stands in an operation: taken and read again as it was meant, or refused with the name of a field', () => {
  const batch = new Batch();
  const taken = new Map<string, number>();
  for (const [index, operation] of operations.entries()) {
    for (const [part, mutant] of mutants(operation)) {
      const path = `${index} ${part}`;
      try {
        batch.clear().push(untyped(mutant));
      } catch (error) {
        assert.ok(error instanceof InvalidArgumentError, `${path}: ${error instanceof Error ? error.stack : ''}`);
        assert.ok(error.field.length > 0 && error.message.startsWith(`${error.field}: `), error.message);
        assert.equal(batch.size + batch.bytes, 0, path);
        continue;
      }
      const [read] = batch;
      assert.ok(read !== undefined && batch.toString().length > 0, path);
      const again = new Batch().push(read);
      assert.deepEqual([...again], [read], path);
      taken.set(path, (taken.get(path) ?? 0) + 1);
    }
  }
  // What was taken is another name or address, or a part that may be left out.
  for (const [path, times] of taken) assert.ok(times <= 8, `${path} takes ${times} of ${strange.length + 1}`);
  for (const value of strange) assert.throws(() => batch.push(untyped(value)), InvalidArgumentError);
});
