/**
 * IP addresses between text and the bytes the kernel takes. Made for speed (no allocation on the way in), and strict: what
 * `parseAddress` of `address.ts` would not return is refused, except that upper case and unshortened IPv6 are understood.
 */
import type { IpAddress, IpFamily } from '../types.ts';

/** The family byte of a record: 4 or 6; 0 = not an address. */
export type FamilyByte = 0 | 4 | 6;

/** Every address in a record takes this much room; IPv4 uses the first four bytes, the rest is zero. */
export const ADDRESS_BYTES = 16;

const COLON = 0x3a;
const DOT = 0x2e;

/** Writes 16 bytes at `at` and returns the family; on 0 the bytes there are undefined. */
export function writeAddress(bytes: Uint8Array, at: number, text: string): FamilyByte {
  if (!writeIPv4(bytes, at, text)) return text.includes(':') && writeIPv6(bytes, at, text) ? 6 : 0;
  for (let i = at + 4; i < at + ADDRESS_BYTES; i++) bytes[i] = 0;
  return 4;
}

function writeIPv4(bytes: Uint8Array, at: number, text: string): boolean {
  let part = 0;
  let value = 0;
  let digits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (digits === 0 || part === 3) return false;
      bytes[at + part++] = value;
      value = 0;
      digits = 0;
      continue;
    }
    const digit = code - 0x30;
    // A leading zero would be octal to some readers and decimal to others.
    if (digit < 0 || digit > 9 || (digits > 0 && value === 0)) return false;
    value = value * 10 + digit;
    if (value > 255) return false;
    digits++;
  }
  bytes[at + part] = value;
  return part === 3 && digits > 0;
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function writeIPv6(bytes: Uint8Array, at: number, text: string): boolean {
  const end = text.length;
  let group = 0;
  let gap = -1;
  let i = 0;
  if (text.startsWith('::')) {
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (group === 8) return false;
    let value = 0;
    let digits = 0;
    for (; i < end; i++) {
      const digit = hexDigit(text.charCodeAt(i));
      if (digit < 0) break;
      if (++digits > 4) return false;
      value = (value << 4) | digit;
    }
    if (digits === 0) return false;
    bytes[at + 2 * group] = value >> 8;
    bytes[at + 2 * group + 1] = value & 0xff;
    group++;
    if (i === end) break;
    if (text.charCodeAt(i++) !== COLON || i === end) return false;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return false;
      gap = group;
      i++;
    }
  }
  if (gap < 0) return group === 8 && !isMapped(bytes, at);
  if (group === 8) return false;
  const tail = at + 16 - 2 * (group - gap);
  bytes.copyWithin(tail, at + 2 * gap, at + 2 * group);
  bytes.fill(0, at + 2 * gap, tail);
  return !isMapped(bytes, at);
}

/** `::ffff:0:0/96`: an IPv4 address in IPv6 clothes, which belongs to no family here. */
function isMapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false;
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff;
}

/** Canonical text of the 16 (or, for IPv4, 4) bytes at `at`: dotted decimal, or RFC 5952 without an embedded IPv4 part. */
export function readAddress(bytes: Uint8Array, at: number, family: IpFamily): IpAddress {
  const text = family === 'IPv4' ? readIPv4(bytes, at) : readIPv6(bytes, at);
  if (isAddress(text)) return text;
  throw new RangeError('unreachable: address text is never empty');
}

function isAddress(text: string): text is IpAddress {
  return text !== '';
}

/** Text of the first three bytes, with the dot behind them: the addresses of a cluster are of few such nets, and a dump is full of them. */
const prefixes = new Map<number, string>();
const MOST_PREFIXES = 4096;

function readIPv4(bytes: Uint8Array, at: number): string {
  const net = ((bytes[at] ?? 0) << 16) | ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
  let prefix = prefixes.get(net);
  if (prefix === undefined) {
    prefix = `${net >>> 16}.${(net >>> 8) & 0xff}.${net & 0xff}.`;
    if (prefixes.size === MOST_PREFIXES) prefixes.clear();
    prefixes.set(net, prefix);
  }
  return prefix + (bytes[at + 3] ?? 0);
}

function readIPv6(bytes: Uint8Array, at: number): string {
  let runStart = -1;
  let runLength = 1;
  for (let group = 0; group < 8; ) {
    let end = group;
    while (end < 8 && bytes[at + 2 * end] === 0 && bytes[at + 2 * end + 1] === 0) end++;
    if (end - group > runLength) {
      runStart = group;
      runLength = end - group;
    }
    group = end + 1;
  }
  let text = '';
  for (let group = 0; group < 8; group++) {
    if (group === runStart) {
      text += '::';
      group += runLength - 1;
      continue;
    }
    if (group > 0 && !text.endsWith(':')) text += ':';
    text += (((bytes[at + 2 * group] ?? 0) << 8) | (bytes[at + 2 * group + 1] ?? 0)).toString(16);
  }
  return text;
}
