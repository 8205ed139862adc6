/** Whatever cannot be meant is refused with a typed error: code, field and what to do; before anything is sent where that can be known. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { InvalidArgumentError, ProxierError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { BatchError } from '../../../lib/kernel/batch-error.ts';
import { type KernelOptions, openKernel } from '../../../lib/kernel/client.ts';
import { operationError } from '../../../lib/kernel/errno.ts';
import type { BatchResult } from '../../../lib/kernel/session.ts';
import { splitPrefix0 } from '../../../lib/kernel/set-entry.ts';
import { ProcSysctls } from '../../../lib/kernel/sysctl.ts';
import type { Operation } from '../../../lib/operations.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { AddressServiceKey, Destination, IpAddress, SetRef, VirtualService } from '../../../lib/types.ts';

function ip(text: string): IpAddress {
  const address = parseAddress(text);
  assert.ok(address !== undefined, text);
  return address;
}

/** What a caller without types, or one whose input was never looked at, may hand over. */
function untyped(value: object): Operation {
  const isOperation = (candidate: object): candidate is Operation => 'verb' in candidate;
  assert.ok(isOperation(value));
  return value;
}

const key: AddressServiceKey = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 };
const service: VirtualService = { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 };
const pod: Destination = { address: ip('10.244.1.5'), port: 8080, weight: 1, forward: 'masquerade' };
const nets: SetRef = { name: 'NETS', type: 'hash:net', family: 'IPv4' };
const ports: SetRef = { name: 'PORTS', type: 'hash:ip,port,net', family: 'IPv4' };
const vip = { link: 'kube-ipvs0', address: ip('10.96.0.10'), prefixLength: 32 } as const;
const tuple = {
  protocol: 'udp',
  source: ip('10.0.0.1'),
  sourcePort: 4711,
  destination: ip('10.96.0.10'),
  destinationPort: 53,
} as const;
const long = 'x'.repeat(40);

