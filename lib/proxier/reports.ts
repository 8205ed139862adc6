/** Sums of pass reports. */
import type { DriftCounts, SyncFailure, SyncReport, UdpCleaning } from '../reconcile/protocol.ts';

/** Everything both passes did; the objects, and what is complete, as the later one left them. A failure that the later one names counts once. */
export function sumReports(earlier: SyncReport, later: SyncReport): SyncReport {
  return {
    ...later,
    operations: earlier.operations + later.operations,
    byVerb: sumCounts(earlier.byVerb, later.byVerb),
    rulesWritten: earlier.rulesWritten + later.rulesWritten,
    sysctlsWritten: earlier.sysctlsWritten + later.sysctlsWritten,
    failures: mergeFailures(earlier.failures, later.failures),
    ...sumCleanings(earlier.udpCleaning, later.udpCleaning),
    ...(earlier.drift === undefined && later.drift === undefined
      ? {}
      : { drift: sumDrift(earlier.drift, later.drift) }),
    unknown: earlier.unknown + later.unknown,
    roundTrips: earlier.roundTrips + later.roundTrips,
    planMicros: earlier.planMicros + later.planMicros,
    kernelMicros: earlier.kernelMicros + later.kernelMicros,
  };
}

export function sumDrift(one: DriftCounts | undefined, other: DriftCounts | undefined): DriftCounts {
  return {
    missing: (one?.missing ?? 0) + (other?.missing ?? 0),
    extra: (one?.extra ?? 0) + (other?.extra ?? 0),
    changed: (one?.changed ?? 0) + (other?.changed ?? 0),
  };
}

function sumCleanings(
  one: UdpCleaning | undefined,
  other: UdpCleaning | undefined,
): Pick<SyncReport, 'udpCleaning'> | undefined {
  if (one === undefined || other === undefined) {
    const only = one ?? other;
    return only === undefined ? undefined : { udpCleaning: only };
  }
  return {
    udpCleaning: {
      examined: one.examined + other.examined,
      removed: one.removed + other.removed,
      failed: one.failed + other.failed,
    },
  };
}

function sumCounts(
  one: Readonly<Record<string, number>>,
  other: Readonly<Record<string, number>>,
): Record<string, number> {
  const sum = new Map(Object.entries(one));
  for (const [verb, count] of Object.entries(other)) sum.set(verb, (sum.get(verb) ?? 0) + count);
  return Object.fromEntries(sum);
}

function mergeFailures(earlier: readonly SyncFailure[], later: readonly SyncFailure[]): SyncFailure[] {
  const key = ({ object, operation }: SyncFailure): string => `${object}\n${operation}`;
  return [...new Map([...earlier, ...later].map((failure) => [key(failure), failure])).values()];
}
