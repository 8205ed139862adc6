/** The addresses of this node as node ports see them (behaviour.md 2.4). */
import { familyOf } from '../address.ts';
import type { NodeAddressesRecord } from '../records.ts';
import type { IpAddress, LinkAddressState } from '../types.ts';

/**
 * Every address on every interface except the VIP device, without loopback and IPv6 link-local ones; IPv4 link-local stays. An address
 * that sits on the VIP device and on another interface is one of the node's, so this is no set difference.
 */
export function nodeAddresses(addresses: Iterable<LinkAddressState>, vipLink: string): IpAddress[] {
  const found = new Set<IpAddress>();
  for (const { link, address } of addresses) if (link !== vipLink && isNodeAddress(address)) found.add(address);
  return [...found].sort();
}

/** Neither loopback nor IPv6 link-local. */
export function isNodeAddress(address: IpAddress): boolean {
  if (familyOf(address) === 'IPv4') return !address.startsWith('127.');
  return address !== '::1' && !/^fe[89ab][0-9a-f]:/.test(address);
}

/** Name of the source under which the worker's own reading enters the records. */
const source = 'kernel';

export function nodeAddressesRecord(
  nodeName: string,
  addresses: readonly IpAddress[],
  seq: number,
): NodeAddressesRecord {
  return { source, seq, kind: 'nodeAddresses', key: nodeName, uid: '', body: { addresses } };
}
