/** Removing many connections without ever holding all of them. */
import { InvalidArgumentError } from '../errors.ts';
import type { Connection, ConnectionFilter } from '../types.ts';
import { Batch } from './batch.ts';
import type { KernelSession, OperationFailure } from './session.ts';

export interface RemoveConnectionsOptions {
  /** Stop after so many removals. Default: no limit. */
  readonly max?: number;
}

export interface RemovedConnections {
  /** Connections that the filter let through to the predicate. */
  readonly examined: number;
  /** Connections that are gone now, those included that went by themselves meanwhile. */
  readonly removed: number;
  /** How many could not be removed, or whether they were is unknown. */
  readonly failed: number;
  /** The first {@link FAILURES_TOLD} of them. `index` counts removals of this call. */
  readonly failures: readonly OperationFailure[];
  /** `max` was reached: there may be more. */
  readonly limited: boolean;
}

/** Failures that are told one by one: they are alike, and there can be as many as connections. */
export const FAILURES_TOLD = 100;

/** Counts while slices are examined and their batches run; the part that the session and the async client share. */
export class ConnectionRemoval {
  readonly #predicate: (connection: Connection) => boolean;
  readonly #max: number;
  #examined = 0;
  #sent = 0;
  #failed = 0;
  #failures: OperationFailure[] = [];
  #limited = false;

  constructor(predicate: (connection: Connection) => boolean, options: RemoveConnectionsOptions) {
    const { max = Number.MAX_SAFE_INTEGER } = options;
    if (!Number.isSafeInteger(max) || max < 0) throw new InvalidArgumentError('max', `is ${max}, must be 0 or more`);
    this.#predicate = predicate;
    this.#max = max;
  }

  /** The limit is reached. */
  get done(): boolean {
    return this.#limited;
  }

  /** The removals of one slice. By tuple and id: a later connection of the same tuple is another one. */
  batch(slice: readonly Connection[]): Batch {
    const batch = new Batch();
    for (const connection of slice) {
      if (this.#limited) break;
      this.#examined++;
      if (!this.#predicate(connection)) continue;
      if (this.#sent + batch.size >= this.#max) {
        this.#limited = true;
        break;
      }
      const { original, zone, id } = connection;
      batch.removeConnection(original, { zone, id });
    }
    return batch;
  }

  /** What the batch came to. */
  count(batch: Batch, failures: readonly OperationFailure[]): void {
    for (const failure of failures.slice(0, FAILURES_TOLD - this.#failures.length)) {
      this.#failures.push({ ...failure, index: this.#sent + failure.index });
    }
    this.#sent += batch.size;
    this.#failed += failures.length;
  }

  result(): RemovedConnections {
    return {
      examined: this.#examined,
      removed: this.#sent - this.#failed,
      failed: this.#failed,
      failures: this.#failures,
      limited: this.#limited,
    };
  }
}

/** Reads slice by slice, and removes from each what the predicate takes before the next is read. */
export function removeConnections(
  session: Pick<KernelSession, 'connections' | 'run'>,
  filter: ConnectionFilter,
  predicate: (connection: Connection) => boolean,
  options: RemoveConnectionsOptions,
): RemovedConnections {
  const removal = new ConnectionRemoval(predicate, options);
  const cursor = session.connections(filter);
  try {
    for (let slice = cursor.next(); slice !== undefined && !removal.done; slice = cursor.next()) {
      const batch = removal.batch(slice);
      if (batch.size > 0) removal.count(batch, session.run(batch).failures);
    }
  } finally {
    cursor.close();
  }
  return removal.result();
}
