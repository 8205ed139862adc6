/**
 * The iptables rules: read, compared, mended. Runs programs, so it takes its time beside everything else: nothing of IPVS waits for
 * it, and what fails here is tried again and takes nothing away.
 */
import { toErrorRecord } from '../errors.ts';
import type { Iptables } from '../kernel/iptables.ts';
import { type RuleOptions, ruleChanges, staticRules } from '../plan/rules.ts';
import type { IpFamily } from '../types.ts';
import type { SyncFailure } from './protocol.ts';
import { RetryQueue } from './retry-queue.ts';

export interface RulesOutcome {
  /** Families whose rules were rewritten. */
  readonly written: number;
  readonly failures: readonly SyncFailure[];
}

export class RulesLane {
  readonly #families: readonly IpFamily[];
  readonly #options: () => RuleOptions;
  readonly #retries: RetryQueue;
  #running: Promise<unknown> = Promise.resolve();
  #isRunning = 0;
  #writtenFor: string | undefined;

  /** @param options As they stand now: the Node's pod CIDRs may change. */
  constructor(families: readonly IpFamily[], options: () => RuleOptions, random: () => number) {
    this.#families = families;
    this.#options = options;
    this.#retries = new RetryQueue(random);
  }

  /** When there is something to do; undefined = nothing waits, or it is being done. `nowMs` stands for at once. */
  nextMs(nowMs: number): number | undefined {
    if (this.#isRunning > 0) return undefined;
    return this.isStale ? nowMs : this.#retries.nextMs;
  }

  /** The rules in place were made for other options. */
  get isStale(): boolean {
    return this.#writtenFor !== undefined && this.#writtenFor !== JSON.stringify(this.#options());
  }

  /** Never rejects. One check at a time; each asked for is made. */
  check(iptables: Iptables, nowMs: number): Promise<RulesOutcome> {
    this.#isRunning += 1;
    const outcome = this.#running.then(() => this.#check(iptables, nowMs));
    this.#running = outcome;
    return outcome;
  }

  async #check(iptables: Iptables, nowMs: number): Promise<RulesOutcome> {
    const options = this.#options();
    this.#writtenFor = JSON.stringify(options);
    let written = 0;
    const failures: SyncFailure[] = [];
    for (const family of this.#families) {
      const object = `rules ${family}`;
      const command = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
      try {
        const text = ruleChanges(await iptables.save(family), staticRules(family, options));
        if (text !== undefined) {
          await iptables.restore(family, text);
          written += 1;
        }
        this.#retries.cleared(object);
      } catch (error) {
        const record = toErrorRecord(error, 'ERR_IPTABLES');
        failures.push(this.#retries.failed(object, { kind: 'static' }, command, record, nowMs));
      }
    }
    this.#isRunning -= 1;
    return { written, failures };
  }
}
