/** The ipset half of the async clients (`client.ts`), and of their worker. */
import { NetlinkError, ProxierError } from '../errors.ts';
import type { SetEntry, SetRef, SetSpec, SetState } from '../types.ts';
import { Batch } from './batch.ts';
import { BatchError, failureCode } from './batch-error.ts';
import type { CallOptions, RunOptions } from './client.ts';
import type { ReadReply, ReadRequest } from './client-worker.ts';
import { OpenCursors } from './open-cursors.ts';
import type { BatchResult, KernelSession } from './session.ts';
import { setFor } from './set-size.ts';
import { isAbandonedSet, temporarySetName } from './temporary-set.ts';

export interface IpsetClient {
  /** Headers of all sets of the types in `SetType`, without entries (IPSET_CMD_LIST). */
  list(options?: CallOptions): Promise<SetState[]>;
  /** The header of one set; undefined when there is no such set. */
  get(name: string, options?: CallOptions): Promise<SetState | undefined>;
  /** Entries in canonical ipset notation. Rejects with ENOENT when there is no such set. */
  entries(set: string, options?: CallOptions): Promise<SetEntry[]>;
  /**
   * The same in slices of some hundred, as the kernel gives them: a set of any size in bounded memory. While it runs the kernel refuses to remove or
   * swap the set (EBUSY); leaving the loop early ends it.
   * @example for await (const slice of kernel.ipset.stream('KUBE-CLUSTER-IP')) count += slice.length;
   */
  stream(set: string, options?: CallOptions): AsyncGenerator<readonly SetEntry[], void, undefined>;
  /** Whether the kernel finds the entry in the set (IPSET_CMD_TEST); see `KernelSession.testEntry`. */
  test(set: SetRef, entry: SetEntry, options?: CallOptions): Promise<boolean>;
  /**
   * Makes the set hold exactly these entries, at one moment and under the same rules: a temporary set is filled and swapped with it (IPSET_CMD_SWAP).
   * The set need not be there. It is made larger than `maxElements` if the entries need that. Rejects with BatchError when the kernel refuses an
   * entry or the swap; the set is as it was then.
   */
  replace(set: SetSpec, entries: Iterable<SetEntry>, options?: CallOptions): Promise<BatchResult>;
  /** Removes all entries (IPSET_CMD_FLUSH). Rejects with ENOENT when there is no such set; so do `rename` and `swap`. */
  flush(name: string, options?: CallOptions): Promise<void>;
  /** IPSET_CMD_RENAME. Rejects while a rule refers to the set (IPSET_ERR_REFERENCED), and when the new name is taken. */
  rename(name: string, newName: string, options?: CallOptions): Promise<void>;
  /** Exchanges the contents of two sets of one type and family at one moment; rules stay with the names (IPSET_CMD_SWAP). */
  swap(name: string, other: string, options?: CallOptions): Promise<void>;
  /** IPSET_CMD_DESTROY; success when there is none. Rejects while a rule refers to it (IPSET_ERR_BUSY). */
  remove(name: string, options?: CallOptions): Promise<void>;
}

/** What the client stands on. */
export interface IpsetCalls {
  read(request: ReadRequest, options?: CallOptions): Promise<ReadReply>;
  run(batch: Batch, options?: RunOptions): Promise<BatchResult>;
}

export class HostedIpset implements IpsetClient {
  readonly #calls: IpsetCalls;

  constructor(calls: IpsetCalls) {
    this.#calls = calls;
  }

