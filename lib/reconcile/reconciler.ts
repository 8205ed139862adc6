/**
 * The worker's state and its answers to requests. Owns no timer: each reply says when to call again. The synchronous part of a
 * request is one pass, never interrupted; only the iptables lane is awaited, and other requests go on meanwhile.
 */
import { familyOf } from '../address.ts';
import { ProxierError, toErrorRecord } from '../errors.ts';
import type { Iptables } from '../kernel/iptables.ts';
import type { KernelSession } from '../kernel/session.ts';
import { Planner } from '../plan/planner.ts';
import { awaitsNode, type RuleOptions } from '../plan/rules.ts';
import type { ServiceId, SetName } from '../plan/state.ts';
import type { RecordMessage } from '../records.ts';
import type { Handler } from '../thread/host.ts';
import type { IpFamily } from '../types.ts';
import { AppliedState } from './applied.ts';
import { DrainQueue } from './drain.ts';
import type { ReconcileEffects } from './effects.ts';
import { ForeignServices } from './foreign.ts';
import { nodeAddressesRecord } from './node-addresses.ts';
import { scopeOfKey } from './object-scope.ts';
import { emptyObserved, type Observed, readKernel, vipLink } from './observed.ts';
import { DataPlane, DirtyQueue, kernelObject } from './pass.ts';
import { planResult } from './plan-result.ts';
import type {
  PlanResult,
  ReconcileEvent,
  ReconcileInit,
  ReconcileReply,
  ReconcileRequest,
  SyncFailure,
  SyncReport,
} from './protocol.ts';
import { RetryQueue } from './retry-queue.ts';
import { RulesLane, type RulesSource } from './rules-lane.ts';
import { Settings } from './settings.ts';
import { StandingWarnings } from './standing-warnings.ts';
import { checkLink, checkScheduler, staticChanges } from './static-part.ts';
import { Tally } from './tally.ts';
import { Writer } from './writer.ts';

/** A read of the kernel is good for the first complete pass when it is no older than this. */
const freshMs = 1000;

/** What there is once `start` has succeeded. */
interface Running {
  readonly session: KernelSession;
  readonly iptables: Iptables;
  readonly writer: Writer;
  readonly plane: DataPlane;
  readMs: number;
  fullDueMs: number;
}

export class Reconciler implements Handler<ReconcileRequest, ReconcileReply> {
  readonly #init: ReconcileInit;
  readonly #effects: ReconcileEffects;
  readonly #planner: Planner;
  readonly #applied = new AppliedState(vipLink);
  readonly #foreign: ForeignServices;
  readonly #retries: RetryQueue;
  readonly #drains: DrainQueue;
  readonly #rules: RulesLane;
  readonly #dirty = new DirtyQueue();
  #session: KernelSession | undefined;
  #running: Running | undefined;
  #broken: ReadonlyMap<SetName, string> = new Map();
  /** How many reads in a row have found each of those. */
  #brokenReads: ReadonlyMap<SetName, number> = new Map();
  #nodeAddresses: Observed['nodeAddresses'] | undefined;
  #events: ReconcileEvent[] = [];
  readonly #settings: Settings;
  readonly #warnings = new StandingWarnings();
  /** Ends the programs that run for us when we are closed. */
  readonly #closing = new AbortController();
  /** The Node's, as last known: a Node that goes for a moment, or comes back without, still has its pods. */
  #podCIDRs: readonly string[] | undefined;
  #ruleOptionsRevision = 0;
  #revision = 0;
  #allSynced = false;
  #inSnapshot = false;
  /** The first complete pass was made: from then on the kernel follows the records. */
  #complete = false;
  /** The first complete pass waits for the rules. */
  #completing = false;

  constructor(init: ReconcileInit, effects: ReconcileEffects) {
    this.#init = init;
    this.#effects = effects;
    this.#planner = new Planner(init);
    this.#foreign = new ForeignServices(init.takeOver);
    this.#retries = new RetryQueue(effects.random);
    this.#settings = new Settings(init, effects.sysctls);
    this.#drains = new DrainQueue(init.drainTimeoutMs);
    this.#rules = new RulesLane(init.families, this.#rulesSource(), effects.random);
  }

