/** Conditions that each full pass finds anew: told when they begin, when they change, and when they come back after they had ended. */
import type { ReconcileEvent } from './protocol.ts';

export class StandingWarnings {
  readonly #standing = new Map<string, ReadonlyMap<string, string>>();

  /** Takes what stands now of one kind (object → message) in the place of what stood before; returns what is new. */
  update(kind: string, now: ReadonlyMap<string, string>): ReconcileEvent[] {
    const before = this.#standing.get(kind);
    this.#standing.set(kind, now);
    return [...now]
      .filter(([object, message]) => before?.get(object) !== message)
      .map(([object, message]) => ({ kind: 'warning', object, message }));
  }
}
