/** A cluster that is not there: nodes, Services and the EndpointSlices that the slice controller would make of their pods. */
import type { JsonObject } from '../../kube/json.ts';
import type { ResourceKind } from '../../kube/source.ts';
import { type ClusterShape, clusterShape, type SimulatedClusterOptions } from './cluster-options.ts';
import {
  MAX_ENDPOINTS,
  type NodeState,
  nameSuffix,
  type PodState,
  type ServiceState,
  type ServiceTraits,
  type SliceState,
} from './cluster-state.ts';
import { NumberPool } from './number-pool.ts';
import { SeededRandom } from './seeded-random.ts';
import { ServiceFactory } from './service-factory.ts';
import { nodeObject, serviceObject, sliceObject } from './simulated-objects.ts';

/**
 * The same options make the same cluster, object by object and byte by byte. Its objects are made when they are asked for, so that a large one
 * costs some hundred bytes an endpoint.
 *
 * @throws InvalidArgumentError naming the option.
 */
export function simulateCluster(options: SimulatedClusterOptions = {}): SimulatedCluster {
  return new SimulatedCluster(clusterShape(options));
}

/** The slices of a change: those that have other content, and those that are gone. */
export interface SliceChanges {
  readonly changed: Set<SliceState>;
  readonly removed: Set<SliceState>;
}

export class SimulatedCluster {
  readonly #shape: ClusterShape;
  readonly #random: SeededRandom;
  readonly #factory: ServiceFactory;
  readonly #nodes: readonly NodeState[];
  readonly #services: ServiceState[] = [];
  #serviceIds = 0;
  #podIds = 0;
  #sliceIds = 0;
  #version = 1;
  #nowMs = 0;

