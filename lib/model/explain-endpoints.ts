/**
 * Why each endpoint of a service port is used or is not: what `mergeEndpoints` and `selectEndpoints` decide, with the reasons. Kept apart from
 * them because they run for every event, and this runs when somebody asks.
 */
import { EndpointBit, type ObjectKey, type SliceBody } from '../records.ts';
import type { IpAddress } from '../types.ts';
import { type Endpoint, isLocal, isReady, isServingTerminating, mergeEndpoints, standing } from './endpoints.ts';
import type { Exclusions } from './exclusions.ts';
import type { ServicePortRef } from './service-port.ts';
import { type NodePlace, selectEndpoints } from './topology.ts';

/** Whether an endpoint is in a list, and why, in words for people. */
export interface Verdict {
  readonly isIn: boolean;
  readonly why: string;
}

export interface EndpointVerdict {
  readonly address: IpAddress;
  /** 0 = the slice has no port of the service port's name and protocol. */
  readonly port: number;
  /** `namespace/name` of the EndpointSlice. */
  readonly slice: ObjectKey;
  /** 0 = no new connections. */
  readonly weight: number;
  /** For traffic of policy Cluster. */
  readonly cluster: Verdict;
  /** For traffic of policy Local. */
  readonly local: Verdict;
}

interface Candidate {
  readonly slice: ObjectKey;
  readonly endpoint: Endpoint;
}

/** One verdict for each endpoint of each slice of the family, in the order of slice names and of each slice. */
export function explainEndpoints(
  slices: ReadonlyMap<ObjectKey, SliceBody>,
  ref: ServicePortRef,
  place: NodePlace,
  exclusions: Exclusions,
): readonly EndpointVerdict[] {
  const { family, portName, protocol } = ref;
  const mine = [...slices].filter(([, slice]) => slice.family === family).sort(([a], [b]) => (a < b ? -1 : 1));
  const candidates = mine.flatMap(([key, slice]) => candidatesOf(key, slice, ref));
  const winners = winnersOf(candidates);
  const reasons = new Reasons(exclusions.applyTo(mergeEndpoints(slices, family, portName, protocol)), place);
  return candidates.map((candidate) => {
    const { slice, endpoint } = candidate;
    const { address, port, weight } = endpoint;
    const winner = winners.get(idOf(endpoint));
    if (port === 0 || winner === undefined) {
      const verdict = out(`port name does not match: ${portsOf(slices.get(slice))}, the Service's is ${named(ref)}`);
      return { address, port, slice, weight, cluster: verdict, local: verdict };
    }
    if (winner !== candidate) {
      const verdict = out(replaced(endpoint, winner, slice));
      return { address, port, slice, weight, cluster: verdict, local: verdict };
    }
    if (exclusions.has(endpoint)) {
      const verdict = out('taken out by drain()');
      return { address, port, slice, weight, cluster: verdict, local: verdict };
    }
    return { address, port, slice, weight, cluster: reasons.cluster(endpoint), local: reasons.local(endpoint) };
  });
}

function candidatesOf(slice: ObjectKey, body: SliceBody, ref: ServicePortRef): Candidate[] {
  const matching = body.ports.filter(({ name, protocol }) => name === ref.portName && protocol === ref.protocol);
  const ports = matching.length > 0 ? matching.map(({ port }) => port) : [0];
  return ports.flatMap((port) =>
    body.addresses.map((address, index) => ({
      slice,
      endpoint: {
        address,
        port,
        conditions: body.conditions[index] ?? 0,
        weight: body.weights?.[index] ?? 1,
        zoneHints: body.zoneHints?.[index] ?? [],
        nodeHints: body.nodeHints?.[index] ?? [],
      },
    })),
  );
}

/** The one that counts for each `address:port`; of equals the first. */
function winnersOf(candidates: readonly Candidate[]): ReadonlyMap<string, Candidate> {
  const winners = new Map<string, Candidate>();
  for (const candidate of candidates) {
    const id = idOf(candidate.endpoint);
    const known = winners.get(id);
    if (known !== undefined && standing(known.endpoint.conditions) >= standing(candidate.endpoint.conditions)) continue;
    winners.set(id, candidate);
  }
  return winners;
}

function idOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

function replaced({ conditions }: Endpoint, winner: Candidate, slice: ObjectKey): string {
  const where = winner.slice === slice ? 'listed twice in this slice' : `in slice ${winner.slice}`;
  const isBetter = standing(winner.endpoint.conditions) > standing(conditions);
  return `replaced by the same address ${where}${isBetter ? ', which is in a better condition' : ''}`;
}

