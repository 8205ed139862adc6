/** Whether a slice takes endpoints away. */
import { EndpointBit, type SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';

const TAKES_CONNECTIONS = EndpointBit.ready | EndpointBit.serving;

/** An endpoint went, or ceased to be ready or to serve. A slice that changes in place, as most do, is compared in one walk. */
export function losesEndpoints(before: SliceBody | null | undefined, after: SliceBody | null): boolean {
  if (before === undefined || before === null) return false;
  const now = after ?? { addresses: [], conditions: [] };
  let bitsOf: Map<IpAddress, number> | undefined;
  for (const [index, address] of before.addresses.entries()) {
    const bits = (before.conditions[index] ?? 0) & TAKES_CONNECTIONS;
    if (bits === 0) continue;
    let bitsNow = now.conditions[index] ?? 0;
    if (now.addresses[index] !== address) {
      bitsOf ??= new Map(now.addresses.map((each, at) => [each, now.conditions[at] ?? 0]));
      bitsNow = bitsOf.get(address) ?? 0;
    }
    if ((bits & ~bitsNow) !== 0) return true;
  }
  return false;
}
