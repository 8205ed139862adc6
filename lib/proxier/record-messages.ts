/** Records cut into messages of bounded size. */
import type { RoundLimits } from '../kube/pending-records.ts';
import type { ObjectRecord, RecordMessage } from '../records.ts';

/**
 * Of one message, and so of one round. While the reconciler takes a round in, newer state waits; while a message is copied, the caller's event loop
 * does: both are to be over in milliseconds (a full one takes some 4 ms to copy natively). Smaller ones would not make it faster: what a message costs
 * beside its records is less than a hundredth of that. The API server lets a slice have 1,000 endpoints at the most, and its controller
 * fills 100: so endpoints have a limit of their own, which 2,000 ordinary slices of a few endpoints do not reach.
 */
export const ROUND_LIMITS: RoundLimits = { records: 2000, endpoints: 10_000 };

/** What there is to be told. */
export interface SnapshotFeed {
  readonly allSynced: boolean;
  snapshot(): readonly ObjectRecord[];
}

/** A snapshot in pieces. Only the last one says that the sources have synced: before it, what is missing is not gone. */
export function snapshotMessages(feed: SnapshotFeed, syncedBefore: boolean): RecordMessage[] {
  const { allSynced } = feed;
  const pieces = inPieces(feed.snapshot(), ROUND_LIMITS);
  const last = pieces.length - 1;
  return pieces.map((records, index) => {
    if (index === last) return { records, allSynced, snapshot: last === 0 ? 'whole' : 'end' };
    const message = { records, allSynced: syncedBefore };
    return index === 0 ? { ...message, snapshot: 'begin' } : message;
  });
}

/** At least one piece, which may be empty. */
function inPieces(records: readonly ObjectRecord[], limits: RoundLimits): (readonly ObjectRecord[])[] {
  const pieces: (readonly ObjectRecord[])[] = [];
  let from = 0;
  let endpoints = 0;
  for (const [at, record] of records.entries()) {
    const more = endpointsOf(record);
    if (at > from && (at - from >= limits.records || endpoints + more > limits.endpoints)) {
      pieces.push(records.slice(from, at));
      from = at;
      endpoints = 0;
    }
    endpoints += more;
  }
  pieces.push(records.slice(from));
  return pieces;
}

function endpointsOf(record: ObjectRecord): number {
  return record.kind === 'slice' ? (record.body?.addresses.length ?? 0) : 0;
}
