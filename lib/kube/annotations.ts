/**
 * What a Service asks for beyond the Kubernetes API, by annotation (docs/annotations.md). One that makes no sense is a problem and
 * counts as if it were not there.
 */
import { parseDuration } from '../duration.ts';
import { nearestWord } from '../nearest-word.ts';
import type { ServiceTuning } from '../records.ts';
import { ServiceFlag } from '../types.ts';
import type { SchedulerFlag } from './hooks.ts';
import { type JsonObject, objectOrEmpty, show } from './json.ts';

const PREFIX = 'ipvs-proxier.io/';
const NAMES = [
  'scheduler',
  'scheduler-flags',
  'forward',
  'drain-timeout',
  'zone-weights',
  'weight-node-label',
] as const;
type Name = (typeof NAMES)[number];

export const MAX_WEIGHT = 65_535;
/** That of the option `drainTimeoutMs`: 24.8 days. */
const MAX_DRAIN_MS = 2 ** 31 - 1;

/** Weights by place, as annotated; absent parts weigh 1. */
export interface WeightRules {
  /** Zone → weight; other zones weigh 1. */
  readonly zones?: Readonly<Record<string, number>>;
  /** Name of a Node label whose value is the weight of the endpoints there. */
  readonly nodeLabel?: string;
}

export interface Annotations {
  readonly tuning: ServiceTuning;
  readonly weights: WeightRules | undefined;
}

/** What a flag is to which scheduler. */
export const SCHEDULER_FLAGS: Readonly<Record<SchedulerFlag, { readonly scheduler: string; readonly bit: number }>> = {
  'sh-fallback': { scheduler: 'sh', bit: ServiceFlag.sched1 },
  'sh-port': { scheduler: 'sh', bit: ServiceFlag.sched2 },
  'mh-fallback': { scheduler: 'mh', bit: ServiceFlag.sched1 },
  'mh-port': { scheduler: 'mh', bit: ServiceFlag.sched2 },
};

/** @param defaultScheduler The proxier's own, which flags count for when the Service names none. */
export function readAnnotations(metadata: JsonObject, defaultScheduler: string, problems: string[]): Annotations {
  const annotations = objectOrEmpty(metadata['annotations']);
  const given = new Map<Name, unknown>();
  for (const [key, value] of Object.entries(annotations)) {
    if (!key.startsWith(PREFIX)) continue;
    const name = NAMES.find((each) => each === key.slice(PREFIX.length));
    if (name !== undefined) given.set(name, value);
    else problems.push(unknownAnnotation(key));
  }
  if (given.size === 0) return NOTHING;
  const read = <T>(name: Name, parse: (text: string) => T | undefined, allowed: string): T | undefined => {
    if (!given.has(name)) return undefined;
    const value = given.get(name);
    const parsed = typeof value === 'string' ? parse(value.trim()) : undefined;
    if (parsed === undefined) {
      problems.push(`${fieldOf(PREFIX + name)}: ${show(value)} is not ${allowed}; it counts as if it were not there`);
    }
    return parsed;
  };

  const scheduler = read('scheduler', parseScheduler, 'the name of an IPVS scheduler such as rr, wrr, lc, wlc, sh, mh');
  const effective = scheduler ?? defaultScheduler;
  const schedulerFlags = read('scheduler-flags', (text) => parseFlags(effective, text), allowedFlags(effective));
  const forward = read('forward', parseForward, 'masquerade, direct or tunnel');
  const drainTimeoutMs = read('drain-timeout', parseDrain, 'a duration such as 30s, 5m, 1h or 0, at most 24 days');
  const zones = read(
    'zone-weights',
    parseZones,
    `a list of zones with weights from 0 to ${MAX_WEIGHT} such as zone-a=3,zone-b=1`,
  );
  const nodeLabel = read('weight-node-label', parseLabelName, 'the name of a Node label such as example.com/capacity');
  return {
    tuning: {
      ...(scheduler === undefined ? {} : { scheduler }),
      ...(schedulerFlags === undefined ? {} : { schedulerFlags }),
      ...(forward === undefined || forward === 'masquerade' ? {} : { forward }),
      ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }),
    },
    weights:
      zones === undefined && nodeLabel === undefined
        ? undefined
        : { ...(zones === undefined ? {} : { zones }), ...(nodeLabel === undefined ? {} : { nodeLabel }) },
  };
}

const NOTHING: Annotations = { tuning: {}, weights: undefined };

/** `annotation` of a Service, for messages. */
export function annotationField(name: Name): string {
  return fieldOf(PREFIX + name);
}

function fieldOf(key: string): string {
  return `metadata.annotations[${show(key)}]`;
}

function unknownAnnotation(key: string): string {
  const nearest = nearestWord(key.slice(PREFIX.length), NAMES);
  const advice = nearest === undefined ? `there are ${NAMES.join(', ')}` : `did you mean ${PREFIX}${nearest}?`;
  return `${fieldOf(key)}: there is no such annotation, ${advice}`;
}

/** A name that the kernel could know; whether it does, the kernel says. */
export function parseScheduler(text: string): string | undefined {
  return /^[a-z0-9_-]{1,15}$/.test(text) ? text : undefined;
}

/** `none`, or flags of this scheduler separated by commas → bits of `ServiceFlag`. */
function parseFlags(scheduler: string, text: string): number | undefined {
  return flagBits(scheduler, text === 'none' ? [] : text.split(',').map((name) => name.trim()));
}

/** Undefined when one is no flag of this scheduler. */
export function flagBits(scheduler: string, names: readonly unknown[]): number | undefined {
  let bits = 0;
  for (const name of names) {
    const flag = Object.entries(SCHEDULER_FLAGS).find(([known]) => known === name)?.[1];
    if (flag?.scheduler !== scheduler) return undefined;
    bits |= flag.bit;
  }
  return bits;
}

export function allowedFlags(scheduler: string): string {
  const names = Object.entries(SCHEDULER_FLAGS).flatMap(([name, flag]) => (flag.scheduler === scheduler ? [name] : []));
  return names.length === 0
    ? `none (scheduler ${scheduler} has no flags)`
    : `none, ${names.join(', ')} or ${names.join(',')}, the flags of scheduler ${scheduler}`;
}

function parseForward(text: string): 'masquerade' | 'direct' | 'tunnel' | undefined {
  return text === 'masquerade' || text === 'direct' || text === 'tunnel' ? text : undefined;
}

function parseDrain(text: string): number | undefined {
  const ms = parseDuration(text);
  return ms === undefined || ms > MAX_DRAIN_MS ? undefined : ms;
}

/** A label value, which is what zones are: `topology.kubernetes.io/zone`. */
const ZONE = /^[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/;
const LABEL_NAME = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?$/;

function parseZones(text: string): Readonly<Record<string, number>> | undefined {
  const zones = new Map<string, number>();
  for (const entry of text.split(',')) {
    const [zone = '', weightText = '', ...rest] = entry.split('=').map((part) => part.trim());
    const weight = parseWeight(weightText);
    if (rest.length > 0 || weight === undefined || !ZONE.test(zone) || zones.has(zone)) return undefined;
    zones.set(zone, weight);
  }
  return Object.fromEntries(zones);
}

function parseLabelName(text: string): string | undefined {
  return LABEL_NAME.test(text) ? text : undefined;
}

export function parseWeight(text: string): number | undefined {
  const weight = /^\d{1,5}$/.test(text) ? Number(text) : undefined;
  return weight === undefined || weight > MAX_WEIGHT ? undefined : weight;
}