  async list(options?: CallOptions): Promise<SetState[]> {
    return (await this.#calls.read({ kind: 'sets' }, options)).sets ?? [];
  }

  async get(name: string, options?: CallOptions): Promise<SetState | undefined> {
    return (await this.list(options)).find((state) => state.name === name);
  }

  async entries(set: string, options?: CallOptions): Promise<SetEntry[]> {
    return (await this.#calls.read({ kind: 'entries', set }, options)).entries ?? [];
  }

  async *stream(set: string, options?: CallOptions): AsyncGenerator<readonly SetEntry[], void, undefined> {
    options?.signal?.throwIfAborted();
    // Not given the signal: a cursor that nobody waits for would stay open, and the set could be neither swapped nor removed.
    const { cursor } = await this.#calls.read({ kind: 'openEntries', set });
    if (cursor === undefined) throw new ProxierError('ERR_WORKER', 'the worker answered without a cursor');
    let isOpen = true;
    try {
      for (;;) {
        const { entries } = await this.#calls.read({ kind: 'nextEntries', cursor }, options);
        if (entries === undefined) break;
        yield entries;
      }
      isOpen = false;
    } finally {
      // After an error there may be nobody left to tell.
      if (isOpen) await this.#calls.read({ kind: 'closeEntries', cursor }).catch(() => {});
    }
  }

  async test(set: SetRef, entry: SetEntry, options?: CallOptions): Promise<boolean> {
    return (await this.#calls.read({ kind: 'testEntry', set, entry }, options)).isHeld === true;
  }

  async replace(set: SetSpec, entries: Iterable<SetEntry>, options?: CallOptions): Promise<BatchResult> {
    const all = [...entries];
    const spec = setFor(set, all.length);
    const temporary: SetSpec = { ...spec, name: temporarySetName() };
    const fill = new Batch(all.length + 1).createSet(temporary);
    for (const entry of all) fill.addEntry(temporary, entry);
    const states = await this.list(options);
    const present = states.find(({ name }) => name === set.name);
    const swap = new Batch();
    for (const { name, references } of states) if (references === 0 && isAbandonedSet(name)) swap.removeSet(name);
    if (present?.type !== set.type || (set.type !== 'bitmap:port' && present.family !== set.family))
      swap.ensureSet(spec);
    swap.swapSets(set.name, temporary.name).removeSet(temporary.name);

    const report = { ...options, onFailure: 'report' } as const;
    try {
      const filled = await this.#calls.run(fill, report);
      if (filled.failures.length > 0) throw new BatchError(filled);
      return sum(filled, await this.#calls.run(swap, options));
    } catch (error) {
      await this.#calls.run(new Batch().removeSet(temporary.name), { onFailure: 'report' }).catch(() => {});
      throw error;
    }
  }

  async flush(name: string, options?: CallOptions): Promise<void> {
    await this.#one(new Batch().flushSet(name), options);
  }

  async rename(name: string, newName: string, options?: CallOptions): Promise<void> {
    await this.#one(new Batch().renameSet(name, newName), options);
  }

  async swap(name: string, other: string, options?: CallOptions): Promise<void> {
    await this.#one(new Batch().swapSets(name, other), options);
  }

  async remove(name: string, options?: CallOptions): Promise<void> {
    await this.#one(new Batch().removeSet(name), options);
  }

  /** One operation: its failure is the call's. */
  async #one(batch: Batch, options?: CallOptions): Promise<void> {
    const { failures } = await this.#calls.run(batch, { ...options, onFailure: 'report' });
    const [failure] = failures;
    if (failure === undefined) return;
    throw new NetlinkError(failureCode(failure), failure.error);
  }
}

function sum(first: BatchResult, second: BatchResult): BatchResult {
  return {
    applied: first.applied + second.applied,
    failures: [],
    messages: first.messages + second.messages,
    roundTrips: first.roundTrips + second.roundTrips,
    kernelMicros: first.kernelMicros + second.kernelMicros,
  };
}

/** Requests of this client beside the plain reads. */
export type IpsetRequest =
  | { readonly kind: 'testEntry'; readonly set: SetRef; readonly entry: SetEntry }
  | { readonly kind: 'openEntries'; readonly set: string }
  | { readonly kind: 'nextEntries' | 'closeEntries'; readonly cursor: number };

export interface IpsetReply {
  readonly isHeld?: boolean;
  readonly cursor?: number;
  /** Of `nextEntries`: absent = the end. */
  readonly entries?: SetEntry[];
}

/** The worker side: cursors that live from one request to the next. */
export class IpsetReader {
  readonly #session: KernelSession;
  readonly #cursors = new OpenCursors<SetEntry>();

  constructor(session: KernelSession) {
    this.#session = session;
  }

  handle(request: IpsetRequest): IpsetReply {
    switch (request.kind) {
      case 'testEntry':
        return { isHeld: this.#session.testEntry(request.set, request.entry) };
      case 'openEntries':
        return { cursor: this.#cursors.add(this.#session.entries(request.set)) };
      case 'nextEntries': {
        const entries = this.#cursors.next(request.cursor);
        return entries === undefined ? {} : { entries };
      }
      case 'closeEntries':
        this.#cursors.remove(request.cursor);
        return {};
    }
  }

  close(): void {
    this.#cursors.close();
  }
}
