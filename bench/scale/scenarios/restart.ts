/** The cluster is in the kernel as it should be, and somebody starts anew: in a new process, then once more in the same one; then audits. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { openSession } from '../../../lib/kernel/linux-session.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import { median, nowMicros } from '../../workload.ts';
import { snapshot } from '../cluster.ts';
import { type Facts, factsOf, type ScenarioOptions } from '../facts.ts';
import { type Errand, initOf, ReconcilerRun } from '../reconciler-run.ts';

const AUDITS = 5;
const READS = 5;

/** `warm`: the kernel is as it should be already. */
export async function run(options: ScenarioOptions): Promise<Facts> {
  if (options.warm) return await restarted(options);
  const run = new ReconcilerRun(initOf(options));
  await run.start();
  await run.say(snapshot(options.services, options.endpoints));
  await run.close();
  const script = fileURLToPath(new URL('../run-scenario.js', import.meta.url));
  const again = JSON.stringify({ ...options, warm: true });
  const output = execFileSync(process.execPath, ['--expose-gc', script, 'restart', again], { encoding: 'utf8' });
  return factsOf(output.trim().split('\n').at(-1) ?? '');
}

async function restarted(options: ScenarioOptions): Promise<Facts> {
  const message = snapshot(options.services, options.endpoints);
  const fresh = await restart(options, message);
  await fresh.run.close();
  const warm = await restart(options, message);
  const audits: Errand[] = [];
  for (let audit = 0; audit < AUDITS; audit++) audits.push(await warm.run.resync());
  await warm.run.close();
  return {
    writes: fresh.writes + warm.writes + audits.reduce((sum, { operations }) => sum + operations, 0),
    freshMs: fresh.ms,
    warmMs: warm.ms,
    iptablesMs: fresh.iptablesMs,
    readMs: readOnce(options),
    auditMs: median(audits.map(({ micros, iptablesMicros }) => (micros - iptablesMicros) / 1000)),
    auditLongestMs: median(audits.map(({ longestMicros, iptablesMicros }) => (longestMicros - iptablesMicros) / 1000)),
    auditTicks: median(audits.map(({ ticks }) => ticks)),
    savesPerAudit: audits.reduce((sum, { iptablesSaves }) => sum + iptablesSaves, 0) / AUDITS,
  };
}

interface Restart {
  readonly run: ReconcilerRun;
  readonly writes: number;
  /** Without the programs that iptables is. */
  readonly ms: number;
  readonly iptablesMs: number;
}

async function restart(options: ScenarioOptions, message: ReturnType<typeof snapshot>): Promise<Restart> {
  const run = new ReconcilerRun(initOf(options));
  const errands = [await run.start(), await run.say(message)];
  const sum = (of: (errand: Errand) => number): number => errands.reduce((total, errand) => total + of(errand), 0);
  const iptablesMs = sum(({ iptablesMicros }) => iptablesMicros) / 1000;
  return {
    run,
    writes: sum(({ operations }) => operations),
    ms: sum(({ micros }) => micros) / 1000 - iptablesMs,
    iptablesMs,
  };
}

/** Everything that a start has to read, once, as the objects that a session gives. */
function readOnce({ routes }: ScenarioOptions): number {
  const session = openSession();
  const times: number[] = [];
  for (let read = 0; read < READS; read++) {
    const start = nowMicros();
    readAll(session.servicesWithDestinations());
    for (const { name } of readAll(session.sets())) readAll(session.entries(name));
    readAll(session.links());
    readAll(session.addresses());
    if (routes) readAll(session.localRoutes());
    times.push((nowMicros() - start) / 1000);
  }
  session.close();
  return median(times);
}
