/** One kernel object by its name: whether it is wanted, whether it is there, and whether those agree. */
import { parseAddress } from '../address.ts';
import { operationText } from '../kernel/batch.ts';
import type { Operation } from '../operations.ts';
import { destinationObject, entryObject, type ObjectId, serviceObject } from '../plan/object-id.ts';
import { sameDestination, sameService } from '../plan/same.ts';
import { setIdOf } from '../plan/sets.ts';
import type { DestinationId, KernelState, ServiceId, ServiceNode, SetName } from '../plan/state.ts';
import { bindingObject, bindOperation, type VipKind } from '../plan/vip-binding.ts';
import type { IpAddress, SetEntry } from '../types.ts';
import { vipLink } from './observed.ts';

/** A kernel object of the data plane. */
export type ObjectName =
  | { readonly kind: 'service'; readonly service: ServiceId }
  | { readonly kind: 'destination'; readonly service: ServiceId; readonly destination: DestinationId }
  | { readonly kind: 'entry'; readonly set: SetName; readonly entry: SetEntry }
  | { readonly kind: 'binding'; readonly vip: VipKind; readonly address: IpAddress };

export function objectId(name: ObjectName): ObjectId {
  switch (name.kind) {
    case 'service':
      return serviceObject(name.service);
    case 'destination':
      return destinationObject(name.service, name.destination);
    case 'entry':
      return entryObject(name.set, name.entry);
    case 'binding':
      return bindingObject(name.vip, name.address);
  }
}

/** Undefined: it is of the static part (`set …`, `link …`, `rules …`), or the kernel as a whole. */
export function objectName(object: ObjectId): ObjectName | undefined {
  const [kind, ...words] = object.split(' ');
  const [first = '', second = '', third = ''] = words;
  switch (kind) {
    case 'service':
      return { kind, service: words.join(' ') };
    case 'destination':
      return { kind, service: `${first} ${second}`, destination: third };
    case 'entry':
      return { kind, set: first, entry: second };
    case 'address':
    case 'route': {
      const address = parseAddress(first.replace(/\/.*/, ''));
      const vip = kind === 'address' ? 'addresses' : 'routes';
      return address === undefined ? undefined : { kind: 'binding', vip, address };
    }
    default:
      return undefined;
  }
}

export interface ObjectFacts {
  readonly isWanted: boolean;
  readonly isThere: boolean;
  /** Both or neither, and with the same content. */
  readonly agrees: boolean;
}

export function factsOf(name: ObjectName, desired: KernelState, applied: KernelState): ObjectFacts {
  switch (name.kind) {
    case 'service':
      return compared(desired.services.get(name.service), applied.services.get(name.service), (a, b) =>
        sameService(a.service, b.service),
      );
    case 'destination':
      return compared(destinationOf(name, desired), destinationOf(name, applied), sameDestination);
    case 'entry': {
      const isWanted = desired.sets.get(name.set)?.has(name.entry) === true;
      const isThere = applied.sets.get(name.set)?.has(name.entry) === true;
      return { isWanted, isThere, agrees: isWanted === isThere };
    }
    case 'binding': {
      const isWanted = desired[name.vip].has(name.address);
      const isThere = applied[name.vip].has(name.address);
      return { isWanted, isThere, agrees: isWanted === isThere };
    }
  }
}

/** The command that makes it as it is in this state; undefined = it is not in it. */
export function contentOf(name: ObjectName, state: KernelState): string | undefined {
  const operation = operationOf(name, state);
  return operation === undefined ? undefined : operationText(operation);
}

function operationOf(name: ObjectName, state: KernelState): Operation | undefined {
  switch (name.kind) {
    case 'service': {
      const service = state.services.get(name.service)?.service;
      return service === undefined ? undefined : { verb: 'create-service', service };
    }
    case 'destination': {
      const key = state.services.get(name.service)?.service.key;
      const destination = destinationOf(name, state);
      if (key === undefined || destination === undefined) return undefined;
      return { verb: 'create-destination', key, destination };
    }
    case 'entry': {
      const known = setIdOf(name.set);
      if (known === undefined || state.sets.get(name.set)?.has(name.entry) !== true) return undefined;
      // The text of an entry does not say the type of its set.
      const set = { name: name.set, type: 'hash:ip,port', family: known.family } as const;
      return { verb: 'add-entry', set, entry: name.entry };
    }
    case 'binding':
      return state[name.vip].has(name.address) ? bindOperation(name.vip, vipLink, name.address) : undefined;
  }
}

function destinationOf(
  { service, destination }: Extract<ObjectName, { kind: 'destination' }>,
  state: KernelState,
): ReturnType<ServiceNode['destinations']['get']> {
  return state.services.get(service)?.destinations.get(destination);
}

function compared<T>(wanted: T | undefined, there: T | undefined, same: (a: T, b: T) => boolean): ObjectFacts {
  const isWanted = wanted !== undefined;
  const isThere = there !== undefined;
  const agrees = isWanted && isThere ? same(wanted, there) : isWanted === isThere;
  return { isWanted, isThere, agrees };
}
