/** What happens in a simulated cluster as time goes by, as a watch of the API server would tell it. */
import type { JsonObject } from '../../kube/json.ts';
import type { ResourceKind } from '../../kube/source.ts';
import { type ChurnKind, type ChurnOptions, type ChurnPlan, churnPlan } from './churn-options.ts';
import type { NodeState, PodState, ServiceState, SliceState } from './cluster-state.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimulatedCluster, SliceChanges } from './simulated-cluster.ts';
import { serviceObject } from './simulated-objects.ts';
import { Timeline } from './timeline.ts';

export type SimulationEvent = {
  /** Milliseconds since the churn began, to the microsecond. Never goes back. */
  readonly atMs: number;
  /** What it is a part of. */
  readonly change: ChurnKind;
  readonly kind: ResourceKind;
} & (
  | { readonly op: 'upsert'; readonly object: JsonObject }
  | { readonly op: 'remove'; readonly namespace: string; readonly name: string }
);

type What =
  | { readonly op: 'upsert'; readonly kind: ResourceKind; readonly object: JsonObject }
  | { readonly op: 'remove'; readonly kind: ResourceKind; readonly namespace: string; readonly name: string };
type Step = { readonly change: ChurnKind; readonly run: () => Iterable<What> };

/**
 * The cluster changes as the events are taken: when they have ended `cluster.objects()` is what they come to (but for slices of Services that were
 * deleted within the last half second). Only so many objects are kept in memory as the
 * cluster and what is under way in it have, however many events there are. A second churn of the same cluster goes on where the first one was left, but
 * what that one had under way (a pod that is to become ready) ends with it. Ends early when nothing of the mix can happen in this cluster.
 *
 * @throws InvalidArgumentError naming the option, when it is called.
 */
export function churn(cluster: SimulatedCluster, options: ChurnOptions = {}): IterableIterator<SimulationEvent> {
  return new Churn(cluster, churnPlan(options)).events();
}

/** How many Services are tried to find one that has what a change needs. */
const TRIES = 8;
/** Changes in a row that find nothing to do, with nothing under way: then nothing can happen in this cluster (it has no Services, say). */
const MAX_FRUITLESS = 10_000;

class Churn {
  readonly #cluster: SimulatedCluster;
  readonly #plan: ChurnPlan;
  readonly #random: SeededRandom;
  readonly #later = new Timeline<Step>();
  #nowMicros = 0;

  constructor(cluster: SimulatedCluster, plan: ChurnPlan) {
    this.#cluster = cluster;
    this.#plan = plan;
    this.#random = new SeededRandom(plan.seed);
  }

  *events(): IterableIterator<SimulationEvent> {
    const { ratePerSecond, durationMs, maxEvents } = this.#plan;
    const beganMs = this.#cluster.nowMs;
    const endMicros = durationMs * 1000;
    // Evenly spread from nothing to twice the mean: bursts and pauses, without a logarithm, whose last bits platforms differ in.
    const maxGapMicros = Math.max(1, Math.round(2_000_000 / ratePerSecond));
    const gap = (): number => this.#random.between(0, maxGapMicros);
    let nextChangeMicros = gap();
    let count = 0;
    let fruitless = 0;
    while (count < maxEvents && fruitless < MAX_FRUITLESS) {
      const isFollowUp = this.#later.nextAt <= nextChangeMicros;
      this.#nowMicros = Math.max(this.#nowMicros, isFollowUp ? this.#later.nextAt : nextChangeMicros);
      if (this.#nowMicros > endMicros) return;
      const atMs = this.#nowMicros / 1000;
      this.#cluster.advance(beganMs + atMs);
      const step = isFollowUp ? this.#later.take() : this.#draw();
      // A change that found nothing to do has had its turn, too.
      if (!isFollowUp) nextChangeMicros += gap();
      let isFirst = !isFollowUp;
      fruitless = this.#later.size > 0 ? 0 : fruitless + 1;
      for (const what of step?.run() ?? []) {
        if (!isFirst) nextChangeMicros += gap();
        isFirst = false;
        yield { atMs, change: step?.change ?? 'noise', ...what };
        count += 1;
        fruitless = 0;
      }
    }
  }

  #draw(): Step {
    const { mix } = this.#plan;
    const kinds = Object.entries(mix);
    const total = kinds.reduce((sum, [, weight]) => sum + weight, 0);
    let drawn = (this.#random.next() / 2 ** 32) * total;
    for (const change of changeKinds) {
      drawn -= mix[change];
      if (drawn < 0 && mix[change] > 0) return { change, run: () => this.#begin(change) };
    }
    return { change: 'noise', run: () => this.#noise() };
  }

  #begin(change: ChurnKind): Iterable<What> {
    switch (change) {
      case 'flip':
        return this.#flip();
      case 'replace':
        return this.#replace();
      case 'rollout':
        return this.#rollout();
      case 'scale':
        return this.#scale();
      case 'service':
        return this.#service();
      case 'nodeLoss':
        return this.#nodeLoss();
      case 'noise':
        return this.#noise();
    }
  }

  #after(minMs: number, maxMs: number, change: ChurnKind, run: () => Iterable<What>): void {
    this.#later.plan(this.#nowMicros + this.#random.between(minMs * 1000, maxMs * 1000), { change, run });
  }

  *#flip(): Iterable<What> {
    const service = this.#serviceWith((candidate) => candidate.pods.some(isLive));
    const pod = this.#random.pick(service?.pods.filter(isLive) ?? []);
    if (service === undefined || pod === undefined) return;
    pod.ready = false;
    this.#after(100, 5000, 'flip', () => this.#becomeReady(service, pod));
    yield* this.#upserts(service, this.#cluster.slicesOf(service, pod));
  }

