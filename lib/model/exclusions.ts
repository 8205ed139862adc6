/**
 * Endpoints that are to be taken out although the API still lists them: somebody is about to shut them down. Such an endpoint counts as neither
 * ready nor serving. So nothing chooses it, not even where nothing else is left (it would never come to rest otherwise), and all
 * that is decided by who is ready goes as for an endpoint that is gone: topology looks at the rest, policy Local looks for another
 * one on the node, and other endpoints that still serve while they terminate are used where none is ready. Its KUBE-LOOP-BACK entry
 * stays, as for any endpoint of the node.
 */
import { EndpointBit, type SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import type { Endpoint } from './endpoints.ts';

export interface EndpointRef {
  readonly address: IpAddress;
  /** The endpoint's own port. Absent = all of the address. */
  readonly port?: number;
}

const unusable = ~(EndpointBit.ready | EndpointBit.serving);

export class Exclusions {
  #ports = new Map<IpAddress, Set<number | undefined>>();

  /** Puts these in the place of what was excluded before; returns the addresses that may be used in another way now. */
  replace(endpoints: readonly EndpointRef[]): ReadonlySet<IpAddress> {
    const before = this.#ports;
    const now = new Map<IpAddress, Set<number | undefined>>();
    for (const { address, port } of endpoints) now.set(address, (now.get(address) ?? new Set()).add(port));
    this.#ports = now;
    const all = new Set([...before.keys(), ...now.keys()]);
    return new Set([...all].filter((address) => !sameSets(before.get(address), now.get(address))));
  }

  get isEmpty(): boolean {
    return this.#ports.size === 0;
  }

  /** Some endpoint of the slice is excluded, or may be. */
  concern(slice: SliceBody | undefined): boolean {
    return this.#ports.size > 0 && slice?.addresses.some((address) => this.#ports.has(address)) === true;
  }

  /** The same endpoints, with those that are excluded counting for nothing. */
  applyTo(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    return this.#ports.size === 0 ? endpoints : endpoints.map((endpoint) => this.applyToOne(endpoint));
  }

  applyToOne(endpoint: Endpoint): Endpoint {
    return this.has(endpoint) ? { ...endpoint, conditions: endpoint.conditions & unusable } : endpoint;
  }

  /** Those of which no slice knows. */
  unlistedIn(slices: Iterable<SliceBody>): EndpointRef[] {
    const unlisted = new Map(
      [...this.#ports].flatMap(([address, ports]) =>
        [...ports].map((port) => [`${address} ${port}`, port === undefined ? { address } : { address, port }] as const),
      ),
    );
    for (const slice of slices) {
      for (const address of slice.addresses) {
        if (!this.#ports.has(address)) continue;
        unlisted.delete(`${address} undefined`);
        for (const { port } of slice.ports) unlisted.delete(`${address} ${port}`);
      }
      if (unlisted.size === 0) break;
    }
    return [...unlisted.values()];
  }

  has({ address, port }: Endpoint): boolean {
    const ports = this.#ports.get(address);
    return ports !== undefined && (ports.has(port) || ports.has(undefined));
  }
}

function sameSets(a: ReadonlySet<unknown> = new Set(), b: ReadonlySet<unknown> = new Set()): boolean {
  return a.size === b.size && [...a].every((member) => b.has(member));
}
