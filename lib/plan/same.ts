/** When two kernel objects are equal as far as we write them. */
import { fullPrefix } from '../address.ts';
import { type AddressServiceKey, type Destination, ServiceFlag, type VirtualService } from '../types.ts';
import { serviceFamily } from './state.ts';

/** The kernel's own `hashed` flag does not count; an absent prefix length is the full one. */
export function sameService(a: VirtualService<AddressServiceKey>, b: VirtualService<AddressServiceKey>): boolean {
  const full = fullPrefix(serviceFamily(a.key));
  return (
    a.scheduler === b.scheduler &&
    (a.flags & ~ServiceFlag.hashed) === (b.flags & ~ServiceFlag.hashed) &&
    a.timeoutSeconds === b.timeoutSeconds &&
    (a.prefixLength ?? full) === (b.prefixLength ?? full) &&
    (a.persistenceEngine ?? '') === (b.persistenceEngine ?? '')
  );
}

/** An absent threshold is 0. The weight counts: one that somebody else changed is put right (behaviour.md 2.9). */
export function sameDestination(a: Destination, b: Destination): boolean {
  return (
    a.weight === b.weight &&
    a.forward === b.forward &&
    (a.upperThreshold ?? 0) === (b.upperThreshold ?? 0) &&
    (a.lowerThreshold ?? 0) === (b.lowerThreshold ?? 0)
  );
}
