/** One write that a difference came to. */
import type { Operation } from '../operations.ts';
import { type ObjectId, objectOf } from './object-id.ts';
import type { DestinationId, ServiceId } from './state.ts';

export interface Change {
  readonly operation: Operation;
  /** What it writes. */
  readonly object: ObjectId;
  /**
   * The virtual service, and the destination, under the names that the states have for them. Whoever has none to give leaves them out, and
   * they are made of the operation: for each of very many writes that would cost more than all the rest of it.
   */
  readonly service?: ServiceId | undefined;
  readonly destination?: DestinationId | undefined;
}

/** Makes the name of its object only for those who ask: nobody does where nothing is in back-off and nothing fails. */
export class PlannedChange implements Change {
  readonly operation: Operation;
  readonly service: ServiceId | undefined;
  readonly destination: DestinationId | undefined;

  constructor(operation: Operation, service?: ServiceId, destination?: DestinationId) {
    this.operation = operation;
    this.service = service;
    this.destination = destination;
  }

  get object(): ObjectId {
    return objectOf(this.operation);
  }
}
