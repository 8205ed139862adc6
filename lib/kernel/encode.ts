/** Operations to records, checked on the way: what the kernel would misread or cut off never gets into a batch. */
import { InvalidArgumentError } from '../errors.ts';
import type { Operation } from '../operations.ts';
import { checkedLink, checkedName, checkObject, quote } from './check.ts';
import { encodeConnectionRemoval } from './encode-conntrack.ts';
import { writeDestination, writeDestinationKey, writeKey, writeService, writeTimeouts } from './encode-ipvs.ts';
import { writeLinkAddress, writeLocalRoute } from './encode-route.ts';
import { writeSet, writeSetEntry } from './encode-set.ts';
import type { RecordWriter } from './record-writer.ts';
import { Opcode } from './wire.ts';

const OPCODE = {
  'create-service': Opcode.createService,
  'update-service': Opcode.updateService,
  'ensure-service': Opcode.ensureService,
  'remove-service': Opcode.removeService,
  'create-destination': Opcode.createDestination,
  'update-destination': Opcode.updateDestination,
  'ensure-destination': Opcode.ensureDestination,
  'remove-destination': Opcode.removeDestination,
  'zero-service': Opcode.zeroService,
  'zero-services': Opcode.zeroServices,
  'flush-services': Opcode.flushServices,
  'set-timeouts': Opcode.setTimeouts,
  'create-set': Opcode.createSet,
  'ensure-set': Opcode.ensureSet,
  'remove-set': Opcode.removeSet,
  'flush-set': Opcode.flushSet,
  'swap-sets': Opcode.swapSets,
  'rename-set': Opcode.renameSet,
  'add-entry': Opcode.addEntry,
  'remove-entry': Opcode.removeEntry,
  'ensure-link': Opcode.ensureLink,
  'remove-link': Opcode.removeLink,
  'add-address': Opcode.addAddress,
  'remove-address': Opcode.removeAddress,
  'ensure-address': Opcode.ensureAddress,
  'add-local-route': Opcode.addLocalRoute,
  'remove-local-route': Opcode.removeLocalRoute,
  'remove-connection': Opcode.removeConnection,
} as const satisfies Record<Operation['verb'], number>;

/** Appends one operation. Throws InvalidArgumentError, and then the writer holds what it held before. */
export function encodeOperation(writer: RecordWriter, operation: Operation): void {
  checkObject('operation', operation);
  const opcode = typeof operation.verb === 'string' ? OPCODE[operation.verb] : undefined;
  // Not undefined alone: every object has a `constructor`.
  if (typeof opcode !== 'number')
    throw new InvalidArgumentError('verb', `${quote(operation.verb)} is not an operation`);
  writer.begin(opcode);
  switch (operation.verb) {
    case 'create-service':
    case 'update-service':
    case 'ensure-service':
      writeService(writer, operation.service);
      break;
    case 'remove-service':
    case 'zero-service':
      writeKey(writer, operation.key);
      break;
    case 'create-destination':
    case 'update-destination':
    case 'ensure-destination':
      writeDestination(writer, writeKey(writer, operation.key), operation.destination);
      break;
    case 'remove-destination':
      writeKey(writer, operation.key);
      writeDestinationKey(writer, operation.destination);
      break;
    case 'zero-services':
    case 'flush-services':
      break;
    case 'set-timeouts':
      writeTimeouts(writer, operation.timeouts);
      break;
    case 'create-set':
    case 'ensure-set':
      writeSet(writer, operation.set);
      break;
    case 'remove-set':
    case 'flush-set':
      writer.string(checkedName('name', operation.name, 31));
      break;
    case 'swap-sets':
      writer.string(checkedName('name', operation.name, 31));
      writer.string(checkedName('other', operation.other, 31));
      break;
    case 'rename-set':
      writer.string(checkedName('name', operation.name, 31));
      writer.string(checkedName('newName', operation.newName, 31));
      break;
    case 'add-entry':
      writeSetEntry(writer, operation.set, operation.entry, true);
      break;
    case 'remove-entry':
      writeSetEntry(writer, operation.set, operation.entry, false);
      break;
    case 'ensure-link':
    case 'remove-link':
      writer.string(checkedLink('name', operation.name));
      break;
    case 'add-address':
    case 'ensure-address':
      checkObject('address', operation.address);
      writeLinkAddress(writer, operation.address, 'address.');
      break;
    case 'remove-address':
      writeLinkAddress(writer, operation, '');
      break;
    case 'add-local-route':
    case 'remove-local-route':
      writeLocalRoute(writer, operation.route);
      break;
    case 'remove-connection':
      encodeConnectionRemoval(writer, operation);
      break;
  }
  writer.commit();
}
