/** A history takes place: one step after the other, and then a rest in which everything may come right. */
import type { ObjectEvent } from '../harness/arbitrary-objects.ts';
import type { Machine } from './machine.ts';
import { harmsLedger, type Step } from './steps.ts';

/** What is outside the proxier. */
export interface World {
  readonly machine: Machine;
  /** Anything but deaths, time and objects. */
  happen(what: Step): void | Promise<void>;
  /** Those on the interfaces of this node. */
  setAddresses(addresses: readonly string[]): void | Promise<void>;
  /** Nothing is refused, lost or missing any more. */
  heal(): void | Promise<void>;
  endConnections(): void | Promise<void>;
}

export const syncPeriodMs = 30_000;
/** The longest wait of an object that fails, and then an audit. */
const restMs = 60_000 + syncPeriodMs + 1000;

export class Events {
  readonly #world: World;
  readonly #hasLedger: boolean;
  /** What a new process needs to know what is ours is not all there. */
  #ledgerHarmed = false;

  /** @param hasLedger What is ours is told by what we wrote: `ownership: 'ledger'`. */
  constructor(world: World, hasLedger: boolean) {
    this.#world = world;
    this.#hasLedger = hasLedger;
  }

  async take(what: Step): Promise<void> {
    const { machine } = this.#world;
    switch (what.kind) {
      case 'say':
        if (what.event.kind === 'nodeAddresses') {
          // Only who sees an address go knows that the node port services there were his.
          await this.#calm();
          await this.#world.setAddresses(what.event.addresses);
          await machine.pass(1100);
        } else {
          await this.#say(what.event);
        }
        return;
      case 'pass':
        return machine.pass(what.ms);
      case 'killWorker':
      case 'killProcess':
        if (this.#ledgerHarmed) await this.#calm();
        machine[what.kind](what.after);
        if (what.during !== undefined) await this.#say(what.during);
        return machine.pass(0);
      default:
        if (this.#hasLedger && harmsLedger(what)) {
          await this.#calm();
          this.#ledgerHarmed = true;
        }
        await this.#world.happen(what);
        return machine.pass(0);
    }
  }

  /** A virtual service that a death left without its tuple is known again as long as it is wanted as it was. */
  async #say(event: ObjectEvent): Promise<void> {
    const { machine } = this.#world;
    if (this.#hasLedger && machine.handle === undefined) await this.#calm();
    machine.cluster.say(event);
    await machine.pass(0);
  }

  /** Nothing is in the way any more, and a proxier has seen to everything once. */
  async #calm(): Promise<void> {
    const { machine } = this.#world;
    machine.spare();
    await this.#world.heal();
    await machine.pass(0);
    for (let waited = 0; machine.handle === undefined && waited < restMs; waited += 1000) await machine.pass(1000);
    machine.ask((handle) => handle.resync());
    await machine.pass(0);
    this.#ledgerHarmed = false;
  }

  /** Comes to rest. */
  async rest(): Promise<void> {
    await this.#calm();
    await this.#world.endConnections();
    await this.#world.machine.pass(restMs);
  }
}
