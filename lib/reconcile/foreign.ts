/** Virtual services of others: which ones there are, which of them are wanted by us as well, and who has been told. */
import { ownershipOf } from '../plan/ledger.ts';
import { sameDestination, sameService } from '../plan/same.ts';
import type { KernelState, ServiceId, ServiceNode } from '../plan/state.ts';
import type { AppliedState } from './applied.ts';
import type { Observed } from './observed.ts';
import type { OwnershipPolicy } from './ownership-policy.ts';
import type { ReconcileEvent } from './protocol.ts';

export interface Settlement {
  readonly events: readonly ReconcileEvent[];
  /** Now ours; what belongs to them may be missing. */
  readonly adopted: readonly ServiceId[];
  /** Contested until now, and wanted no more; what else there is on their address may have waited because of them. */
  readonly released: readonly ServiceId[];
}

export class ForeignServices {
  readonly #policy: OwnershipPolicy;
  #services = new Map<ServiceId, ServiceNode>();
  readonly #untouchable = new Set<ServiceId>();
  #fwmarks: readonly string[] = [];
  readonly #contested = new Set<ServiceId>();
  /** Who has been told about, as foreign and as contested, for as long as they stay so. */
  readonly #toldForeign = new Set<string>();
  readonly #toldContested = new Set<ServiceId>();
  /** Nothing was read yet: what an earlier process wrote is to be told from what others made. */
  #isNew = true;

  constructor(policy: OwnershipPolicy) {
    this.#policy = policy;
  }

  get policy(): OwnershipPolicy {
    return this.#policy;
  }

  /** Virtual services that must not be written, nor anything that belongs to them. */
  get untouchable(): ReadonlySet<ServiceId> {
    return this.#untouchable;
  }

  get count(): number {
    return this.#services.size + this.#fwmarks.length;
  }

  get contested(): number {
    return this.#contested.size;
  }

  /** As it was last read; undefined: there is none of that name. */
  get(id: ServiceId): ServiceNode | undefined {
    return this.#services.get(id);
  }

  /** Those that are there. */
  ids(): IterableIterator<ServiceId> {
    return this.#services.keys();
  }

  /** Wanted virtual services that are somebody else's, and differ. */
  get contestedServices(): ReadonlySet<ServiceId> {
    return this.#contested;
  }

