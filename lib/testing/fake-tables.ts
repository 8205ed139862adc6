/** The tables of the fake kernel and what each operation does to them, errno for errno as the real kernel (netlink.md 1 to 3). */
import { familyOf } from '../address.ts';
import type { NetlinkErrorDetails } from '../errors.ts';
import type { IpsetOperation, IpvsOperation, Operation, RouteOperation } from '../operations.ts';
import type {
  Destination,
  DestinationState,
  LinkAddressState,
  LinkState,
  ServiceKey,
  SetSpec,
  SetState,
  VirtualService,
} from '../types.ts';
import { type ErrnoName, fakeError } from './fake-errors.ts';

export interface FakeService {
  service: VirtualService;
  readonly destinations: Map<string, DestinationState>;
}

export interface FakeSet {
  readonly spec: Required<SetSpec>;
  entries: Set<string>;
  /** Rules that name the set. */
  references: number;
}

type Failure = NetlinkErrorDetails | undefined;

const maxNameBytes = 31;

/** `tcp 10.96.0.10:80`, `fwmark 5 IPv4` */
export function keyText(key: ServiceKey): string {
  if ('fwmark' in key) return `fwmark ${key.fwmark} ${key.family}`;
  return `${key.protocol} ${hostPort(key.address, key.port)}`;
}

