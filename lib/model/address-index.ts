/** Who has an address: Services, this node's interfaces, other Nodes. What an event on one of them has to do with the others. */
import type { NodeBody, ObjectKey, ServiceBody } from '../records.ts';
import type { IpAddress, IpFamily } from '../types.ts';
import { MultiMap } from './multi-map.ts';
import type { Change } from './record-store.ts';

const none: ReadonlySet<IpAddress> = new Set();

export class AddressIndex {
  /** Addresses of Services, node ports apart. */
  readonly #services = new MultiMap<IpAddress, ObjectKey>();
  /** Names of the other Nodes. */
  readonly #nodes = new MultiMap<IpAddress, ObjectKey>();
  readonly #interfaces = new Map<IpFamily, ReadonlySet<IpAddress>>();

  servicesWith(address: IpAddress): ReadonlySet<ObjectKey> {
    return this.#services.get(address);
  }

  /** Name of another Node that has the address, the lowest of several. */
  otherNodeWith(address: IpAddress): ObjectKey | undefined {
    let lowest: ObjectKey | undefined;
    for (const name of this.#nodes.get(address)) if (lowest === undefined || name < lowest) lowest = name;
    return lowest;
  }

  /** Sorted by text. */
  onInterfaces(family: IpFamily): ReadonlySet<IpAddress> {
    return this.#interfaces.get(family) ?? none;
  }

  serviceChanged({ key, before, after }: Change<ServiceBody>): void {
    for (const vip of vipsOf(before)) this.#services.delete(vip, key);
    for (const vip of vipsOf(after)) this.#services.add(vip, key);
  }

  /** Returns the addresses that the Node got or lost, nothing for the Node of this proxier. */
  nodeChanged({ key, before, after }: Change<NodeBody>): readonly IpAddress[] {
    const lost = before === undefined || before.self ? [] : before.addresses;
    const has = after === undefined || after.self ? [] : after.addresses;
    for (const address of lost) this.#nodes.delete(address, key);
    for (const address of has) this.#nodes.add(address, key);
    return [...lost.filter((address) => !has.includes(address)), ...has.filter((address) => !lost.includes(address))];
  }

  /** Takes the addresses of one family that are on the interfaces now, sorted; returns those that came or went. */
  interfacesChanged(family: IpFamily, addresses: Iterable<IpAddress>): readonly IpAddress[] {
    const before = this.onInterfaces(family);
    const after = new Set(addresses);
    this.#interfaces.set(family, after);
    return [
      ...[...before].filter((address) => !after.has(address)),
      ...[...after].filter((address) => !before.has(address)),
    ];
  }
}

function vipsOf(body: ServiceBody | undefined): readonly IpAddress[] {
  return body === undefined ? [] : [...body.clusterIPs, ...body.externalIPs, ...body.loadBalancerIPs];
}