  *#becomeReady(service: ServiceState, pod: PodState): Iterable<What> {
    if (pod.ready || !pod.node.ready || !service.pods.includes(pod)) return;
    pod.ready = true;
    yield* this.#upserts(service, this.#cluster.slicesOf(service, pod));
  }

  *#replace(): Iterable<What> {
    const service = this.#serviceWith((candidate) => candidate.pods.some(isLive));
    const pod = this.#random.pick(service?.pods.filter(isLive) ?? []);
    if (service === undefined || pod === undefined) return;
    const touched = new Set([...this.#start(service, 'replace'), ...this.#end(service, pod, 'replace')]);
    yield* this.#upserts(service, touched);
  }

  *#rollout(): Iterable<What> {
    const service = this.#serviceWith((candidate) => !candidate.rolling && candidate.pods.some(isLive));
    if (service === undefined) return;
    service.rolling = true;
    yield* this.#rollOn(service, service.pods.filter(isLive).reverse());
  }

  /** One pod more; once that is up the next old one goes. `old` is used up from its end. */
  *#rollOn(service: ServiceState, old: PodState[]): Iterable<What> {
    if (service.position < 0) return;
    const last = old.pop();
    if (last === undefined) {
      service.rolling = false;
      return;
    }
    const touched = this.#start(service, 'rollout');
    this.#after(4000, 6000, 'rollout', () => this.#rollOver(service, last, old));
    yield* this.#upserts(service, touched);
  }

  *#rollOver(service: ServiceState, last: PodState, old: PodState[]): Iterable<What> {
    yield* this.#upserts(service, this.#end(service, last, 'rollout'));
    yield* this.#rollOn(service, old);
  }

  *#scale(): Iterable<What> {
    const service = this.#serviceWith((candidate) => candidate.size > 0 && !candidate.rolling);
    if (service === undefined) return;
    const live = service.pods.filter((pod) => !pod.terminating);
    const step = this.#random.between(1, Math.max(1, Math.ceil(service.size / 2)));
    const isUp = live.length < service.size || (live.length === service.size && this.#random.chance(0.5));
    const touched = new Set<SliceState>();
    for (let count = 0; count < step; count += 1) {
      const pod = isUp ? undefined : live.pop();
      if (!isUp && pod === undefined) break;
      const slices = pod === undefined ? this.#start(service, 'scale') : this.#end(service, pod, 'scale');
      for (const slice of slices) touched.add(slice);
    }
    yield* this.#upserts(service, touched);
  }

  *#service(): Iterable<What> {
    if (this.#cluster.services.length < this.#cluster.shape.services) {
      yield* this.#createService();
      return;
    }
    const service = this.#serviceWith(({ namespace }) => namespace.startsWith('ns-'));
    if (service === undefined) return;
    const { namespace, name } = service;
    this.#cluster.deleteService(service);
    // The garbage collector comes behind.
    for (const slice of service.slices) {
      const remove: What = { op: 'remove', kind: 'EndpointSlice', namespace, name: slice.name };
      this.#after(0, 500, 'service', () => [remove]);
    }
    yield { op: 'remove', kind: 'Service', namespace, name };
  }

  *#createService(): Iterable<What> {
    const service = this.#cluster.createService();
    yield { op: 'upsert', kind: 'Service', object: serviceObject(service) };
    yield* this.#upserts(service, service.slices);
    if (service.traits.type === 'ExternalName') return;
    this.#after(50, 1000, 'service', () => this.#fill(service));
  }

  *#fill(service: ServiceState): Iterable<What> {
    if (service.position < 0) return;
    const touched = new Set<SliceState>();
    for (let count = 0; count < service.size; count += 1) {
      for (const slice of this.#start(service, 'service')) touched.add(slice);
    }
    yield* this.#upserts(service, touched);
  }

  *#nodeLoss(): Iterable<What> {
    const ready = this.#cluster.nodes.filter((node) => node.ready);
    const node = this.#random.pick(ready);
    // Never more than half of them at a time, and never the only one.
    if (node === undefined || ready.length <= this.#cluster.nodes.length / 2 + 0.5) return;
    node.ready = false;
    this.#after(30_000, 30_000, 'nodeLoss', () => this.#evict(node));
    this.#after(60_000, 60_000, 'nodeLoss', () => this.#nodeBack(node));
    yield this.#nodeUpsert(node);
    for (const service of [...this.#cluster.services]) {
      const touched = new Set<SliceState>();
      for (const pod of service.pods) {
        if (pod.node !== node || !pod.ready) continue;
        pod.ready = false;
        for (const slice of this.#cluster.slicesOf(service, pod)) touched.add(slice);
      }
      yield* this.#upserts(service, touched);
    }
  }

  *#evict(node: NodeState): Iterable<What> {
    for (const service of [...this.#cluster.services]) {
      const changes: SliceChanges = { changed: new Set(), removed: new Set() };
      for (const pod of service.pods.filter((each) => each.node === node)) {
        if (!pod.terminating) for (const slice of this.#start(service, 'nodeLoss')) changes.changed.add(slice);
        const { changed, removed } = this.#cluster.removePod(service, pod);
        for (const slice of changed) changes.changed.add(slice);
        for (const slice of removed) changes.removed.add(slice);
      }
      yield* this.#sliceChanges(service, changes);
    }
  }

  *#nodeBack(node: NodeState): Iterable<What> {
    node.ready = true;
    yield this.#nodeUpsert(node);
    for (const service of this.#cluster.services) {
      for (const pod of service.pods) {
        if (pod.node === node) this.#after(100, 5000, 'nodeLoss', () => this.#becomeReady(service, pod));
      }
    }
  }

  *#noise(): Iterable<What> {
    const what = this.#random.below(3);
    const node = what === 0 ? this.#random.pick(this.#cluster.nodes) : undefined;
    if (node !== undefined) {
      yield this.#nodeUpsert(node);
      return;
    }
    const service = this.#random.pick(this.#cluster.services);
    if (service === undefined) return;
    const slice = what === 1 ? this.#random.pick(service.slices) : undefined;
    if (slice !== undefined) {
      yield* this.#upserts(service, [slice]);
      return;
    }
    service.version = this.#cluster.nextVersion();
    yield { op: 'upsert', kind: 'Service', object: serviceObject(service) };
  }

  /** A pod that is not ready yet. */
  #start(service: ServiceState, change: ChurnKind): SliceState[] {
    const pod = service.traits.type === 'ExternalName' ? undefined : this.#cluster.addPod(service, false);
    if (pod === undefined) return [];
    this.#after(500, 4000, change, () => this.#becomeReady(service, pod));
    return this.#cluster.slicesOf(service, pod);
  }

  #end(service: ServiceState, pod: PodState, change: ChurnKind): SliceState[] {
    if (pod.terminating || !service.pods.includes(pod)) return [];
    pod.terminating = true;
    this.#after(1000, 15_000, change, () => this.#sliceChanges(service, this.#cluster.removePod(service, pod)));
    return this.#cluster.slicesOf(service, pod);
  }

  *#sliceChanges(service: ServiceState, { changed, removed }: SliceChanges): Iterable<What> {
    const { namespace } = service;
    yield* this.#upserts(
      service,
      [...changed].filter((slice) => !removed.has(slice)),
    );
    for (const { name } of removed) yield { op: 'remove', kind: 'EndpointSlice', namespace, name };
  }

  *#upserts(service: ServiceState, slices: Iterable<SliceState>): Iterable<What> {
    for (const slice of [...slices]) {
      slice.version = this.#cluster.nextVersion();
      yield { op: 'upsert', kind: 'EndpointSlice', object: this.#cluster.sliceJson(service, slice) };
    }
  }

  #nodeUpsert(node: NodeState): What {
    node.version = this.#cluster.nextVersion();
    return { op: 'upsert', kind: 'Node', object: this.#cluster.nodeJson(node) };
  }

  #serviceWith(accepts: (service: ServiceState) => boolean): ServiceState | undefined {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const service = this.#random.pick(this.#cluster.services);
      if (service !== undefined && accepts(service)) return service;
    }
    return undefined;
  }
}

/** In a fixed order, whatever the order in the options was. */
const changeKinds: readonly ChurnKind[] = ['flip', 'replace', 'rollout', 'scale', 'service', 'nodeLoss', 'noise'];

function isLive(pod: PodState): boolean {
  return pod.ready && !pod.terminating;
}
