/** Checks options once, at the door: what leaves here is complete, canonical, and trusted by every other room. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import * as v from 'valibot';
import { parseAddress, parseCidr } from '../address.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { KubeAuth } from '../kube/credentials.ts';
import type { Hooks, SchedulerHook, WeightHook } from '../kube/hooks.ts';
import type { Source } from '../kube/source.ts';
import { nearestWord } from '../nearest-word.ts';
import type { ReconcileInit } from '../reconcile/protocol.ts';
import type { IpAddress, Logger } from '../types.ts';
import { silentLogger } from './logging.ts';
import { ORIGIN_KEYS } from './options.ts';

/** Where the objects come from, as one value. */
export type Origin =
  | { readonly kind: 'kubeConfig'; readonly kubeConfig: KubeAuth }
  | { readonly kind: 'kubeconfigPath'; readonly path: string }
  | { readonly kind: 'inCluster' }
  | { readonly kind: 'manifests'; readonly path: string }
  | { readonly kind: 'source'; readonly sources: readonly Source[] };

export interface ResolvedOptions {
  readonly init: ReconcileInit;
  readonly origin: Origin;
  /** They stay on this thread. */
  readonly hooks: Hooks;
  readonly watchNodes: 'own' | 'all';
  /** Absent = Services that name no proxy. */
  readonly serviceProxyName: string | undefined;
  /** Absent = the Node's own. */
  readonly bindAddress: IpAddress | undefined;
  readonly minSyncPeriodMs: number;
  readonly ignoreOtherProxiers: boolean;
  readonly record: { readonly path: string; readonly maxBytes?: number } | undefined;
  /** Undefined = where it is by default. */
  readonly adminSocket: string | false | undefined;
  readonly logger: Logger;
  readonly signal: AbortSignal | undefined;
  readonly thread: 'worker' | 'inline';
}

/** What defaults depend on; a parameter so that tests need no particular machine. */
export interface OptionsEnvironment {
  hostname(): string;
  hasIPv6(): boolean;
}

const thisMachine: OptionsEnvironment = { hostname, hasIPv6: () => existsSync('/proc/net/if_inet6') };

/** setTimeout's limit, 24.8 days. */
const MAX_MS = 2 ** 31 - 1;

function wholeNumber(min: number, max: number): v.GenericSchema<number> {
  const allowed = `a whole number from ${min} to ${max}`;
  return v.pipe(v.number(allowed), v.integer(allowed), v.minValue(min, allowed), v.maxValue(max, allowed));
}

function matching(pattern: RegExp, allowed: string): v.GenericSchema<string> {
  return v.pipe(v.string(allowed), v.regex(pattern, allowed));
}

function hook<Hook>(shape: string): v.GenericSchema<Hook> {
  return v.custom<Hook>((value) => typeof value === 'function', `a function: ${shape}`);
}

/** The kernel's int. */
const MAX_SECONDS = 2 ** 31 - 1;
const seconds = v.optional(wholeNumber(0, MAX_SECONDS), 0);
const flag = v.boolean('true or false');
const path = matching(/^[^\0]+$/, 'a path');
const cidrAllowed = 'a CIDR such as 10.244.0.0/16 or fd00::/64';
const cidr = v.pipe(
  v.string(cidrAllowed),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const parsed = parseCidr(dataset.value.trim());
    if (parsed !== undefined) return parsed;
    addIssue({ message: cidrAllowed });
    return NEVER;
  }),
);
const oneCidrPerFamily = 'at most one CIDR per family';

/** Both ends of a rule text: no white space, no quote, no wildcard. */
const interfaceText = (max: number): RegExp => new RegExp(`^[A-Za-z0-9_.:@-]{1,${max}}$`);

const detectLocal = v.variant(
  'mode',
  [
    v.strictObject({ mode: v.literal('ClusterCIDR') }),
    v.strictObject({ mode: v.literal('NodeCIDR') }),
    v.strictObject({
      mode: v.literal('BridgeInterface'),
      bridge: matching(interfaceText(15), 'the name of an interface, at most 15 bytes'),
    }),
    v.strictObject({
      mode: v.literal('InterfaceNamePrefix'),
      prefix: matching(interfaceText(14), 'the beginning of interface names, at most 14 bytes'),
    }),
  ],
  'one of { mode: ClusterCIDR }, { mode: NodeCIDR }, { mode: BridgeInterface, bridge }, { mode: InterfaceNamePrefix, prefix }',
);

function hasFunctions(value: unknown, names: readonly string[]): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof Reflect.get(value, name) === 'function');
}

const RESOURCE_KINDS: readonly unknown[] = ['Service', 'EndpointSlice', 'Node'];

