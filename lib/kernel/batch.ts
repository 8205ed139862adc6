/** Kernel writes in order, to be run together. Ordered and not atomic: each operation has its own outcome. */
import { InvalidArgumentError } from '../errors.ts';
import type { Operation } from '../operations.ts';
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
} from '../types.ts';
import { quote } from './check.ts';
import { decodeOperation } from './decode.ts';
import { encodeOperation } from './encode.ts';
import { MadeSets } from './made-sets.ts';
import { RecordReader } from './record-reader.ts';
import { RecordWriter } from './record-writer.ts';
import { setFor } from './set-size.ts';
import { temporarySetName } from './temporary-set.ts';
import { operationText } from './text.ts';

export { operationText } from './text.ts';

/**
 * Building one touches nothing; only `KernelSession.run` does. Each operation is checked and encoded as it is pushed, into one flat
 * buffer (`wire.ts`): 40 to 60 bytes each for the usual ones. A bad value throws InvalidArgumentError, and the batch stays as it was.
 */
export class Batch implements Iterable<Operation> {
  #writer: RecordWriter;
  #size = 0;
  readonly #made = new MadeSets();

  /** @param expected Operations to make room for; the buffer grows when there are more. */
  constructor(expected = 0) {
    this.#writer = new RecordWriter(expected * 64);
  }

  /** Number of operations. */
  get size(): number {
    return this.#size;
  }

  /** Removes all operations. Their memory stays for the next ones: whoever makes batch after batch saves the system fresh memory for each. */
  clear(): this {
    this.#writer.length = 0;
    this.#size = 0;
    this.#made.clear();
    return this;
  }

