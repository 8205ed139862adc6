/** Runs a Proxier on a recording, and counts what it did. */
import { setTimeout } from 'node:timers/promises';
import { InvalidArgumentError } from '../../errors.ts';
import { show } from '../../kube/json.ts';
import type { RecordingHeader } from '../../kube/recording-format.ts';
import type { WarningEvent } from '../../proxier/events.ts';
import type { ProxierOptions, ProxierSettings } from '../../proxier/options.ts';
import { Proxier, type ProxierHandle } from '../../proxier/proxier.ts';
import { recordedSettings } from '../../proxier/recording.ts';
import type { SyncReport } from '../../reconcile/protocol.ts';
import type { FakeKernel } from '../fake-kernel.ts';
import { fakeProxier } from '../fake-proxier.ts';
import { VirtualClock } from '../virtual-clock.ts';
import { openRecording, type Recording, type ReplayCounts } from './open-recording.ts';
import { fakeKernelOf, fakeSysctlsOfRouter } from './replay-node.ts';
import { ReplayTally, type TallyResult } from './replay-tally.ts';

export interface ReplayOptions {
  /** The recording. */
  readonly path: string;
  /**
   * `fake` (default): a kernel in memory that has the node's addresses; no privileges. `real`: this machine's, which keeps what was written: needs
   * the privileges of `run`, and no other proxier here.
   */
  readonly kernel?: 'fake' | 'real';
  /**
   * 1: as fast as it was, 10: ten times as fast. `Infinity`: without waiting, but for the first pass after the lists; on the fake kernel that is virtual time, in which each event is
   * dealt with before the next one comes, drains and periodic passes happen when they would have, and a second replay does the same again.
   * Default: `Infinity` on the fake kernel, 1 on the real one.
   */
  readonly speed?: number;
  /** Instead of the recorded one: which endpoints are local. */
  readonly nodeName?: string;
  /** Instead of the recorded ones. */
  readonly settings?: ProxierSettings;
  /** Ends the replay; what it did until then is the result. */
  readonly signal?: AbortSignal;
  /** Lines that make no sense, objects that cannot be served. */
  readonly onWarning?: (warning: WarningEvent) => void;
}

export interface ReplayResult extends TallyResult {
  readonly header: RecordingHeader;
  /** What the sources said. */
  readonly events: Readonly<ReplayCounts>;
  /** How much of the recording was played, and how long that took, in ms. */
  readonly recordedMs: number;
  readonly tookMs: number;
  /** The full pass at the end: how things stand, and what is still wrong. Undefined when there was no complete list of everything. */
  readonly final: SyncReport | undefined;
  /** Everything that is wanted is in the kernel: nothing failed in the end, nothing is unknown, contested, or was waited for in vain. */
  readonly served: boolean;
  /** What was waited for in vain. */
  readonly waiting: readonly string[];
  /** The kernel in memory as it was left. Undefined with the real one. */
  readonly kernel: FakeKernel | undefined;
}

/** For a first pass, or a last one, that does not come to an end. */
const LIMIT_MS = 30_000;
/** What fails in the end is tried so often. */
const LAST_TRIES = 3;
/** For what follows the last event: the drain tick, a retry. */
const AFTERMATH_MS = 2000;

