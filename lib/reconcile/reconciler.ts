/**
 * The worker's state and its answers to requests. Owns no timer: each reply says when to call again. The synchronous part of a
 * request is one pass, never interrupted; only the iptables lane is awaited, and other requests go on meanwhile.
 */
import { ProxierError } from '../errors.ts';
import type { Iptables } from '../kernel/iptables.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { DirtyObjects } from '../plan/dirty.ts';
import { Planner } from '../plan/planner.ts';
import type { RecordMessage } from '../records.ts';
import type { Handler } from '../thread/host.ts';
import { AddressFollower } from './address-follower.ts';
import { AppliedState } from './applied.ts';
import { Auditor } from './auditor.ts';
import { ConntrackLane } from './conntrack-lane.ts';
import { DirtyQueue } from './dirty-queue.ts';
import { Drains } from './drains.ts';
import type { DriftContext } from './drift.ts';
import type { ReconcileEffects } from './effects.ts';
import { ForeignServices } from './foreign.ts';
import { nodeAddressesRecord } from './node-addresses.ts';
import { Observation } from './observation.ts';
import { type Observed, type StaticRead, vipLink } from './observed.ts';
import { OwnershipPolicy } from './ownership-policy.ts';
import { DataPlane, kernelObject } from './pass.ts';
import { emptyGround, readGround } from './plan-now.ts';
import { planResult } from './plan-result.ts';
import type {
  PlanResult,
  ReconcileEvent,
  ReconcileInit,
  ReconcileReply,
  ReconcileRequest,
  SyncReport,
} from './protocol.ts';
import { readInTurns } from './reading.ts';
import { RetryQueue } from './retry-queue.ts';
import { RuleInputs } from './rule-inputs.ts';
import { RulesLane } from './rules-lane.ts';
import { askForAll, askForSaid } from './scheduler-search.ts';
import { Settings } from './settings.ts';
import { StandingWarnings } from './standing-warnings.ts';
import { checkLink, checkScheduler, linkError } from './static-part.ts';
import { Statics } from './statics.ts';
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
}

export class Reconciler implements Handler<ReconcileRequest, ReconcileReply> {
  readonly #init: ReconcileInit;
  readonly #effects: ReconcileEffects;
  readonly #planner: Planner;
  readonly #applied = new AppliedState(vipLink);
  readonly #foreign: ForeignServices;
  readonly #retries: RetryQueue;
  readonly #drains: Drains;
  readonly #conntrack: ConntrackLane;
  readonly #ruleInputs: RuleInputs;
  readonly #rules: RulesLane;
  readonly #dirty: DirtyQueue;
  readonly #auditor: Auditor;
  readonly #observation: Observation;
  #session: KernelSession | undefined;
  #running: Running | undefined;
  readonly #statics: Statics;
  #nodeAddresses: Observed['nodeAddresses'] | undefined;
  #events: ReconcileEvent[] = [];
  readonly #settings: Settings;
  readonly #addresses: AddressFollower;
  readonly #warnings = new StandingWarnings();
  /** Ends the programs that run for us when we are closed. */
  readonly #closing = new AbortController();
  #revision = 0;
  #allSynced = false;
  #inSnapshot = false;
  /** The first complete pass was made: from then on the kernel follows the records. */
  #complete = false;
  /** The first complete pass waits for the rules, or for the kernel to be read. */
  #completing = false;
  /** It has begun to write; it may take several turns. */
  #begun = false;