  /**
   * Appends any operation. The methods below are the same by name.
   * @throws InvalidArgumentError with the field; the batch stays as it was.
   */
  push(operation: Operation): this {
    const at = this.#writer.length;
    try {
      encodeOperation(this.#writer, operation);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const problem = error.message.slice(error.field.length + 2);
      throw new InvalidArgumentError(error.field, `${problem} (${describe(operation)})`);
    }
    this.#size++;
    this.#made.take(operation, this.#writer, at);
    return this;
  }

  /** IPVS_CMD_NEW_SERVICE. Fails with EEXIST, and with ENOENT for a scheduler or persistence engine that the kernel does not know. */
  createService(service: VirtualService): this {
    return this.push({ verb: 'create-service', service });
  }

  /** IPVS_CMD_SET_SERVICE. Fails with ESRCH when there is no such service, and with ENOENT as `createService` does. */
  updateService(service: VirtualService): this {
    return this.push({ verb: 'update-service', service });
  }

  /** Creates it, or updates the one that is there (NEW, then SET). Fails with ENOENT as `createService` does. */
  ensureService(service: VirtualService): this {
    return this.push({ verb: 'ensure-service', service });
  }

  /** IPVS_CMD_DEL_SERVICE; the kernel removes the destinations with it. Success when there is none. */
  removeService(key: ServiceKey): this {
    return this.push({ verb: 'remove-service', key });
  }

  /**
   * IPVS_CMD_NEW_DEST. Fails with ESRCH when there is no such service, EEXIST, and EINVAL for an address that is not unicast or in a network namespace
   * whose lo was never up.
   */
  createDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'create-destination', key, destination });
  }

  /** IPVS_CMD_SET_DEST: weight, forwarding, thresholds. Connections go on. Fails with ESRCH without the service, ENOENT without the destination. */
  updateDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'update-destination', key, destination });
  }

  /** Creates it, or updates the one that is there (NEW, then SET). Fails with ESRCH without the service, and EINVAL as `createDestination` does. */
  ensureDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'ensure-destination', key, destination });
  }

  /** IPVS_CMD_DEL_DEST. Success when there is none, or no such service. To drain it first, update its weight to 0. */
  removeDestination(key: ServiceKey, destination: DestinationKey): this {
    return this.push({ verb: 'remove-destination', key, destination });
  }

  /** IPVS_CMD_ZERO: statistics of the service and of its destinations back to nought. Fails with ESRCH. */
  zeroService(key: ServiceKey): this {
    return this.push({ verb: 'zero-service', key });
  }

  /** IPVS_CMD_ZERO: statistics of all services. */
  zeroServices(): this {
    return this.push({ verb: 'zero-services' });
  }

  /** IPVS_CMD_FLUSH: every virtual service of the network namespace goes, whoever made it. */
  flushServices(): this {
    return this.push({ verb: 'flush-services' });
  }

  /** IPVS_CMD_SET_CONFIG, in seconds, at most 2147483. A time-out that is absent or 0 stays as it is. */
  setTimeouts(timeouts: Partial<IpvsTimeouts>): this {
    const { tcpSeconds = 0, tcpFinSeconds = 0, udpSeconds = 0 } = timeouts;
    return this.push({ verb: 'set-timeouts', timeouts: { tcpSeconds, tcpFinSeconds, udpSeconds } });
  }

  /** IPSET_CMD_CREATE. Fails with EEXIST, and with IPSET_ERR_FIND_TYPE for a type that the kernel does not know. */
  createSet(set: SetSpec): this {
    return this.push({ verb: 'create-set', set });
  }

  /**
   * IPSET_CMD_CREATE, or what makes the one that is there like this (`ensure-set` of operations.ts). Fails with EEXIST when that is of another type or
   * family and referred to.
   */
  ensureSet(set: SetSpec): this {
    return this.push({ verb: 'ensure-set', set });
  }

  /** IPSET_CMD_DESTROY. Success when there is none; fails with IPSET_ERR_BUSY while a rule refers to it. */
  removeSet(name: string): this {
    return this.push({ verb: 'remove-set', name });
  }

  /** IPSET_CMD_FLUSH: removes all entries. Fails with ENOENT. */
  flushSet(name: string): this {
    return this.push({ verb: 'flush-set', name });
  }

  /**
   * IPSET_CMD_SWAP: exchanges the contents at one moment; rules stay with the names. Fails with ENOENT, IPSET_ERR_EXIST_SETNAME2 (no `other`),
   * IPSET_ERR_TYPE_MISMATCH, and EBUSY while one of them is listed.
   */
  swapSets(name: string, other: string): this {
    return this.push({ verb: 'swap-sets', name, other });
  }

  /** IPSET_CMD_RENAME. Fails with ENOENT, IPSET_ERR_REFERENCED while a rule refers to it, IPSET_ERR_EXIST_SETNAME2 when the name is taken. */
  renameSet(name: string, newName: string): this {
    return this.push({ verb: 'rename-set', name, newName });
  }

  /**
   * Appends what makes the set hold exactly these entries, at one moment: a temporary set is created, filled and swapped with it. Made large enough for
   * them. An entry that the kernel refuses is missing afterwards, and reported; `IpsetClient.replace` then leaves the set as it was instead.
   */
  replaceSet(set: SetSpec, entries: Iterable<SetEntry>): this {
    const all = [...entries];
    const spec = setFor(set, all.length);
    const temporary = { ...spec, name: temporarySetName() };
    // Whole or not at all: a bad entry must not leave half of it behind.
    const part = new Batch(all.length + 4).ensureSet(spec).createSet(temporary);
    for (const entry of all) part.addEntry(temporary, entry);
    return this.append(part.swapSets(set.name, temporary.name).removeSet(temporary.name));
  }

  /** Appends all operations of another batch. */
  append(other: Batch): this {
    this.#writer.append(other.#writer);
    this.#size += other.#size;
    return this;
  }

  /**
   * IPSET_CMD_ADD. One that is there gets these options. Fails with ENOENT without the set, IPSET_ERR_HASH_FULL when it is full and may not grow, and
   * IPSET_ERR_TIMEOUT or IPSET_ERR_COMMENT when it was made without them.
   */
  addEntry(set: SetRef, entry: SetEntry): this {
    return this.push({ verb: 'add-entry', set, entry });
  }

  /** IPSET_CMD_DEL. Success when there is none, or no such set. */
  removeEntry(set: SetRef, entry: SetEntry): this {
    return this.push({ verb: 'remove-entry', set, entry });
  }

  /** RTM_NEWLINK: a dummy link, left down. Success when there is one; fails with EEXIST for a link of another kind, which stays as it is. */
  ensureLink(name: string): this {
    return this.push({ verb: 'ensure-link', name });
  }

  /** RTM_DELLINK. Success when there is none; fails with EINVAL for a link that is no dummy, which stays. */
  removeLink(name: string): this {
    return this.push({ verb: 'remove-link', name });
  }

  /** RTM_NEWADDR. One that is there stays as it is, and is success. Fails with ENODEV without the link, EACCES where IPv6 is disabled on it. */
  addAddress(address: LinkAddress): this {
    return this.push({ verb: 'add-address', address });
  }

  /** RTM_DELADDR. Success when there is none, or no such link. */
  removeAddress(link: string, address: IpAddress, prefixLength: number): this {
    return this.push({ verb: 'remove-address', link, address, prefixLength });
  }

  /** RTM_NEWADDR with NLM_F_REPLACE: lifetimes in seconds, and the flags of an IPv6 address, are written anew. Fails as `addAddress` does. */
  ensureAddress(address: LinkAddress): this {
    return this.push({ verb: 'ensure-address', address });
  }

  /**
   * RTM_NEWROUTE, type local, table local. Success when exactly this one is there. Fails with ENODEV, ENETDOWN, EINVAL for a `source` that is no
   * address of this host, and EEXIST when the same IPv6 prefix is there over the same link with another `protocol` (the reason names it) or
   * `source`, which the kernel has no room beside.
   */
  addLocalRoute(route: LocalRoute): this {
    return this.push({ verb: 'add-local-route', route });
  }

  /** RTM_DELROUTE, only one with this `protocol`. Success when there is none. */
  removeLocalRoute(route: LocalRoute): this {
    return this.push({ verb: 'remove-local-route', route });
  }

  /**
   * IPCTNL_MSG_CT_DELETE by a whole tuple of either direction. Success when there is none. `options.id`: only the very connection that has it
   * (`Connection.id`), not a later one of the same tuple.
   */
  removeConnection(tuple: ConnectionTuple, options: { readonly zone?: number; readonly id?: number } = {}): this {
    return this.push({ verb: 'remove-connection', tuple, ...options });
  }

  /** The operations as plain data, in order, decoded one at a time. */
  *[Symbol.iterator](): Generator<Operation, void, undefined> {
    const reader = this.reader();
    while (reader.next()) yield decodeOperation(reader);
  }

  /** One line an operation, each the command that would do the same. */
  toString(): string {
    let text = '';
    for (const operation of this) text += `${operationText(operation)}\n`;
    return text;
  }

  /** @internal Length of the encoded operations. */
  get bytes(): number {
    return this.#writer.length;
  }

  /** @internal Copies the encoded operations there. The part of it that they take. */
  copyTo<B extends ArrayBufferLike>(room: Uint8Array<B>): Uint8Array<B> {
    room.set(this.#writer.bytes.subarray(0, this.#writer.length));
    return room.subarray(0, this.#writer.length);
  }

  /** @internal The batch of these records, so many; they are its own from now on. */
  static fromRecords(records: Uint8Array, size: number): Batch {
    const batch = new Batch();
    batch.#writer = RecordWriter.behind(records);
    batch.#size = size;
    return batch;
  }

  /** @internal Reads the records; they are only good until the next push. */
  reader(): RecordReader {
    return new RecordReader(this.#writer.bytes, this.#writer.length);
  }
}

/** The operation in words for an error message, whatever it holds. */
function describe(operation: Operation): string {
  try {
    return operationText(operation);
  } catch {
    return typeof operation === 'object' && operation !== null ? quote(operation.verb) : 'no operation';
  }
}
