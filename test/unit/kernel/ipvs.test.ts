/** What IPVS operations refuse and read as, and the client of it over the fake kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { openKernel } from '../../../lib/kernel/client.ts';
import { readDestinationState, readInfo, readService } from '../../../lib/kernel/decode-ipvs.ts';
import { RecordReader } from '../../../lib/kernel/record-reader.ts';
import { RecordWriter } from '../../../lib/kernel/record-writer.ts';
import { schedulerFlagNames, schedulerFlags } from '../../../lib/kernel/scheduler-flags.ts';
import { HAS_STATISTICS, Opcode } from '../../../lib/kernel/wire.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { AddressServiceKey, Destination, IpAddress, Tunnel, VirtualService } from '../../../lib/types.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const key: AddressServiceKey = { protocol: 'tcp', address: address('10.96.0.10'), port: 80 };
const service: VirtualService = { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 };
const to: Destination = { address: address('10.1.2.3'), port: 80, weight: 1, forward: 'tunnel' };
const isInvalid = (field: string, words: RegExp) => (error: unknown) =>
  error instanceof InvalidArgumentError && error.field === field && words.test(error.message);

test('a tunnel that its type cannot be is refused with the field and what is allowed', () => {
  const cases: readonly (readonly [string, RegExp, Tunnel])[] = [
    ['destination.tunnel.port', /from 1 to 65535/, { type: 'gue' }],
    ['destination.tunnel.port', /from 1 to 65535/, { type: 'gue', port: 65536 }],
    ['destination.tunnel.port', /gre has no port/, { type: 'gre', port: 1 }],
    ['destination.tunnel.checksum', /ipip has no checksum/, { type: 'ipip', checksum: true }],
    ['destination.tunnel.remoteChecksum', /only gue has/, { type: 'gre', remoteChecksum: true }],
  ];
  for (const [field, words, tunnel] of cases) {
    const batch = new Batch();
    assert.throws(() => batch.createDestination(key, { ...to, tunnel }), isInvalid(field, words), field);
    assert.equal(batch.size, 0);
  }
  const direct = { ...to, forward: 'direct', tunnel: { type: 'gre' } } as const;
  assert.throws(() => new Batch().createDestination(key, direct), isInvalid('destination.tunnel', /not direct/));
  for (const tcpSeconds of [-1, 1.5, 2_147_484]) {
    assert.throws(() => new Batch().setTimeouts({ tcpSeconds }), isInvalid('timeouts.tcpSeconds', /from 0 to 2147483/));
  }
  assert.throws(() => new Batch().zeroService({ fwmark: 0, family: 'IPv4' }), isInvalid('key.fwmark', /from 1/));
});

test('the new operations read as ipvsadm takes them', () => {
  const gue: Tunnel = { type: 'gue', port: 6080, checksum: true };
  const batch = new Batch()
    .createDestination(key, { ...to, tunnel: gue, weight: 2 })
    .updateDestination(key, { ...to, tunnel: { type: 'gre' } })
    .zeroService({ fwmark: 7, family: 'IPv6' })
    .zeroServices()
    .flushServices()
    .setTimeouts({ tcpSeconds: 900, udpSeconds: 30 });
  assert.deepEqual(batch.toString().trim().split('\n'), [
    'ipvsadm -a -t 10.96.0.10:80 -r 10.1.2.3:80 -i --tun-type gue --tun-port 6080 --tun-csum -w 2',
    'ipvsadm -e -t 10.96.0.10:80 -r 10.1.2.3:80 -i --tun-type gre -w 1',
    'ipvsadm -Z -f 7 -6',
    'ipvsadm -Z',
    'ipvsadm -C',
    'ipvsadm --set 900 0 30',
  ]);
});

test('scheduler flags have the names that ipvsadm gives them', () => {
  assert.equal(schedulerFlags('sh', []), 0);
  assert.equal(schedulerFlags('mh', ['port', 'fallback', 'port']), 0x18);
  assert.deepEqual(schedulerFlagNames('mh', 0x3f), ['mh-fallback', 'mh-port', 'flag-3']);
  assert.deepEqual(schedulerFlagNames('rr', 0x18), ['flag-1', 'flag-2']);
  // As a caller without types would.
  assert.throws(() => Reflect.apply(schedulerFlags, undefined, ['rr', ['port']]), isInvalid('scheduler', /sh and mh/));
  assert.throws(
    () => Reflect.apply(schedulerFlags, undefined, ['sh', ['toString']]),
    isInvalid('names', /fallback, port/),
  );
});

test('statistics are 64 bits wide', () => {
  const numbers = Array.from({ length: 10 }, (_, i) => (i < 5 ? 0xffff_ffff_ffff_fff0n + BigInt(i) : BigInt(i)));
  const writer = new RecordWriter();
  const statistics = (): void => {
    for (const number of numbers) {
      writer.u32(Number(number & 0xffff_ffffn));
      writer.u32(Number(number >> 32n));
    }
  };
  writer.begin(Opcode.serviceState);
  writer.flags(HAS_STATISTICS);
  for (const byte of [4, 6]) writer.u8(byte);
  writer.u16(80);
  writer.u32(0);
  for (let i = 0; i < 16; i++) writer.u8(i < 4 ? 10 : 0);
  for (let i = 0; i < 3; i++) writer.u32(0);
  writer.string('rr');
  writer.string('');
  statistics();
  writer.commit();
  writer.begin(Opcode.infoState);
  writer.u32(0x010201);
  writer.u32(4096);
  writer.commit();
  const reader = new RecordReader(writer.bytes, writer.length);
  assert.ok(reader.next());
  assert.deepEqual(readService(reader)?.statistics, {
    connections: numbers[0],
    inPackets: numbers[1],
    outPackets: numbers[2],
    inBytes: numbers[3],
    outBytes: numbers[4],
    connectionsPerSecond: 5,
    inPacketsPerSecond: 6,
    outPacketsPerSecond: 7,
    inBytesPerSecond: 8,
    outBytesPerSecond: 9,
  });
  assert.ok(reader.next());
  assert.deepEqual(readInfo(reader), { version: '1.2.1', connectionTableSize: 4096 });
  assert.equal(reader.next(), false);
});

test('a tunnel type of tomorrow is no reason to leave the destination out', () => {
  const writer = new RecordWriter();
  writer.begin(Opcode.destinationState);
  for (const byte of [4, 2]) writer.u8(byte);
  writer.u16(80);
  for (let i = 0; i < 3; i++) writer.u32(0);
  for (let i = 0; i < 16; i++) writer.u8(i < 4 ? 10 : 0);
  for (const byte of [9, 0]) writer.u8(byte);
  writer.u16(0);
  for (let i = 0; i < 3; i++) writer.u32(i);
  writer.commit();
  const reader = new RecordReader(writer.bytes, writer.length);
  assert.ok(reader.next());
  const read = readDestinationState(reader);
  assert.equal(read?.forward, 'tunnel');
  assert.equal(read?.tunnel, undefined);
  assert.equal(read?.persistentConnections, 2);
});

test('the client reads, zeroes, flushes and sets', async () => {
  const fake = new FakeKernel();
  await using kernel = await openKernel({ session: fake.session() });
  const { ipvs } = kernel;
  await kernel.run(kernel.batch().createService(service).createDestination(key, to));
  assert.deepEqual(await ipvs.get(key), service);
  assert.equal(await ipvs.get({ fwmark: 1, family: 'IPv4' }), undefined);
  assert.deepEqual(await ipvs.list(), [service]);
  assert.equal((await ipvs.list({ statistics: true }))[0]?.statistics?.connections, 0n);
  const [table] = await ipvs.listWithDestinations({ thresholds: true });
  assert.deepEqual(table?.destinations, await ipvs.destinations(key));
  await ipvs.setTimeouts({ udpSeconds: 5 });
  assert.deepEqual(await ipvs.timeouts(), { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 5 });
  assert.match((await ipvs.info()).version, /^\d+\.\d+\.\d+$/);
  await ipvs.zero(key);
  await ipvs.zero();
  await assert.rejects(ipvs.zero({ ...key, port: 81 }), { code: 'ERR_NETLINK' });
  await ipvs.flush();
  assert.deepEqual(await ipvs.list(), []);
});

test('an aborted signal stops the waiting, and before the call also the sending', async () => {
  const fake = new FakeKernel();
  await using kernel = await openKernel({ session: fake.session() });
  const reason = new Error('enough');
  await assert.rejects(
    kernel.run(kernel.batch().createService(service), { signal: AbortSignal.abort(reason) }),
    reason,
  );
  await assert.rejects(kernel.ipvs.list({ signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(fake.log, []);
  const controller = new AbortController();
  const run = kernel.run(kernel.batch().createService(service), { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(run, reason);
  // It had been sent.
  assert.deepEqual(await kernel.ipvs.get(key), service);
});

test('after close a batch can be built and no longer run', async () => {
  const kernel = await openKernel({ session: new FakeKernel().session() });
  const batch = kernel.batch().createService(service);
  await kernel.close();
  await kernel.close();
  assert.equal(batch.push({ verb: 'remove-service', key }).size, 2);
  await assert.rejects(kernel.run(batch), { code: 'ERR_CLOSED' });
  await assert.rejects(kernel.ipvs.list(), { code: 'ERR_CLOSED' });
});

test('a namespace is entered by a worker or not at all', async () => {
  for (const options of [{ thread: 'inline' }, { session: new FakeKernel().session() }] as const) {
    await assert.rejects(openKernel({ netns: '/run/netns/blue', ...options }), isInvalid('netns', /thread: 'worker'/));
  }
  for (const netns of ['', 'a\0b']) await assert.rejects(openKernel({ netns }), isInvalid('netns', /not the path/));
  await assert.rejects(
    openKernel({ netns: '/run/netns/not-there' }),
    isInvalid('netns', /\/run\/netns\/not-there: ENOENT/),
  );
});
