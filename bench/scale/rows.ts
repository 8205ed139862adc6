/** The speed table: each goal, and what was reached. */
import type { Samples } from './samples.ts';
import type { Sizes } from './steps.ts';

export interface Row {
  readonly what: string;
  readonly goal: string;
  readonly reached: string;
  /** Undefined: there is no goal, or it was not measured. */
  readonly met: boolean | undefined;
}

/** A slope that a garbage collector's habits alone can make: a share of the memory a minute. */
const FLAT_SHARE = 0.005;
/** Of our own share of a first sync, for each Service: so much more in a larger cluster is flat. */
const FLAT_FACTOR = 1.2;
const LATE_MS = 1000;

export function rowsOf(samples: Samples, sizes: Sizes): Row[] {
  return [
    ...changeRows(samples, sizes),
    ...syncRows(samples, sizes),
    ...churnRows(samples, sizes),
    ...auditRows(samples, sizes),
    ...costRows(samples, sizes),
  ];
}

function changeRows(samples: Samples, { small, middle, large, endpoints }: Sizes): Row[] {
  const bare = samples.figure('trip', 'p50');
  const inWorker = samples.figure('change middle', 'p50');
  const p50 = samples.figure('proxier', 'p50');
  const empty = samples.figure('proxier', 'emptyP50');
  const p99 = samples.figure('native proxier middle', 'p99');
  const growth = samples.figure('change large', 'p50') / samples.figure('change small', 'p50');
  const nativeGrowth = samples.figure('native proxier large', 'p50') / samples.figure('native proxier small', 'p50');
  const size = `${count(middle)} x ${endpoints}`;
  return [
    row(
      `one endpoint change, arrived in the worker → kernel answered, ${size} present`,
      'p50 ≤ 3x the bare netlink round trip',
      `${micros(inWorker)}, ${times(inWorker / bare)} of ${micros(bare)} (p99 ${micros(samples.figure('change middle', 'p99'))}; session alone ${micros(samples.figure('change middle', 'sessionP50'))}; a new endpoint ${micros(samples.figure('change middle', 'newP50'))})`,
      inWorker / bare,
      3,
    ),
    row(
      'the same, handed to Proxier → kernel answered, test kernel (one CPU)',
      'p50 ≤ an empty task through such a host + 3x the round trip',
      `${micros(p50)}; an empty task ${micros(empty)}, so at most ${micros(empty + 3 * bare)}`,
      p50,
      empty + 3 * bare,
    ),
    row(
      'the same natively, IPVS by the fake kernel',
      'p99 ≤ 5 ms',
      `p99 ${millis(p99 / 1000)}, p50 ${micros(samples.figure('native proxier middle', 'p50'))}`,
      p99,
      5000,
    ),
    row(
      `one change in the worker, ${count(large)} Services against ${count(small)}`,
      '≤ 1.2x',
      `${times(growth)} (${micros(samples.figure('change small', 'p50'))}, ${micros(inWorker)}, ${micros(samples.figure('change large', 'p50'))} with ${count(small)}, ${count(middle)}, ${count(large)})`,
      growth,
      1.2,
    ),
    row(
      'the same handed to Proxier, natively',
      '≤ 1.2x',
      `${times(nativeGrowth)} (${micros(samples.figure('native proxier small', 'p50'))}, ${micros(samples.figure('native proxier large', 'p50'))})`,
      nativeGrowth,
      1.2,
    ),
  ];
}