  async handle(request: ReconcileRequest): Promise<ReconcileReply> {
    switch (request.kind) {
      case 'start':
        return this.#reply(request.nowMs, await this.#start(request.nowMs));
      case 'records':
        return this.#reply(request.nowMs, await this.#records(request.message, request.nowMs));
      case 'tick':
        return this.#reply(request.nowMs, await this.#tick(request.nowMs));
      case 'resync':
        this.#retries.hurry();
        return this.#reply(request.nowMs, await this.#full(this.#started(), request.nowMs));
      case 'plan':
        return { events: [], revision: this.#revision, plan: await this.#plan(request.against) };
    }
  }

  /** Nothing is written any more once this has resolved, by no program either. */
  async close(): Promise<void> {
    this.#closing.abort(new ProxierError('ERR_CLOSED', 'the reconciler is closed'));
    await this.#rules.idle();
    this.#session?.close();
  }

  async #start(nowMs: number): Promise<SyncReport> {
    const { families, scheduler } = this.#init;
    const tally = new Tally();
    const session = this.#openSession();
    const observed = readKernel(session, families);
    checkLink(observed);
    const { signal } = this.#closing;
    const iptables = await this.#effects.openIptables({ probe: true, signal });
    signal.throwIfAborted();
    checkScheduler(session, scheduler, observed);
    const writer = new Writer(session, this.#applied, this.#retries);
    const plane = new DataPlane({
      families,
      session,
      planner: this.#planner,
      applied: this.#applied,
      foreign: this.#foreign,
      retries: this.#retries,
      writer,
    });
    const running: Running = {
      session,
      iptables,
      writer,
      plane,
      readMs: nowMs,
      fullDueMs: nowMs + this.#init.syncPeriodMs,
    };
    this.#takeIn(observed, running, nowMs);
    this.#mendStatics(observed, running, nowMs, tally);
    const linkFailure = tally.failures.find(({ object }) => object === `link ${vipLink}`);
    if (linkFailure !== undefined) throw linkError(linkFailure.error.message);
    this.#mendSysctls(tally);
    await this.#mendRules(running, nowMs, tally);
    this.#running = running;
    return this.#report('start', tally);
  }

  async #records(message: RecordMessage, nowMs: number): Promise<SyncReport | undefined> {
    this.#takeRecords(message);
    if (this.#running === undefined || this.#inSnapshot) return undefined;
    if (this.#complete) return this.#pass('incremental', this.#running, nowMs, new Tally());
    return this.#allSynced ? this.#first(this.#running, nowMs) : undefined;
  }

  #takeRecords(message: RecordMessage): void {
    const ends = message.snapshot === 'end' || message.snapshot === 'whole';
    if (message.snapshot !== undefined) this.#inSnapshot = !ends;
    for (const { seq } of message.records) this.#revision = Math.max(this.#revision, seq);
    // A snapshot drops what it does not say; what the worker has read itself is said again.
    const own = ends && this.#nodeAddresses !== undefined ? [this.#nodeRecord(this.#nodeAddresses)] : [];
    this.#planner.apply({ ...message, records: [...message.records, ...own] });
    if (message.allSynced && !this.#allSynced) this.#dirty.add('all');
    this.#allSynced = message.allSynced;
    this.#project();
  }

  async #tick(nowMs: number): Promise<SyncReport | undefined> {
    const running = this.#running;
    if (running === undefined || this.#inSnapshot || this.#completing) return undefined;
    if (!this.#complete && this.#allSynced) return this.#first(running, nowMs);
    if (nowMs >= running.fullDueMs) return this.#full(running, nowMs);
    const tally = new Tally();
    const passDue = isDue(this.#passDueMs(nowMs), nowMs);
    const drainDue = this.#complete && isDue(this.#drains.nextMs, nowMs);
    const rulesDue = isDue(this.#rules.nextMs(nowMs), nowMs);
    if (!passDue && !drainDue && !rulesDue) return undefined;
    if (passDue) this.#write(running, nowMs, tally);
    if (drainDue) this.#drain(running, nowMs, tally);
    if (rulesDue) await this.#mendRules(running, nowMs, tally);
    return this.#report('incremental', tally);
  }

  /** Adopt, then differ: the first pass in which everything is known. */
  async #first(running: Running, nowMs: number): Promise<SyncReport | undefined> {
    if (this.#completing) return undefined;
    const tally = new Tally();
    if (this.#rules.isStale || this.#rules.unproven.size > 0) {
      this.#completing = true;
      await this.#mendRules(running, nowMs, tally);
      this.#completing = false;
      if (this.#inSnapshot || this.#closing.signal.aborted) return undefined;
    }
    this.#warnOfNode();
    if (nowMs - running.readMs > freshMs && !this.#read(running, nowMs, tally)) return this.#report('full', tally);
    this.#complete = true;
    this.#dirty.add('all');
    const report = this.#pass('full', running, nowMs, tally);
    this.#events.push(...this.#foreign.report());
    return report;
  }

  /** Reads the kernel, compares everything, mends; the rules and the sysctls, too. */
  async #full(running: Running, nowMs: number): Promise<SyncReport> {
    const tally = new Tally();
    if (this.#read(running, nowMs, tally)) {
      this.#mendSysctls(tally);
      if (this.#complete && !this.#inSnapshot) {
        this.#dirty.add('all');
        this.#write(running, nowMs, tally);
        if (isDue(this.#drains.nextMs, nowMs)) this.#drain(running, nowMs, tally);
        this.#events.push(...this.#foreign.report());
      }
    }
    await this.#mendRules(running, nowMs, tally);
    return this.#report('full', tally);
  }

  /** A kernel that cannot be read is left as it is, and so is what is believed of it. */
  #read(running: Running, nowMs: number, tally: Tally): boolean {
    let observed: Observed;
    try {
      observed = readKernel(running.session, this.#init.families);
    } catch (error) {
      const failure = this.#retries.failed(kernelObject, { kind: 'static' }, 'read', toErrorRecord(error), nowMs);
      tally.failures.push(failure);
      running.fullDueMs = nowMs + Math.min(failure.retryInMs, this.#init.syncPeriodMs);
      return false;
    }
    this.#retries.cleared(kernelObject);
    running.plane.trust();
    running.fullDueMs = nowMs + this.#init.syncPeriodMs;
    this.#takeIn(observed, running, nowMs);
    this.#mendStatics(observed, running, nowMs, tally);
    return true;
  }

  #takeIn(observed: Observed, running: Running, nowMs: number): void {
    running.readMs = nowMs;
    this.#foreign.adopt(observed, this.#applied);
    this.#know(observed.nodeAddresses);
  }

  #know(addresses: Observed['nodeAddresses']): void {
    const before = this.#nodeAddresses;
    this.#nodeAddresses = addresses;
    if (before?.length === addresses.length && before.every((address, index) => address === addresses[index])) return;
    this.#planner.apply({ records: [this.#nodeRecord(addresses)], allSynced: this.#allSynced });
    this.#project();
  }

  #nodeRecord(addresses: Observed['nodeAddresses']): ReturnType<typeof nodeAddressesRecord> {
    return nodeAddressesRecord(this.#init.nodeName, addresses, this.#revision);
  }

  #mendStatics(observed: Observed, running: Running, nowMs: number, tally: Tally): void {
    const { writer } = running;
    const { changes, broken } = staticChanges(observed, this.#init.families);
    const warnings = new Map([...broken].map(([set, message]) => [`set ${set}`, message]));
    this.#broken = broken;
    this.#brokenReads = new Map([...broken.keys()].map((set) => [set, (this.#brokenReads.get(set) ?? 0) + 1]));
    if (observed.link !== undefined && observed.link.kind !== 'dummy') {
      const what = `has become a ${observed.link.kind} link`;
      warnings.set(`link ${vipLink}`, `${what}: no address can be bound until it is renamed or removed`);
    }
    this.#events.push(...this.#warnings.update('statics', warnings));
    const earlier = tally.failures.length;
    writer.write(changes, { nowMs, tally, suspected: new Set(changes.map(({ object }) => object)) });
    // Only a full pass looks at the static part: have it come as soon as the first of these is due.
    for (const { retryInMs } of tally.failures.slice(earlier))
      running.fullDueMs = Math.min(running.fullDueMs, nowMs + retryInMs);
  }

  #mendSysctls(tally: Tally): void {
    this.#events.push(...this.#warnings.update('sysctls', this.#settings.mend(tally)));
  }

  /** What waited for the rules is written as soon as they are there. */
  async #mendRules(running: Running, nowMs: number, tally: Tally): Promise<void> {
    const { signal } = this.#closing;
    const { written, failures, opened, arrived } = await this.#rules.check(running.iptables, nowMs, signal);
    tally.rulesWritten += written;
    tally.failures.push(...failures);
    if (opened) this.#dirty.add('all');
    this.#release(arrived);
    if (!opened && arrived.length === 0) return;
    if (!this.#complete || this.#inSnapshot || signal.aborted) return;
    this.#write(running, nowMs, tally);
  }

  /** Virtual services that waited for a rule, with all that waited with them. */
  #release(services: readonly ServiceId[]): void {
    for (const id of services) {
      const key = this.#planner.desired.services.get(id)?.service.key;
      if (key !== undefined) this.#dirty.addWithDependents(scopeOfKey(key), this.#planner, this.#applied);
    }
  }

  #warnOfNode(): void {
    const { nodeName } = this.#init;
    const message =
      "detectLocal NodeCIDR: the Node is not known, and so are its pod CIDRs; the rule that source-translates traffic to cluster IPs stays as it is, or is written as without detection where there is none, until the Node comes. Is nodeName the Node's name?";
    const warnings = awaitsNode(this.#ruleOptions()) ? [[`node ${nodeName}`, message] as const] : [];
    this.#events.push(...this.#warnings.update('node', new Map(warnings)));
  }

  #pass(kind: SyncReport['kind'], running: Running, nowMs: number, tally: Tally): SyncReport {
    this.#write(running, nowMs, tally);
    return this.#report(kind, tally);
  }

  #write(running: Running, nowMs: number, tally: Tally): void {
    const left = running.plane.run({
      scope: this.#dirty.take(),
      mayRemove: this.#allSynced,
      nowMs,
      tally,
      events: this.#events,
      closed: this.#rules.unproven,
      unruled: this.#rules.missing,
      broken: this.#broken,
      nowMicros: () => this.#effects.nowMicros(),
    });
    this.#dirty.add(left);
    this.#drains.observe(this.#applied, this.#planner.desired, nowMs);
  }

  #drain({ session, writer, plane }: Running, nowMs: number, tally: Tally): void {
    const ripe = this.#drains.check(session, this.#applied, nowMs);
    const options = { nowMs, tally, suspected: new Set(ripe.map(({ change }) => change.object)) };
    const { refused, suspects } = writer.write(
      ripe.map(({ change }) => change),
      options,
    );
    plane.suspect(suspects);
    for (const { change, event } of ripe) if (!refused.has(change.object)) this.#events.push(event);
    this.#drains.observe(this.#applied, this.#planner.desired, nowMs);
  }

  /** Recomputes what the records ask, and notes what to compare for it. */
  #project(): void {
    const podCIDRs = this.#planner.self?.podCIDRs;
    const before = this.#podCIDRs;
    if (podCIDRs !== undefined && podCIDRs.length > 0) this.#podCIDRs = podCIDRs;
    else this.#podCIDRs ??= podCIDRs;
    if (before?.join() !== this.#podCIDRs?.join()) this.#ruleOptionsRevision += 1;
    const changed = this.#planner.project();
    this.#dirty.add(changed);
    this.#release(this.#rules.follow());
    for (const scope of this.#retries.forget(changed))
      this.#dirty.addWithDependents(scope, this.#planner, this.#applied);
    for (const { object, message } of this.#planner.warnings()) this.#events.push({ kind: 'warning', object, message });
  }

  async #plan(against: 'kernel' | 'empty'): Promise<PlanResult> {
    const { families } = this.#init;
    const { signal } = this.#closing;
    const saved = new Map<IpFamily, string>();
    let observed = emptyObserved;
    if (against === 'kernel') {
      observed = readKernel(this.#openSession(), families);
      const iptables = this.#running?.iptables ?? (await this.#effects.openIptables({ probe: false, signal }));
      for (const family of families) saved.set(family, await iptables.save(family, signal));
      this.#know(observed.nodeAddresses);
    } else if (this.#nodeAddresses === undefined) {
      this.#know(this.#effects.interfaceAddresses().filter((address) => families.includes(familyOf(address))));
    }
    const settings = this.#settings.plan(against);
    return planResult({
      against,
      families,
      planner: this.#planner,
      observed,
      foreign: this.#foreign,
      written: this.#applied,
      mayRemove: this.#allSynced,
      saved,
      ruleOptions: this.#ruleOptions(),
      sysctls: settings.sysctls,
      warnings: [
        ...this.#events.flatMap((event) => (event.kind === 'warning' ? [`${event.object}: ${event.message}`] : [])),
        ...settings.warnings,
      ],
    });
  }

  #ruleOptions(): RuleOptions {
    const { masqueradeAll, masqueradeBit, detectLocal } = this.#init;
    return { masqueradeAll, masqueradeBit, detectLocal, randomFully: true, podCIDRs: this.#podCIDRs };
  }

  #rulesSource(): RulesSource {
    const revision = (): number => this.#planner.rules.revision + this.#ruleOptionsRevision;
    const options = (): RuleOptions => this.#ruleOptions();
    const isComplete = (): boolean => this.#complete;
    return {
      get revision() {
        return revision();
      },
      get options() {
        return options();
      },
      get isComplete() {
        return isComplete();
      },
      wanted: this.#planner.rules,
      isThere: (service) => this.#applied.services.has(service),
      isWanted: (service) => this.#planner.desired.services.has(service),
    };
  }

  #openSession(): KernelSession {
    this.#session ??= this.#effects.openSession();
    return this.#session;
  }

  #started(): Running {
    if (this.#running === undefined) throw new ProxierError('ERR_CLOSED', 'the reconciler was not started');
    return this.#running;
  }

  #report(kind: SyncReport['kind'], tally: Tally): SyncReport {
    if (kind !== 'incremental') tally.failures.push(...this.#brokenSets());
    return tally.report({
      kind,
      revision: this.#revision,
      services: this.#applied.services.size,
      destinations: this.#applied.destinations,
      draining: this.#drains.size,
      foreign: this.#foreign.count,
      contested: this.#foreign.contested,
      complete: this.#complete,
    });
  }

  /** Nothing that we could try again mends them, yet what they are for does not work. */
  #brokenSets(): SyncFailure[] {
    const retryInMs = this.#init.syncPeriodMs;
    return [...this.#broken].map(([set, message]) => {
      const attempts = this.#brokenReads.get(set) ?? 1;
      return {
        object: `set ${set}`,
        operation: 'create-set',
        error: { code: 'ERR_NETLINK', message },
        attempts,
        retryInMs,
      };
    });
  }

