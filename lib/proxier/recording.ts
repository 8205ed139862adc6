/** The recording of a Proxier's sources: what is in its header, and how its options are read from there again. */
import { isObject, type JsonObject } from '../kube/json.ts';
import { recordSources } from '../kube/record-sources.ts';
import type { RecordingHeader } from '../kube/recording-format.ts';
import type { Source } from '../kube/source.ts';
import { type Clock, systemClock } from './clock.ts';
import { ORIGIN_KEYS, type ProxierSettings } from './options.ts';
import { type ResolvedOptions, resolveOptions } from './options-schema.ts';

/** The sources, recorded if the options say so. */
export function recorded(sources: readonly Source[], options: ResolvedOptions, clock: Clock): readonly Source[] {
  const { record, hooks, init } = options;
  if (record === undefined) return sources;
  return recordSources(sources, {
    ...record,
    nodeName: init.nodeName,
    settings: settingsOf(options),
    hooks: Object.keys(hooks),
    // The recorder's own one counts microseconds.
    ...(clock === systemClock ? {} : { clock, date: () => clock.date() }),
  });
}

/** Nothing that says where the objects come from, and so no credentials. */
function settingsOf({ init, minSyncPeriodMs, watchNodes }: ResolvedOptions): JsonObject {
  const { detectLocal, allowedExternalIPs, ...rest } = init;
  const local = detectLocal.mode === 'ClusterCIDR' ? { mode: detectLocal.mode } : { ...detectLocal };
  return {
    ...rest,
    minSyncPeriodMs,
    watchNodes,
    detectLocal: local,
    ...(detectLocal.mode === 'ClusterCIDR' ? { clusterCIDR: detectLocal.cidrs } : {}),
    ...(allowedExternalIPs === 'any' ? {} : { allowedExternalIPs }),
  };
}

/**
 * The options of the recorded proxier, for one that replays it.
 *
 * @throws InvalidArgumentError for an option that this version does not know or allow.
 */
export function recordedSettings({ settings }: Pick<RecordingHeader, 'settings'>): ProxierSettings {
  const kept = Object.fromEntries(Object.entries(settings).filter(([name]) => !NOT_RECORDED.includes(name)));
  return isSettings(kept) ? kept : {};
}

/** Where a proxier runs and writes besides the kernel is for who starts it to say. */
const NOT_RECORDED: readonly string[] = [
  'record',
  'adminSocket',
  'thread',
  'logger',
  'signal',
  'ignoreOtherProxiers',
  ...ORIGIN_KEYS,
];

/** A header is a file's word: it counts after the same checks as an embedder's. */
function isSettings(settings: JsonObject): settings is ProxierSettings & JsonObject {
  const source: Source = { name: 'replay', kinds: ['Service'], start: async () => {}, stop: async () => {} };
  resolveOptions({ ...settings, source });
  return isObject(settings);
}
