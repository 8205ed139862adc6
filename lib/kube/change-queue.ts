/** Numbers what is new, and keeps it until it is taken: what is noise ends here. */
import { isCritical } from '../critical-services.ts';
import type { ObjectKey, ObjectRecord, ServicePortBody } from '../records.ts';
import { equalData } from './equal-data.ts';
import { losesEndpoints } from './lost-endpoints.ts';
import { PendingRecords, type Urgency } from './pending-records.ts';
import type { StoreEntry } from './store-entry.ts';

export interface StoreClock {
  /** Milliseconds that never go back; the zero is arbitrary. */
  nowMs(): number;
  /** The same with fractions. Default `nowMs`. */
  preciseMs?(): number;
  /** Wall clock, which what the API says of times is held against. */
  date(): Date;
}

export interface ChangeQueueOptions {
  /** Default: the machine's. */
  readonly clock: StoreClock | undefined;
  /** Of the Service as it counts now; undefined while there is none. */
  readonly portsOf: (service: ObjectKey) => readonly ServicePortBody[] | undefined;
  readonly onChange: (() => void) | undefined;
}

const SYSTEM_CLOCK: StoreClock = { nowMs: () => performance.now(), date: () => new Date() };
const NO_PORTS: readonly ServicePortBody[] = [];
const UNRELATED: Urgency = { service: undefined, isCritical: false, losesEndpoints: false };

export class ChangeQueue {
  readonly pending: PendingRecords = new PendingRecords();
  readonly #options: ChangeQueueOptions;
  readonly #clock: StoreClock;
  /** Wall clock, ms since 1970. */
  readonly #startedAtMs: number;
  #seq = 0;

  constructor(options: ChangeQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? SYSTEM_CLOCK;
    this.#startedAtMs = this.#clock.date().getTime();
  }

  /** Highest `seq` given so far. */
  get seq(): number {
    return this.#seq;
  }

  /**
   * Gives the record its number and keeps it, if it says anything new of the entry.
   *
   * @param triggerMs When it was caused, ms since 1970; 0 = that is not known.
   */
  update<Kind extends ObjectRecord>(
    entry: Pick<StoreEntry<Kind>, 'record'>,
    record: Kind,
    triggerMs: number = 0,
  ): void {
    const known = entry.record;
    const changed =
      known === undefined ? record.body !== null : known.uid !== record.uid || !equalData(known.body, record.body);
    if (!changed) return;
    const numbered = { ...record, seq: ++this.#seq };
    entry.record = numbered.body === null ? undefined : numbered;
    this.#put(numbered, known, triggerMs);
  }

  /** The object is gone. */
  remove(record: ObjectRecord): void {
    this.#put({ ...record, seq: ++this.#seq, body: null }, record, 0);
  }

  #put(record: ObjectRecord, before: ObjectRecord | undefined, triggerMs: number): void {
    const sinceMs = this.#clock.preciseMs?.() ?? this.#clock.nowMs();
    // Causes before our start were answered by others: kube-proxy does not count them either.
    const agoMs = triggerMs < this.#startedAtMs ? undefined : this.#clock.date().getTime() - triggerMs;
    // Clocks of two machines: nothing is caused after it was handed in.
    const triggeredMs = agoMs === undefined ? undefined : sinceMs - Math.max(0, agoMs);
    this.pending.put(record, this.#urgencyOf(record, before), sinceMs, triggeredMs);
    this.#options.onChange?.();
  }

  #urgencyOf(record: ObjectRecord, before: ObjectRecord | undefined): Urgency {
    if (record.kind === 'service') {
      const ports = record.body?.ports ?? (before?.kind === 'service' ? before.body?.ports : undefined) ?? NO_PORTS;
      return { service: record.key, isCritical: isCritical(record.key, ports), losesEndpoints: false };
    }
    if (record.kind !== 'slice') return UNRELATED;
    const last = before?.kind === 'slice' ? before.body : undefined;
    const said = record.body ?? last;
    if (said === null || said === undefined) return UNRELATED;
    const { service } = said;
    const ports = this.#options.portsOf(service) ?? said.ports;
    return { service, isCritical: isCritical(service, ports), losesEndpoints: losesEndpoints(last, record.body) };
  }
}