  #reply(nowMs: number, report: SyncReport | undefined): ReconcileReply {
    const events = this.#events;
    this.#events = [];
    const wakeInMs = this.#wakeInMs(nowMs);
    return {
      ...(report === undefined ? {} : { report }),
      events,
      ...(wakeInMs === undefined ? {} : { wakeInMs }),
      revision: this.#revision,
    };
  }

  /** When something is to be compared or tried again; not before a kernel that could not be read is to be read again. */
  #passDueMs(nowMs: number): number | undefined {
    if (!this.#complete) return undefined;
    const nextMs = this.#dirty.isEmpty ? this.#retries.nextMs : nowMs;
    const kernelMs = this.#retries.dueMs(kernelObject);
    return nextMs === undefined || kernelMs === undefined ? nextMs : Math.max(nextMs, kernelMs);
  }

  #wakeInMs(nowMs: number): number | undefined {
    const running = this.#running;
    if (running === undefined || this.#inSnapshot || this.#completing) return undefined;
    const times = [running.fullDueMs, this.#rules.nextMs(nowMs)];
    if (this.#complete) times.push(this.#passDueMs(nowMs), this.#drains.nextMs);
    else if (this.#allSynced) times.push(this.#retries.dueMs(kernelObject) ?? nowMs);
    const known = times.filter((time) => time !== undefined);
    return Math.max(0, Math.min(...known) - nowMs);
  }
}

function isDue(timeMs: number | undefined, nowMs: number): boolean {
  return timeMs !== undefined && timeMs <= nowMs;
}

function linkError(message: string): ProxierError {
  return new ProxierError(
    'ERR_KERNEL_UNSUPPORTED',
    `the VIP device ${vipLink} cannot be made: ${message}. The kernel needs the dummy driver (modprobe dummy), the process CAP_NET_ADMIN`,
  );
}
