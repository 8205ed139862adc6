/** Changes of the fake kernel's links and addresses: what is another way than it was after the operation before. */
import { ProxierError } from '../errors.ts';
import { checkedGroups } from '../kernel/check.ts';
import type { Monitor } from '../kernel/session.ts';
import type { ChangeEvent, ChangeGroup, LinkAddressState, LinkState } from '../types.ts';
import type { FakeTables } from './fake-tables.ts';

/** What is done `outside` is seen at the next look: of an object that changed twice before it only the last state is told. */
export class FakeMonitor implements Monitor {
  readonly #tables: FakeTables;
  readonly #groups: ReadonlySet<ChangeGroup>;
  #links: ReadonlyMap<string, LinkState>;
  #addresses: ReadonlyMap<string, LinkAddressState>;
  readonly #events: ChangeEvent[] = [];
  readonly #closing: () => void;
  #closed = false;

  constructor(tables: FakeTables, groups: readonly ChangeGroup[], closing: () => void) {
    this.#closing = closing;
    this.#tables = tables;
    this.#groups = checkedGroups('groups', groups);
    this.#links = new Map(tables.links);
    this.#addresses = new Map(tables.addresses);
  }

  drain(): readonly ChangeEvent[] {
    if (this.#closed) throw new ProxierError('ERR_CLOSED', 'the monitor is closed');
    this.look();
    return this.#events.splice(0);
  }

  /** Takes down what has changed since the last look. */
  look(): void {
    const links = new Map(this.#tables.links);
    const addresses = new Map(this.#tables.addresses);
    const events: ChangeEvent[] = [
      ...changed(this.#links, links).map((link): ChangeEvent => ({ kind: 'link', change: 'set', link })),
      ...changed(this.#addresses, addresses).map(
        (address): ChangeEvent => ({ kind: 'address', change: 'set', address }),
      ),
      ...gone(this.#addresses, addresses).map(
        (address): ChangeEvent => ({ kind: 'address', change: 'removed', address }),
      ),
      ...gone(this.#links, links).map((link): ChangeEvent => ({ kind: 'link', change: 'removed', link })),
    ];
    this.#links = links;
    this.#addresses = addresses;
    this.#events.push(...events.filter(({ kind }) => kind !== 'lost' && this.#groups.has(kind)));
  }

  close(): void {
    this.#closed = true;
    this.#closing();
  }
}

/** The tables replace what they change, so another object is another state. */
function changed<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): T[] {
  return [...after].filter(([key, value]) => before.get(key) !== value).map(([, value]) => value);
}

function gone<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>): T[] {
  return [...before].filter(([key]) => !after.has(key)).map(([, value]) => value);
}
