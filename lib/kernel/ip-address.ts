/** Addresses from text that has to be one. */
import { parseAddress } from '../address.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { IpAddress } from '../types.ts';

/**
 * `parseAddress` for text that has to be an address, such as a constant.
 * @throws InvalidArgumentError address
 * @example ipAddress('10.96.0.10'); ipAddress('FD00:0::1') // 'fd00::1'
 */
export function ipAddress(text: string): IpAddress {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  const allowed = 'no prefix length, no zone, no leading zeros, no IPv4-mapped IPv6';
  throw new InvalidArgumentError('address', `"${text}" is not an IPv4 or IPv6 address (${allowed})`);
}
