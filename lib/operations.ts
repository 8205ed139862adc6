/**
 * The verbs: one kernel write as plain data. `plan` makes them, `kernel` encodes and runs them, logs and plans print them.
 *
 * `create` must create, `update` must find, `ensure` may do either, `remove` may find nothing (that is success).
 * `add-entry` and `add-address` of something that is there already is success, as with `ipset -exist add`.
 */
import type {
  Destination,
  DestinationKey,
  IpAddress,
  LinkAddress,
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
  | { readonly verb: 'remove-destination'; readonly key: ServiceKey; readonly destination: DestinationKey };

export type IpsetOperation =
  /** `ensure-set`: a set of another type or size is an EEXIST failure. Linux 6.1 does not compare the family: look at the header. */
  | { readonly verb: 'create-set' | 'ensure-set'; readonly set: SetSpec }
  | { readonly verb: 'remove-set' | 'flush-set'; readonly name: string }
  /** Exchanges the contents of two sets atomically; references stay with the names. */
  | { readonly verb: 'swap-sets'; readonly name: string; readonly other: string }
  | { readonly verb: 'add-entry' | 'remove-entry'; readonly set: SetRef; readonly entry: SetEntry };

export type RouteOperation =
  /** A dummy link of this name, left down. A link of another kind is a failure (EEXIST), and stays as it is. */
  | { readonly verb: 'ensure-link'; readonly name: string }
  /** Removes the link only if it is a dummy. */
  | { readonly verb: 'remove-link'; readonly name: string }
  | { readonly verb: 'add-address'; readonly address: LinkAddress }
  | {
      readonly verb: 'remove-address';
      readonly link: string;
      readonly address: IpAddress;
      readonly prefixLength: number;
    };

export type Operation = IpvsOperation | IpsetOperation | RouteOperation;
export type Verb = Operation['verb'];