/**
 * @throws ProxierError ERR_RECORDING for a file that is no recording; InvalidArgumentError for options that cannot be, recorded ones among them; what
 * `Proxier.run` throws.
 */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  const { path, kernel = 'fake' } = options;
  if (kernel !== 'fake' && kernel !== 'real') {
    throw new InvalidArgumentError('kernel', `${show(kernel)} is neither fake nor real`);
  }
  const speed = options.speed ?? (kernel === 'fake' ? Number.POSITIVE_INFINITY : 1);
  const isVirtual = kernel === 'fake' && speed === Number.POSITIVE_INFINITY;
  const clock = isVirtual ? new VirtualClock() : undefined;
  const ready = deferred();
  const hurries = speed === Number.POSITIVE_INFINITY ? { afterLists: ready.promise } : {};
  const recording = await openRecording(path, clock === undefined ? { speed, ...hurries } : { clock });
  const { header } = recording;
  const nodeName = (options.nodeName ?? options.settings?.nodeName ?? header.nodeName).trim().toLowerCase();
  const proxierOptions: ProxierOptions = {
    ...recordedSettings(header),
    ...options.settings,
    ...(nodeName === '' ? {} : { nodeName }),
    source: recording.sources,
  };
  const fake = kernel === 'fake' ? await fakeKernelOf(path, nodeName) : undefined;
  const proxier =
    fake === undefined
      ? new Proxier(proxierOptions)
      : fakeProxier(proxierOptions, fake, {
          sysctls: fakeSysctlsOfRouter(),
          ...(clock === undefined ? {} : { clock }),
        });
  proxier.once('ready', ready.resolve);
  const tally = new ReplayTally(proxier, options.onWarning);
  const startedMs = performance.now();
  try {
    const { final, waiting } = await lived(proxier, recording, options.signal, clock);
    return {
      header,
      events: { ...recording.counts },
      recordedMs: recording.playedMs,
      tookMs: performance.now() - startedMs,
      ...tally.result,
      final,
      served: waiting.length === 0 && final !== undefined && isServed(final),
      waiting,
      kernel: fake,
    };
  } finally {
    await proxier.stop();
  }
}

interface End {
  readonly final: SyncReport | undefined;
  readonly waiting: readonly string[];
}

/** From the first line to the last pass. */
async function lived(
  proxier: Proxier,
  recording: Recording,
  signal: AbortSignal | undefined,
  clock: VirtualClock | undefined,
): Promise<End> {
  const aborted = abortOf(signal);
  const running = proxier.run();
  // A run that can never work rejects before there is an end.
  await Promise.race([recording.finished, aborted, running.then(() => recording.finished)]);
  if (signal?.aborted === true) return { final: undefined, waiting: ['the end of the recording'] };
  const missing = (proxier.health()?.waiting ?? [])
    .map(({ what }) => what)
    .filter((what) => what.includes(' list of '));
  if (missing.length > 0) {
    running.catch(() => {});
    return { final: undefined, waiting: missing };
  }
  const handle = await within(running, aborted, clock);
  const final = handle === undefined ? undefined : await lastPass(handle, aborted, clock);
  return final === undefined ? { final, waiting: [`the last pass, for ${LIMIT_MS} ms`] } : { final, waiting: [] };
}

/** Full passes until nothing fails, or it has failed often enough. The first one comes after what was handed in last. */
async function lastPass(
  handle: ProxierHandle,
  aborted: Promise<void>,
  clock: VirtualClock | undefined,
): Promise<SyncReport | undefined> {
  if (clock === undefined) await Promise.race([setTimeout(AFTERMATH_MS), aborted]);
  else await clock.advanceTo(clock.nowMs() + AFTERMATH_MS);
  let report: SyncReport | undefined;
  for (let tries = 0; tries < LAST_TRIES; tries += 1) {
    report = await within(handle.resync(), aborted, clock);
    if (report === undefined || (report.failures.length === 0 && report.unknown === 0)) break;
  }
  return report;
}

/** Undefined when it takes too long, or is called off. */
async function within<T>(
  promise: Promise<T>,
  aborted: Promise<void>,
  clock: VirtualClock | undefined,
): Promise<T | undefined> {
  if (clock === undefined) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<undefined>((resolve) => {
      timer = globalThis.setTimeout(() => resolve(undefined), LIMIT_MS);
    });
    try {
      return await Promise.race([promise, late, aborted.then(() => undefined)]);
    } finally {
      clearTimeout(timer);
    }
  }
  let isSettled = false;
  const settled = promise.then(
    () => {
      isSettled = true;
    },
    () => {
      isSettled = true;
    },
  );
  const untilMs = clock.nowMs() + LIMIT_MS;
  while (!isSettled && clock.nowMs() < untilMs) {
    await Promise.race([settled, clock.advanceTo(clock.nowMs() + AFTERMATH_MS)]);
  }
  return isSettled ? promise : undefined;
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

function abortOf(signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve();
    signal?.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** What `run --once` calls served. */
function isServed({ failures, unknown, contested }: SyncReport): boolean {
  return failures.length === 0 && unknown === 0 && contested === 0;
}
