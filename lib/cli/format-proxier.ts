/** What a running proxier answers, for people: a line for each thing that says all of it, so that `grep` finds answers. */
import type { SaidExplanation, SaidLatency, SaidObject, SaidStatus } from './answer-schemas.ts';
import { explanationLines } from './format-explanation.ts';
import { oneLine } from './logger.ts';

export function formatProxierStatus(status: SaidStatus): string {
  const { pid, nodeName, started, health, statistics, reconciler, error } = status;
  const lines = [
    `ipvs-proxier, pid ${pid}, node ${nodeName}, since ${started}: ${health.healthy ? 'healthy' : 'not healthy'}`,
    ...health.reasons.map((reason) => `not healthy: ${reason}`),
    ...health.sources.map(({ name, synced }) => `source ${name}: ${synced ? 'synced' : 'not synced'}`),
    `last pass: ${health.lastSync ?? 'none'}; oldest change that waits: ${health.oldestPendingMs} ms; workers replaced: ${health.workerRestarts}`,
    ...(statistics === undefined ? [] : statisticsLines(statistics)),
    ...health.waiting.map(({ what, sinceMs }) => `waits for ${what}, for ${sinceMs} ms`),
    ...(error === undefined ? [] : [`nothing is known of the kernel: ${error.message} (${error.code})`]),
  ];
  if (reconciler === undefined) return joined(lines);
  const { holds, servicePorts, objects, notApplied, omitted, recorder, waitsFor, revision } = reconciler;
  const counts = (['applied', 'pending', 'failing', 'draining', 'contested', 'foreign'] as const).map(
    (state) => `${objects[state]} ${state}`,
  );
  lines.push(
    `kernel: ${holds.services} virtual services, ${holds.destinations} destinations, ${holds.entries} set entries, ${holds.addresses} VIPs bound; revision ${revision}`,
    `service ports: ${servicePorts.total}, ${servicePorts.notApplied} of them not applied as a whole`,
    `objects: ${counts.join(', ')}`,
    `flight recorder: ${recorder.entries} entries${recorder.since === undefined ? '' : `, since ${recorder.since}`}`,
    ...(waitsFor === undefined ? [] : [`nothing is written before ${waitsFor}`]),
    ...notApplied.map(objectLine),
    ...(omitted === 0 ? [] : [`and ${omitted} more that are not applied (--limit)`]),
  );
  return joined(lines);
}

export function formatProxierExplanation(explanation: SaidExplanation): string {
  const { key, kind, message, nearest, state, services, others, history } = explanation;
  if (kind === 'unknown') {
    const meant = nearest.length === 0 ? '' : `; did you mean ${nearest.join(', ')}?`;
    return joined([`${key}: ${message ?? 'unknown'}${meant}`]);
  }
  const lines = [`${kind} ${key}: ${state}`, ...(message === undefined ? [] : [message])];
  for (const { ports } of services) {
    for (const port of ports) {
      lines.push(
        `service port ${port.port}: ${port.state}`,
        ...explanationLines(port).map((line) => line.replace(/^# /, '  ')),
        ...port.warnings.map((warning) => `  warning: ${warning}`),
        ...port.objects.map((object) => `  ${objectLine(object)}`),
        ...(port.omitted === 0 ? [] : [`  and ${port.omitted} more objects`]),
      );
    }
  }
  if (explanation.omittedPorts > 0) lines.push(`and ${explanation.omittedPorts} more service ports`);
  if (others.length > 0) lines.push('beyond those', ...others.map((object) => `  ${objectLine(object)}`));
  lines.push(history.length === 0 ? 'history: the flight recorder has nothing of it' : 'history');
  if (explanation.omittedHistory > 0) lines.push(`  ${explanation.omittedHistory} older entries are left out`);
  for (const { at, kind: what, text, seq, pass, round } of history) {
    const where = pass === undefined ? `seq ${seq ?? '-'}` : `pass ${pass}${round === undefined ? '' : `.${round}`}`;
    lines.push(
      `  ${at} ${what === 'pass' ? '' : `${what} `}${pass === undefined && seq === undefined ? '' : `${where} `}${text}`,
    );
  }
  return joined(lines);
}

function statisticsLines({ waiting, oldestWaiting, latency }: NonNullable<SaidStatus['statistics']>): string[] {
  const first = oldestWaiting === undefined ? '' : `, first ${oldestWaiting.object}, for ${oldestWaiting.ageMs} ms`;
  return [
    `changes: ${waiting} to be written${first}`,
    `time to the kernel's answer: ${latencyText(latency.fromHandIn)}`,
    ...(latency.fromTrigger.count === 0 ? [] : [`from the trigger time: ${latencyText(latency.fromTrigger)}`]),
  ];
}

function latencyText({ count, p50Ms, p99Ms, maxMs }: SaidLatency): string {
  if (count === 0) return 'no change since the first pass';
  return `${count} changes, p50 ${inMs(p50Ms)}, p99 ${inMs(p99Ms)}, max ${inMs(maxMs)}`;
}

function inMs(ms: number): string {
  return `${Number(ms.toPrecision(3))} ms`;
}

function objectLine({ object, state, why, wanted, applied, wantedBy, failure, drain, contest }: SaidObject): string {
  const facts = [
    ...(why === undefined ? [] : [why]),
    ...(failure === undefined
      ? []
      : [`tried ${failure.attempts} times since ${failure.since}, next at ${failure.nextTry}: ${failure.operation}`]),
    ...(contest === undefined ? [] : [contestText(contest)]),
    ...(drain === undefined ? [] : [`since ${drain.since}, until ${drain.until} at the latest`]),
    ...(failure === undefined && wanted !== undefined && wanted !== applied ? [`wanted: ${wanted}`] : []),
    ...(applied === undefined || (applied === wanted && state !== 'applied') ? [] : [`there: ${applied}`]),
    ...(state === 'applied' || wantedBy.length === 0 ? [] : [`for ${wantedBy.join(', ')}`]),
  ];
  return `${state} ${object}${facts.length === 0 ? '' : `: ${facts.join('; ')}`}`;
}

function contestText({ times, until, history }: NonNullable<SaidObject['contest']>): string {
  const left = until === undefined ? 'put right each time' : `left alone until ${until}`;
  return `found wrong ${times} times, ${left}: ${history.map(({ at, found }) => `${at} ${found}`).join(', ')}`;
}

function joined(lines: readonly string[]): string {
  return `${lines.map((line) => oneLine(line)).join('\n')}\n`;
}
