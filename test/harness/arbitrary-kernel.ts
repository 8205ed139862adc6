/**
 * What the generators of kernel objects share: addresses, networks, seeds. One file per noun has the objects themselves
 * (`arbitrary-ipvs.ts`, `arbitrary-ipset.ts`, `arbitrary-addresses.ts`, `arbitrary-routes.ts`, `arbitrary-connections.ts`) and their text
 * in the notation of the tool that judges them. That text is written here anew, not taken from lib: what is wrong there must not be wrong
 * here as well.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../lib/address.ts';
import type { IpAddress, IpFamily } from '../../lib/types.ts';

export const families: fc.Arbitrary<IpFamily> = fc.constantFrom('IPv4', 'IPv6');
/** 1 to 65535, and the two ends more often than chance has it. */
export const ports: fc.Arbitrary<number> = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 65535 }) },
  { weight: 1, arbitrary: fc.constantFrom(1, 65535) },
);

/** Addresses of one family, unicast, out of 2^16 (so that some have neighbours and some meet again). */
export function addresses(family: IpFamily, net: number): fc.Arbitrary<IpAddress> {
  return fc.integer({ min: 1, max: 0xfffe }).map((host) => addressOf(family, net, host));
}

/** Networks of any length from `least` on, host bits cleared; a full-length one has no prefix, as in ipset's notation. */
export function networks(family: IpFamily, least: number): fc.Arbitrary<string> {
  const full = family === 'IPv4' ? 32 : 128;
  return fc
    .record({
      bits: fc.bigInt({ min: 0n, max: 2n ** BigInt(full) - 1n }),
      length: fc.integer({ min: least, max: full }),
    })
    .map(({ bits, length }) => {
      // 0010… is unicast in both families.
      const unicast = (bits >> 3n) | (1n << BigInt(full - 3));
      const host = BigInt(full - length);
      const address = textOf(family, (unicast >> host) << host);
      return length === full ? address : `${address}/${length}`;
    });
}

function addressOf(family: IpFamily, net: number, host: number): IpAddress {
  return textOf(
    family,
    family === 'IPv4'
      ? (10n << 24n) | (BigInt(net) << 16n) | BigInt(host)
      : (0xfdn << 120n) | (BigInt(net) << 64n) | BigInt(host),
  );
}

function textOf(family: IpFamily, bits: bigint): IpAddress {
  const [parts, size] = family === 'IPv4' ? [4, 8n] : [8, 16n];
  const numbers = Array.from({ length: parts }, (_, i) => (bits >> (BigInt(parts - 1 - i) * size)) & (2n ** size - 1n));
  const text = family === 'IPv4' ? numbers.join('.') : numbers.map((part) => part.toString(16)).join(':');
  const address = parseAddress(text);
  assert.ok(address !== undefined, text);
  return address;
}

/** What a time in seconds was, of which a little has gone by since: all that are generated are multiples of this. */
const secondsStep = 100_000;
export const longTimes: fc.Arbitrary<number> = fc.integer({ min: 1, max: 20 }).map((steps) => steps * secondsStep);
export function roundedSeconds(seconds: number): number {
  return Math.round(seconds / secondsStep) * secondsStep;
}

/**
 * Holds `check` against generated values, `runs` times and with TEST_LONG=1 ten times as often. The seed is told, and TEST_SEED sets it. A
 * failure is not made smaller: every value is a batch whose difference names the very line, and a round trip to the tools is slow.
 */
export async function holds<T>(
  context: TestContext,
  runs: number,
  arbitrary: fc.Arbitrary<T>,
  check: (value: T) => Promise<void>,
): Promise<void> {
  const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31);
  context.diagnostic(`seed ${seed} (again: TEST_SEED=${seed})`);
  const numRuns = process.env['TEST_LONG'] === '1' ? runs * 10 : runs;
  await fc.assert(fc.asyncProperty(arbitrary, check), { seed, numRuns, endOnFailure: true });
}

/** Compares texts of many objects, whatever their order; the difference is in the message. */
export function sameLines(got: Iterable<string>, wanted: Iterable<string>): void {
  const gotLines = [...got].sort();
  const wantedLines = [...wanted].sort();
  const gotSet = new Set(gotLines);
  const wantedSet = new Set(wantedLines);
  const missing = wantedLines.filter((line) => !gotSet.has(line));
  const strange = gotLines.filter((line) => !wantedSet.has(line));
  assert.deepEqual({ missing, strange }, { missing: [], strange: [] });
  assert.equal(gotLines.length, wantedLines.length, 'a line is there twice');
}