function isSource(value: unknown): boolean {
  if (!hasFunctions(value, ['start', 'stop'])) return false;
  const { name, kinds } = value;
  return (
    typeof name === 'string' &&
    name !== '' &&
    Array.isArray(kinds) &&
    kinds.length > 0 &&
    kinds.every((kind) => RESOURCE_KINDS.includes(kind))
  );
}

const sourceAllowed = 'a Source: a name, kinds (Service, EndpointSlice, Node), start() and stop()';

const schema = v.strictObject(
  {
    nodeName: v.optional(
      v.pipe(
        v.string('the name of a Node'),
        v.transform((name) => name.trim().toLowerCase()),
        v.regex(/^[^\s/]{1,253}$/, 'the name of a Node'),
      ),
    ),
    bindAddress: v.optional(
      v.pipe(
        v.string('an IP address'),
        v.rawTransform(({ dataset, addIssue, NEVER }) => {
          const parsed = parseAddress(dataset.value.trim());
          if (parsed !== undefined) return parsed;
          addIssue({ message: 'an IP address' });
          return NEVER;
        }),
      ),
    ),
    serviceProxyName: v.optional(matching(/^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/, 'a label value')),
    scheduler: v.optional(
      matching(/^[a-z0-9_-]{1,15}$/, 'the name of an IPVS scheduler (rr, wrr, lc, wlc, sh, mh, sed, nq, …)'),
      'rr',
    ),
    clusterCIDR: v.optional(
      v.pipe(
        v.unknown(),
        v.transform((value) => (typeof value === 'string' ? value.split(',') : value)),
        v.array(cidr, 'a CIDR or a list of them'),
        v.check((cidrs) => new Set(cidrs.map(({ family }) => family)).size === cidrs.length, oneCidrPerFamily),
      ),
    ),
    detectLocal: v.optional(detectLocal, { mode: 'ClusterCIDR' }),
    masqueradeAll: v.optional(flag, false),
    masqueradeBit: v.optional(wholeNumber(0, 31), 14),
    nodePortAddresses: v.optional(
      v.pipe(
        v.unknown(),
        v.transform((value) =>
          Array.isArray(value) && value.length === 1 && value[0] === 'primary' ? value[0] : value,
        ),
        v.union([v.literal('primary'), v.array(cidr, 'a list of CIDRs, or `primary`')], (issue) =>
          issue.issues?.find(({ path: at }) => at !== undefined) === undefined
            ? 'a list of CIDRs, or `primary`'
            : cidrAllowed,
        ),
      ),
      [],
    ),
    externalLocalFallback: v.optional(v.picklist(['cluster', 'none'], 'cluster or none'), 'cluster'),
    sourceRangesOfOtherFamily: v.optional(v.picklist(['deny', 'allow'], 'deny or allow'), 'deny'),
    allowedExternalIPs: v.optional(v.array(cidr, 'a list of CIDRs')),
    vipBinding: v.optional(v.picklist(['address', 'local-route'], 'address or local-route'), 'address'),
    families: v.optional(
      v.pipe(
        v.array(v.picklist(['IPv4', 'IPv6'], 'IPv4 or IPv6'), 'a list of IPv4 and IPv6'),
        v.minLength(1, 'a list with at least one of IPv4 and IPv6'),
        v.check((families) => new Set(families).size === families.length, 'a list that names each family once'),
      ),
    ),
    syncPeriodMs: v.optional(wholeNumber(100, MAX_MS), 30_000),
    minSyncPeriodMs: v.optional(wholeNumber(0, MAX_MS), 0),
    drainTimeoutMs: v.optional(wholeNumber(0, MAX_MS), 900_000),
    drainServices: v.optional(flag, false),
    ownership: v.optional(v.picklist(['ledger', 'all'], 'ledger or all'), 'ledger'),
    excludeCIDRs: v.optional(v.array(cidr, 'a list of CIDRs'), []),
    takeOver: v.optional(flag, false),
    ignoreOtherProxiers: v.optional(flag, false),
    iptables: v.optional(v.picklist(['auto', 'legacy', 'nft'], 'auto, legacy or nft'), 'auto'),
    applySysctls: v.optional(flag, true),
    strictARP: v.optional(flag, false),
    ipvsTimeouts: v.optional(
      v.strictObject(
        { tcpSeconds: seconds, tcpFinSeconds: seconds, udpSeconds: seconds },
        'an object with tcpSeconds, tcpFinSeconds and udpSeconds',
      ),
      {},
    ),
    conntrack: v.optional(
      v.strictObject(
        {
          maxPerCore: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
          min: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
          tcpEstablishedTimeoutSeconds: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
          tcpCloseWaitTimeoutSeconds: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
          tcpBeLiberal: v.exactOptional(flag),
          udpTimeoutSeconds: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
          udpStreamTimeoutSeconds: v.exactOptional(wholeNumber(0, MAX_SECONDS)),
        },
        'an object of conntrack settings',
      ),
    ),
    watchNodes: v.optional(v.picklist(['own', 'all'], 'own or all'), 'own'),
    weightFor: v.optional(hook<WeightHook>('(endpoint, context) => weight')),
    schedulerFor: v.optional(hook<SchedulerHook>('(service) => scheduler')),
    record: v.optional(
      v.pipe(
        v.unknown(),
        v.transform((value) => (typeof value === 'string' ? { path: value } : value)),
        v.strictObject(
          { path, maxBytes: v.exactOptional(wholeNumber(4096, Number.MAX_SAFE_INTEGER)) },
          'a path, or an object with path and maxBytes',
        ),
      ),
    ),
    adminSocket: v.optional(v.union([path, v.literal(false)], 'a path, or false')),
    logger: v.optional(
      v.custom<Logger>(
        (value) => hasFunctions(value, ['debug', 'info', 'warn', 'error']),
        'a logger with debug, info, warn and error, such as pino() or console',
      ),
      silentLogger,
    ),
    signal: v.optional(v.instance(AbortSignal, 'an AbortSignal')),
    thread: v.optional(v.picklist(['worker', 'inline'], 'worker or inline'), 'worker'),
    kubeConfig: v.optional(
      v.custom<KubeAuth>(
        (value) => hasFunctions(value, ['getCurrentCluster', 'applyToHTTPSOptions']),
        'a KubeConfig: an object with getCurrentCluster() and applyToHTTPSOptions()',
      ),
    ),
    kubeconfigPath: v.optional(path),
    inCluster: v.optional(v.literal(true, 'true; leave it out otherwise')),
    manifests: v.optional(path),
    source: v.optional(
      v.pipe(
        v.unknown(),
        v.transform((value) => (Array.isArray(value) ? value : [value])),
        v.array(v.custom<Source>(isSource, sourceAllowed)),
        v.minLength(1, 'at least one Source'),
        v.check(
          (sources) => new Set(sources.map(({ name }) => name)).size === sources.length,
          'a list of Sources with a name of its own each',
        ),
      ),
    ),
  },
  'an object of options',
);