export function hostPort(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export class FakeTables {
  readonly services: Map<string, FakeService> = new Map();
  readonly sets: Map<string, FakeSet> = new Map();
  readonly links: Map<string, LinkState> = new Map();
  /** Keyed `link address`. */
  readonly addresses: Map<string, LinkAddressState> = new Map();
  readonly schedulers: Set<string> = new Set(['rr', 'wrr', 'lc', 'wlc', 'sh', 'dh', 'mh', 'sed', 'nq', 'lblc']);
  #nextIndex = 1;

  clone(): FakeTables {
    const copy = new FakeTables();
    for (const [key, { service, destinations }] of this.services) {
      copy.services.set(key, { service, destinations: new Map(destinations) });
    }
    for (const [name, set] of this.sets) copy.sets.set(name, { ...set, entries: new Set(set.entries) });
    for (const [name, link] of this.links) copy.links.set(name, link);
    for (const [key, address] of this.addresses) copy.addresses.set(key, address);
    copy.schedulers.clear();
    for (const scheduler of this.schedulers) copy.schedulers.add(scheduler);
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
  }

  setState(set: FakeSet): SetState {
    const { references, spec, entries } = set;
    return { ...spec, revision: 0, entries: entries.size, references, memoryBytes: 200 + 40 * entries.size };
  }

  /** Carries the operation out, or says why not. */
  apply(operation: Operation): Failure {
    switch (operation.verb) {
      case 'create-service':
      case 'update-service':
      case 'ensure-service':
      case 'remove-service':
        return this.#service(operation);
      case 'create-destination':
      case 'update-destination':
      case 'ensure-destination':
      case 'remove-destination':
        return this.#destination(operation);
      case 'ensure-link':
      case 'remove-link':
      case 'add-address':
      case 'remove-address':
        return this.#route(operation);
      default:
        return this.#set(operation);
    }
  }

  #service(operation: Extract<IpvsOperation, { verb: `${string}-service` }>): Failure {
    if (operation.verb === 'remove-service') {
      this.services.delete(keyText(operation.key));
      return undefined;
    }
    const { service, verb } = operation;
    const id = keyText(service.key);
    const existing = this.services.get(id);
    const command =
      verb === 'create-service' || existing === undefined ? 'IPVS_CMD_NEW_SERVICE' : 'IPVS_CMD_SET_SERVICE';
    if (verb === 'create-service' && existing !== undefined) return fakeError('EEXIST', command, id);
    if (verb === 'update-service' && existing === undefined) return fakeError('ESRCH', 'IPVS_CMD_SET_SERVICE', id);
    if (!this.schedulers.has(service.scheduler)) {
      return fakeError('ENOENT', command, id, `scheduler ${service.scheduler} is not known to the kernel`);
    }
    if (existing === undefined) this.services.set(id, { service, destinations: new Map() });
    else existing.service = service;
    return undefined;
  }

  #destination(operation: Extract<IpvsOperation, { verb: `${string}-destination` }>): Failure {
    const { key, verb } = operation;
    const name = hostPort(operation.destination.address, operation.destination.port);
    const object = `${keyText(key)} -> ${name}`;
    const node = this.services.get(keyText(key));
    if (verb === 'remove-destination') {
      node?.destinations.delete(name);
      return undefined;
    }
    const { destination } = operation;
    const existing = node?.destinations.get(name);
    const command =
      verb === 'update-destination' || (verb === 'ensure-destination' && existing !== undefined)
        ? 'IPVS_CMD_SET_DEST'
        : 'IPVS_CMD_NEW_DEST';
    if (node === undefined) return fakeError('ESRCH', command, object);
    if (verb === 'create-destination' && existing !== undefined) return fakeError('EEXIST', command, object);
    if (verb === 'update-destination' && existing === undefined) return fakeError('ENOENT', command, object);
    const refused = refuseDestination(key, destination);
    if (refused !== undefined) return fakeError(refused, command, object);
    node.destinations.set(name, {
      activeConnections: 0,
      inactiveConnections: 0,
      persistentConnections: 0,
      ...existing,
      ...destination,
    });
    return undefined;
  }

  #set(operation: IpsetOperation): Failure {
    switch (operation.verb) {
      case 'create-set':
      case 'ensure-set':
        return this.#createSet(operation.set, operation.verb === 'ensure-set');
      case 'remove-set': {
        const set = this.sets.get(operation.name);
        if (set !== undefined && set.references > 0)
          return fakeError('IPSET_ERR_BUSY', 'IPSET_CMD_DESTROY', operation.name);
        this.sets.delete(operation.name);
        return undefined;
      }
      case 'flush-set': {
        const set = this.sets.get(operation.name);
        if (set === undefined) return fakeError('ENOENT', 'IPSET_CMD_FLUSH', operation.name);
        set.entries.clear();
        return undefined;
      }
      case 'swap-sets':
        return this.#swap(operation.name, operation.other);
      case 'add-entry':
      case 'remove-entry':
        return this.#entry(operation);
    }
  }

  #createSet(spec: SetSpec, mayExist: boolean): Failure {
    if (Buffer.byteLength(spec.name) > maxNameBytes) return fakeError('EINVAL', 'IPSET_CMD_CREATE', spec.name);
    const wanted: Required<SetSpec> = {
      ...spec,
      hashSize: spec.hashSize || 1024,
      maxElements: spec.maxElements || 65536,
    };
    const existing = this.sets.get(spec.name);
    if (existing === undefined) {
      this.sets.set(spec.name, { spec: wanted, entries: new Set(), references: 0 });
      return undefined;
    }
    const { type, maxElements } = existing.spec;
    // Not the family: the kernel compares the set types, which serve both (ip_set_create of net/netfilter/ipset/ip_set_core.c).
    const same = type === wanted.type && (type === 'bitmap:port' || maxElements === wanted.maxElements);
    return mayExist && same ? undefined : fakeError('EEXIST', 'IPSET_CMD_CREATE', spec.name);
  }

  #swap(name: string, otherName: string): Failure {
    const object = `${name} ${otherName}`;
    const set = this.sets.get(name);
    const other = this.sets.get(otherName);
    if (set === undefined) return fakeError('ENOENT', 'IPSET_CMD_SWAP', object);
    if (other === undefined) return fakeError('IPSET_ERR_EXIST_SETNAME2', 'IPSET_CMD_SWAP', object);
    if (set.spec.type !== other.spec.type || set.spec.family !== other.spec.family) {
      return fakeError('IPSET_ERR_TYPE_MISMATCH', 'IPSET_CMD_SWAP', object);
    }
    this.sets.set(name, { ...other, spec: { ...other.spec, name }, references: set.references });
    this.sets.set(otherName, { ...set, spec: { ...set.spec, name: otherName }, references: other.references });
    return undefined;
  }

  #entry(operation: Extract<IpsetOperation, { verb: 'add-entry' | 'remove-entry' }>): Failure {
    const adds = operation.verb === 'add-entry';
    const command = adds ? 'IPSET_CMD_ADD' : 'IPSET_CMD_DEL';
    const object = `${operation.set.name} ${operation.entry}`;
    const set = this.sets.get(operation.set.name);
    if (set === undefined) return adds ? fakeError('ENOENT', command, object, 'no such set') : undefined;
    const { type, family, maxElements } = set.spec;
    if (operation.set.type !== type || (type !== 'bitmap:port' && operation.set.family !== family)) {
      return fakeError('IPSET_ERR_PROTOCOL', command, object);
    }
    if (!adds) {
      set.entries.delete(operation.entry);
      return undefined;
    }
    if (type !== 'bitmap:port' && set.entries.size >= maxElements && !set.entries.has(operation.entry)) {
      return fakeError('IPSET_ERR_HASH_FULL', command, object);
    }
    set.entries.add(operation.entry);
    return undefined;
  }

  #route(operation: RouteOperation): Failure {
    switch (operation.verb) {
      case 'ensure-link': {
        const link = this.links.get(operation.name);
        if (link === undefined) this.addLink(operation.name, 'dummy', false);
        else if (link.kind !== 'dummy')
          return fakeError('EEXIST', 'RTM_NEWLINK', operation.name, `is a ${link.kind} link`);
        return undefined;
      }
      case 'remove-link': {
        const link = this.links.get(operation.name);
        if (link !== undefined && link.kind !== 'dummy') {
          return fakeError('EINVAL', 'RTM_DELLINK', operation.name, `is a ${link.kind} link, not a dummy`);
        }
        this.removeLink(operation.name);
        return undefined;
      }
      case 'add-address': {
        const { link: name, address, prefixLength, scope = 'global', deprecated = false } = operation.address;
        const link = this.links.get(name);
        if (link === undefined) return fakeError('ENODEV', 'RTM_NEWADDR', `${address} on ${name}`);
        const key = `${name} ${address}`;
        if (!this.addresses.has(key)) {
          this.addresses.set(key, { link: name, linkIndex: link.index, address, prefixLength, scope, deprecated });
        }
        return undefined;
      }
      case 'remove-address':
        this.addresses.delete(`${operation.link} ${operation.address}`);
        return undefined;
    }
  }
}

function refuseDestination(key: ServiceKey, destination: Destination): ErrnoName | undefined {
  if (destination.weight < 0 || destination.weight > 0x7fffffff) return 'ERANGE';
  if ((destination.lowerThreshold ?? 0) > (destination.upperThreshold ?? 0)) return 'ERANGE';
  const family = 'fwmark' in key ? key.family : familyOf(key.address);
  if (familyOf(destination.address) !== family && destination.forward !== 'tunnel') return 'EINVAL';
  if (/^(22[4-9]|23\d)\.|^255\.255\.255\.255$|^ff|^fe80:/.test(destination.address)) return 'EINVAL';
  return undefined;
}
