/** What the Services there are ask of the iptables rules: the little that is not constant. */
import type { IpFamily } from '../types.ts';
import type { DesiredState } from './desired-state.ts';
import { outFilterLine } from './out-filter.ts';
import type { RuleLine } from './rule-set.ts';
import type { ServiceRules } from './rules.ts';
import { setName } from './sets.ts';
import { type ServiceId, serviceFamily } from './state.ts';

export interface WantedRulesOptions {
  readonly families: readonly IpFamily[];
  readonly vipBinding: 'address' | 'local-route';
}

export class WantedRules {
  readonly #desired: DesiredState;
  readonly #options: WantedRulesOptions;
  /** Families of which some Service has external IPs. */
  #external = '';
  #changed = new Set<ServiceId>();
  #revision = 0;

  constructor(desired: DesiredState, options: WantedRulesOptions) {
    this.#desired = desired;
    this.#options = options;
  }

  /** Another one whenever {@link of} may give something else: to ask costs nothing, however many rules there are. */
  get revision(): number {
    return this.#revision;
  }

  of(family: IpFamily): ServiceRules {
    return { externalIPs: this.hasExternalIPs(family), outFilters: this.outFilters(family) };
  }

  /** The rules of KUBE-IPVS-OUT-FILTER by the virtual service they guard. */
  outFilters(family: IpFamily): ReadonlyMap<ServiceId, RuleLine> {
    const lines = new Map<ServiceId, RuleLine>();
    for (const id of this.#desired.outFilters) {
      const key = this.#desired.services.get(id)?.service.key;
      if (key !== undefined && serviceFamily(key) === family) {
        lines.set(id, outFilterLine(key, this.#options.vipBinding));
      }
    }
    return lines;
  }

  /** The virtual service must not be reached without its rule. */
  needsOutFilter(service: ServiceId): boolean {
    return this.#desired.outFilters.has(service);
  }

  /** Virtual services that came to need a rule, or ceased to, since the last call. */
  takeChanged(): ReadonlySet<ServiceId> {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** Follows the desired state. */
  update(): void {
    const changed = this.#desired.takeOutFilters();
    for (const service of changed) this.#changed.add(service);
    const external = this.#options.families.filter((family) => this.hasExternalIPs(family)).join();
    if (changed.size === 0 && external === this.#external) return;
    this.#external = external;
    this.#revision += 1;
  }

  /** Some Service of the family has external IPs. */
  hasExternalIPs(family: IpFamily): boolean {
    const { sets } = this.#desired;
    return (['EXTERNAL-IP', 'EXTERNAL-IP-LOCAL'] as const).some((id) => (sets.get(setName(id, family))?.size ?? 0) > 0);
  }
}
