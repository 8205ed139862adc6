/**
 * The choice of `selectEndpoints` (topology.ts) one endpoint at a time. A few counts of all endpoints say by which rule they are chosen; while
 * the rule stays, an endpoint that comes, goes or changes concerns nobody but itself.
 */
import { type Endpoint, isLocal, isReady, isServingTerminating } from './endpoints.ts';
import type { NodePlace } from './topology.ts';

/** By what the list of policy Cluster is chosen: condition alone, hints, or because none is ready. */
type ClusterRule = 'ready' | 'node' | 'zone' | 'terminating';

export interface Selection {
  readonly cluster: ClusterRule;
  readonly local: 'ready' | 'terminating';
  /** There is something in the list of policy Local: it decides where external traffic goes. */
  readonly hasLocal: boolean;
}

export class SelectionCounts {
  readonly #place: NodePlace;
  #ready = 0;
  #nodeHinted = 0;
  #nodeHere = 0;
  #zoneHinted = 0;
  #zoneHere = 0;
  #localReady = 0;
  #localTerminating = 0;

  constructor(place: NodePlace) {
    this.#place = place;
  }

  /** @param by 1 = the endpoint comes, -1 = it goes. */
  count(endpoint: Endpoint, by: 1 | -1): void {
    const { nodeHints, zoneHints } = endpoint;
    const isHere = isLocal(endpoint);
    if (isReady(endpoint)) {
      this.#ready += by;
      if (isHere) this.#localReady += by;
      if (nodeHints.length > 0) this.#nodeHinted += by;
      if (zoneHints.length > 0) this.#zoneHinted += by;
      if (isFor(nodeHints, this.#place.name)) this.#nodeHere += by;
      if (isFor(zoneHints, this.#place.zone)) this.#zoneHere += by;
    }
    if (isHere && isServingTerminating(endpoint)) this.#localTerminating += by;
  }

  get selection(): Selection {
    const local = this.#localReady > 0 ? 'ready' : 'terminating';
    const hasLocal = this.#localReady > 0 || this.#localTerminating > 0;
    return { cluster: this.#clusterRule(), local, hasLocal };
  }

  #clusterRule(): ClusterRule {
    if (this.#ready === 0) return 'terminating';
    if (this.#nodeHinted === this.#ready && this.#nodeHere > 0) return 'node';
    return this.#zoneHinted === this.#ready && this.#zoneHere > 0 ? 'zone' : 'ready';
  }
}

/** @param usesLocal The list of policy Local counts. */
export function sameSelection(a: Selection, b: Selection, usesLocal: boolean): boolean {
  return a.cluster === b.cluster && (!usesLocal || (a.local === b.local && a.hasLocal === b.hasLocal));
}

export function isInCluster(endpoint: Endpoint, { cluster }: Selection, place: NodePlace): boolean {
  switch (cluster) {
    case 'terminating':
      return isServingTerminating(endpoint);
    case 'ready':
      return isReady(endpoint);
    case 'node':
      return isReady(endpoint) && isFor(endpoint.nodeHints, place.name);
    case 'zone':
      return isReady(endpoint) && isFor(endpoint.zoneHints, place.zone);
  }
}

export function isInLocal(endpoint: Endpoint, { local }: Selection): boolean {
  return isLocal(endpoint) && (local === 'ready' ? isReady(endpoint) : isServingTerminating(endpoint));
}

function isFor(hints: readonly string[], here: string): boolean {
  return here !== '' && hints.includes(here);
}
