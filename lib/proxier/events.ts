/** What a Proxier tells, and how listeners are kept from hurting it. */
import type { ErrorRecord } from '../errors.ts';
import type { SourceConnection } from '../kube/source.ts';
import type { ContestFinding, SyncReport } from '../reconcile/protocol.ts';

/** Something a user should know: an object that cannot be served as asked, or a source in trouble. Never fatal. */
export interface WarningEvent {
  /** `default/web`, a file, a kernel object, or the name of a source. */
  readonly object: string;
  /** What is wrong and what to do. */
  readonly message: string;
  readonly error?: ErrorRecord;
}

export interface ForeignEvent {
  /** `tcp 172.31.1.1:80`: a virtual service that is not ours, seen for the first time. It is left alone. */
  readonly service: string;
}

export interface ContestedEvent {
  /** A virtual service that is wanted, there, different and not ours. It is left alone unless `takeOver` says so. Or see `object`. */
  readonly service: string;
  readonly message: string;
  /**
   * Present when it is an object of ours that somebody else rewrote three times or more: `destination tcp 10.96.0.10:80 10.244.1.5:8080`.
   * It is left as it is for a minute, and for twice as long each time after that, up to half an hour. `service` is its virtual service, or
   * the same text where it is of none.
   */
  readonly object?: string;
  /** What it was found as, oldest first, the last ten times at most. */
  readonly history?: readonly ContestFinding[];
}

export interface DriftEvent {
  /** A kernel object of ours that somebody else changed, removed or added: `entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80`. It is put right. */
  readonly object: string;
  /** What was found. */
  readonly message: string;
}

export interface DrainedEvent {
  readonly service: string;
  readonly destination: string;
  /** `idle`: its last connection ended. `deadline`: `drainTimeoutMs` passed, remaining connections were cut. */
  readonly reason: 'idle' | 'deadline';
}

export interface ConnectionEvent extends SourceConnection {
  readonly source: string;
}

/** A pass, and the changes that it brought to an end. */
export interface SyncEvent extends SyncReport {
  /**
   * Changes that the kernel has answered with this pass, well or not; the states of one object that were written together count once. A pass
   * that leaves something for the next one ends none.
   */
  readonly changes: number;
  /**
   * The longest that one of them took to the kernel's answer, in ms: from the trigger time of its EndpointSlice where that says one, else from
   * when it was handed in. 0 = none is measured: what was handed in before the first complete pass is not.
   */
  readonly oldestChangeMs: number;
}

export interface ProxierEvents {
  /** The first complete pass is in the kernel. Once; the report is the sum of everything done until then. */
  readonly ready: [report: SyncReport];
  /** A pass was made. */
  readonly sync: [event: SyncEvent];
  readonly warning: [event: WarningEvent];
  readonly foreign: [event: ForeignEvent];
  readonly contested: [event: ContestedEvent];
  /** At most a hundred in one round of the audit; `SyncReport.drift` counts all. */
  readonly drift: [event: DriftEvent];
  readonly drained: [event: DrainedEvent];
  /** A source began to list or watch, or lost its connection. The kernel keeps what it has. */
  readonly connection: [event: ConnectionEvent];
  /** A pass could not be made (a ProxierError), or a listener threw. The proxier goes on and tries again. */
  readonly error: [error: Error];
}

export type ProxierEventName = keyof ProxierEvents;
export type ProxierListener<K extends ProxierEventName> = (...args: ProxierEvents[K]) => void;

type ListenerSets = { readonly [K in ProxierEventName]: Map<ProxierListener<K>, ProxierListener<K>> };

/** Calls listeners in the order they were added. One that throws, or rejects, is reported and hurts nobody else. */
export class ProxierEmitter {
  readonly #sets: ListenerSets = {
    ready: new Map(),
    sync: new Map(),
    warning: new Map(),
    foreign: new Map(),
    contested: new Map(),
    drift: new Map(),
    drained: new Map(),
    connection: new Map(),
    error: new Map(),
  };
  readonly #onUnheard: (error: Error) => void;

  /** @param onUnheard Takes an error that no `error` listener took. */
  constructor(onUnheard: (error: Error) => void) {
    this.#onUnheard = onUnheard;
  }

  /** Adding a listener twice is the same as once. */
  on<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): void {
    this.#sets[event].set(listener, listener);
  }

  once<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): void {
    this.#sets[event].set(listener, (...args) => {
      this.off(event, listener);
      return listener(...args);
    });
  }

  off<K extends ProxierEventName>(event: K, listener: ProxierListener<K>): void {
    this.#sets[event].delete(listener);
  }

  emit<K extends ProxierEventName>(event: K, ...args: ProxierEvents[K]): void {
    for (const listener of [...this.#sets[event].values()]) {
      try {
        const result: unknown = listener(...args);
        if (result instanceof Promise) result.catch((error: unknown) => this.#failed(event, error));
      } catch (error) {
        this.#failed(event, error);
      }
    }
  }

  get hasErrorListener(): boolean {
    return this.#sets.error.size > 0;
  }

  #failed(event: ProxierEventName, cause: unknown): void {
    const error = new Error(
      `a listener of "${event}" threw: ${cause instanceof Error ? cause.message : String(cause)}`,
      {
        cause,
      },
    );
    if (event === 'error' || !this.hasErrorListener) this.#onUnheard(error);
    else this.emit('error', error);
  }
}
