/** What crosses to the worker stays small (lib/records.ts). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import type { RecordMessage, SliceBody } from '../../lib/records.ts';
import { ip, message, slice } from '../harness/records.ts';

const hint = (index: number): readonly string[] => [`zone-${index % 3}`];

/** Bytes of one endpoint more, beside those of the record. */
function bytesAnEndpoint(addressOf: (index: number) => string, more: (index: number) => Partial<SliceBody>): number {
  const sized = (count: number): number => {
    const record = slice(Array.from({ length: count }, (_, index) => ({ address: addressOf(index) })));
    const body = record.body === null ? null : { ...record.body, ...more(count) };
    const said: RecordMessage = { ...message(), records: [{ ...record, body }] };
    return serialize(said).length;
  };
  return (sized(1000) - sized(0)) / 1000;
}

const four = (index: number): string => `10.244.${index >> 8}.${index & 255}`;
const six = (index: number): string => `fd00:244::${(index + 0x1000).toString(16)}`;

test('an endpoint takes at most 40 bytes of a slice record, of either family, weighted and with a hint', () => {
  const column = <T>(count: number, of: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => of(index));
  const weights = (count: number): Partial<SliceBody> => ({ weights: column(count, (index) => 1 + (index % 7)) });
  const all = (count: number): Partial<SliceBody> => ({ ...weights(count), zoneHints: column(count, hint) });
  for (const addressOf of [four, six]) {
    for (const more of [() => ({}), weights, all]) {
      const bytes = bytesAnEndpoint(addressOf, more);
      assert.ok(bytes <= 40, `${ip(addressOf(0))}: ${bytes} bytes`);
    }
  }
});
