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
  /** A family was found or made right for the first time. */
  readonly opened: boolean;
}

export class RulesLane {
  readonly #families: readonly IpFamily[];
  readonly #options: () => RuleOptions;
  readonly #retries: RetryQueue;
  readonly #unproven: Set<IpFamily>;
  #running: Promise<unknown> = Promise.resolve();
  #isRunning = 0;
  #writtenFor: string | undefined;

  /** @param options As they stand now: the Node's pod CIDRs may change. */
  constructor(families: readonly IpFamily[], options: () => RuleOptions, random: () => number) {
    this.#families = families;
    this.#options = options;
    this.#retries = new RetryQueue(random);
    this.#unproven = new Set(families);
  }

  /** Families whose rules this process has neither found nor made right yet: nothing of theirs may be exposed. */
  get unproven(): ReadonlySet<IpFamily> {
    return this.#unproven;
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
    const options = this.#options();
    this.#writtenFor = JSON.stringify(options);
    let written = 0;
    let opened = false;
    const failures: SyncFailure[] = [];
    for (const family of this.#families) {
      const object = `rules ${family}`;
      const command = family === 'IPv4' ? 'iptables-restore' : 'ip6tables-restore';
      try {
        signal.throwIfAborted();
        const text = ruleChanges(await iptables.save(family, signal), staticRules(family, options));
        signal.throwIfAborted();
        if (text !== undefined) {
          await iptables.restore(family, text, signal);
          written += 1;
        }
        this.#retries.cleared(object);
        opened = this.#unproven.delete(family) || opened;
      } catch (error) {
        const record = toErrorRecord(error, 'ERR_IPTABLES');
        failures.push(this.#retries.failed(object, { kind: 'static' }, command, record, nowMs));
      }
    }
    this.#isRunning -= 1;
    return { written, failures, opened };
  }
}
