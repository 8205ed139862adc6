/** Removes what a proxier has written, and nothing else (behaviour.md 4.7). What fails is named, and the rest goes on. */
import { type ErrorRecord, InvalidArgumentError, ProxierError, toErrorRecord } from '../errors.ts';
import { Batch, type KernelClient, operationText } from '../kernel/index.ts';
import type { IptablesBackend, PresentIptables } from '../kernel/iptables.ts';
import type { Operation } from '../operations.ts';
import { objectOf } from '../plan/object-id.ts';
import type { IpFamily } from '../types.ts';
import { type CleanupPlan, cleanupPlan, isLedgerSet, type SavedRules } from './cleanup-plan.ts';
import { readTraces } from './traces.ts';
import { errorOf } from './writer.ts';

/** What a clean-up did, or, as a dry run, would do. */
export interface CleanupReport {
  readonly dryRun: boolean;
  /** Kernel writes that worked, in order, in the notation of `ipvsadm`, `ipset` and `ip`. */
  readonly operations: readonly { readonly verb: string; readonly text: string }[];
  /** `iptables-restore --noflush` input that was taken. */
  readonly rules: readonly {
    readonly backend: IptablesBackend;
    readonly family: IpFamily;
    readonly text: string;
  }[];
  /** What did not work; a second clean-up tries it again. */
  readonly failures: readonly CleanupFailure[];
  /** What is there and stays, and why: virtual services of others, chains that others use, … */
  readonly left: readonly string[];
}

export interface CleanupFailure {
  /** `service tcp 10.96.0.10:80`, `link kube-ipvs0`, `set KUBE-CLUSTER-IP`, `rules IPv4 (legacy)`. */
  readonly object: string;
  /** The command, or the program. */
  readonly operation: string;
  readonly error: ErrorRecord;
}

export interface CleanupInput {
  readonly kernel: KernelClient;
  openIptables(): Promise<PresentIptables>;
  readonly fromIptablesMode: boolean;
  /** Writes nothing. */
  readonly dryRun: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Operations of one batch at most. */
const chunkSize = 1000;

/** Throws when the kernel cannot be read: then nothing was written. */
export async function cleanUp(input: CleanupInput): Promise<CleanupReport> {
  const work = new Work(input);
  return work.done();
}

class Work {
  readonly #input: CleanupInput;
  readonly #operations: { readonly verb: string; readonly text: string }[] = [];
  readonly #rules: SavedRules[] = [];
  readonly #failures: CleanupFailure[] = [];
  readonly #left: string[] = [];

  constructor(input: CleanupInput) {
    this.#input = input;
  }

  async done(): Promise<CleanupReport> {
    const { kernel, fromIptablesMode, dryRun } = this.#input;
    const traces = await readTraces(kernel);
    const { present, saved } = await this.#savedRules();
    const plan = cleanupPlan(traces, saved, { fromIptablesMode });
    this.#left.push(...plan.left);
    await this.#run(plan.unbind);
    const servicesFailed = await this.#run(plan.services);
    for (const rules of plan.rules) await this.#restore(present, rules);
    await this.#run(this.#setsToRemove(plan, servicesFailed));
    return {
      dryRun,
      operations: this.#operations,
      rules: this.#rules,
      failures: this.#failures,
      left: this.#left,
    };
  }

  #setsToRemove({ sets }: CleanupPlan, servicesFailed: boolean): readonly Operation[] {
    if (!servicesFailed) return sets;
    return sets.filter((operation) => {
      const stays = operation.verb === 'remove-set' && isLedgerSet(operation.name);
      if (stays)
        this.#left.push(`set ${operation.name} tells whose the virtual services are that could not be removed`);
      return !stays;
    });
  }

  async #savedRules(): Promise<{
    readonly present: PresentIptables['present'];
    readonly saved: readonly SavedRules[];
  }> {
    const { present, problems } = await this.#input.openIptables();
    for (const message of problems) {
      const error = toErrorRecord(new ProxierError('ERR_IPTABLES', message));
      this.#failures.push({ object: 'rules', operation: 'iptables-save', error });
    }
    const saved: SavedRules[] = [];
    for (const { iptables, families } of present) {
      const { backend } = iptables;
      for (const family of families) {
        try {
          saved.push({ backend, family, text: await iptables.save(family, this.#input.signal) });
        } catch (error) {
          this.#rulesFailed({ backend, family }, 'save', error);
        }
      }
    }
    return { present, saved };
  }

  async #restore(present: PresentIptables['present'], rules: SavedRules): Promise<void> {
    const { signal, dryRun } = this.#input;
    try {
      if (!dryRun) {
        signal?.throwIfAborted();
        const of = present.find(({ iptables }) => iptables.backend === rules.backend);
        await of?.iptables.restore(rules.family, rules.text, signal);
      }
      this.#rules.push(rules);
    } catch (error) {
      this.#rulesFailed(rules, 'restore', error);
    }
  }

  #rulesFailed({ backend, family }: Omit<SavedRules, 'text'>, call: 'save' | 'restore', error: unknown): void {
    this.#failures.push({
      object: `rules ${family} (${backend})`,
      operation: `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${backend}-${call}`,
      error: toErrorRecord(error, 'ERR_IPTABLES'),
    });
  }

  /** True when one of them failed. */
  async #run(operations: readonly Operation[]): Promise<boolean> {
    const before = this.#failures.length;
    for (let from = 0; from < operations.length; from += chunkSize) {
      await this.#runSome(operations.slice(from, from + chunkSize));
    }
    return this.#failures.length > before;
  }

  async #runSome(operations: readonly Operation[]): Promise<void> {
    const { kernel, dryRun, signal } = this.#input;
    signal?.throwIfAborted();
    const batch = new Batch(operations.length);
    const sent = operations.filter((operation) => this.#push(batch, operation));
    const { failures } = dryRun ? { failures: [] } : await kernel.run(batch, { onFailure: 'report' });
    const failed = new Map(failures.map((failure) => [failure.index, failure]));
    sent.forEach((operation, index) => {
      const text = operationText(operation);
      const failure = failed.get(index);
      if (failure === undefined) this.#operations.push({ verb: operation.verb, text });
      else this.#failures.push({ object: objectOf(operation), operation: text, error: errorOf(failure) });
    });
  }

  /** A name that somebody else gave, and that cannot be written down, harms nothing but itself. */
  #push(batch: Batch, operation: Operation): boolean {
    try {
      batch.push(operation);
      return true;
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      this.#failures.push({ object: objectOf(operation), operation: operation.verb, error: toErrorRecord(error) });
      return false;
    }
  }
}
