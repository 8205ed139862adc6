/** What decides about an endpoint that is none of the outright cases: its condition, the others', hints, where this node is. */
import { EndpointBit } from '../records.ts';
import { type Endpoint, isLocal, isReady, isServingTerminating } from './endpoints.ts';
import { type NodePlace, selectEndpoints } from './topology.ts';

/** Whether an endpoint is in a list, and why, in words for people. */
export interface Verdict {
  readonly isIn: boolean;
  readonly why: string;
}

/** The reasons that follow from what the other endpoints of the service port are. */
export class Reasons {
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
    this.#cluster = new Set(cluster.map(({ id }) => id));
    this.#local = new Set(local.map(({ id }) => id));
    this.#nodeHints = useOf(this.#ready, ({ nodeHints }) => nodeHints, place.name);
    this.#zoneHints = useOf(this.#ready, ({ zoneHints }) => zoneHints, place.zone);
  }

  cluster(endpoint: Endpoint): Verdict {
    const isIn = this.#cluster.has(endpoint.id);
    if (!isReady(endpoint)) return unready(endpoint, isIn, this.#ready.length > 0, 'endpoint');
    return { isIn, why: isIn ? `ready${this.#withHints(endpoint)}` : this.#elsewhere(endpoint) };
  }

  local(endpoint: Endpoint): Verdict {
    if (!isLocal(endpoint)) return out('on another node, and the policy is Local');
    const isIn = this.#local.has(endpoint.id);
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

export function out(why: string): Verdict {
  return { isIn: false, why };
}
