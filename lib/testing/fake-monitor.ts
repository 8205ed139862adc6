/** Changes of the fake kernel's links and addresses: what is another way than it was after the operation before. */
import { ProxierError } from '../errors.ts';
import { checkedGroups } from '../kernel/check.ts';
import type { Monitor } from '../kernel/session.ts';
import type { Operation } from '../operations.ts';
import type { ChangeEvent, ChangeGroup, LinkAddressState, LinkState } from '../types.ts';
import type { FakeTables } from './fake-tables.ts';

/** What is done `outside` is seen at the next look: of an object that changed twice before it only the last state is told. */
export class FakeMonitor implements Monitor {
  readonly #tables: FakeTables;
  readonly #groups: ReadonlySet<ChangeGroup>;
  readonly #links: Map<string, LinkState>;
  readonly #addresses: Map<string, LinkAddressState>;
  #seen: { readonly links: number; readonly addresses: number };
  readonly #events: ChangeEvent[] = [];
  readonly #closing: () => void;
  #closed = false;

  constructor(tables: FakeTables, groups: readonly ChangeGroup[], closing: () => void) {
    this.#closing = closing;
    this.#tables = tables;
    this.#groups = checkedGroups('groups', groups);
    this.#links = new Map(tables.links);
    this.#addresses = new Map(tables.addresses);
    this.#seen = this.#counts();
  }

  drain(): readonly ChangeEvent[] {
    if (this.#closed) throw new ProxierError('ERR_CLOSED', 'the monitor is closed');
    this.look();
    return this.#events.splice(0);
  }

  /** Takes down what has changed since the last look. `operation`: the last thing that may have changed something. */
  look(operation?: Operation): void {
    const { links, addresses } = this.#counts();
    const before = this.#seen;
    if (links === before.links && addresses === before.addresses) return;
    this.#seen = { links, addresses };
    const isOne = links === before.links && addresses === before.addresses + 1;
    const keys = isOne && operation !== undefined ? addressKeys(operation) : undefined;
    this.#takeDown(keys ?? new Set([...this.#addresses.keys(), ...this.#tables.addresses.keys()]));
  }

  /** Links that are there first, links that are gone last: as their addresses come and go between. */
  #takeDown(addressKeys: Iterable<string>): void {
    const links = new Set([...this.#links.keys(), ...this.#tables.links.keys()]);
    const linkEvents = update(this.#links, this.#tables.links, links).map(
      ({ change, value }): ChangeEvent => ({ kind: 'link', change, link: value }),
    );
    const addressEvents = update(this.#addresses, this.#tables.addresses, addressKeys).map(
      ({ change, value }): ChangeEvent => ({ kind: 'address', change, address: value }),
    );
    const isSet = (event: ChangeEvent): boolean => event.kind === 'link' && event.change === 'set';
    const events = [...linkEvents.filter(isSet), ...addressEvents, ...linkEvents.filter((event) => !isSet(event))];
    this.#events.push(...events.filter(({ kind }) => kind !== 'lost' && this.#groups.has(kind)));
  }

  #counts(): { readonly links: number; readonly addresses: number } {
    return { links: this.#tables.links.changes, addresses: this.#tables.addresses.changes };
  }

  close(): void {
    this.#closed = true;
    this.#closing();
  }
}

/** The keys that an operation on one address can have changed; undefined for other operations. */
function addressKeys(operation: Operation): readonly string[] | undefined {
  switch (operation.verb) {
    case 'add-address':
    case 'ensure-address':
      return keysOf(operation.address);
    case 'remove-address':
      return keysOf(operation);
    default:
      return undefined;
  }
}

function keysOf({
  link,
  address,
  prefixLength,
}: Pick<LinkAddressState, 'link' | 'address' | 'prefixLength'>): string[] {
  return [`${link} ${address}`, `${link} ${address}/${prefixLength}`];
}

/** Brings these keys of the copy up to date. The tables replace what they change, so another object is another state. */
function update<T>(
  copy: Map<string, T>,
  table: ReadonlyMap<string, T>,
  keys: Iterable<string>,
): { readonly change: 'set' | 'removed'; readonly value: T }[] {
  const set: { change: 'set'; value: T }[] = [];
  const removed: { change: 'removed'; value: T }[] = [];
  for (const key of keys) {
    const before = copy.get(key);
    const after = table.get(key);
    if (after === before) continue;
    if (after !== undefined) {
      copy.set(key, after);
      set.push({ change: 'set', value: after });
    } else if (before !== undefined) {
      copy.delete(key);
      removed.push({ change: 'removed', value: before });
    }
  }
  return [...set, ...removed];
}
