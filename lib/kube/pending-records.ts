/**
 * The changes that wait to be taken, by key: a newer state of an object replaces the older one and keeps its place, so memory is bounded by objects
 * however many events come, and an object that changes all the time is not put off for ever.
 */
import type { ObjectKey, ObjectRecord } from '../records.ts';

/** An object's newest state, and since when it waits. */
export interface PendingChange {
  /** Names the object among all sources and kinds. */
  readonly id: string;
  readonly record: ObjectRecord;
  /** `seq` of the oldest of the states in a row that nobody took. */
  readonly firstSeq: number;
  /** When that one was handed in, on the store's clock. */
  readonly sinceMs: number;
  /** When the first of them that the API says it of was caused, on the same clock; never after it was handed in. */
  readonly triggeredMs: number | undefined;
}

/** What a change is part of, and what speaks for its being early. */
export interface Urgency {
  /** The Service whose records go together; undefined = none. */
  readonly service: ObjectKey | undefined;
  /** Everything else on the node waits for this Service. */
  readonly isCritical: boolean;
  /** Endpoints went, or ceased to be ready or to serve: packets run into the void until it is written. */
  readonly losesEndpoints: boolean;
}

/** How much is taken at once. One object more is taken where it is the first. */
export interface RoundLimits {
  readonly records: number;
  /** Endpoints of the slices among them. */
  readonly endpoints: number;
}

interface Slot {
  readonly change: PendingChange;
  readonly service: ObjectKey | undefined;
  readonly endpoints: number;
}

/** Of a round that cannot take everything, this share goes to those that have waited longest, whatever they are: nothing starves. */
const OLDEST_SHARE = 0.25;

const NONE: ReadonlySet<never> = new Set<never>();

export class PendingRecords {
  /** In the order of `firstSeq`. */
  readonly #slots = new Map<string, Slot>();
  readonly #byService = new Map<ObjectKey, Set<string>>();
  /** Services some of whose records are urgent, the one that has been so longest first. */
  readonly #critical = new Set<ObjectKey>();
  readonly #losing = new Set<ObjectKey>();
  #endpoints = 0;

  /** Objects. */
  get size(): number {
    return this.#slots.size;
  }

  /** The change that has waited longest. */
  get oldest(): PendingChange | undefined {
    return this.#slots.values().next().value?.change;
  }

  /** @param triggeredMs When it was caused; undefined where the object does not say. */
  put(record: ObjectRecord, urgency: Urgency, sinceMs: number, triggeredMs: number | undefined): void {
    const id = `${record.kind}\n${record.source}\n${record.key}`;
    const known = this.#slots.get(id);
    const { service } = urgency;
    const endpoints = record.kind === 'slice' ? (record.body?.addresses.length ?? 0) : 0;
    const first = known?.change ?? { firstSeq: record.seq, sinceMs, triggeredMs };
    const change: PendingChange = {
      id,
      record,
      firstSeq: first.firstSeq,
      sinceMs: first.sinceMs,
      triggeredMs: first.triggeredMs ?? triggeredMs,
    };
    this.#slots.set(id, { change, service, endpoints });
    this.#endpoints += endpoints - (known?.endpoints ?? 0);
    if (known !== undefined && known.service !== service) this.#leave(id, known.service);
    if (service === undefined) return;
    const together = this.#byService.get(service);
    if (together === undefined) this.#byService.set(service, new Set([id]));
    else together.add(id);
    if (urgency.isCritical) this.#critical.add(service);
    else if (urgency.losesEndpoints) this.#losing.add(service);
  }

  /**
   * Critical Services, then Services that lose endpoints, then the others, each first come first served, as far as the limits go. An urgent
   * record takes those of its Service along: an endpoint that moves from one slice to another is never taken out before it is put in.
   */
  take(limits: RoundLimits): PendingChange[] {
    const taken: PendingChange[] = [];
    const fits = this.#slots.size <= limits.records && this.#endpoints <= limits.endpoints;
    const urgentShare = fits ? 1 : 1 - OLDEST_SHARE;
    let records = 0;
    let endpoints = 0;
    const hasRoom = (slot: Slot, share: number): boolean =>
      records < limits.records * share && endpoints + slot.endpoints <= limits.endpoints * share;
    const take = (id: string, slot: Slot): void => {
      records += 1;
      endpoints += slot.endpoints;
      taken.push(slot.change);
      this.#drop(id, slot);
    };
    for (const services of [this.#critical, this.#losing]) {
      for (const id of this.#idsOf(services)) {
        const slot = this.#slots.get(id);
        if (slot === undefined) continue;
        if (records > 0 && !hasRoom(slot, urgentShare)) break;
        take(id, slot);
      }
    }
    let isFirst = true;
    for (const [id, slot] of this.#slots) {
      if (!isFirst && !hasRoom(slot, 1)) break;
      isFirst = false;
      take(id, slot);
    }
    return taken;
  }

  /** Those that changed least lately, in the order of `seq`; at most `max`. */
  takeBySeq(max: number): ObjectRecord[] {
    const bySeq = [...this.#slots].sort(([, left], [, right]) => left.change.record.seq - right.change.record.seq);
    return bySeq.slice(0, max).map(([id, slot]) => {
      this.#drop(id, slot);
      return slot.change.record;
    });
  }

  /** Sets may lose the element at hand while they are walked. */
  *#idsOf(services: ReadonlySet<ObjectKey>): IterableIterator<string> {
    for (const service of services) yield* this.#byService.get(service) ?? NONE;
  }

  #drop(id: string, slot: Slot): void {
    this.#slots.delete(id);
    this.#endpoints -= slot.endpoints;
    this.#leave(id, slot.service);
  }

  #leave(id: string, service: ObjectKey | undefined): void {
    if (service === undefined) return;
    const together = this.#byService.get(service);
    together?.delete(id);
    if (together === undefined || together.size > 0) return;
    this.#byService.delete(service);
    this.#critical.delete(service);
    this.#losing.delete(service);
  }
}
