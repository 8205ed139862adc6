/**
 * One endpoint of one Service changes, told to a Proxier as an EndpointSlice: until its kernel has answered and the Proxier says so. In turns with
 * an empty task through a host of the same kind. Then the same while a full audit runs.
 */
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ProxierHandle } from '../../../lib/proxier/proxier.ts';
import { openPiscinaHost } from '../../../lib/thread/piscina-host.ts';
import { nowMicros, quantile } from '../../workload.ts';
import { podsOf, serviceObject, sliceObject } from '../cluster.ts';
import type { Facts, ScenarioOptions } from '../facts.ts';
import { proxierOver } from '../proxier-run.ts';

const WARM_CHANGES = 300;

export async function run(options: ScenarioOptions): Promise<Facts> {
  const { services, endpoints, times } = options;
  const source = new ObjectSource({ kinds: ['Service', 'EndpointSlice'] });
  for (let service = 0; service < services; service++) {
    source.apply(serviceObject(service));
    source.apply(sliceObject(service, podsOf(service, endpoints)));
  }
  source.synced();
  const started = nowMicros();
  await using proxier = await proxierOver(source, options).run();
  const readyMs = (nowMicros() - started) / 1000;
  const idle = await openPiscinaHost<undefined, number, number>(
    new URL('../idle-worker-module.js', import.meta.url),
    undefined,
  );
  let count = 0;
  /** Goes, and comes back with the next call. */
  const change = async (): Promise<number> => {
    const service = 2 + (((count >> 1) * 7919) % (services - 2));
    const pods = podsOf(service, endpoints);
    const object = sliceObject(service, count % 2 === 0 ? pods.slice(1) : pods);
    count += 1;
    const written = nextWrite(proxier);
    const start = nowMicros();
    source.apply(object);
    await written;
    return nowMicros() - start;
  };
  const empty = async (): Promise<number> => {
    const start = nowMicros();
    await idle.call(1);
    return nowMicros() - start;
  };
  for (let warm = 0; warm < WARM_CHANGES; warm++) {
    await change();
    await empty();
  }
  const changes: number[] = [];
  const tasks: number[] = [];
  for (let index = 0; index < times; index++) {
    changes.push(await change());
    tasks.push(await empty());
  }
  await idle.close();
  const before = process.cpuUsage();
  const busySince = nowMicros();
  for (let index = 0; index < times; index++) await change();
  const { user, system } = process.cpuUsage(before);
  const busy = nowMicros() - busySince;
  const audited: number[] = [];
  let isAuditing = true;
  const auditSince = nowMicros();
  const audit = proxier.resync().finally(() => {
    isAuditing = false;
  });
  while (isAuditing) audited.push(await change());
  await audit;
  return {
    p50: quantile(changes, 0.5),
    p99: quantile(changes, 0.99),
    max: Math.max(...changes),
    emptyP50: quantile(tasks, 0.5),
    emptyP99: quantile(tasks, 0.99),
    cpuMicros: (user + system) / times,
    wallMicros: busy / times,
    auditMs: (nowMicros() - auditSince) / 1000,
    duringAudit: audited.length,
    duringAuditMaxMs: Math.max(...audited) / 1000,
    readyMs,
  };
}

/** Resolves when something was written; what failed would have been nothing to measure. */
function nextWrite(proxier: ProxierHandle): Promise<void> {
  return new Promise((resolve, reject) => {
    const listener = (report: ProxierHandle['report']): void => {
      if (report.failures.length > 0) reject(new Error(JSON.stringify(report.failures[0])));
      else if (report.operations === 0) return;
      proxier.off('sync', listener);
      resolve();
    };
    proxier.on('sync', listener);
  });
}
