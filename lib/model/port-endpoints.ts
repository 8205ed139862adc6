/**
 * The endpoints of one service port that has several slices, by `address:port`, with every slice's claim to each. A slice that changes costs
 * what it holds to find out, and what changed in it to take in, however many the other slices hold. `mergeEndpoints` says what has to come
 * of it (and test/property/incremental.test.ts that it does).
 */
import type { ObjectKey, SliceBody } from '../records.ts';
import { type Endpoint, endpointAt, standing } from './endpoints.ts';
import { type Selection, SelectionCounts, sameSelection } from './selection.ts';
import type { ServicePortRef } from './service-port.ts';
import type { NodePlace } from './topology.ts';

/** What became of one `address:port`. */
export interface EndpointChange {
  readonly id: string;
  readonly before: Endpoint | undefined;
  readonly after: Endpoint | undefined;
}

interface Claim {
  readonly slice: ObjectKey;
  readonly endpoint: Endpoint;
  /** The one that counts when this one is gone. */
  next: Claim | undefined;
}

export class PortEndpoints {
  readonly #ref: ServicePortRef;
  /** The claim that counts first. */
  readonly #claims = new Map<string, Claim>();
  /** What counted before the changes since the last {@link take}. */
  #touched = new Map<string, Endpoint | undefined>();
  #counts: SelectionCounts | undefined;
  #isIrregular = false;

  constructor(ref: ServicePortRef) {
    this.#ref = ref;
  }

  /** A slice says an endpoint twice: then the order within the slice counts, which is not kept here. */
  get isIrregular(): boolean {
    return this.#isIrregular;
  }

