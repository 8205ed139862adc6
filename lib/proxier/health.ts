/** Whether the proxier does its work, what it waits for, and for how long. Pure: the state and the time come as values. */
import type { SourceConnection } from '../kube/source.ts';
import type { DriftCounts, SyncFailure, SyncReport } from '../reconcile/protocol.ts';
import type { RequestFailure } from './request-failures.ts';
import type { WaitingChange } from './statistics.ts';

/** What the pump waits for, for health. */
export interface PumpState {
  /** When the oldest change that is not yet in the kernel was handed in. */
  readonly pendingSinceMs: number | undefined;
  /** When requests began to fail, and the last reason. */
  readonly failing: RequestFailure | undefined;
}

export interface SourceHealth {
  readonly name: string;
  /** Its first complete lists have been delivered. */
  readonly synced: boolean;
  /** The state of its connections, one per resource, when it has any. */
  readonly connections: readonly SourceConnection[];
}

/** Something that has not happened yet, by name. */
export interface Waiting {
  readonly what: string;
  readonly sinceMs: number;
}

/** Ages are in ms, counted back from the call. */
export interface ProxierHealth {
  /** The first complete pass is in the kernel. */
  readonly ready: boolean;
  /**
   * Ready; no change has waited longer than twice `syncPeriodMs` for the kernel; passes have not failed for as long as that, and the kernel
   * as a whole has not: that it cannot be read, or is changed by others all the time. A lost API server or
   * one object that the kernel refuses leaves a proxier healthy, as the rest goes on: see `waiting`.
   */
  readonly healthy: boolean;
  /** Why it is not healthy; empty when it is. */
  readonly reasons: readonly string[];
  /** When the last pass ended. */
  readonly lastSync: Date | undefined;
  /** Age of the oldest change that is not yet in the kernel; 0 = none waits. */
  readonly oldestPendingMs: number;
  /** That change; undefined = none waits. */
  readonly oldestChange: WaitingChange | undefined;
  readonly sources: readonly SourceHealth[];
  /** Everything that is waited for, whether it is late or not: `sinceMs` is an age. */
  readonly waiting: readonly Waiting[];
  /** What others have done to kernel objects of ours since the start, as far as it was found. */
  readonly drift: DriftCounts;
  /** How often the worker was lost and replaced. */
  readonly workerRestarts: number;
}

export interface HealthInput {
  readonly nowMs: number;
  readonly startedMs: number;
  readonly syncPeriodMs: number;
  readonly ready: boolean;
  readonly lastSync: Date | undefined;
  /** Undefined before the kernel was asked. */
  readonly pump: PumpState | undefined;
  readonly oldestChange?: WaitingChange | undefined;
  readonly sources: readonly SourceHealth[];
  /** `source/kind`: what has not been listed yet. */
  readonly unsynced: readonly string[];
  /** Kernel objects whose last operation failed, and since when. */
  readonly failing: ReadonlyMap<string, FailingObject>;
  /** Endpoints whose drain is not over. Default: none. */
  readonly drains?: readonly Waiting[];
  /** Default: none was found. */
  readonly drift?: DriftCounts;
  readonly workerRestarts: number;
  readonly stopped: boolean;
}

export interface FailingObject {
  readonly failure: SyncFailure;
  readonly sinceMs: number;
  /** When it is tried again. */
  readonly dueMs: number;
}

/** Among the objects that fail, see `SyncFailure.object`. */
const KERNEL = 'kernel';

export function assessHealth(input: HealthInput): ProxierHealth {
  const limitMs = 2 * input.syncPeriodMs;
  const age = (sinceMs: number): number => Math.max(0, input.nowMs - sinceMs);
  const { oldestChange } = input;
  const oldestPendingMs = oldestChange?.ageMs ?? 0;
  const failing = input.pump?.failing;
  const reasons: string[] = [];
  if (input.stopped) reasons.push('it was stopped');
  else if (!input.ready) {
    const what =
      input.unsynced.length === 0 ? 'the first complete pass' : `the first list of ${input.unsynced.join(', ')}`;
    reasons.push(`not ready: waiting for ${what}${connectionTrouble(input.sources)}`);
  }
  if (oldestPendingMs > limitMs) {
    reasons.push(`a change has waited ${oldestPendingMs} ms for the kernel: ${oldestChange?.object}`);
  }
  if (failing !== undefined && age(failing.sinceMs) > limitMs) {
    reasons.push(`passes have failed for ${age(failing.sinceMs)} ms: ${failing.error.message} (${failing.error.code})`);
  }
  const kernel = input.failing.get(KERNEL);
  if (kernel !== undefined && age(kernel.sinceMs) > limitMs) {
    const { message, code } = kernel.failure.error;
    reasons.push(`the kernel could not be read or brought to rest for ${age(kernel.sinceMs)} ms: ${message} (${code})`);
  }
  return {
    ready: input.ready,
    healthy: reasons.length === 0,
    reasons,
    lastSync: input.lastSync,
    oldestPendingMs,
    oldestChange,
    sources: input.sources,
    waiting: waitingFor(input, age),
    drift: input.drift ?? { missing: 0, extra: 0, changed: 0 },
    workerRestarts: input.workerRestarts,
  };
}

function waitingFor(input: HealthInput, age: (sinceMs: number) => number): Waiting[] {
  const waiting = input.unsynced.map((what) => ({ what: `the first list of ${what}`, sinceMs: age(input.startedMs) }));
  const { oldestChange, pump: { failing } = {} } = input;
  if (oldestChange !== undefined) {
    waiting.push({ what: `changes to be written, first ${oldestChange.object}`, sinceMs: oldestChange.ageMs });
  }
  if (failing !== undefined) {
    waiting.push({
      what: `a pass, after ${failing.error.message} (${failing.error.code})`,
      sinceMs: age(failing.sinceMs),
    });
  }
  for (const { failure, sinceMs } of input.failing.values()) {
    waiting.push({ what: `${failure.object}: ${failure.error.message}`, sinceMs: age(sinceMs) });
  }
  return waiting.concat(input.drains ?? []);
}

function connectionTrouble(sources: readonly SourceHealth[]): string {
  const troubled = sources.flatMap(({ name, connections }) =>
    connections
      .filter(({ error }) => error !== undefined)
      .map(({ resource, attempt, error }) => `${name}/${resource}, attempt ${attempt}: ${error?.message}`),
  );
  return troubled.length === 0 ? '' : ` (${troubled.join('; ')})`;
}

/**
 * Keeps who fails since when. A report names what failed in its own pass; what it does not name has healed if it was due to be tried
 * again by then, and otherwise still waits for its turn.
 */
export function noteFailures(failing: Map<string, FailingObject>, report: SyncReport, nowMs: number): void {
  const named = new Map(report.failures.map((failure) => [failure.object, failure]));
  for (const [object, { dueMs }] of failing) if (!named.has(object) && nowMs >= dueMs) failing.delete(object);
  for (const [object, failure] of named) {
    const sinceMs = failing.get(object)?.sinceMs ?? nowMs;
    failing.set(object, { failure, sinceMs, dueMs: nowMs + failure.retryInMs });
  }
}