/** What is pushed, the field at fault, and the remedy that the message names. */
const refused: Readonly<Record<string, readonly [operation: object, field: string, remedy: RegExp]>> = {
  'a destination of another family than its service': [
    { verb: 'create-destination', key, destination: { ...pod, address: ip('fd00::5') } },
    'destination.address',
    /fd00::5 is IPv6, the service is IPv4.*give an address of IPv4, or forward: 'tunnel'/,
  ],
  'an address that is none': [
    { verb: 'create-service', service: { ...service, key: { ...key, address: '010.0.0.1' } } },
    'key.address',
    /"010\.0\.0\.1" is not an IPv4 or IPv6 address: write it as parseAddress does/,
  ],
  'a service port out of range': [
    { verb: 'create-service', service: { ...service, key: { ...key, port: 65536 } } },
    'key.port',
    /is 65536, must be an integer from 0 to 65535/,
  ],
  'a destination port below 0': [
    { verb: 'remove-destination', key, destination: { address: pod.address, port: -1 } },
    'destination.port',
    /is -1, must be an integer from 0 to 65535/,
  ],
  'a weight below 0': [
    { verb: 'update-destination', key, destination: { ...pod, weight: -1 } },
    'destination.weight',
    /is -1, must be an integer from 0 to 2147483647/,
  ],
  'a weight that is no number': [
    { verb: 'update-destination', key, destination: { ...pod, weight: Number.NaN } },
    'destination.weight',
    /is NaN, must be an integer/,
  ],
  'a lower threshold above the upper one': [
    { verb: 'create-destination', key, destination: { ...pod, upperThreshold: 5, lowerThreshold: 6 } },
    'destination.lowerThreshold',
    /is 6, above upperThreshold 5/,
  ],
  'a forwarding method that is none': [
    { verb: 'create-destination', key, destination: { ...pod, forward: 'nat' } },
    'destination.forward',
    /"nat" is none of masquerade, /,
  ],
  'a protocol that is none': [
    { verb: 'remove-service', key: { ...key, protocol: 'icmp' } },
    'key.protocol',
    /"icmp" is none of tcp, udp, sctp/,
  ],
  'a firewall mark of 0': [
    { verb: 'remove-service', key: { fwmark: 0, family: 'IPv4' } },
    'key.fwmark',
    /is 0, must be an integer from 1 to 4294967295/,
  ],
  'a scheduler name above 15 bytes': [
    { verb: 'create-service', service: { ...service, scheduler: long } },
    'service.scheduler',
    /must be 1 to 15 printable ASCII characters/,
  ],
  'a set name above 31 bytes': [
    { verb: 'create-set', set: { ...nets, name: long } },
    'set.name',
    /must be 1 to 31 printable ASCII characters without blanks/,
  ],
  'a set name with a blank': [
    { verb: 'remove-set', name: 'A B' },
    'name',
    /"A B" must be 1 to 31 printable ASCII characters without blanks/,
  ],
  'a link name above 15 bytes': [
    { verb: 'ensure-link', name: 'x'.repeat(16) },
    'name',
    /is not an interface name \(1 to 15 characters/,
  ],
  'a set type that this library does not know': [
    { verb: 'create-set', set: { ...nets, type: 'list:set' } },
    'set.type',
    /"list:set" is none of hash:ip /,
  ],
  'a CIDR with host bits': [
    { verb: 'add-entry', set: nets, entry: '10.0.0.5/8' },
    'entry',
    /"10\.0\.0\.5\/8", which has host bits: the network is 10\.0\.0\.0\/8/,
  ],
  '0.0.0.0/0 in hash:net': [
    { verb: 'add-entry', set: nets, entry: '0.0.0.0/0' },
    'entry',
    /takes no \/0: add 0\.0\.0\.0\/1 and 128\.0\.0\.0\/1 instead \(splitPrefix0\)/,
  ],
  '0.0.0.0/0 in hash:ip,port,net': [
    { verb: 'add-entry', set: ports, entry: '10.0.0.1,tcp:80,0.0.0.0/0' },
    'entry',
    /takes no \/0: add 0\.0\.0\.0\/1 and 128\.0\.0\.0\/1 instead/,
  ],
  'an entry of another family than its set': [
    { verb: 'add-entry', set: nets, entry: 'fd00::/64' },
    'entry',
    /the set is of family IPv4: add it to a set of the other family/,
  ],
  'an entry of another form than its type': [
    { verb: 'add-entry', set: ports, entry: '10.0.0.1' },
    'entry',
    /must have the form ADDRESS,PROTOCOL:PORT,ADDRESS\[\/PREFIX\]/,
  ],
  'a port out of range in an entry': [
    { verb: 'add-entry', set: { ...nets, type: 'bitmap:port' }, entry: '65536' },
    'entry',
    /is not a port \(0 to 65535\)/,
  ],
  'a prefix longer than the family has': [
    { verb: 'add-address', address: { ...vip, prefixLength: 33 } },
    'address.prefixLength',
    /is 33, must be an integer from 0 to 32/,
  ],
  'a local route with host bits': [
    { verb: 'add-local-route', route: { address: ip('10.96.0.1'), prefixLength: 12, protocol: 200 } },
    'route.address',
    /10\.96\.0\.1\/12 has host bits: clear them, or give the full prefix length 32/,
  ],
  "a local route under the kernel's own mark": [
    { verb: 'add-local-route', route: { address: ip('10.96.0.0'), prefixLength: 12, protocol: 2 } },
    'route.protocol',
    /is 2, must be an integer from 4 to 255/,
  ],
  'a removal of a connection without a tuple, which would empty the table': [
    { verb: 'remove-connection' },
    'tuple',
    /is missing: a connection is removed by its whole tuple/,
  ],
  'a tuple with half of its ports': [
    { verb: 'remove-connection', tuple: { ...tuple, sourcePort: undefined } },
    'tuple.sourcePort',
    /must be an integer from 0 to 65535/,
  ],
  'a tuple of two families': [
    { verb: 'remove-connection', tuple: { ...tuple, destination: ip('fd00::1') } },
    'tuple.destination',
    /is not of the family of 10\.0\.0\.1/,
  ],
  'a verb that is none': [{ verb: 'drop-everything' }, 'verb', /"drop-everything" is not an operation/],
};

describe('refused as it is pushed, and the batch stays as it was', () => {
  for (const [what, [operation, field, remedy]] of Object.entries(refused)) {
    test(what, () => {
      const batch = new Batch().createService(service);
      const before = batch.toString();
      assert.throws(
        () => batch.push(untyped(operation)),
        (error: unknown) => {
          assert.ok(error instanceof InvalidArgumentError, String(error));
          assert.equal(error.code, 'ERR_INVALID_ARGUMENT');
          assert.equal(error.field, field);
          assert.ok(error.message.startsWith(`${field}: `), error.message);
          assert.match(error.message, remedy);
          return true;
        },
      );
      assert.equal(batch.toString(), before);
      assert.equal(batch.size, 1);
    });
  }
});

test('the two halves that splitPrefix0 makes of /0 are taken', () => {
  const batch = new Batch();
  for (const entry of splitPrefix0('0.0.0.0/0')) batch.addEntry(nets, entry);
  for (const entry of splitPrefix0('10.0.0.1,tcp:80,0.0.0.0/0')) batch.addEntry(ports, entry);
  assert.equal(batch.size, 4);
});

test('replaceSet appends all of it or nothing', () => {
  const batch = new Batch();
  assert.throws(() => batch.replaceSet(nets, ['10.0.0.0/8', '10.0.0.5/8']), { field: 'entry' });
  assert.equal(batch.size, 0);
});

async function failure(work: () => Promise<unknown>): Promise<ProxierError> {
  try {
    await work();
  } catch (error) {
    assert.ok(error instanceof ProxierError, String(error));
    return error;
  }
  assert.fail('it was taken');
}

function assertSays(error: ProxierError, code: string, remedy: RegExp): void {
  assert.equal(error.code, code, error.message);
  assert.match(error.message, remedy);
}

test('a batch, or a read, after the client is closed: ERR_CLOSED, and nothing is sent', async () => {
  const fake = new FakeKernel();
  const kernel = await openKernel({ session: fake.session() });
  const batch = kernel.batch().createService(service);
  await kernel.close();
  const remedy = /client is closed: open another one with openKernel\(\)/;
  assertSays(await failure(() => kernel.run(batch)), 'ERR_CLOSED', remedy);
  assertSays(await failure(() => kernel.ipvs.list()), 'ERR_CLOSED', remedy);
  assertSays(await failure(() => kernel.ipset.flush('NETS')), 'ERR_CLOSED', remedy);
  assert.deepEqual(fake.log, []);
});

test('no permission: ERR_PERMISSION, and the capability by name', async () => {
  await using kernel = await openKernel({ session: new FakeKernel({ permitted: false }).session() });
  const set = { ...nets, type: 'hash:ip' } as const;
  for (const write of [kernel.batch().createService(service), kernel.batch().createSet(set)]) {
    assertSays(await failure(() => kernel.run(write)), 'ERR_PERMISSION', /CAP_NET_ADMIN.*NET_ADMIN/);
  }
  assertSays(await failure(() => kernel.ipvs.list()), 'ERR_PERMISSION', /CAP_NET_ADMIN/);
  assertSays(await failure(() => kernel.ipset.flush('NETS')), 'ERR_PERMISSION', /CAP_NET_ADMIN/);
});

test('a scheduler that the kernel does not know: ERR_SCHEDULER_UNKNOWN, the field, and the module to load', async () => {
  await using kernel = await openKernel({ session: new FakeKernel().session() });
  const error = await failure(() => kernel.run(kernel.batch().createService({ ...service, scheduler: 'fastest' })));
  assertSays(error, 'ERR_SCHEDULER_UNKNOWN', /scheduler fastest.* modprobe ip_vs_fastest/);
  assert.ok(error instanceof BatchError);
  assert.equal(error.result.failures[0]?.error.field, 'service.scheduler');
});

test('a client that is opened wrongly: the field, before there is a worker', async () => {
  for (const [options, field] of [
    [{ thread: 'inlin' }, 'thread'],
    [{ thread: 'inline', timeoutMs: 0 }, 'timeoutMs'],
    [{ thread: 'inline', timeoutMs: 1.5 }, 'timeoutMs'],
  ] as const) {
    const isOptions = (candidate: object): candidate is KernelOptions => 'thread' in candidate;
    const untypedOptions: object = options;
    assert.ok(isOptions(untypedOptions));
    const error = await failure(() => openKernel(untypedOptions));
    assertSays(error, 'ERR_INVALID_ARGUMENT', /is neither worker nor inline|must be an integer from 1 to 600000/);
    assert.ok(error instanceof InvalidArgumentError);
    assert.equal(error.field, field);
  }
});

test('a sysctl that is none, such as a way out of /proc/sys: the field, and how to write one', () => {
  for (const key of ['../../etc/passwd', 'net.ipv4.ip_forward', 'net/ipv4/ip_forward\0', '']) {
    assert.throws(() => new ProcSysctls().read(key), {
      code: 'ERR_INVALID_ARGUMENT',
      field: 'key',
      message: /write it as net/,
    });
    assert.throws(() => new ProcSysctls().write(key, '1'), { code: 'ERR_INVALID_ARGUMENT', field: 'key' });
  }
});

/** What only some kernels refuse, by the code that they refuse it with. */
function refusal(operation: Operation, errno: number): BatchError {
  const failures = [
    { index: 0, operation: operation.verb, outcome: 'failed', error: operationError(operation, errno) },
  ] as const satisfies BatchResult['failures'];
  return new BatchError({ applied: 0, failures, messages: 1, roundTrips: 1, kernelMicros: 1 });
}

test('a set type, or a revision, that this kernel does not have: ERR_KERNEL_UNSUPPORTED, and what to do', () => {
  const create = { verb: 'create-set', set: { ...ports, comment: true } } as const;
  assertSays(
    refusal(create, 4098),
    'ERR_KERNEL_UNSUPPORTED',
    /no set type hash:ip,port,net: modprobe ip_set_hash_ipportnet/,
  );
  assertSays(
    refusal(create, 95),
    'ERR_KERNEL_UNSUPPORTED',
    /hash:ip,port,net is of a revision without comments: leave comment out/,
  );
});

describe('a netns that is no network namespace', () => {
  const directory = mkdtempSync(join(tmpdir(), 'bad-netns-'));
  const file = join(directory, 'file');
  writeFileSync(file, '');
  const cases: Readonly<Record<string, readonly [options: KernelOptions, remedy: RegExp]>> = {
    'a path where nothing is': [
      { netns: join(directory, 'none') },
      /ENOENT: there is no such file; "ip netns add NAME"/,
    ],
    'an empty path': [{ netns: '' }, /is not the path of a network namespace, such as \/run\/netns\/blue/],
    'a namespace for a session in the calling thread': [
      { netns: '/proc/self/ns/net', thread: 'inline' },
      /open another one with openKernel\(\{ netns, thread: 'worker' \}\)/,
    ],
    'a namespace beside a session': [
      { netns: '/proc/self/ns/net', session: new FakeKernel().session() },
      /open another one with openKernel/,
    ],
    ...(process.platform === 'linux'
      ? {
          'a plain file': [{ netns: file }, /is not a network namespace: give \/run\/netns\/NAME/],
          'a namespace of another kind': [{ netns: '/proc/self/ns/mnt' }, /is not a network namespace: give/],
        }
      : {}),
  };
  for (const [what, [options, remedy]] of Object.entries(cases)) {
    test(what, async () => {
      const error = await failure(async () => (await openKernel(options)).close());
      assertSays(error, 'ERR_INVALID_ARGUMENT', remedy);
      assert.ok(error instanceof InvalidArgumentError);
      assert.equal(error.field, 'netns');
    });
  }
  after(() => rmSync(directory, { recursive: true }));
});