  constructor(init: ReconcileInit, effects: ReconcileEffects) {
    this.#init = init;
    this.#effects = effects;
    this.#planner = new Planner(init);
    this.#dirty = new DirtyQueue(this.#planner, this.#applied);
    this.#foreign = new ForeignServices(new OwnershipPolicy(init));
    this.#retries = new RetryQueue(effects.random);
    this.#statics = new Statics(init);
    this.#settings = new Settings(init, effects);
    this.#addresses = new AddressFollower(init, this.#applied, this.#retries);
    this.#drains = new Drains(this.#planner, this.#applied, init, this.#foreign.policy);
    const { untouchable } = this.#foreign;
    this.#conntrack = new ConntrackLane({ desired: this.#planner.desired, applied: this.#applied, untouchable });
    this.#ruleInputs = new RuleInputs(init, this.#planner, this.#applied, () => this.#complete);
    this.#rules = new RulesLane(init.families, this.#ruleInputs, effects.random);
    this.#auditor = new Auditor({
      init,
      planner: this.#planner,
      applied: this.#applied,
      foreign: this.#foreign,
      retries: this.#retries,
      dirty: this.#dirty,
      turn: () => this.#turn(),
      tookAddresses: (read) => {
        this.#addresses.afterRead(read);
        this.#know(read.nodeAddresses);
      },
      isNews: (nodeAddresses) => this.#addresses.isNews(nodeAddresses),
      mendStatics: (read, nowMs, tally) => this.#mendStatics(read, this.#started(), nowMs, tally),
      write: (nowMs, tally) => {
        if (this.#mayWrite) this.#write(this.#started(), nowMs, tally);
      },
    });
    this.#observation = new Observation({
      planner: this.#planner,
      applied: this.#applied,
      foreign: this.#foreign,
      retries: this.#retries,
      drains: this.#drains,
      rules: this.#rules,
      contests: this.#auditor.contests,
      dirty: this.#dirty,
      broken: () => this.#statics.broken,
      waitsFor: () => this.#waitsFor(),
    });
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
        this.#auditor.retry('all');
        return this.#reply(request.nowMs, await this.#full(this.#started(), request.nowMs, true));
      case 'drain':
        this.#drains.replace(request.endpoints, request.nowMs);
        return this.#reply(request.nowMs, this.#drainEndpoints(request.nowMs));
      case 'plan':
        return { events: [], revision: this.#revision, plan: await this.#plan(request.against) };
      case 'status':
      case 'explain':
        return this.#observation.answer(request, { revision: this.#revision, complete: this.#complete });
    }
  }

  /** Nothing is written any more once this has resolved, by no program either. */
  async close(): Promise<void> {
    this.#closing.abort(new ProxierError('ERR_CLOSED', 'the reconciler is closed'));
    await this.#rules.idle();
    this.#addresses.close();
    this.#session?.close();
  }

  async #start(nowMs: number): Promise<SyncReport> {
    const { families, scheduler } = this.#init;
    const tally = new Tally();
    const session = this.#openSession();
    this.#beforeRead(session, nowMs);
    const observed = await readInTurns(session, this.#init, () => this.#turn());
    checkLink(observed);
    const { signal } = this.#closing;
    const iptables = await this.#effects.openIptables({ probe: true, signal });
    signal.throwIfAborted();
    checkScheduler(session, scheduler, observed);
    const writer = new Writer(session, this.#applied, this.#retries, {
      scheduler,
      bound: () => this.#addresses.collect(),
      recorder: this.#observation.recorder,
    });
    const plane = new DataPlane({
      families,
      session,
      planner: this.#planner,
      applied: this.#applied,
      foreign: this.#foreign,
      retries: this.#retries,
      contests: this.#auditor.contests,
      writer,
    });
    const running: Running = {
      session,
      iptables,
      writer,
      plane,
      readMs: nowMs,
    };
    this.#auditor.open(session);
    this.#auditor.roundBegins(nowMs);
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
    this.#observation.recorder.message(message, nowMs);
    this.#takeRecords(message);
    if (this.#running === undefined || this.#inSnapshot) return undefined;
    if (this.#complete) {
      const tally = new Tally();
      if (!this.#follow(this.#running, nowMs, tally)) return this.#full(this.#running, nowMs);
      return this.#pass('incremental', this.#running, nowMs, tally);
    }
    return this.#allSynced ? this.#first(this.#running, nowMs) : undefined;
  }

  /** Taken out at once where there is something to take them out of; otherwise by the first complete pass. */
  #drainEndpoints(nowMs: number): SyncReport | undefined {
    this.#project();
    if (this.#running === undefined || !this.#complete || this.#inSnapshot) return undefined;
    return this.#pass('incremental', this.#running, nowMs, new Tally());
  }

  #takeRecords(message: RecordMessage): void {
    const ends = message.snapshot === 'end' || message.snapshot === 'whole';
    if (message.snapshot !== undefined) this.#inSnapshot = !ends;
    for (const { seq } of message.records) this.#revision = Math.max(this.#revision, seq);
    // A snapshot drops what it does not say; what the worker has read itself is said again.
    const own = ends && this.#nodeAddresses !== undefined ? [this.#nodeRecord(this.#nodeAddresses)] : [];
    this.#planner.apply(own.length === 0 ? message : { ...message, records: [...message.records, ...own] });
    if (this.#running !== undefined && !this.#inSnapshot) {
      askForSaid(this.#planner, this.#running.session, message.records);
    }
    if (message.allSynced && !this.#allSynced) this.#dirty.add('all');
    this.#allSynced = message.allSynced;
    this.#project();
  }

  async #tick(nowMs: number): Promise<SyncReport | undefined> {
    const running = this.#running;
    if (running === undefined || this.#inSnapshot || this.#completing) return undefined;
    const tally = new Tally();
    const isFollowed = this.#follow(running, nowMs, tally);
    if (!this.#complete && this.#allSynced) return this.#first(running, nowMs);
    if (!isFollowed || (!this.#complete && nowMs >= this.#auditor.nextRoundMs)) return this.#full(running, nowMs);
    this.#auditor.retry(nowMs);
    const auditDue = this.#complete && isDue(this.#auditor.dueMs, nowMs);
    const audited = auditDue ? this.#auditor.step(this.#drifting(nowMs, tally)) : undefined;
    if (audited === 'over') return this.#endAudit(running, nowMs, tally);
    const passDue = isDue(this.#passDueMs(nowMs), nowMs);
    const drainDue = this.#complete && isDue(this.#drains.nextMs, nowMs);
    const rulesDue = isDue(this.#rules.nextMs(nowMs), nowMs);
    const cleaningDue = this.#complete && isDue(this.#conntrack.nextMs(nowMs), nowMs);
    if (cleaningDue) this.#cleanConnections(running, nowMs, tally);
    if (!passDue && !drainDue && !rulesDue && tally.isEmpty) return undefined;
    if (passDue) this.#write(running, nowMs, tally);
    if (drainDue) this.#drain(running, nowMs, tally);
    if (rulesDue) await this.#mendRules(running, nowMs, tally);
    return this.#report(audited === 'failed' ? 'full' : 'incremental', tally);
  }

  /** Adopt, then differ: the first pass in which everything is known. With very much to write it takes several calls. */
  async #first(running: Running, nowMs: number): Promise<SyncReport | undefined> {
    if (this.#completing) return undefined;
    const tally = new Tally();
    if (!this.#begun) {
      if (!(await this.#mendRulesFirst(running, nowMs, tally))) return undefined;
      this.#events.push(...this.#warnings.update('node', this.#ruleInputs.warnings()));
      if (nowMs - running.readMs > freshMs) {
        let isRead = false;
        const mayWrite = await this.#beforeFirst(async () => {
          isRead = await this.#read(running, nowMs, tally);
        });
        if (!isRead) return this.#report('full', tally);
        if (!mayWrite) return undefined;
      }
      this.#begun = true;
      this.#dirty.add('all');
      // Endpoints and virtual services may have gone while nobody looked.
      this.#conntrack.note(this.#applied.services.keys());
    }
    this.#complete = !this.#dirty.isAdding;
    const report = this.#pass(this.#complete ? 'full' : 'incremental', running, nowMs, tally);
    if (this.#complete) this.#events.push(...this.#foreign.report());
    return report;
  }

  /** False: nothing can be written now. */
  async #mendRulesFirst(running: Running, nowMs: number, tally: Tally): Promise<boolean> {
    if (!this.#rules.isStale && this.#rules.unproven.size === 0) return true;
    return this.#beforeFirst(() => this.#mendRules(running, nowMs, tally));
  }

  /** The first complete pass waits for it. False: nothing can be written now. */
  async #beforeFirst(act: () => Promise<unknown>): Promise<boolean> {
    this.#completing = true;
    await act();
    this.#completing = false;
    return !this.#inSnapshot && !this.#closing.signal.aborted;
  }

  /** Reads the kernel, compares everything, mends; the rules and the sysctls, too. Others are answered meanwhile. */
  #full(running: Running, nowMs: number, isAsked: boolean = false): Promise<SyncReport> {
    return this.#auditor.alone(() => this.#fullPass(running, nowMs, isAsked));
  }

  async #fullPass(running: Running, nowMs: number, isAsked: boolean): Promise<SyncReport> {
    const tally = new Tally();
    const { signal } = this.#closing;
    if (!this.#complete) {
      if (!this.#begun && (await this.#read(running, nowMs, tally))) this.#mendSysctls(tally);
      if (!this.#complete) {
        await this.#mendRules(running, nowMs, tally);
        return this.#report('full', tally);
      }
    }
    this.#beforeRead(running.session, nowMs);
    const audited = await this.#auditor.through(this.#drifting(nowMs, tally, isAsked), signal);
    if (audited === 'over') return this.#endAudit(running, nowMs, tally);
    await this.#mendRules(running, nowMs, tally);
    return this.#report('full', tally);
  }

  /** Everything of the kernel was looked at: what goes with it. */
  async #endAudit(running: Running, nowMs: number, tally: Tally): Promise<SyncReport> {
    this.#mendSysctls(tally);
    if (askForAll(this.#planner, running.session)) this.#project();
    if (this.#mayWrite) {
      if (isDue(this.#passDueMs(nowMs), nowMs)) this.#write(running, nowMs, tally);
      if (isDue(this.#drains.nextMs, nowMs)) this.#drain(running, nowMs, tally);
      this.#events.push(...this.#foreign.report());
    }
    await this.#mendRules(running, nowMs, tally);
    return this.#report('full', tally);
  }

  #drifting(nowMs: number, tally: Tally, isAsked: boolean = false): DriftContext {
    const tell = (event: ReconcileEvent): void => {
      this.#events.push(event);
      this.#observation.told(event, nowMs);
    };
    return { nowMs, tally, tell, isAsked };
  }

  get #mayWrite(): boolean {
    return this.#complete && !this.#inSnapshot;
  }

  /** Before anything of the Services is written. A kernel that cannot be read is left as it is, and so is what is believed of it. */
  async #read(running: Running, nowMs: number, tally: Tally): Promise<boolean> {
    let observed: Observed;
    this.#beforeRead(running.session, nowMs);
    try {
      observed = await readInTurns(running.session, this.#init, () => this.#turn());
    } catch (error) {
      this.#auditor.couldNotRead(error, nowMs, tally);
      return false;
    }
    // The first complete pass has begun meanwhile: what was read is older than what it wrote.
    if (this.#begun) return true;
    this.#retries.cleared(kernelObject);
    running.plane.trust();
    this.#auditor.roundBegins(nowMs);
    this.#takeIn(observed, running, nowMs);
    this.#mendStatics(observed, running, nowMs, tally);
    return true;
  }

  /** Lets others have their turn. */
  async #turn(): Promise<void> {
    await this.#effects.turn?.();
  }

  /** Takes in what others did to links and addresses. False: only a full pass can tell what has changed. */
  #follow({ session }: Running, nowMs: number, tally: Tally): boolean {
    const { isLost, vips, nodeAddresses } = this.#addresses.follow(session, nowMs, tally);
    for (const address of vips) this.#dirty.addWithDependents({ kind: 'address', address });
    if (this.#complete) this.#auditor.sawVips(vips, this.#drifting(nowMs, tally));
    if (nodeAddresses !== undefined) this.#know(nodeAddresses);
    return !isLost;
  }

  #takeIn(observed: Observed, running: Running, nowMs: number): void {
    running.readMs = nowMs;
    this.#addresses.afterRead(observed);
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

  #mendStatics(observed: StaticRead, running: Running, nowMs: number, tally: Tally): void {
    const { warnings, retryInMs } = this.#statics.mend(observed, running.writer, nowMs, tally);
    this.#events.push(...this.#warnings.update('statics', warnings));
    this.#auditor.nextRoundMs = Math.min(this.#auditor.nextRoundMs, nowMs + retryInMs);
  }

  #beforeRead(session: KernelSession, nowMs: number): void {
    this.#events.push(...this.#warnings.update('addresses', this.#addresses.beforeRead(session, nowMs)));
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
    this.#dirty.addReleased(arrived);
    if (!opened && arrived.length === 0) return;
    if (!this.#complete || this.#inSnapshot || signal.aborted) return;
    this.#write(running, nowMs, tally);
  }

  #pass(kind: SyncReport['kind'], running: Running, nowMs: number, tally: Tally): SyncReport {
    this.#write(running, nowMs, tally);
    return this.#report(kind, tally);
  }

  #write(running: Running, nowMs: number, tally: Tally): void {
    this.#auditor.release();
    let released: readonly DirtyObjects[];
    do {
      const { scope, additionsOnly } = this.#dirty.take();
      const mayRemove = this.#allSynced && !additionsOnly;
      const options = { mayRemove, closed: this.#rules.unproven, nowMs };
      this.#drains.prepare(scope, options);
      const left = running.plane.run({
        scope,
        ...options,
        tally,
        events: this.#events,
        unruled: this.#rules.missing,
        broken: this.#statics.broken,
        nowMicros: () => this.#effects.nowMicros(),
        lackSchedulers: (names) => {
          this.#planner.lackSchedulers(new Set([...this.#planner.unknownSchedulers, ...names]));
          return this.#projected();
        },
      });
      this.#dirty.add(left);
      released = this.#drains.observe(nowMs, scope);
      for (const dirty of released) this.#dirty.add(dirty);
    } while (released.length > 0);
    this.#conntrack.observe();
  }

  #drain(running: Running, nowMs: number, tally: Tally): void {
    const released = this.#drains.check(running, { nowMs, tally, events: this.#events });
    for (const dirty of released) this.#dirty.add(dirty);
    if (released.length > 0) this.#write(running, nowMs, tally);
  }

  #cleanConnections({ session }: Running, nowMs: number, tally: Tally): void {
    tally.udpCleaning = this.#conntrack.step(session, nowMs);
    this.#events.push(...this.#warnings.update('conntrack', this.#conntrack.warnings()));
  }

  /** Recomputes what the records ask, and notes what to compare for it. */
  #project(): void {
    this.#dirty.add(this.#projected());
  }

  #projected(): DirtyObjects {
    this.#ruleInputs.followNode();
    const changed = this.#planner.project();
    this.#dirty.addReleased(this.#rules.follow());
    this.#conntrack.noteChanges(changed);
    for (const scope of this.#retries.forget(changed)) this.#dirty.addWithDependents(scope);
    this.#auditor.follow(changed);
    for (const { object, message } of this.#planner.warnings()) this.#events.push({ kind: 'warning', object, message });
    return changed;
  }

  async #plan(against: 'kernel' | 'empty'): Promise<PlanResult> {
    const ground =
      against === 'kernel'
        ? await readGround({
            init: this.#init,
            effects: this.#effects,
            signal: this.#closing.signal,
            iptables: this.#running?.iptables,
            openSession: () => this.#openSession(),
          })
        : emptyGround(this.#init, this.#effects);
    const { observed, saved } = ground;
    if (against === 'kernel' || this.#nodeAddresses === undefined) this.#know(observed.nodeAddresses);
    return planResult({
      against,
      init: this.#init,
      planner: this.#planner,
      observed,
      foreign: this.#foreign,
      written: this.#applied,
      withLeftOvers: (applied) => this.#drains.preview(applied),
      mayRemove: this.#allSynced,
      saved,
      ruleOptions: this.#ruleInputs.options,
      settings: this.#settings.plan(against),
      events: this.#events,
    });
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
    if (kind !== 'incremental') tally.failures.push(...this.#statics.failures());
    const report = tally.report({
      kind,
      revision: this.#revision,
      services: this.#applied.services.size,
      destinations: this.#applied.destinations,
      draining: this.#drains.size,
      foreign: this.#foreign.count,
      contested: this.#foreign.contested + this.#auditor.contests.size,
      complete: this.#complete,
    });
    return this.#observation.recorder.reported(tally.trace, report);
  }

  #reply(nowMs: number, report: SyncReport | undefined): ReconcileReply {
    const events = this.#events;
    this.#observation.recorder.answered(events, report, nowMs);
    this.#events = [];
    const wakeInMs = this.#wakeInMs(nowMs);
    const drains = this.#complete ? this.#drains.takeChanges() : [];
    const unwritten = this.#unwritten(nowMs);
    const reply: { -readonly [K in keyof ReconcileReply]: ReconcileReply[K] } = { events, revision: this.#revision };
    if (report !== undefined) reply.report = report;
    if (drains.length > 0) reply.drains = drains;
    if (wakeInMs !== undefined) reply.wakeInMs = wakeInMs;
    if (unwritten > 0) reply.unwritten = unwritten;
    return reply;
  }

  #unwritten(nowMs: number): number {
    if (!this.#begun || this.#inSnapshot) return 0;
    // What waits for the kernel as a whole has been tried, as has any other object that failed.
    const kernelMs = this.#retries.dueMs(kernelObject);
    return kernelMs !== undefined && kernelMs > nowMs ? 0 : this.#dirty.size;
  }

  /** See `StatusParts.waitsFor`. */
  #waitsFor(): string | undefined {
    if (this.#running === undefined) return 'the first read of the kernel';
    if (this.#inSnapshot) return 'the rest of a snapshot of the records';
    if (!this.#complete)
      return this.#allSynced ? 'the first complete pass' : 'the first complete lists of every source';
    return undefined;
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
    let next = earlier(this.#rules.nextMs(nowMs), this.#addresses.nextMs);
    if (this.#complete) {
      next = earlier(next, this.#auditor.dueMs);
      next = earlier(next, this.#auditor.contests.nextMs);
      next = earlier(next, this.#passDueMs(nowMs));
      next = earlier(next, this.#drains.nextMs);
      next = earlier(next, this.#conntrack.nextMs(nowMs));
    } else {
      next = earlier(next, this.#auditor.nextRoundMs);
      if (this.#allSynced) next = earlier(next, this.#retries.dueMs(kernelObject) ?? nowMs);
    }
    return next === undefined ? undefined : Math.max(0, next - nowMs);
  }
}

/** Undefined = never. */
function earlier(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return Math.min(a, b);
}

function isDue(timeMs: number | undefined, nowMs: number): boolean {
  return timeMs !== undefined && timeMs <= nowMs;
}
