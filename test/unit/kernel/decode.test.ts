/** What a foreign table may hold and this library has no word for: left out or said honestly, never a wrong value. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import { readEntryState, readSetState } from '../../../lib/kernel/decode.ts';
import { readDestinationState, readService } from '../../../lib/kernel/decode-ipvs.ts';
import { errnoName } from '../../../lib/kernel/errno.ts';
import { openSession } from '../../../lib/kernel/linux-session.ts';
import { RecordReader } from '../../../lib/kernel/record-reader.ts';
import { RecordWriter } from '../../../lib/kernel/record-writer.ts';
import { EntryFlag, Opcode, SetFlag } from '../../../lib/kernel/wire.ts';

function record<T>(opcode: number, write: (writer: RecordWriter) => void, read: (reader: RecordReader) => T): T {
  const writer = new RecordWriter();
  writer.begin(opcode);
  write(writer);
  writer.commit();
  const reader = new RecordReader(writer.bytes, writer.length);
  assert.ok(reader.next());
  const value = read(reader);
  assert.ok(reader.at <= writer.length);
  assert.equal(reader.next(), false);
  return value;
}

function address(writer: RecordWriter, ...bytes: readonly number[]): void {
  for (let i = 0; i < 16; i++) writer.u8(bytes[i] ?? 0);
}

const service = (protocol: number, fwmark: number, prefix: number) =>
  record(
    Opcode.serviceState,
    (writer) => {
      writer.u8(4);
      writer.u8(protocol);
      writer.u16(80);
      writer.u32(fwmark);
      address(writer, 10, 0, 0, 1);
      writer.u32(0x3);
      writer.u32(300);
      writer.u32(prefix);
      writer.string('rr');
      writer.string('');
    },
    readService,
  );

test('services: the kernel’s own flag is masked, a full prefix is no prefix, a strange protocol is left out', () => {
  const rest = { scheduler: 'rr', flags: 1, timeoutSeconds: 300 };
  assert.deepEqual(service(6, 0, 32), { key: { protocol: 'tcp', address: '10.0.0.1', port: 80 }, ...rest });
  assert.deepEqual(service(0, 7, 24), { key: { fwmark: 7, family: 'IPv4' }, ...rest, prefixLength: 24 });
  assert.equal(service(1, 0, 32), undefined);
  assert.equal(service(255, 0, 32), undefined);
});

test('a forwarding method, a set type and entries of tomorrow are left out', () => {
  const destination = (forward: number) =>
    record(
      Opcode.destinationState,
      (writer) => {
        writer.u8(6);
        writer.u8(forward);
        writer.u16(80);
        for (const number of [1, 0, 0]) writer.u32(number);
        address(writer, 0xfd);
        writer.u32(0);
        for (const number of [3, 4, 5]) writer.u32(number);
      },
      readDestinationState,
    );
  assert.deepEqual(destination(0), {
    ...{ address: 'fd00::', port: 80, weight: 1, forward: 'masquerade' },
    ...{ activeConnections: 3, inactiveConnections: 4, persistentConnections: 5 },
  });
  assert.equal(destination(7), undefined);
  const set = (type: number) =>
    record(
      Opcode.setState,
      (writer) => {
        for (const byte of [type, 4, 5, SetFlag.timeout]) writer.u8(byte);
        for (const number of [1024, 65536, 10, 2, 4096, 60]) writer.u32(number);
        writer.string('A');
        writer.string('list:set');
      },
      readSetState,
    );
  assert.equal(set(3)?.references, 2);
  assert.equal(set(3)?.timeoutSeconds, 60);
  assert.equal(set(3)?.comment, false);
  assert.equal(set(0), undefined);
  assert.equal(
    record(Opcode.entryState, (writer) => address(writer, 0, 4), readEntryState),
    undefined,
  );
});

test('entries say what their set has no plain word for', () => {
  const entry = record(
    Opcode.entryState,
    (writer) => {
      writer.flags(EntryFlag.nomatch | EntryFlag.physdev | EntryFlag.timeout | EntryFlag.comment);
      for (const byte of [6, 4, 0, 8]) writer.u8(byte);
      writer.u32(0);
      address(writer, 10);
      writer.string('eth0');
      writer.u32(60);
      // Another program's: neither quotes nor control characters nor broken UTF-8 may break the notation.
      writer.byteString(Uint8Array.of(0x22, 0xc3, 0xa4, 0x0a, 0xff));
    },
    readEntryState,
  );
  assert.equal(entry, '10.0.0.0/8,physdev:eth0 timeout 60 nomatch comment "\'ä ?"');
});

test('errno names', () => {
  assert.deepEqual([2, 4352, 4103, 777].map(errnoName), [
    'ENOENT',
    'IPSET_ERR_HASH_FULL',
    'IPSET_ERR_EXIST',
    'errno 777',
  ]);
});

test('off Linux the addon is absent and says so; a bad time-out is refused', (context) => {
  assert.throws(() => openSession({ timeoutMs: 0 }), { code: 'ERR_INVALID_ARGUMENT', field: 'timeoutMs' });
  const platform = process.platform;
  context.after(() => Object.defineProperty(process, 'platform', { value: platform }));
  Object.defineProperty(process, 'platform', { value: 'darwin' });
  assert.throws(
    () => openSession(),
    (error) => error instanceof ProxierError && error.code === 'ERR_ADDON' && /darwin/.test(error.message),
  );
});
