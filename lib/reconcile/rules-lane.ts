/**
 * The iptables rules: read, compared, mended. Runs programs, so it takes its time beside everything else: nothing of IPVS waits for it but the
 * virtual services that must not be there without a rule of their own. What fails here is tried again and takes nothing away.
 */
import { toErrorRecord } from '../errors.ts';
import type { Iptables } from '../kernel/iptables.ts';
import { type ObjectId, serviceObject } from '../plan/object-id.ts';
import {
  familyRules,
  type RuleLine,
  type RuleOptions,
  ruleChanges,
  type ServiceRules,
  savedServiceRules,
} from '../plan/rules.ts';
import type { ServiceId } from '../plan/state.ts';
import type { WantedRules } from '../plan/wanted-rules.ts';
import type { IpFamily } from '../types.ts';
import type { SyncFailure } from './protocol.ts';
import { type Retry, RetryQueue } from './retry-queue.ts';

/** What the rules are made of, as it stands. */
export interface RulesSource {
  /** Another one whenever `options` or `wanted` may give something else: it is asked for at every tick. */
  readonly revision: number;
  /** The Node's pod CIDRs may change. */
  readonly options: RuleOptions;
  readonly wanted: WantedRules;
  /** All Services are known: rules that nobody asks for can go. */
  readonly isComplete: boolean;
  /** The virtual service is there, as far as is known. */
  isThere(service: ServiceId): boolean;
  /** By a Service; one that is kept for its connections is not. */
  isWanted(service: ServiceId): boolean;
}

export interface RulesOutcome {
  /** Families whose rules were rewritten. */
  readonly written: number;
  readonly failures: readonly SyncFailure[];
  /** A family was found or made right for the first time. */
  readonly opened: boolean;
  /** Virtual services that waited for their rule and need not any more. */
  readonly arrived: readonly ServiceId[];
}

interface Attempt {
  readonly isWritten: boolean;
  /** The constant rules are right, but what Services ask for beyond them could not be written. */
  readonly error?: unknown;
}

export class RulesLane {
  readonly #families: readonly IpFamily[];
  readonly #source: RulesSource;
  readonly #retries: RetryQueue;
  readonly #unproven: Set<IpFamily>;
  /** Virtual services whose rule is in the kernel, as of the last check. */
  readonly #inPlace = new Map<IpFamily, ReadonlySet<ServiceId>>();
  readonly #missing = new Set<ServiceId>();
  /** Rules nobody asks for that had to stay. */
  readonly #kept = new Map<IpFamily, { readonly outFilters: readonly ServiceId[]; readonly externalIPs: boolean }>();
  #running: Promise<unknown> = Promise.resolve();
  #isRunning = 0;
  #writtenFor: number | undefined;

  constructor(families: readonly IpFamily[], source: RulesSource, random: () => number) {
    this.#families = families;
    this.#source = source;
    this.#retries = new RetryQueue(random);
    this.#unproven = new Set(families);
  }

  /** Families whose rules this process has neither found nor made right yet: nothing of theirs may be exposed. */
  get unproven(): ReadonlySet<IpFamily> {
    return this.#unproven;
  }

  /** Virtual services that need a rule which is not known to be in the kernel. */
  get missing(): ReadonlySet<ServiceId> {
    return this.#missing;
  }

  /** The rules of a family that could not be written, as `rules IPv4`. */
  get failing(): Iterable<readonly [ObjectId, Retry]> {
    return this.#retries.entries();
  }

