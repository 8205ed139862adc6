/** The audit within the reconciler: its rounds and slices, full passes that run one through at once, and what is remembered of drift. */
import { toErrorRecord } from '../errors.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { DirtyObjects } from '../plan/dirty.ts';
import type { Planner } from '../plan/planner.ts';
import type { IpAddress } from '../types.ts';
import type { AppliedState } from './applied.ts';
import { Audit } from './audit.ts';
import type { AuditParts } from './audit-round.ts';
import { Contests } from './contests.ts';
import type { DirtyQueue } from './dirty-queue.ts';
import { bindingDrift, type DriftContext, DriftLog } from './drift.ts';
import type { ForeignServices } from './foreign.ts';
import type { ObjectScope } from './object-scope.ts';
import type { StaticRead } from './observed.ts';
import { kernelObject } from './pass.ts';
import type { ReconcileInit } from './protocol.ts';
import type { RetryQueue } from './retry-queue.ts';
import type { Tally } from './tally.ts';

export interface AuditorParts extends Pick<AuditParts, 'tookAddresses' | 'isNews'> {
  readonly init: Pick<ReconcileInit, 'families' | 'ipvsTimeouts' | 'syncPeriodMs'>;
  readonly planner: Planner;
  readonly applied: AppliedState;
  readonly foreign: ForeignServices;
  readonly retries: RetryQueue;
  readonly dirty: DirtyQueue;
  mendStatics(read: StaticRead, nowMs: number, tally: Tally): void;
  /** Writes what is dirty, unless nothing is to be written now. */
  write(nowMs: number, tally: Tally): void;
  /** Lets other requests have their turn. */
  turn(): Promise<void>;
}

/** `failed`: the kernel could not be read, and the round is given up. */
export type AuditStep = 'under way' | 'over' | 'failed';

export class Auditor {
  readonly contests: Contests = new Contests();
  /** When the next round begins. */
  nextRoundMs: number = Number.POSITIVE_INFINITY;
  readonly #parts: AuditorParts;
  readonly #drifts: DriftLog;
  #audit: Audit | undefined;
  /** Of the slice that is under way. */
  #context: DriftContext | undefined;
  /** Full passes that are under way or wait for one, and the last of them: one after another. The audit rests meanwhile. */
  #fulls = 0;
  #lastFull: Promise<unknown> = Promise.resolve();

  constructor(parts: AuditorParts) {
    this.#parts = parts;
    this.#drifts = new DriftLog(this.contests, parts.planner.desired);
  }

  open(session: KernelSession): void {
    const { init, planner, applied, foreign, dirty, tookAddresses, isNews, mendStatics } = this.#parts;
    const parts: AuditParts = {
      init,
      session,
      desired: planner.desired,
      applied,
      foreign,
      tookAddresses,
      isNews,
      note: (drift) => this.#context && this.#drifts.note(drift, this.#context),
      mark: (scope) => dirty.addWithDependents(scope),
      mendStatics: (read) => this.#context && mendStatics(read, this.#context.nowMs, this.#context.tally),
    };
    this.#audit = new Audit(parts, init.syncPeriodMs);
  }

  /** When the audit goes on, or begins anew; undefined while a full pass does the same. */
  get dueMs(): number | undefined {
    return this.#fulls > 0 ? undefined : (this.#audit?.nextMs ?? this.nextRoundMs);
  }

  /** A slice, and what follows from it. */
  step(context: DriftContext): AuditStep {
    const { nowMs, tally } = context;
    const audit = this.#audit;
    if (audit === undefined) return 'over';
    this.#context = context;
    let isOver: boolean;
    try {
      if (audit.nextMs === undefined) {
        this.#drifts.begin(nowMs);
        this.roundBegins(nowMs);
        audit.begin(nowMs);
      }
      isOver = audit.slice(nowMs);
    } catch (error) {
      this.couldNotRead(error, nowMs, tally);
      return 'failed';
    } finally {
      this.#context = undefined;
    }
    const { dirty, retries, write } = this.#parts;
    if (isOver) retries.cleared(kernelObject);
    if (!dirty.isEmpty) write(nowMs, tally);
    return isOver ? 'over' : 'under way';
  }

  /** A whole round from here on, as fast as it goes, with others in between. Rejects with the reason of the signal. */
  async through(context: DriftContext, signal: AbortSignal): Promise<AuditStep> {
    this.#audit?.abandon();
    for (let step = this.step(context); ; step = this.step(context)) {
      if (step !== 'under way') return step;
      await this.#parts.turn();
      signal.throwIfAborted();
    }
  }

  /** One full pass at a time. */
  alone<T>(full: () => Promise<T>): Promise<T> {
    this.#fulls += 1;
    const made = this.#lastFull.then(full).finally(() => {
      this.#fulls -= 1;
    });
    this.#lastFull = made.catch(() => {});
    return made;
  }

  roundBegins(nowMs: number): void {
    this.nextRoundMs = nowMs + this.#parts.init.syncPeriodMs;
  }

  couldNotRead(error: unknown, nowMs: number, tally: Tally): void {
    const { retries, init } = this.#parts;
    const failure = retries.failed(kernelObject, { kind: 'static' }, 'read', toErrorRecord(error), nowMs);
    tally.failures.push(failure);
    this.nextRoundMs = nowMs + Math.min(failure.retryInMs, init.syncPeriodMs);
  }

  /** Something is about to be written. */
  release(): void {
    this.#audit?.release();
  }

  /** VIPs that the kernel has told of. */
  sawVips(vips: readonly IpAddress[], context: DriftContext): void {
    const { applied, planner } = this.#parts;
    for (const address of vips) {
      const drifts = bindingDrift('addresses', address, applied.addresses.has(address), planner.desired);
      for (const drift of drifts) this.#drifts.note(drift, context);
    }
  }

  /** Something else may be wanted of these. */
  follow(changed: DirtyObjects): void {
    this.#compare(this.contests.forget(changed, this.#parts.planner.desired));
  }

  /** Contested objects whose time has come; `all`: every one. */
  retry(nowMs: number | 'all'): void {
    this.#compare(nowMs === 'all' ? this.contests.hurry() : this.contests.release(nowMs));
  }

  #compare(scopes: readonly ObjectScope[]): void {
    for (const scope of scopes) this.#parts.dirty.addWithDependents(scope);
  }
}
