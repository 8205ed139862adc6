/** Kernel writes in order, to be run together. Ordered and not atomic: each operation has its own outcome. */
import { InvalidArgumentError } from '../errors.ts';
import type { Operation } from '../operations.ts';
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
} from '../types.ts';
import { decodeOperation } from './decode.ts';
import { encodeOperation } from './encode.ts';
import { operationText } from './text.ts';
import { RecordReader, RecordWriter } from './wire.ts';

export { operationText } from './text.ts';

/**
 * Building one touches nothing; only `KernelSession.run` does. Each operation is checked and encoded as it is pushed, into one flat
 * buffer (`wire.ts`): 40 to 60 bytes each for the usual ones. A bad value throws InvalidArgumentError, and the batch stays as it was.
 */
export class Batch implements Iterable<Operation> {
  #writer: RecordWriter;
  #size = 0;

  /** @param expected Operations to make room for; the buffer grows when there are more. */
  constructor(expected = 0) {
    this.#writer = new RecordWriter(expected * 64);
  }

  /** Number of operations. */
  get size(): number {
    return this.#size;
  }

  push(operation: Operation): this {
    try {
      encodeOperation(this.#writer, operation);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      const problem = error.message.slice(error.field.length + 2);
      throw new InvalidArgumentError(error.field, `${problem} (${describe(operation)})`);
    }
    this.#size++;
    return this;
  }

  createService(service: VirtualService): this {
    return this.push({ verb: 'create-service', service });
  }

  updateService(service: VirtualService): this {
    return this.push({ verb: 'update-service', service });
  }

  ensureService(service: VirtualService): this {
    return this.push({ verb: 'ensure-service', service });
  }

  /** The kernel removes the destinations with it. */
  removeService(key: ServiceKey): this {
    return this.push({ verb: 'remove-service', key });
  }

  createDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'create-destination', key, destination });
  }

  updateDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'update-destination', key, destination });
  }

  ensureDestination(key: ServiceKey, destination: Destination): this {
    return this.push({ verb: 'ensure-destination', key, destination });
  }

  removeDestination(key: ServiceKey, destination: DestinationKey): this {
    return this.push({ verb: 'remove-destination', key, destination });
  }

  createSet(set: SetSpec): this {
    return this.push({ verb: 'create-set', set });
  }

  ensureSet(set: SetSpec): this {
    return this.push({ verb: 'ensure-set', set });
  }

  removeSet(name: string): this {
    return this.push({ verb: 'remove-set', name });
  }

  flushSet(name: string): this {
    return this.push({ verb: 'flush-set', name });
  }

  swapSets(name: string, other: string): this {
    return this.push({ verb: 'swap-sets', name, other });
  }

  addEntry(set: SetRef, entry: SetEntry): this {
    return this.push({ verb: 'add-entry', set, entry });
  }

  removeEntry(set: SetRef, entry: SetEntry): this {
    return this.push({ verb: 'remove-entry', set, entry });
  }

  ensureLink(name: string): this {
    return this.push({ verb: 'ensure-link', name });
  }

  removeLink(name: string): this {
    return this.push({ verb: 'remove-link', name });
  }

  addAddress(address: LinkAddress): this {
    return this.push({ verb: 'add-address', address });
  }

  removeAddress(link: string, address: IpAddress, prefixLength: number): this {
    return this.push({ verb: 'remove-address', link, address, prefixLength });
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

  /** @internal A copy of the encoded operations, to send to another thread. */
  records(): Uint8Array {
    return this.reader().bytes.slice(0, this.#writer.length);
  }

  /** @internal The batch whose `records` and `size` these are. */
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
    return String(operation.verb);
  }
}
