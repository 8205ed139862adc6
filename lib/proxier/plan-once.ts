/** A plan without a run: reads the sources once, asks, and closes everything again. Writes nothing. */
import { ProxierError } from '../errors.ts';
import type { PlanResult } from '../reconcile/protocol.ts';
import type { ProxierDependencies } from './dependencies.ts';
import { type Intake, type IntakeObserver, problemObject } from './intake.ts';
import type { ResolvedOptions } from './options-schema.ts';
import { snapshotMessages } from './record-messages.ts';
import { untilAborted } from './until-aborted.ts';

export interface PlanOnceOptions {
  readonly options: ResolvedOptions;
  readonly dependencies: ProxierDependencies;
  /** Started if it is not; the caller stops it. */
  readonly intake: Intake;
  readonly observer: Omit<IntakeObserver, 'onChange'>;
  readonly against: PlanResult['against'];
  /** The longest wait for the first complete lists; ERR_TIMEOUT after it. */
  readonly timeoutMs: number;
  /** ERR_CLOSED once it aborts, with everything that this plan opened closed again. */
  readonly signal: AbortSignal;
}

export async function planOnce(options: PlanOnceOptions): Promise<PlanResult> {
  const { init, thread } = options.options;
  const { clock, openHost } = options.dependencies;
  const { intake, against, signal } = options;
  const warnings = new Set<string>();
  await untilAborted(synced(options, warnings), signal, 'the plan');
  const host = await openHost(init, thread, {});
  const asked = async (): Promise<PlanResult> => {
    for (const message of snapshotMessages(intake.store, false)) {
      const { events } = await host.call({ kind: 'records', nowMs: clock.nowMs(), message });
      for (const event of events) if (event.kind === 'warning') warnings.add(`${event.object}: ${event.message}`);
    }
    const { plan } = await host.call({ kind: 'plan', against });
    if (plan === undefined) throw new ProxierError('ERR_WORKER', 'plan was answered without a plan');
    for (const warning of plan.warnings) warnings.add(warning);
    return { ...plan, warnings: [...warnings] };
  };
  try {
    return await untilAborted(asked(), signal, 'the plan');
  } finally {
    await host.close();
  }
}

async function synced(options: PlanOnceOptions, warnings: Set<string>): Promise<void> {
  const { intake, observer, timeoutMs, dependencies, signal } = options;
  let end = (): void => {};
  let onChange = (): void => {};
  const allSynced = new Promise<void>((resolve, reject) => {
    const cancel = dependencies.clock.after(timeoutMs, () => reject(intake.unsyncedError(timeoutMs)));
    onChange = () => {
      if (intake.store.allSynced) resolve();
    };
    end = () => {
      cancel();
      resolve();
    };
  });
  const own: IntakeObserver = {
    onChange,
    onProblem: (source, problem) => {
      warnings.add(`${problemObject(source, problem)}: ${problem.message}`);
      observer.onProblem(source, problem);
    },
    onConnection: (source, connection) => observer.onConnection(source, connection),
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    await Promise.all([intake.start(own), allSynced]);
  } finally {
    signal.removeEventListener('abort', end);
    end();
    intake.leave(own);
  }
}