function syncRows(samples: Samples, { small, middle, large, beyondSets, endpoints }: Sizes): Row[] {
  const against = (name: string, what: string): Row => {
    const floor = samples.figure(`sync ${name} floor`, 'ms');
    const fresh = samples.figure(`sync ${name} fresh`, 'ms');
    const warm = samples.figure(`sync ${name} warm`, 'ms');
    return row(
      `first sync ${what}, records → last answer`,
      '≤ 1.5x the C floor',
      `${millis(fresh)}, ${times(fresh / floor)} of ${millis(floor)} (in a warm process ${millis(warm)}, ${times(warm / floor)})`,
      fresh / floor,
      1.5,
    );
  };
  const own = (name: string, services: number): number =>
    (1000 * (samples.figure(`sync ${name} warm`, 'ms') - samples.figure(`sync ${name} warm`, 'kernelMs'))) / services;
  const [few, many] = [own('small', small), own('middle', middle)];
  const beyond = samples.figure('sync beyond', 'operations');
  const usable = samples.figure('critical', 'usableMs');
  return [
    against('small', `${count(small)} x ${endpoints}`),
    against('middle', `${count(middle)} x ${endpoints}`),
    against('large', `${count(large)} x 1, VIPs as routes`),
    row(
      'slope of the first sync: our own share of it for each Service (warm)',
      'flat but for the kernel’s own',
      `${micros(few)} of ${count(small)}, ${micros(many)} of ${count(middle)}`,
      many / few,
      FLAT_FACTOR,
    ),
    {
      what: `sets grow past 65,536: ${count(beyondSets)} VIPs as routes`,
      goal: 'all there',
      reached: Number.isNaN(beyond) ? 'not measured' : `${count(beyond)} operations, none failed`,
      met: Number.isNaN(beyond) ? undefined : beyond === 4 * beyondSets,
    },
    row(
      `default/kubernetes and DNS usable after the lists are in, ${count(middle)} x ${endpoints}`,
      '≤ 100 ms',
      `${millis(usable)} (all of the first sync ${millis(samples.figure('critical', 'wholeMs'))}, in ${count(samples.figure('critical', 'ticks') + 1)} slices)`,
      usable,
      100,
    ),
  ];
}

function churnRows(samples: Samples, { seconds, nativeSeconds }: Sizes): Row[] {
  const of = (step: string, fact: string): number => samples.figure(step, fact);
  const late = Math.max(of('churn', 'lateMs'), of('churn', 'probeP99Ms'));
  const slope = of('churn', 'rssSlopeMBPerMinute');
  const rss = of('churn', 'rssMB');
  const sustained = (step: string): string => {
    const rate = of(step, 'sustained');
    if (Number.isNaN(rate)) return 'not measured';
    if (rate === 0) return 'none: 1,000 events/s were too many';
    return `${count(of(step, 'sustained'))} events/s, ${count(of(step, 'sustainedOperationsPerSecond'))} operations/s; kernel ${percent(of(step, 'sustainedKernelShare'))} of the time, CPU ${percent(of(step, 'sustainedCpuShare'))} of one`;
  };
  return [
    row(
      `1,000 events/s for ${duration(seconds)}, 50/s replace a destination, test kernel`,
      'no backlog',
      `${count(of('churn', 'eventsPerSecond'))} events/s, ${count(of('churn', 'operationsPerSecond'))} operations/s, what waits is ${millis(of('churn', 'lateMs'))} old in the end; in the kernel after p50 ${millis(of('churn', 'probeP50Ms'))}, p99 ${millis(of('churn', 'probeP99Ms'))}`,
      late,
      LATE_MS,
    ),
    row(
      `caller’s loop lag, natively (${duration(nativeSeconds)})`,
      'p99 ≤ 10 ms',
      `p99 ${millis(of('native churn', 'lagP99Ms'))}, most ${millis(of('native churn', 'lagMaxMs'))}`,
      of('native churn', 'lagP99Ms'),
      10,
    ),
    row(
      'caller’s loop lag, test kernel, where it shares the one CPU with the worker',
      'p99 ≤ 10 ms',
      `p99 ${millis(of('churn', 'lagP99Ms'))}, most ${millis(of('churn', 'lagMaxMs'))}`,
      of('churn', 'lagP99Ms'),
      10,
    ),
    row(
      'resident memory over the churn (the simulated cluster included)',
      'slope 0',
      `${signed(slope)} MB a minute: ${megabytes(of('churn', 'rssFirstMB'))} to ${megabytes(rss)}`,
      Math.abs(slope),
      FLAT_SHARE * rss,
    ),
    { what: 'highest rate sustained, test kernel', goal: '', reached: sustained('churn'), met: undefined },
    {
      what: 'highest rate sustained, natively, fake kernel',
      goal: '',
      reached: sustained('native churn'),
      met: undefined,
    },
  ];
}

