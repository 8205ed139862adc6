/** IP addresses and CIDRs as canonical text. A leaf: the one place that turns foreign text into an {@link IpAddress}. */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { IpAddress, IpFamily } from './types.ts';

/**
 * The canonical form of an address, or undefined when the text is not one. Strict: no octal (`010.0.0.1`), no prefix length, no
 * zone, no IPv4-mapped IPv6 (`::ffff:10.0.0.1` belongs to no family here, so it is not an address).
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (isIPv4(text)) return asAddress(text);
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const parsed = ipaddr.IPv6.parse(text);
  return parsed.isIPv4MappedAddress() ? undefined : asAddress(parsed.toRFC5952String());
}

function asAddress(text: string): IpAddress | undefined {
  return isCanonical(text) ? text : undefined;
}

function isCanonical(text: string): text is IpAddress {
  return text.length > 0;
}

/** By the form of the text alone: it is canonical. */
export function familyOf(address: IpAddress): IpFamily {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

/** `10.244.1.5:8080`, `[fd00::5]:8080` */
export function hostPort(address: IpAddress, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** 32 or 128. */
export function fullPrefix(family: IpFamily): number {
  return family === 'IPv4' ? 32 : 128;
}

export interface Cidr {
  readonly family: IpFamily;
  /** Host bits cleared. */
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** `10.0.0.0/8` */
  readonly text: string;
}

/** `10.0.0.5/8` → `10.0.0.0/8`; undefined when it is not a CIDR (a bare address is not one). */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const prefixText = text.slice(slash + 1);
  const address = parseAddress(text.slice(0, slash));
  if (address === undefined || !/^(0|[1-9]\d{0,2})$/.test(prefixText)) return undefined;
  const family = familyOf(address);
  const prefixLength = Number(prefixText);
  if (prefixLength > fullPrefix(family)) return undefined;
  const network =
    family === 'IPv4'
      ? ipaddr.IPv4.networkAddressFromCIDR(`${address}/${prefixLength}`).toString()
      : ipaddr.IPv6.networkAddressFromCIDR(`${address}/${prefixLength}`).toRFC5952String();
  const masked = asAddress(network);
  return masked === undefined
    ? undefined
    : { family, address: masked, prefixLength, text: `${masked}/${prefixLength}` };
}

/** Whether the address is in the network; never, when it is of the other family. */
export function cidrContains(cidr: Cidr, address: IpAddress): boolean {
  if (familyOf(address) !== cidr.family) return false;
  return cidr.family === 'IPv4'
    ? ipaddr.IPv4.parse(address).match(ipaddr.IPv4.parse(cidr.address), cidr.prefixLength)
    : ipaddr.IPv6.parse(address).match(ipaddr.IPv6.parse(cidr.address), cidr.prefixLength);
}