  /** Those that count, in no order. */
  *endpoints(): IterableIterator<Endpoint> {
    for (const { endpoint } of this.#claims.values()) yield endpoint;
  }

  /** Puts a slice in the place of what it was. Undefined = it was, or is, not there. */
  replace(slice: ObjectKey, before: SliceBody | undefined, after: SliceBody | undefined): void {
    if (before === after) return;
    const old = before === undefined ? noPorts : portsIn(before, this.#ref);
    const now = after === undefined ? noPorts : portsIn(after, this.#ref);
    const alike = before !== undefined && after !== undefined && old.length === 1 && old[0] === now[0];
    const start = alike && now.length === 1 ? equalStart(before, after) : 0;
    const tail = alike && now.length === 1 ? equalEnd(before, after, start) : 0;
    for (const port of old) {
      for (let index = start; before !== undefined && index < before.addresses.length - tail; index += 1) {
        const endpoint = endpointAt(before, index, port);
        if (endpoint !== undefined) this.#remove(slice, endpoint.id);
      }
    }
    for (const port of now) {
      for (let index = start; after !== undefined && index < after.addresses.length - tail; index += 1) {
        const endpoint = endpointAt(after, index, port);
        if (endpoint !== undefined) this.#add(slice, endpoint);
      }
    }
  }

  /** What changed since the last call, net. */
  take(): readonly EndpointChange[] {
    const touched = this.#touched;
    if (touched.size === 0) return noChanges;
    this.#touched = new Map();
    const changes: EndpointChange[] = [];
    for (const [id, before] of touched) {
      const after = this.#claims.get(id)?.endpoint;
      if (!sameEndpoint(before, after)) changes.push({ id, before, after });
    }
    return changes;
  }

  /** Counts all anew: what the counts go by has changed. */
  recount(endpoints: Iterable<Endpoint>, place: NodePlace): void {
    this.#counts = new SelectionCounts(place);
    for (const endpoint of endpoints) this.#counts.count(endpoint, 1);
  }

  /**
   * Counts the changes. The rule of the choice, undefined when it is another one than before: all has to be chosen anew.
   *
   * @param usesLocal Somebody looks at the list of policy Local.
   */
  follow(changes: readonly EndpointChange[], usesLocal: boolean): Selection | undefined {
    const counts = this.#counts;
    const before = counts?.selection;
    if (counts === undefined || before === undefined) return undefined;
    for (const change of changes) {
      if (change.before !== undefined) counts.count(change.before, -1);
      if (change.after !== undefined) counts.count(change.after, 1);
    }
    const { selection } = counts;
    return sameSelection(before, selection, usesLocal) ? selection : undefined;
  }

  #add(slice: ObjectKey, endpoint: Endpoint): void {
    const first = this.#touch(endpoint.id);
    let prior: Claim | undefined;
    let next = first;
    while (next !== undefined && isBefore(next, slice, endpoint)) {
      prior = next;
      next = next.next;
    }
    for (let claim = first; claim !== undefined; claim = claim.next) this.#isIrregular ||= claim.slice === slice;
    const claim: Claim = { slice, endpoint, next };
    if (prior === undefined) this.#claims.set(endpoint.id, claim);
    else prior.next = claim;
  }

  #remove(slice: ObjectKey, id: string): void {
    const first = this.#touch(id);
    if (first?.slice === slice) {
      if (first.next === undefined) this.#claims.delete(id);
      else this.#claims.set(id, first.next);
      return;
    }
    for (let claim = first; claim !== undefined; claim = claim.next) {
      if (claim.next?.slice === slice) claim.next = claim.next.next;
    }
  }

  #touch(id: string): Claim | undefined {
    const first = this.#claims.get(id);
    if (!this.#touched.has(id)) this.#touched.set(id, first?.endpoint);
    return first;
  }
}

const noPorts: readonly number[] = [];
const noChanges: readonly EndpointChange[] = [];

/** The endpoints' ports by which the slice belongs to the service port: one as a rule, none when it does not. */
export function portsIn({ service, family, ports }: SliceBody, ref: ServicePortRef): readonly number[] {
  if (service !== ref.service || family !== ref.family) return noPorts;
  let found = noPorts;
  for (const { name, protocol, port } of ports) {
    if (name === ref.portName && protocol === ref.protocol) found = found.length === 0 ? [port] : [...found, port];
  }
  return found;
}

function isBefore(claim: Claim, slice: ObjectKey, endpoint: Endpoint): boolean {
  const difference = standing(claim.endpoint.conditions) - standing(endpoint.conditions);
  return difference > 0 || (difference === 0 && claim.slice < slice);
}

function equalStart(before: SliceBody, after: SliceBody): number {
  const end = Math.min(before.addresses.length, after.addresses.length);
  let index = 0;
  while (index < end && sameAt(before, index, after, index)) index += 1;
  return index;
}

function equalEnd(before: SliceBody, after: SliceBody, start: number): number {
  const most = Math.min(before.addresses.length, after.addresses.length) - start;
  let tail = 0;
  while (tail < most && sameAt(before, before.addresses.length - 1 - tail, after, after.addresses.length - 1 - tail)) {
    tail += 1;
  }
  return tail;
}

function sameAt(a: SliceBody, at: number, b: SliceBody, there: number): boolean {
  return (
    a.addresses[at] === b.addresses[there] &&
    a.conditions[at] === b.conditions[there] &&
    (a.weights?.[at] ?? 1) === (b.weights?.[there] ?? 1) &&
    sameHints(a.zoneHints?.[at], b.zoneHints?.[there]) &&
    sameHints(a.nodeHints?.[at], b.nodeHints?.[there])
  );
}

function sameEndpoint(a: Endpoint | undefined, b: Endpoint | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.conditions === b.conditions &&
    a.weight === b.weight &&
    sameHints(a.zoneHints, b.zoneHints) &&
    sameHints(a.nodeHints, b.nodeHints)
  );
}

function sameHints(a: readonly string[] = [], b: readonly string[] = []): boolean {
  return a === b || (a.length === b.length && a.every((hint, index) => hint === b[index]));
}
