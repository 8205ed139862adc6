/**
 * The weights of slices, and which slices to weigh again when something changes. A changed Service concerns its own slices, a changed Node those
 * with endpoints on it, and nothing is kept for either before a Service asks for weights.
 */
import type { ObjectKey } from '../records.ts';
import type { WeightHook } from './hooks.ts';
import { SliceIndex } from './slice-index.ts';
import type { ServiceEntry, SliceEntry, StoreEntries } from './store-entry.ts';
import { type NodeFacts, type Weights, weigh } from './weights.ts';

export interface SliceWeigherOptions {
  /** Of the node that this proxier runs on. */
  readonly nodeName: string;
  readonly weightFor: WeightHook | undefined;
  /** The objects of all sources, in the order in which they count where two say the same. */
  readonly entries: () => readonly StoreEntries[];
  /** Every source that has Nodes has delivered them once. */
  readonly nodesSynced: () => boolean;
}

/** All weights are 1, and nobody asked for another. */
export const UNWEIGHED: Weights = { weights: undefined, problems: [], hookProblem: '' };

export class SliceWeigher {
  readonly #options: SliceWeigherOptions;
  #index: SliceIndex | undefined;

  constructor(options: SliceWeigherOptions) {
    this.#options = options;
  }

  /** To be called before the slice is weighed and its record changes; `to` undefined: it is gone. */
  moved(slice: SliceEntry, to: ObjectKey | undefined): void {
    this.#index?.move(slice, slice.record?.body?.service, to);
  }

  weigh(slice: SliceEntry, key: ObjectKey): Weights {
    const service = this.#service(key);
    const { nodeName, weightFor } = this.#options;
    const hook =
      weightFor === undefined || service?.view === undefined || slice.view === undefined
        ? undefined
        : { weightFor, service: service.view, slice: slice.view, nodeName };
    const rules = service?.weights;
    if (hook === undefined && rules === undefined) {
      this.#index?.place(slice, undefined);
      return UNWEIGHED;
    }
    const { places } = slice;
    this.#index?.place(slice, new Set(places.flatMap((place) => (place.nodeName === '' ? [] : [place.nodeName]))));
    const node = (name: string): NodeFacts | undefined => this.#node(name);
    return weigh({ service: key, rules, places, node, nodesSynced: this.#options.nodesSynced(), hook });
  }

  /** What to weigh again when a Service came, went, or changed what weights depend on. */
  ofService(key: ObjectKey): readonly SliceEntry[] {
    if (this.#index === undefined) {
      const service = this.#service(key);
      if (service?.weights === undefined && service?.view === undefined) return [];
      this.#index = this.#makeIndex();
    }
    return [...this.#index.ofService(key)];
  }

  /** What to weigh again when a Node came, went, or changed. */
  onNode(name: string): readonly SliceEntry[] {
    return this.#index === undefined ? [] : [...this.#index.onNode(name)];
  }

  /** What to weigh again when the last Nodes have come: slices whose annotations look at Nodes. Hooks have seen what there is. */
  get annotated(): readonly SliceEntry[] {
    const weighed = this.#index === undefined ? [] : [...this.#index.weighed()];
    return weighed.filter(({ record }) => this.#service(record?.body?.service ?? '')?.weights !== undefined);
  }

  #makeIndex(): SliceIndex {
    const index = new SliceIndex();
    for (const { EndpointSlice } of this.#options.entries()) {
      for (const slice of EndpointSlice.values()) index.move(slice, undefined, slice.record?.body?.service);
    }
    return index;
  }

  #service(key: ObjectKey): ServiceEntry | undefined {
    for (const { Service } of this.#options.entries()) {
      const entry = Service.get(key);
      if (entry?.record !== undefined) return entry;
    }
    return undefined;
  }

  #node(name: string): NodeFacts | undefined {
    for (const { Node } of this.#options.entries()) {
      const entry = Node.get(name);
      if (entry?.record !== undefined) return entry.facts;
    }
    return undefined;
  }
}