function portsOf(slice: SliceBody | undefined): string {
  const ports = slice?.ports ?? [];
  if (ports.length === 0) return 'the slice has no ports';
  return `the slice has ${ports.map(({ name, protocol }) => named({ portName: name, protocol })).join(', ')}`;
}

function named({ portName, protocol }: Pick<ServicePortRef, 'portName' | 'protocol'>): string {
  return `"${portName}"/${protocol}`;
}

/** The reasons that follow from what the other endpoints of the service port are. */
class Reasons {
  readonly #place: NodePlace;
  readonly #ready: readonly Endpoint[];
  readonly #isAnyLocalReady: boolean;
  readonly #cluster: ReadonlySet<string>;
  readonly #local: ReadonlySet<string>;
  readonly #nodeHints: HintUse;
  readonly #zoneHints: HintUse;

  constructor(all: readonly Endpoint[], place: NodePlace) {
    const { cluster, local } = selectEndpoints(all, place);
    this.#place = place;
    this.#ready = all.filter(isReady);
    this.#isAnyLocalReady = this.#ready.some(isLocal);
    this.#cluster = new Set(cluster.map(idOf));
    this.#local = new Set(local.map(idOf));
    this.#nodeHints = useOf(this.#ready, ({ nodeHints }) => nodeHints, place.name);
    this.#zoneHints = useOf(this.#ready, ({ zoneHints }) => zoneHints, place.zone);
  }

  cluster(endpoint: Endpoint): Verdict {
    const isIn = this.#cluster.has(idOf(endpoint));
    if (!isReady(endpoint)) return unready(endpoint, isIn, this.#ready.length > 0, 'endpoint');
    return { isIn, why: isIn ? `ready${this.#withHints(endpoint)}` : this.#elsewhere(endpoint) };
  }

  local(endpoint: Endpoint): Verdict {
    if (!isLocal(endpoint)) return out('on another node, and the policy is Local');
    const isIn = this.#local.has(idOf(endpoint));
    if (isReady(endpoint)) return { isIn, why: 'ready, on this node' };
    return unready(endpoint, isIn, this.#isAnyLocalReady, 'endpoint of this node');
  }

  /** A ready endpoint that is left out: by its node hints if those count, or else by its zone hints. */
  #elsewhere({ nodeHints, zoneHints }: Endpoint): string {
    const { name, zone } = this.#place;
    return this.#nodeHints === 'count'
      ? `hinted for node ${nodeHints.join(', ')}, this node is ${name}`
      : `hinted for zone ${zoneHints.join(', ')}, this node is in zone ${zone}`;
  }

  /** What hints have to do with a ready endpoint being in. */
  #withHints({ nodeHints, zoneHints }: Endpoint): string {
    const { name, zone } = this.#place;
    if (this.#nodeHints === 'count') return `, hinted for node ${name}, which is this one`;
    if (this.#zoneHints === 'count') return `, hinted for zone ${zone}, where this node is`;
    if (zoneHints.length > 0 && zone === '') return '; zone hints do not count, the zone of this node is not known';
    if (zoneHints.length > 0) return withoutUse('zone', this.#zoneHints, `zone ${zone}`);
    return nodeHints.length > 0 ? withoutUse('node', this.#nodeHints, 'this node') : '';
  }
}

/** Hints count when every ready endpoint has some, and some name the place where this node is. */
type HintUse = 'count' | 'partial' | 'elsewhere';

function useOf(ready: readonly Endpoint[], hintsOf: (endpoint: Endpoint) => readonly string[], here: string): HintUse {
  if (!ready.every((endpoint) => hintsOf(endpoint).length > 0)) return 'partial';
  return here !== '' && ready.some((endpoint) => hintsOf(endpoint).includes(here)) ? 'count' : 'elsewhere';
}

function withoutUse(kind: 'zone' | 'node', use: HintUse, here: string): string {
  const why = use === 'partial' ? 'not every ready endpoint has some' : `no endpoint is hinted for ${here}`;
  return `; ${kind} hints do not count, ${why}`;
}

function unready(endpoint: Endpoint, isIn: boolean, isOtherReady: boolean, what: string): Verdict {
  if (isIn) return { isIn, why: `serving while terminating, and no ${what} is ready` };
  if (isServingTerminating(endpoint) && isOtherReady) {
    return out(`serving while terminating, but another ${what} is ready`);
  }
  return out(isTerminating(endpoint) ? 'not ready: terminating, and not serving any more' : 'not ready');
}

function isTerminating(endpoint: Endpoint): boolean {
  return (endpoint.conditions & EndpointBit.terminating) !== 0;
}

function out(why: string): Verdict {
  return { isIn: false, why };
}
