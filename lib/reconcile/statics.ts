/** Keeps what is there whatever the Services are, at each full read: written when it is missing, told of when it cannot be. */
import type { SetName } from '../plan/state.ts';
import { type StaticRead, vipLink } from './observed.ts';
import type { ReconcileInit, SyncFailure } from './protocol.ts';
import { staticChanges } from './static-part.ts';
import type { Tally } from './tally.ts';
import type { Writer } from './writer.ts';

export interface MendedStatics {
  /** What is to be said, by object. */
  readonly warnings: ReadonlyMap<string, string>;
  /** When to look again, if something could not be written: only a full pass looks at the static part. */
  readonly retryInMs: number;
}

export class Statics {
  readonly #init: Pick<ReconcileInit, 'families' | 'ipvsTimeouts' | 'syncPeriodMs'>;
  #broken: ReadonlyMap<SetName, string> = new Map();
  /** How many reads in a row have found each of those. */
  #brokenReads: ReadonlyMap<SetName, number> = new Map();

  constructor(init: Pick<ReconcileInit, 'families' | 'ipvsTimeouts' | 'syncPeriodMs'>) {
    this.#init = init;
  }

  /** See `StaticChanges.broken`. */
  get broken(): ReadonlyMap<SetName, string> {
    return this.#broken;
  }

  mend(observed: StaticRead, writer: Writer, nowMs: number, tally: Tally): MendedStatics {
    const { changes, broken } = staticChanges(observed, this.#init);
    const warnings = new Map([...broken].map(([set, message]) => [`set ${set}`, message]));
    this.#broken = broken;
    this.#brokenReads = new Map([...broken.keys()].map((set) => [set, (this.#brokenReads.get(set) ?? 0) + 1]));
    if (observed.link !== undefined && observed.link.kind !== 'dummy') {
      const what = `has become a ${observed.link.kind} link`;
      warnings.set(`link ${vipLink}`, `${what}: no address can be bound until it is renamed or removed`);
    }
    const earlier = tally.failures.length;
    writer.write(changes, { nowMs, tally, suspected: new Set(changes.map(({ object }) => object)) });
    const retries = tally.failures.slice(earlier).map(({ retryInMs }) => retryInMs);
    return { warnings, retryInMs: Math.min(this.#init.syncPeriodMs, ...retries) };
  }

  /** Nothing that we could try again mends these, yet what they are for does not work. */
  failures(): SyncFailure[] {
    const retryInMs = this.#init.syncPeriodMs;
    return [...this.#broken].map(([set, message]) => {
      const attempts = this.#brokenReads.get(set) ?? 1;
      return {
        object: `set ${set}`,
        operation: 'create-set',
        error: { code: 'ERR_NETLINK', message },
        attempts,
        retryInMs,
      };
    });
  }
}