  /** All services of firewall marks that a read shows. */
  putFwmarks(fwmarks: readonly string[]): void {
    const there = new Set(fwmarks);
    for (const fwmark of this.#fwmarks) if (!there.has(fwmark)) this.#toldForeign.delete(fwmark);
    this.#fwmarks = fwmarks;
  }

  /** The same knowledge, to try something with. */
  fork(): ForeignServices {
    const copy = new ForeignServices(this.#policy);
    copy.#services = new Map(this.#services);
    copy.#isNew = this.#isNew;
    return copy;
  }

  /**
   * Sorts a read of the kernel: what is ours becomes the applied state, the rest is foreign. At the first read of a process the ledger
   * says what is ours. From then on it is what this process adopted or wrote itself: an address that it binds, or a node port it
   * opens, does not make the virtual services ours that others have there. Where the policy claims everything, all are ours at all times.
   *
   * @param written Knows what this process wrote; by default the applied state itself.
   */
  adopt(observed: Observed, applied: AppliedState, written: Pick<AppliedState, 'wrote'> = applied): void {
    const ledger = {
      sets: observed.sets,
      vipAddresses: new Set([...observed.addresses, ...observed.routes]),
      interfaceAddresses: new Set(observed.nodeAddresses),
    };
    const foreign = new Map<ServiceId, ServiceNode>();
    for (const [id, node] of observed.services) {
      const { service } = node;
      const isInLedger = this.#isNew && ownershipOf(service.key, ledger) === 'ours';
      if (written.wrote(id, service) || isInLedger || this.#policy.claims(service.key.address)) {
        applied.putService(id, node);
      } else {
        foreign.set(id, node);
      }
    }
    this.#isNew = false;
    for (const id of [...applied.services.keys()]) if (!observed.services.has(id)) applied.forgetService(id);
    for (const name of [...applied.sets.keys()]) if (!observed.sets.has(name)) applied.forgetSet(name);
    for (const [name, entries] of observed.sets) applied.putSet(name, entries);
    applied.putAddresses(observed.addresses);
    applied.putRoutes(observed.routes);
    this.#services = foreign;
    this.#untouchable.clear();
    for (const id of foreign.keys()) this.#untouchable.add(id);
    this.#fwmarks = observed.fwmarks;
    for (const id of this.#contested) if (!foreign.has(id)) this.#contested.delete(id);
    for (const id of this.#toldContested) if (!foreign.has(id)) this.#toldContested.delete(id);
    const there = new Set([...foreign.keys(), ...observed.fwmarks]);
    for (const id of this.#toldForeign) if (!there.has(id)) this.#toldForeign.delete(id);
  }

  /** Sorts a virtual service that was read back on its own; undefined = it is not there. */
  sort(id: ServiceId, node: ServiceNode | undefined, applied: AppliedState): void {
    if (node !== undefined && (applied.wrote(id, node.service) || this.#policy.claims(node.service.key.address))) {
      applied.putService(id, node);
      return;
    }
    applied.forgetService(id);
    if (node === undefined) {
      this.#forget(id);
    } else {
      this.#services.set(id, node);
      this.#untouchable.add(id);
    }
  }

  /**
   * Decides about foreign services that are wanted, or are so no more: adopted when nothing that serves would have to be overwritten (or
   * when `takeOver` says so), contested otherwise.
   */
  settle(scope: Iterable<ServiceId> | 'all', desired: KernelState, applied: AppliedState): Settlement {
    const events: ReconcileEvent[] = [];
    const adopted: ServiceId[] = [];
    const released: ServiceId[] = [];
    for (const id of this.#services.size === 0 ? [] : scope === 'all' ? [...this.#services.keys()] : scope) {
      const node = this.#services.get(id);
      if (node === undefined) continue;
      const wanted = desired.services.get(id);
      if (wanted === undefined) {
        if (this.#contested.delete(id)) released.push(id);
        this.#toldContested.delete(id);
      } else if (this.#policy.takesOver || fits(node, wanted)) {
        this.#forget(id);
        adopted.push(id);
        applied.putService(id, node);
      } else {
        this.#contested.add(id);
        if (tell(this.#toldContested, id)) {
          const message = `${id} is wanted, but somebody else has made a virtual service of that name that differs; it is left as it is. Remove it, or start with takeOver`;
          events.push({ kind: 'contested', service: id, message });
        }
      }
    }
    return { events, adopted, released };
  }

  /** The foreign services that nobody has been told about yet. */
  report(): ReconcileEvent[] {
    const uncontested = [...this.#services.keys()].filter((id) => !this.#contested.has(id));
    return [...uncontested, ...this.#fwmarks]
      .filter((service) => tell(this.#toldForeign, service))
      .map((service) => ({ kind: 'foreign', service }));
  }

  #forget(id: ServiceId): void {
    this.#services.delete(id);
    this.#untouchable.delete(id);
    this.#contested.delete(id);
    this.#toldContested.delete(id);
    this.#toldForeign.delete(id);
  }
}

function tell(told: Set<string>, what: string): boolean {
  if (told.has(what)) return false;
  told.add(what);
  return true;
}

/**
 * Taking it over would take nothing from anybody: it is as wanted, and so is each destination it has. An empty one serves nobody whatever it is
 * like: a process that died between a virtual service and its tuple entry leaves it behind, and the Service may have changed since.
 */
function fits(node: ServiceNode, wanted: ServiceNode): boolean {
  if (node.destinations.size === 0) return true;
  if (!sameService(node.service, wanted.service)) return false;
  for (const [id, destination] of node.destinations) {
    const other = wanted.destinations.get(id);
    if (other === undefined || !sameDestination(destination, other)) return false;
  }
  return true;
}
