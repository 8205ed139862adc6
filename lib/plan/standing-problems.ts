/** What is to be said of Services, once for as long as it stays true, however many service ports it is true of. */
import type { ServicePortId } from './wanted.ts';

export class StandingProblems {
  readonly #byPort = new Map<ServicePortId, { readonly object: string; readonly messages: ReadonlySet<string> }>();
  /** By object: how many service ports each message is true of. */
  readonly #counts = new Map<string, Map<string, number>>();

  has(port: ServicePortId): boolean {
    return this.#byPort.has(port);
  }

  /** Takes what is true of a service port now in the place of what was; returns the messages that are new for the object. */
  update(port: ServicePortId, object: string, messages: ReadonlySet<string>): readonly string[] {
    const before = this.#byPort.get(port);
    if (before === undefined && messages.size === 0) return [];
    const fresh = [...messages].filter((message) => this.#add(object, message, 1) === 1);
    for (const message of before?.messages ?? []) this.#add(before?.object ?? object, message, -1);
    if (messages.size > 0) this.#byPort.set(port, { object, messages });
    else this.#byPort.delete(port);
    return fresh;
  }

  #add(object: string, message: string, change: number): number {
    const counts = this.#counts.get(object) ?? new Map<string, number>();
    const count = (counts.get(message) ?? 0) + change;
    if (count > 0) this.#counts.set(object, counts.set(message, count));
    else if (counts.delete(message) && counts.size === 0) this.#counts.delete(object);
    return count;
  }
}
