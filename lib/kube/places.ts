/** Where endpoints are. A cluster has far fewer nodes than endpoints, so each place is kept once and an endpoint costs a reference. */

export interface Place {
  /** `nodeName` of the endpoint, empty when it has none. */
  readonly nodeName: string;
  /** `zone` of the endpoint, empty when it has none: that of its Node counts then. */
  readonly zone: string;
}

/** No sweep below this many places. */
const SMALL = 1000;

export class PlaceTable {
  #byNode = new Map<string, Map<string, Place>>();
  #size = 0;
  #sweepAt = SMALL;

  get size(): number {
    return this.#size;
  }

  /** The one place of this name and zone. */
  of(nodeName: string, zone: string): Place {
    let byZone = this.#byNode.get(nodeName);
    if (byZone === undefined) {
      byZone = new Map();
      this.#byNode.set(nodeName, byZone);
    }
    let place = byZone.get(zone);
    if (place === undefined) {
      place = { nodeName, zone };
      byZone.set(zone, place);
      this.#size++;
    }
    return place;
  }

  /** Forgets the places that are not named, once there are twice as many as the last time: nodes come and go for years. */
  sweep(used: () => Iterable<Place>): void {
    if (this.#size < this.#sweepAt) return;
    this.#byNode = new Map();
    this.#size = 0;
    for (const place of used()) this.#keep(place);
    this.#sweepAt = Math.max(SMALL, 2 * this.#size);
  }

  #keep(place: Place): void {
    let byZone = this.#byNode.get(place.nodeName);
    if (byZone === undefined) {
      byZone = new Map();
      this.#byNode.set(place.nodeName, byZone);
    }
    if (byZone.has(place.zone)) return;
    byZone.set(place.zone, place);
    this.#size++;
  }
}