  /** @internal Made by `simulateCluster`. */
  constructor(shape: ClusterShape) {
    this.#shape = shape;
    this.#random = new SeededRandom(shape.seed);
    this.#factory = new ServiceFactory(shape, this.#random);
    this.#nodes = Array.from({ length: shape.nodes }, (_, index) => ({
      index,
      name: `node-${index}`,
      zone: `zone-${index % shape.zones}`,
      pool: new NumberPool(1, shape.pods.perNode),
      ready: true,
      version: this.nextVersion(),
    }));
    for (let count = 0; count < shape.services; count += 1) {
      const service = this.createService(count === 0 ? 'kubernetes' : count === 1 ? 'kube-dns' : undefined);
      if (service.traits.type === 'ExternalName') continue;
      for (let pod = 0; pod < service.size; pod += 1) this.addPod(service, true);
    }
  }

  /** All objects as they are now: of one kind, or Nodes, Services and EndpointSlices in this order. Do not let churn go on meanwhile. */
  *objects(kind?: ResourceKind): IterableIterator<JsonObject> {
    if (kind === undefined || kind === 'Node') for (const node of this.#nodes) yield this.nodeJson(node);
    if (kind === undefined || kind === 'Service') for (const service of this.#services) yield serviceObject(service);
    if (kind !== undefined && kind !== 'EndpointSlice') return;
    for (const service of this.#services) {
      for (const slice of service.slices) yield sliceObject(service, slice, this.#shape.pods);
    }
  }

  /** How many objects of each kind there are, and endpoints in them. An endpoint of both families counts twice. */
  get counts(): Readonly<Record<ResourceKind | 'endpoints', number>> {
    const slices = this.#services.flatMap((service) => service.slices);
    return {
      Node: this.#nodes.length,
      Service: this.#services.length,
      EndpointSlice: slices.length,
      endpoints: slices.reduce((sum, { pods }) => sum + pods.length, 0),
    };
  }

  /** Milliseconds of simulated time since the cluster began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** @internal What follows is for `churn`. */
  get shape(): ClusterShape {
    return this.#shape;
  }

  /** @internal */
  get nodes(): readonly NodeState[] {
    return this.#nodes;
  }

  /** @internal */
  get services(): readonly ServiceState[] {
    return this.#services;
  }

  /** @internal */
  advance(toMs: number): void {
    this.#nowMs = toMs;
  }

  /** @internal */
  nextVersion(): number {
    this.#version += 1;
    return this.#version;
  }

  /** @internal */
  nodeJson(node: NodeState): JsonObject {
    return nodeObject(node, { families: this.#shape.families, pods: this.#shape.pods, atMs: this.#nowMs });
  }

  /** @internal */
  sliceJson(service: ServiceState, slice: SliceState): JsonObject {
    return sliceObject(service, slice, this.#shape.pods);
  }

  /** @internal Without pods; with an empty slice of each family, as the slice controller makes them. */
  createService(system?: 'kubernetes' | 'kube-dns'): ServiceState {
    const { endpoints, namespaces } = this.#shape;
    const id = this.#serviceIds++;
    const size = this.#random.between(endpoints.min, endpoints.max);
    const traits = system === undefined ? this.#factory.draw() : this.#factory.drawSystem(system);
    const service: ServiceState = {
      id,
      ...(system === undefined
        ? { namespace: `ns-${this.#random.below(namespaces)}`, name: `svc-${id}` }
        : { namespace: system === 'kubernetes' ? 'default' : 'kube-system', name: system }),
      traits,
      size,
      createdMs: this.#nowMs,
      pods: [],
      slices: [],
      position: this.#services.length,
      rolling: false,
      version: this.nextVersion(),
    };
    service.slices.push(...this.#emptySlices(service, traits));
    this.#services.push(service);
    return service;
  }

  /** @internal It is in no list any more; its pods end. */
  deleteService(service: ServiceState): void {
    const last = this.#services.pop();
    if (last !== undefined && last !== service) {
      this.#services[service.position] = last;
      last.position = service.position;
    }
    service.position = -1;
    for (const { node, host } of service.pods) node.pool.give(host);
    service.pods.length = 0;
    this.#factory.release(service.traits);
  }

  /** @internal No changes when no node has room. */
  addPod(service: ServiceState, ready: boolean): PodState | undefined {
    const node = this.#nodeWithRoom();
    const host = node?.pool.take();
    if (node === undefined || host === undefined) return undefined;
    const pod: PodState = { id: this.#podIds++, node, host, ready, terminating: false };
    service.pods.push(pod);
    for (const family of service.traits.families) this.#placeFor(service, family).pods.push(pod);
    return pod;
  }

  /** @internal */
  removePod(service: ServiceState, pod: PodState): SliceChanges {
    const changes: SliceChanges = { changed: new Set(), removed: new Set() };
    const at = service.pods.indexOf(pod);
    if (at < 0) return changes;
    service.pods.splice(at, 1);
    pod.node.pool.give(pod.host);
    for (const slice of this.slicesOf(service, pod)) {
      slice.pods.splice(slice.pods.indexOf(pod), 1);
      const others = service.slices.some((other) => other !== slice && other.family === slice.family);
      // The last one of a family stays, empty.
      if (slice.pods.length > 0 || !others) changes.changed.add(slice);
      else {
        service.slices.splice(service.slices.indexOf(slice), 1);
        changes.removed.add(slice);
      }
    }
    return changes;
  }

  /** @internal */
  slicesOf(service: ServiceState, pod: PodState): SliceState[] {
    return service.slices.filter(({ pods }) => pods.includes(pod));
  }

  /** The fullest slice that has room, as the controller chooses; else a new one. */
  #placeFor(service: ServiceState, family: SliceState['family']): SliceState {
    let best: SliceState | undefined;
    for (const slice of service.slices) {
      if (slice.family !== family || slice.pods.length >= MAX_ENDPOINTS) continue;
      if (best === undefined || slice.pods.length > best.pods.length) best = slice;
    }
    if (best !== undefined) return best;
    const slice = this.#newSlice(service, family);
    service.slices.push(slice);
    return slice;
  }

  #emptySlices(service: ServiceState, { type, families }: ServiceTraits): SliceState[] {
    return type === 'ExternalName' ? [] : families.map((family) => this.#newSlice(service, family));
  }

  #newSlice({ name }: ServiceState, family: SliceState['family']): SliceState {
    return { name: `${name}-${nameSuffix(this.#sliceIds++)}`, family, pods: [], version: this.nextVersion() };
  }

  /** One that is ready, if there is one. */
  #nodeWithRoom(): NodeState | undefined {
    const from = this.#random.below(this.#nodes.length);
    let fallback: NodeState | undefined;
    for (let step = 0; step < this.#nodes.length; step += 1) {
      const node = this.#nodes[(from + step) % this.#nodes.length];
      if (node === undefined || node.pool.free === 0) continue;
      if (node.ready) return node;
      fallback ??= node;
    }
    return fallback;
  }
}
