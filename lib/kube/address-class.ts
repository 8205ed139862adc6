/** Addresses that can be neither a VIP nor a destination, told from their canonical text. */
import type { IpAddress } from '../types.ts';

export type SpecialAddress = 'unspecified' | 'loopback' | 'link-local' | 'multicast' | 'broadcast';

/** What is special about an address; undefined for an ordinary unicast one. 240.0.0.0/4 is ordinary: clusters use it. */
export function specialAddress(address: IpAddress): SpecialAddress | undefined {
  return address.includes(':') ? specialV6(address) : specialV4(address);
}

function specialV4(address: string): SpecialAddress | undefined {
  if (address === '255.255.255.255') return 'broadcast';
  if (address.startsWith('169.254.')) return 'link-local';
  const first = Number(address.slice(0, address.indexOf('.')));
  if (first === 0) return 'unspecified';
  if (first === 127) return 'loopback';
  return first >= 224 && first <= 239 ? 'multicast' : undefined;
}

/** Canonical text (RFC 5952) is lower case without leading zeros, so a first group of four digits is the top 16 bits. */
function specialV6(address: string): SpecialAddress | undefined {
  if (address === '::') return 'unspecified';
  if (address === '::1') return 'loopback';
  if (/^fe[89ab][0-9a-f]:/.test(address)) return 'link-local';
  return /^ff[0-9a-f]{2}:/.test(address) ? 'multicast' : undefined;
}

/**
 * Why an address cannot be a VIP. 169.254.0.0/16 can: the kernel routes to it and some clusters put Services there; fe80::/10
 * cannot, because a VIP has no interface scope.
 */
export function unusableVip(address: IpAddress): SpecialAddress | undefined {
  const special = specialAddress(address);
  return special === 'link-local' && !address.includes(':') ? undefined : special;
}
