/** The tables of the fake kernel: one network namespace. What a command does to them is in a file for each subsystem. */
import type { Operation } from '../operations.ts';
import type { Connection, IpvsTimeouts, LinkAddressState, LinkState, LocalRouteState } from '../types.ts';
import { CountedMap } from './counted-map.ts';
import { forgetConnection } from './fake-connections.ts';
import type { ErrnoName } from './fake-errors.ts';
import { applyToIpvs, type FakeService } from './fake-ipvs.ts';
import { applyToRoutes } from './fake-routes.ts';
import { applyToSets, type FakeSet } from './fake-sets.ts';

export class FakeTables {
  /** Keyed as `keyText` says. */
  readonly services: Map<string, FakeService> = new Map();
  timeouts: IpvsTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
  readonly sets: Map<string, FakeSet> = new Map();
  readonly links: CountedMap<string, LinkState> = new CountedMap();
  /** Keyed `link address`; an IPv4 address that is there already with another prefix length `link address/prefix`. */
  readonly addresses: CountedMap<string, LinkAddressState> = new CountedMap();
  /** Those that were added. The routes that addresses bring are not among them. */
  readonly localRoutes: Map<string, LocalRouteState> = new Map();
  /** In the order the kernel made them. Put them here: nothing in memory sends packets. */
  readonly connections: Set<Connection> = new Set();
  /** Scheduler modules of Linux 6.1, and the name that stands for no scheduler. */
  readonly schedulers: Set<string> = new Set('rr wrr lc wlc fo ovf lblc lblcr dh sh mh sed nq twos none'.split(' '));
  readonly persistenceEngines: Set<string> = new Set(['sip']);
  #nextIndex = 1;

  clone(): FakeTables {
    const copy = new FakeTables();
    for (const [key, { service, destinations }] of this.services) {
      copy.services.set(key, { service, destinations: new Map(destinations) });
    }
    for (const [name, set] of this.sets) copy.sets.set(name, { ...set, entries: new Set(set.entries) });
    for (const [name, link] of this.links) copy.links.set(name, link);
    for (const [key, address] of this.addresses) copy.addresses.set(key, address);
    for (const [key, route] of this.localRoutes) copy.localRoutes.set(key, route);
    for (const connection of this.connections) copy.connections.add(connection);
    copy.timeouts = this.timeouts;
    copy.schedulers.clear();
    for (const scheduler of this.schedulers) copy.schedulers.add(scheduler);
    copy.persistenceEngines.clear();
    for (const engine of this.persistenceEngines) copy.persistenceEngines.add(engine);
    copy.#nextIndex = this.#nextIndex;
    return copy;
  }

  addLink(name: string, kind: string, up: boolean): LinkState {
    const link: LinkState = { index: this.#nextIndex, name, kind, up };
    this.#nextIndex += 1;
    this.links.set(name, link);
    return link;
  }

  removeLink(name: string): void {
    this.links.delete(name);
    for (const [key, address] of this.addresses) if (address.link === name) this.addresses.delete(key);
    for (const [key, route] of this.localRoutes) if (route.link === name) this.localRoutes.delete(key);
  }

  /**
   * Carries one command out, or says why not. As the kernel does it, without the manners of the library: `ensure` of something that is there
   * is EEXIST, and `remove` of something that is not there is a refusal.
   */
  apply(operation: Operation): ErrnoName | undefined {
    switch (operation.verb) {
      case 'create-service':
      case 'update-service':
      case 'ensure-service':
      case 'remove-service':
      case 'create-destination':
      case 'update-destination':
      case 'ensure-destination':
      case 'remove-destination':
      case 'zero-service':
      case 'zero-services':
      case 'flush-services':
      case 'set-timeouts':
        return applyToIpvs(this, operation);
      case 'ensure-link':
      case 'remove-link':
      case 'add-address':
      case 'remove-address':
      case 'ensure-address':
      case 'add-local-route':
      case 'remove-local-route':
        return applyToRoutes(this, operation);
      case 'remove-connection':
        return forgetConnection(this.connections, operation) ? undefined : 'ENOENT';
      default:
        return applyToSets(this.sets, operation);
    }
  }
}
