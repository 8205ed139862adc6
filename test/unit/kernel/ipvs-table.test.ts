/** The IPVS table as records: slices into the room that was given, and decoded from there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NativeDump } from '../../../lib/kernel/binding.ts';
import { IpvsReader } from '../../../lib/kernel/ipvs-reader.ts';
import { decodeTable } from '../../../lib/kernel/ipvs-table.ts';
import { SLICE_BYTES } from '../../../lib/kernel/record-cursor.ts';
import { RecordWriter } from '../../../lib/kernel/record-writer.ts';
import { Opcode } from '../../../lib/kernel/wire.ts';

const SLICES = 6;
const SERVICES_OF_SLICE = 100;

/** Services with two destinations each, the second one of the last of a slice in the next slice. */
function slices(): Uint8Array[] {
  return Array.from({ length: SLICES }, (_, slice) => {
    const writer = new RecordWriter();
    const destination = (last: number): void => {
      writer.begin(Opcode.destinationState);
      for (const byte of [4, 0]) writer.u8(byte);
      writer.u16(8080);
      for (const number of [last, 0, 0]) writer.u32(number);
      for (let i = 0; i < 16; i++) writer.u8(i < 3 ? 10 : i === 3 ? last : 0);
      for (const number of [0, 1, 2, 3]) writer.u32(number);
      writer.commit();
    };
    if (slice > 0) destination(2);
    for (let service = 0; service < SERVICES_OF_SLICE; service++) {
      writer.begin(Opcode.serviceState);
      for (const byte of [4, 6]) writer.u8(byte);
      writer.u16(slice * SERVICES_OF_SLICE + service);
      writer.u32(0);
      for (let i = 0; i < 16; i++) writer.u8(i < 4 ? 10 : 0);
      for (const number of [0, 0, 32]) writer.u32(number);
      writer.string('rr');
      writer.string('');
      writer.commit();
      destination(1);
      if (service < SERVICES_OF_SLICE - 1 || slice === SLICES - 1) destination(2);
    }
    return writer.bytes.slice(0, writer.length);
  });
}

/** A reader of these slices, and how often its dumps were released. */
function readerOf(all: readonly Uint8Array[]): { reader: IpvsReader; released: NativeDump[] } {
  const released: NativeDump[] = [];
  const open = (): NativeDump => {
    let at = 0;
    return {
      next(buffer) {
        assert.ok(buffer.length >= SLICE_BYTES, 'room for any slice');
        const slice = all[at++];
        if (slice === undefined) return 0;
        buffer.set(slice);
        return slice.length;
      },
      close() {},
    };
  };
  const dumps = {
    open,
    release: (dump: NativeDump) => void released.push(dump),
    dump: () => assert.fail('no cursor is wanted'),
  };
  return { reader: new IpvsReader(dumps), released };
}

test('a table is read into the room that there is, and what does not fit beside it; the services are the same', () => {
  const all = slices();
  const total = all.reduce((sum, { length }) => sum + length, 0);
  for (const roomBytes of [0, SLICE_BYTES, SLICE_BYTES + 20_000, SLICE_BYTES + total]) {
    const room = new Uint8Array(roomBytes);
    const { reader, released } = readerOf(all);
    const table = reader.tableRecords({}, room);
    assert.equal(released.length, 1);
    assert.equal(
      table.rest.reduce((sum, { length }) => sum + length, table.length),
      total,
    );
    // One that is written to in place, no matter how large, needs nothing else.
    assert.equal(table.rest.length === 0, roomBytes >= SLICE_BYTES + total);
    const services = decodeTable(table, room);
    assert.deepEqual(
      services.map(({ key }) => ('port' in key ? key.port : undefined)),
      Array.from({ length: SLICES * SERVICES_OF_SLICE }, (_, i) => i),
    );
    for (const { destinations } of services) {
      assert.deepEqual(destinations, [state(1), state(2)]);
    }
  }
});

function state(last: number): object {
  const connections = { activeConnections: 1, inactiveConnections: 2, persistentConnections: 3 };
  return { address: `10.10.10.${last}`, port: 8080, weight: last, forward: 'masquerade', ...connections };
}