type Parsed = v.InferOutput<typeof schema>;

/**
 * @throws InvalidArgumentError naming the first field that is wrong, its value and what is allowed; further wrong fields are named in
 * the message.
 */
export function resolveOptions(options: unknown, environment: OptionsEnvironment = thisMachine): ResolvedOptions {
  const result = v.safeParse(schema, options);
  if (!result.success) throw invalid(result.issues);
  const parsed = result.output;
  const origin = originOf(parsed);
  if (parsed.minSyncPeriodMs > parsed.syncPeriodMs) {
    throw new InvalidArgumentError(
      'minSyncPeriodMs',
      `${parsed.minSyncPeriodMs} is more than syncPeriodMs, ${parsed.syncPeriodMs}`,
    );
  }
  return {
    origin,
    init: {
      nodeName: parsed.nodeName ?? defaultNodeName(environment),
      families: parsed.families ?? (environment.hasIPv6() ? ['IPv4', 'IPv6'] : ['IPv4']),
      scheduler: parsed.scheduler,
      masqueradeAll: parsed.masqueradeAll,
      masqueradeBit: parsed.masqueradeBit,
      detectLocal: detectLocalOf(parsed),
      nodePortAddresses:
        parsed.nodePortAddresses === 'primary' ? 'primary' : parsed.nodePortAddresses.map(({ text }) => text),
      externalLocalFallback: parsed.externalLocalFallback,
      sourceRangesOfOtherFamily: parsed.sourceRangesOfOtherFamily,
      allowedExternalIPs: parsed.allowedExternalIPs?.map(({ text }) => text) ?? 'any',
      vipBinding: parsed.vipBinding,
      syncPeriodMs: parsed.syncPeriodMs,
      drainTimeoutMs: parsed.drainTimeoutMs,
      drainServices: parsed.drainServices,
      ownership: parsed.ownership,
      excludeCIDRs: parsed.excludeCIDRs.map(({ text }) => text),
      takeOver: parsed.takeOver,
      iptables: parsed.iptables,
      applySysctls: parsed.applySysctls,
      strictARP: parsed.strictARP,
      ipvsTimeouts: parsed.ipvsTimeouts,
      ...(parsed.conntrack === undefined ? {} : { conntrack: parsed.conntrack }),
    },
    hooks: {
      ...(parsed.weightFor === undefined ? {} : { weightFor: parsed.weightFor }),
      ...(parsed.schedulerFor === undefined ? {} : { schedulerFor: parsed.schedulerFor }),
    },
    watchNodes: parsed.watchNodes,
    serviceProxyName: serviceProxyNameOf(parsed),
    bindAddress: parsed.bindAddress === '0.0.0.0' || parsed.bindAddress === '::' ? undefined : parsed.bindAddress,
    minSyncPeriodMs: parsed.minSyncPeriodMs,
    ignoreOtherProxiers: parsed.ignoreOtherProxiers,
    record: parsed.record,
    adminSocket: parsed.adminSocket,
    logger: parsed.logger,
    signal: parsed.signal,
    thread: parsed.thread,
  };
}