function auditRows(samples: Samples, { middle, endpoints }: Sizes): Row[] {
  const of = (fact: string): number => samples.figure('restart', fact);
  const floor = samples.figure('audit floor', 'ms');
  const size = `${count(middle)} x ${endpoints}`;
  const longest = samples.figure('proxier', 'duringAuditMaxMs');
  const audit = samples.figure('proxier', 'auditMs');
  return [
    row(`restart with ${size} unchanged`, '0 writes', `${of('writes')} writes`, of('writes'), 0),
    row(
      'the same, without iptables',
      '≤ 1.5x the time of reading the kernel once',
      `${millis(of('freshMs'))}, ${times(of('freshMs') / of('readMs'))} of ${millis(of('readMs'))} (in a warm process ${millis(of('warmMs'))}, ${times(of('warmMs') / of('readMs'))}; C reads it in ${millis(floor)}; iptables ${millis(of('iptablesMs'))} more)`,
      of('freshMs') / of('readMs'),
      1.5,
    ),
    row(
      `full audit ${size}, without iptables`,
      '≤ 1.5x the same way of reading in C',
      `${millis(of('auditMs'))}, ${times(of('auditMs') / floor)} of ${millis(floor)}`,
      of('auditMs') / floor,
      1.5,
    ),
    row(
      'a change during a full audit (Proxier, test kernel)',
      'in slices that let changes through',
      `waits ${millis(longest)} at the most, of an audit of ${millis(audit)}`,
      longest,
      audit / 4,
    ),
  ];
}

function costRows(samples: Samples, { middle, endpoints }: Sizes): Row[] {
  const size = `${count(middle)} x ${endpoints}`;
  const bytes = samples.figure('memory', 'bytesPerService');
  const rss = samples.figure('footprint', 'rssMB');
  const cpu = samples.figure('native proxier middle', 'cpuMicros');
  const processes = samples.figure('change middle', 'processes');
  const saves = samples.figure('restart', 'savesPerAudit');
  return [
    row(
      `memory in the worker for a Service with ${endpoints} endpoints`,
      '≤ 4 kB',
      `${(bytes / 1000).toFixed(2)} kB`,
      bytes,
      4000,
    ),
    row(
      `resident memory of the command at ${size}, in-cluster credentials (kube-proxy: 230 MB)`,
      '≤ 150 MB',
      `${megabytes(rss)}, at most ${megabytes(samples.figure('footprint', 'peakMB'))} on the way; ready after ${millis(samples.figure('footprint', 'readyMs'))}`,
      rss,
      150,
    ),
    row(
      `CPU of one change at ${size}, all threads, natively, the fake kernel included (kube-proxy: 609 ms)`,
      '≤ 1 ms',
      millis(cpu / 1000),
      cpu,
      1000,
    ),
    row(
      'processes started by changes',
      '0',
      `${count(processes)} by ${count(samples.figure('change middle', 'changes'))} changes`,
      processes,
      0,
    ),
    row('iptables-save for each audit round and family', '1', String(saves), saves, 1),
  ];
}

/** Met when the value is no more than the limit. */
function row(what: string, goal: string, reached: string, value: number, limit: number): Row {
  const isMeasured = !Number.isNaN(value) && !Number.isNaN(limit);
  return { what, goal, reached: isMeasured ? reached : 'not measured', met: isMeasured ? value <= limit : undefined };
}

const count = (value: number): string => Math.round(value).toLocaleString('en');
const duration = (seconds: number): string => (seconds < 60 ? `${seconds} s` : `${count(seconds / 60)} min`);
const times = (value: number): string => `${value < 10 ? value.toFixed(2) : value.toFixed(0)}x`;
const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
const megabytes = (value: number): string => `${value.toFixed(0)} MB`;
const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
const micros = (value: number): string => (value < 1000 ? `${value.toFixed(0)} µs` : millis(value / 1000));
const millis = (value: number): string =>
  value < 10 ? `${value.toFixed(2)} ms` : value < 10_000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(1)} s`;
