/** When a reconciler has to be called again, and for what. */
import type { Auditor } from './auditor.ts';
import type { Parts } from './parts.ts';
import { kernelObject } from './pass.ts';

export function isDue(timeMs: number | undefined, nowMs: number): boolean {
  return timeMs !== undefined && timeMs <= nowMs;
}

/** When something is to be compared or tried again; not before a kernel that could not be read is to be read again. */
export function passDueMs({ progress, dirty, retries }: Parts, nowMs: number): number | undefined {
  if (!progress.isComplete) return undefined;
  const nextMs = dirty.isEmpty ? retries.nextMs : nowMs;
  const kernelMs = retries.dueMs(kernelObject);
  return nextMs === undefined || kernelMs === undefined ? nextMs : Math.max(nextMs, kernelMs);
}

/** In how many ms `tick` is to be called at the latest; undefined: nothing waits. */
export function wakeInMs(parts: Parts, auditor: Auditor, nowMs: number): number | undefined {
  const { progress, rules, addresses, drains, conntrack, retries } = parts;
  if (!progress.isStarted || progress.inSnapshot || progress.isPreparing) return undefined;
  let next = earlier(rules.nextMs(nowMs), addresses.nextMs);
  if (progress.isComplete) {
    next = earlier(next, auditor.dueMs);
    next = earlier(next, auditor.contests.nextMs);
    next = earlier(next, passDueMs(parts, nowMs));
    next = earlier(next, drains.nextMs);
    next = earlier(next, conntrack.nextMs(nowMs));
  } else {
    next = earlier(next, auditor.nextRoundMs);
    if (progress.allSynced) next = earlier(next, retries.dueMs(kernelObject) ?? nowMs);
  }
  return next === undefined ? undefined : Math.max(0, next - nowMs);
}

/** Objects whose turn has not come yet. What waits for the kernel as a whole has been tried, as has any other object that failed. */
export function unwritten({ progress, dirty, retries }: Parts, nowMs: number): number {
  if (!progress.hasBegun || progress.inSnapshot) return 0;
  const kernelMs = retries.dueMs(kernelObject);
  return kernelMs !== undefined && kernelMs > nowMs ? 0 : dirty.size;
}

/** Undefined = never. */
function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}
