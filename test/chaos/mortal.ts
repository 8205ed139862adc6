/**
 * What a worker touches, until it dies: after so many operations nothing of it reaches the world any more, and the batch in which that
 * happens is carried out up to there. The same on the fake and on the real kernel.
 */
import { Batch } from '../../lib/kernel/batch.ts';
import type { Iptables } from '../../lib/kernel/iptables.ts';
import type { BatchOptions, BatchResult, KernelSession, Monitor } from '../../lib/kernel/session.ts';
import type { Sysctls } from '../../lib/kernel/sysctl.ts';
import type { ReconcileEffects } from '../../lib/reconcile/effects.ts';

/** What code meets that does not know yet that it is dead. */
export class Death extends Error {
  constructor() {
    super('dead');
  }
}

/** No number of operations ends it. */
export const endless: number = 2 ** 31 - 1;

export class Lifetime {
  readonly #left: Int32Array;
  #isOver = false;
  #onEnd: () => void;
  readonly #held: (() => void)[] = [];
  /** The kernel has told more than the monitor could take. */
  overflows = false;

  /** @param left How many operations are left, at its index 0, so that another thread can say it; `endless` = all. */
  constructor(left: Int32Array = new Int32Array([endless]), onEnd: () => void = () => {}) {
    this.#left = left;
    this.#onEnd = onEnd;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends after so many more operations, whatever they are; `onEnd` is called in their midst. */
  endAfter(operations: number, onEnd: () => void): void {
    Atomics.store(this.#left, 0, operations);
    this.#onEnd = onEnd;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onEnd();
    for (const release of this.#held) release();
  }

  /** Something that the system takes back from the dead. */
  holds(release: () => void): void {
    this.#held.push(release);
  }

  /** How many of these operations are still carried out. */
  spend(operations: number): number {
    if (this.#isOver) throw new Death();
    const left = Atomics.load(this.#left, 0);
    if (left === endless) return operations;
    const granted = Math.min(operations, left);
    Atomics.sub(this.#left, 0, granted);
    return granted;
  }
}

/** The same effects for one that may die. */
export function mortalEffects(effects: ReconcileEffects, life: Lifetime): ReconcileEffects {
  return {
    ...effects,
    openSession: () => mortalSession(effects.openSession(), life),
    openIptables: async (options) => mortalIptables(await effects.openIptables(options), life),
    sysctls: mortalSysctls(effects.sysctls, life),
  };
}

function mortalSession(session: KernelSession, life: Lifetime): KernelSession {
  life.holds(() => session.close());
  const run = (batch: Batch, options: BatchOptions = {}): BatchResult => {
    const granted = life.spend(batch.size);
    if (granted === batch.size) return session.run(batch, options);
    const begun = new Batch();
    for (const operation of batch) if (begun.size < granted) begun.push(operation);
    session.run(begun, options);
    life.end();
    throw new Death();
  };
  const openMonitor = (groups: Parameters<KernelSession['openMonitor']>[0]): Monitor => {
    const monitor = session.openMonitor(groups);
    life.holds(() => monitor.close());
    return {
      drain: () => {
        const events = monitor.drain();
        if (!life.overflows) return events;
        life.overflows = false;
        return [{ kind: 'lost' }];
      },
      close: () => monitor.close(),
    };
  };
  return new Proxy(session, {
    get: (target, name) => {
      if (life.isOver) throw new Death();
      if (name === 'run') return run;
      if (name === 'openMonitor') return openMonitor;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A call of one that died before is never answered. */
function mortalIptables(iptables: Iptables, life: Lifetime): Iptables {
  const alive = async <T>(call: () => Promise<T>): Promise<T> => {
    if (life.isOver) return new Promise<T>(() => {});
    if (life.spend(1) === 0) {
      life.end();
      return new Promise<T>(() => {});
    }
    const result = await call();
    return life.isOver ? new Promise<T>(() => {}) : result;
  };
  return {
    backend: iptables.backend,
    save: (family, signal) => alive(() => iptables.save(family, signal)),
    restore: (family, text, signal) => alive(() => iptables.restore(family, text, signal)),
  };
}

function mortalSysctls(sysctls: Sysctls, life: Lifetime): Sysctls {
  return {
    read: (key) => sysctls.read(key),
    write: (key, value) => {
      if (life.spend(1) === 1) return sysctls.write(key, value);
      life.end();
      throw new Death();
    },
  };
}
