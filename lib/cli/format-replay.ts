/** What a replay did, for people and for programs. */
import type { Percentiles } from '../testing/simulation/percentiles.ts';
import type { ReplayResult } from '../testing/simulation/replay.ts';
import { oneLine } from './logger.ts';

export function formatReplay(result: ReplayResult): string {
  const { header, events, passes, byVerb, final } = result;
  const verbs = Object.entries(byVerb).map(([verb, count]) => `${count} ${verb}`);
  const lists = events.list === 0 ? '' : `, ${events.list} lists of ${events.item} objects`;
  const skipped = events.skippedLines === 0 ? '' : `; ${events.skippedLines} lines skipped`;
  const lines = [
    `recorded   ${header.startedAt} on ${header.nodeName === '' ? 'an unnamed node' : header.nodeName} by ipvs-proxier ${header.packageVersion}`,
    ...(header.hooks.length === 0
      ? []
      : [`           with ${header.hooks.join(', ')}, which a recording does not hold`]),
    `played     ${secondsText(result.recordedMs)} in ${secondsText(result.tookMs)}`,
    `events     ${events.upsert} upsert, ${events.remove} remove${lists}${skipped}`,
    `passes     ${passes.start} start, ${passes.incremental} incremental, ${passes.full} full` +
      (result.brokenPasses === 0 ? '' : `; ${result.brokenPasses} could not be made`),
    `operations ${result.operations}${verbs.length === 0 ? '' : `: ${verbs.join(', ')}`}`,
    `           ${result.rulesWritten} rule tables and ${result.sysctlsWritten} sysctls written`,
    `failures   ${result.failed} operations failed, ${result.unknown} without an answer, ${result.warnings} warnings`,
    `plan       ${timesText(result.planMicros)}`,
    // Time in the fake kernel is nobody's.
    ...(result.kernel === undefined ? [`kernel     ${timesText(result.kernelMicros)}`] : []),
    ...(final === undefined
      ? []
      : [
          `tables     ${final.services} virtual services, ${final.destinations} destinations` +
            ` (${final.draining} draining); ${final.foreign} foreign, ${final.contested} contested`,
          ...tableLines(result),
          `last pass  ${final.operations} operations, ${final.failures.length} failures, ${final.unknown} unknown`,
          ...final.failures.map(({ object, error }) => `failed: ${object}: ${error.message} (${error.code})`),
        ]),
    ...result.waiting.map((what) => `incomplete: waited in vain for ${what}`),
  ];
  return `${lines.map(oneLine).join('\n')}\n`;
}

/** All of it but the kernel in memory, of which there are the sizes. */
export function replayJson({ kernel, ...result }: ReplayResult): string {
  const tables = kernel === undefined ? {} : { tables: tableSizes(kernel) };
  return `${JSON.stringify({ ...result, ...tables }, undefined, 2)}\n`;
}

function tableLines({ kernel }: ReplayResult): string[] {
  if (kernel === undefined) return [];
  const { sets, entries, addresses, localRoutes } = tableSizes(kernel);
  return [`           ${sets} sets with ${entries} entries, ${addresses} addresses, ${localRoutes} local routes`];
}

interface TableSizes {
  readonly sets: number;
  readonly entries: number;
  readonly addresses: number;
  readonly localRoutes: number;
}

function tableSizes({ outside }: NonNullable<ReplayResult['kernel']>): TableSizes {
  const entries = [...outside.sets.values()].reduce((sum, set) => sum + set.entries.size, 0);
  const { sets, addresses, localRoutes } = outside;
  return { sets: sets.size, entries, addresses: addresses.size, localRoutes: localRoutes.size };
}

function timesText({ count, p50, p99, max }: Percentiles): string {
  if (count === 0) return 'nothing to time';
  return `p50 ${millisText(p50)}, p99 ${millisText(p99)}, max ${millisText(max)} (${count} incremental passes that wrote)`;
}

function millisText(micros: number): string {
  return `${(micros / 1000).toFixed(micros < 1000 ? 3 : 1)} ms`;
}

function secondsText(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`;
}