function defaultNodeName(environment: OptionsEnvironment): string {
  const name = environment.hostname().trim().toLowerCase();
  if (name === '')
    throw new InvalidArgumentError('nodeName', 'this machine has no host name: give the name of its Node');
  return name;
}

function serviceProxyNameOf({ serviceProxyName, source }: Parsed): string | undefined {
  if (serviceProxyName === undefined || serviceProxyName === '') return undefined;
  if (source === undefined) return serviceProxyName;
  throw new InvalidArgumentError(
    'serviceProxyName',
    'has no effect with source: let the source deliver what is to be served',
  );
}

function detectLocalOf(parsed: Parsed): ReconcileInit['detectLocal'] {
  if (parsed.detectLocal.mode === 'ClusterCIDR') {
    return { mode: 'ClusterCIDR', cidrs: (parsed.clusterCIDR ?? []).map(({ text }) => text) };
  }
  if (parsed.clusterCIDR !== undefined && parsed.clusterCIDR.length > 0) {
    throw new InvalidArgumentError(
      'clusterCIDR',
      `has no effect with detectLocal mode ${parsed.detectLocal.mode}: leave one of the two out`,
    );
  }
  return parsed.detectLocal;
}

function originOf(parsed: Parsed): Origin {
  const given = ORIGIN_KEYS.filter((key) => parsed[key] !== undefined);
  if (given.length > 1) {
    throw new InvalidArgumentError(given[1] ?? '', `cannot be given together with ${given[0]}: choose one`);
  }
  if (parsed.kubeConfig !== undefined) return { kind: 'kubeConfig', kubeConfig: parsed.kubeConfig };
  if (parsed.kubeconfigPath !== undefined) return { kind: 'kubeconfigPath', path: parsed.kubeconfigPath };
  if (parsed.inCluster !== undefined) return { kind: 'inCluster' };
  if (parsed.manifests !== undefined) return { kind: 'manifests', path: parsed.manifests };
  if (parsed.source !== undefined) return { kind: 'source', sources: parsed.source };
  throw new InvalidArgumentError(
    'kubeConfig',
    'nothing says where the Services come from: give one of kubeConfig, kubeconfigPath, inCluster, manifests and source',
  );
}

type Issue = v.InferIssue<typeof schema>;

function invalid(issues: readonly [Issue, ...Issue[]]): InvalidArgumentError {
  const [first, ...others] = issues.map(innermost).map((issue) => ({ field: fieldOf(issue), text: describe(issue) }));
  const rest = others.map(({ field, text }) => `; ${field}: ${text}`).join('');
  return new InvalidArgumentError(first?.field ?? 'options', `${first?.text ?? 'invalid'}${rest}`);
}

/** A union complains as a whole; the branch that got furthest knows the element. */
function innermost(issue: v.BaseIssue<unknown>): v.BaseIssue<unknown> {
  const deeper = issue.type === 'union' ? issue.issues?.find(({ path: at }) => at !== undefined) : undefined;
  return deeper === undefined ? issue : { ...deeper, path: joined(issue, deeper) };
}

function joined(outer: v.BaseIssue<unknown>, inner: v.BaseIssue<unknown>): v.BaseIssue<unknown>['path'] {
  const [head, ...tail] = [...(outer.path ?? []), ...(inner.path ?? [])];
  return head === undefined ? undefined : [head, ...tail];
}

function fieldOf(issue: v.BaseIssue<unknown>): string {
  const keys = (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`));
  return keys.length === 0 ? 'options' : keys.join('').replace(/^\./, '');
}

function describe(issue: v.BaseIssue<unknown>): string {
  const last = issue.path?.at(-1);
  if (issue.type === 'strict_object' && last !== undefined) {
    if (issue.expected === 'never') return unknownKey(String(last.key), issue.path?.length === 1);
    return 'is missing';
  }
  return `${render(issue.input)} is not ${issue.message}`;
}

function unknownKey(key: string, atTop: boolean): string {
  const nearest = atTop ? nearestWord(key, Object.keys(schema.entries)) : undefined;
  return nearest === undefined ? 'no such option' : `no such option, did you mean ${nearest}?`;
}

/** Objects and functions are named, not shown: they may hold credentials. */
function render(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value) ? `a list of ${value.length}` : 'an object';
    case 'function':
      return 'a function';
    default:
      return String(value);
  }
}
