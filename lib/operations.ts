/**
 * The verbs: one kernel write as plain data. `plan` makes them, `kernel` encodes and runs them, logs and plans print them.
 *
 * `create` must create, `update` must find, `ensure` may do either, `remove` may find nothing (that is success).
 * `add-entry` and `add-address` of something that is there already is success, as with `ipset -exist add`.
 */
import type {
  ConnectionTuple,
  Destination,
  DestinationKey,
  IpAddress,
  IpvsTimeouts,
  LinkAddress,
  LocalRoute,
  ServiceKey,
  SetEntry,
  SetRef,
  SetSpec,
  VirtualService,
} from './types.ts';

export type IpvsOperation =
  | { readonly verb: 'create-service' | 'update-service' | 'ensure-service'; readonly service: VirtualService }
  | { readonly verb: 'remove-service'; readonly key: ServiceKey }
  | {
      readonly verb: 'create-destination' | 'update-destination' | 'ensure-destination';
      readonly key: ServiceKey;
      readonly destination: Destination;
    }
  | { readonly verb: 'remove-destination'; readonly key: ServiceKey; readonly destination: DestinationKey }
  /** Statistics back to nought, of a service and its destinations or of all; the connections stay. */
  | { readonly verb: 'zero-service'; readonly key: ServiceKey }
  | { readonly verb: 'zero-services' }
  /** Removes every virtual service of the network namespace, whoever made it. */
  | { readonly verb: 'flush-services' }
  /** A time-out of 0 stays as it is. */
  | { readonly verb: 'set-timeouts'; readonly timeouts: IpvsTimeouts };

export type IpsetOperation =
  /**
   * `ensure-set`: afterwards there is a set of this name with this type, family, maximum, time-outs and comments; `hashSize` only counts for a new
   * one. One of the same type and family keeps its entries and the rules that refer to it: it is copied and swapped. Its maximum stays larger than
   * asked where its entries need that. One of another type or family is destroyed, or, while a rule refers to it, left alone (EEXIST, with the remedy).
   */
  | { readonly verb: 'create-set' | 'ensure-set'; readonly set: SetSpec }
  | { readonly verb: 'remove-set' | 'flush-set'; readonly name: string }
  /** Exchanges the contents of two sets atomically; references stay with the names. */
  | { readonly verb: 'swap-sets'; readonly name: string; readonly other: string }
  /** Fails while a rule refers to the set, and when there is one of the new name. */
  | { readonly verb: 'rename-set'; readonly name: string; readonly newName: string }
  | { readonly verb: 'add-entry' | 'remove-entry'; readonly set: SetRef; readonly entry: SetEntry };

export type RouteOperation =
  /** A dummy link of this name, left down. A link of another kind is a failure (EEXIST), and stays as it is. */
  | { readonly verb: 'ensure-link'; readonly name: string }
  /** Removes the link only if it is a dummy. */
  | { readonly verb: 'remove-link'; readonly name: string }
  /** `add-address`: one that is there stays as it is, whatever it is. */
  | { readonly verb: 'add-address'; readonly address: LinkAddress }
  /**
   * Makes it, or changes in place what the kernel can change: the lifetimes, and of an IPv6 address the flags. The scope and the flags of an
   * IPv4 address cannot be changed: remove it and add it again.
   */
  | { readonly verb: 'ensure-address'; readonly address: LinkAddress }
  | {
      readonly verb: 'remove-address';
      readonly link: string;
      readonly address: IpAddress;
      readonly prefixLength: number;
    }
  /**
   * `add`: success when it is there. IPv4 keeps one for each owner; IPv6 keeps one of a prefix and link, and another owner's is success too.
   * `remove`: only a route with this owner's mark; success when there is none.
   */
  | { readonly verb: 'add-local-route' | 'remove-local-route'; readonly route: LocalRoute };

/**
 * Forgets a tracked connection; success when there is none. The tuple is of either direction, and whole: a delete without one would empty the
 * kernel's table, so it cannot be written down. `id`: only that very connection, not a later one of the same tuple. `zone`: absent = 0.
 */
export type ConntrackOperation = {
  readonly verb: 'remove-connection';
  readonly tuple: ConnectionTuple;
  readonly zone?: number;
  readonly id?: number;
};

export type Operation = IpvsOperation | IpsetOperation | RouteOperation | ConntrackOperation;
export type Verb = Operation['verb'];