  /** Takes in what Services ask for by now. Returns the virtual services that waited for a rule and need none any more. */
  follow(): readonly ServiceId[] {
    const released: ServiceId[] = [];
    for (const service of this.#source.wanted.takeChanged()) {
      const family = service.includes('[') ? 'IPv6' : 'IPv4';
      const isMissing = this.#source.wanted.needsOutFilter(service) && !this.#inPlace.get(family)?.has(service);
      if (isMissing) this.#missing.add(service);
      else if (this.#missing.delete(service)) released.push(service);
    }
    return released;
  }

  /** When there is something to do; undefined = nothing waits, or it is being done. `nowMs` stands for at once. */
  nextMs(nowMs: number): number | undefined {
    if (this.#isRunning > 0) return undefined;
    return this.isStale ? nowMs : this.#retries.nextMs;
  }

  /** The rules in place were made for something else than what is asked for now. */
  get isStale(): boolean {
    if (this.#writtenFor === undefined) return false;
    if (this.#writtenFor !== this.#source.revision) return true;
    // What could not be done has its own next try, which takes these along.
    if (!this.#source.isComplete || this.#retries.size > 0) return false;
    return [...this.#kept.values()].some(
      ({ outFilters, externalIPs }) => externalIPs || outFilters.some((service) => !this.#stays(service)),
    );
  }

  /** Never rejects. One check at a time; each asked for is made, and fails once `signal` is aborted. */
  check(iptables: Iptables, nowMs: number, signal: AbortSignal): Promise<RulesOutcome> {
    this.#isRunning += 1;
    const outcome = this.#running.then(() => this.#check(iptables, nowMs, signal));
    this.#running = outcome;
    return outcome;
  }

  /** Resolves when no program runs any more, and none will of the checks asked for so far. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #check(iptables: Iptables, nowMs: number, signal: AbortSignal): Promise<RulesOutcome> {
    this.#writtenFor = this.#source.revision;
    const waited = new Set(this.#missing);
    let written = 0;
    let opened = false;
    const failures: SyncFailure[] = [];
    const failed = (family: IpFamily, error: unknown): void => {
      const command = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
      const record = toErrorRecord(error, 'ERR_IPTABLES');
      const failure = this.#retries.failed(`rules ${family}`, { kind: 'static' }, command, record, nowMs);
      failures.push(failure, ...this.#waiting(family, failure));
    };
    for (const family of this.#families) {
      try {
        const { isWritten, error } = await this.#mend(family, iptables, signal);
        if (isWritten) written += 1;
        opened = this.#unproven.delete(family) || opened;
        if (error === undefined) this.#retries.cleared(`rules ${family}`);
        else failed(family, error);
      } catch (error) {
        failed(family, error);
      }
    }
    this.#isRunning -= 1;
    return { written, failures, opened, arrived: [...waited].filter((service) => !this.#missing.has(service)) };
  }

  /** Throws when not even the constant rules are right. */
  async #mend(family: IpFamily, iptables: Iptables, signal: AbortSignal): Promise<Attempt> {
    const { options, wanted } = this.#source;
    const outFilters = wanted.outFilters(family);
    const saved = await this.#save(family, outFilters, iptables, signal);
    const full = this.#withKept(family, outFilters, saved.rules);
    try {
      const isWritten = await restore(
        family,
        ruleChanges(saved.text, familyRules(family, options, full)),
        iptables,
        signal,
      );
      this.#learn(family, new Set(full.outFilters.keys()));
      return { isWritten };
    } catch (error) {
      if (signal.aborted || !asksForMore(full, saved.rules)) throw error;
      // A host may lack what only these rules need (xt_ipvs, xt_physdev): the rest is not to go without rules for that.
      const again = await this.#save(family, outFilters, iptables, signal);
      const base = familyRules(family, options, within(full, again.rules));
      const isWritten = await restore(family, ruleChanges(again.text, base), iptables, signal);
      return { isWritten, error };
    }
  }

  async #save(
    family: IpFamily,
    outFilters: ReadonlyMap<ServiceId, RuleLine>,
    iptables: Iptables,
    signal: AbortSignal,
  ): Promise<{ readonly text: string; readonly rules: ServiceRules }> {
    signal.throwIfAborted();
    const text = await iptables.save(family, signal);
    signal.throwIfAborted();
    const rules = savedServiceRules(text);
    const isRight = ([service, line]: readonly [ServiceId, RuleLine]): boolean =>
      (outFilters.get(service) ?? line) === line;
    this.#learn(family, new Set([...rules.outFilters].filter(isRight).map(([service]) => service)));
    return { text, rules };
  }

  /** Beside what is asked for, what is there and must stay: a virtual service that is still there keeps its rule. */
  #withKept(family: IpFamily, wanted: ReadonlyMap<ServiceId, RuleLine>, there: ServiceRules): ServiceRules {
    const { isComplete } = this.#source;
    const kept = [...there.outFilters].filter(([service]) => !wanted.has(service) && this.#stays(service));
    const externalIPs = this.#source.wanted.hasExternalIPs(family);
    const isKept = there.externalIPs && !externalIPs && !isComplete;
    this.#kept.set(family, { outFilters: kept.map(([service]) => service), externalIPs: isKept });
    return { externalIPs: externalIPs || isKept, outFilters: new Map([...wanted, ...kept]) };
  }

  /** Its rule, which nobody asks for, is to stay. */
  #stays(service: ServiceId): boolean {
    return !this.#source.isComplete || (this.#source.isThere(service) && !this.#source.isWanted(service));
  }

  #learn(family: IpFamily, inPlace: ReadonlySet<ServiceId>): void {
    this.#inPlace.set(family, inPlace);
    for (const service of this.#source.wanted.outFilters(family).keys()) {
      if (inPlace.has(service)) this.#missing.delete(service);
      else this.#missing.add(service);
    }
  }

  /** The virtual services that are not there because their rule is not. */
  #waiting(family: IpFamily, { error, attempts, retryInMs }: SyncFailure): SyncFailure[] {
    return [...this.#source.wanted.outFilters(family).keys()]
      .filter((service) => this.#missing.has(service) && !this.#source.isThere(service))
      .map((service) => ({
        object: serviceObject(service),
        operation: 'create-service, which waits for its rule in KUBE-IPVS-OUT-FILTER',
        error,
        attempts,
        retryInMs,
      }));
  }
}

/** True when there was something to write. */
async function restore(
  family: IpFamily,
  text: string | undefined,
  iptables: Iptables,
  signal: AbortSignal,
): Promise<boolean> {
  if (text !== undefined) await iptables.restore(family, text, signal);
  return text !== undefined;
}

function asksForMore(full: ServiceRules, there: ServiceRules): boolean {
  if (full.externalIPs && !there.externalIPs) return true;
  return [...full.outFilters].some(([service, line]) => there.outFilters.get(service) !== line);
}

/** As much of it as is there. */
function within(full: ServiceRules, there: ServiceRules): ServiceRules {
  return {
    externalIPs: full.externalIPs && there.externalIPs,
    outFilters: new Map([...there.outFilters].filter(([service]) => full.outFilters.has(service))),
  };
}
