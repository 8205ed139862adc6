/**
 * The worker's answers to requests. Owns no timer: each reply says when to call again. A pass is synchronous and never interrupted; the
 * iptables lane and long reads are awaited, and other requests go on meanwhile.
 */
import { ProxierError } from '../errors.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { RecordMessage } from '../records.ts';
import type { Handler } from '../thread/host.ts';
import { isDue, passDueMs, unwritten, wakeInMs } from './appointments.ts';
import type { ReconcileEffects } from './effects.ts';
import { vipLink } from './observed.ts';
import { Parts } from './parts.ts';
import { DataPlane } from './pass.ts';
import { emptyGround, readGround } from './plan-now.ts';
import { planResult } from './plan-result.ts';
import type { PlanResult, ReconcileInit, ReconcileReply, ReconcileRequest, SyncReport } from './protocol.ts';
import { readInTurns } from './reading.ts';
import { askForAll, askForSaid } from './scheduler-search.ts';
import { checkLink, checkScheduler, linkError } from './static-part.ts';
import { type Running, Steps } from './steps.ts';
import { Tally } from './tally.ts';
import { Writer } from './writer.ts';

/** A read of the kernel is good for the first complete pass when it is no older than this. */
const freshMs = 1000;

export class Reconciler implements Handler<ReconcileRequest, ReconcileReply> {
  readonly #parts: Parts;
  readonly #steps: Steps;
  #session: KernelSession | undefined;
  #running: Running | undefined;

  constructor(init: ReconcileInit, effects: ReconcileEffects) {
    this.#parts = new Parts(init, effects);
    this.#steps = new Steps(this.#parts, () => this.#started());
  }

  async handle(request: ReconcileRequest): Promise<ReconcileReply> {
    const { progress, retries, drains } = this.#parts;
    const { auditor, observation } = this.#steps;
    switch (request.kind) {
      case 'start':
        return this.#reply(request.nowMs, await this.#start(request.nowMs));
      case 'records':
        return this.#reply(request.nowMs, await this.#records(request.message, request.nowMs));
      case 'tick':
        return this.#reply(request.nowMs, await this.#tick(request.nowMs));
      case 'resync':
        retries.hurry();
        auditor.retry('all');
        return this.#reply(request.nowMs, await this.#full(this.#started(), request.nowMs, true));
      case 'drain':
        drains.replace(request.endpoints, request.nowMs);
        return this.#reply(request.nowMs, this.#drainEndpoints(request.nowMs));
      case 'plan':
        return { events: [], revision: progress.revision, plan: await this.#plan(request.against) };
      case 'status':
      case 'explain':
        return observation.answer(request, { revision: progress.revision, complete: progress.isComplete });
    }
  }

  /** Nothing is written any more once this has resolved, by no program either. */
  async close(): Promise<void> {
    const { closing, rules, addresses } = this.#parts;
    closing.abort(new ProxierError('ERR_CLOSED', 'the reconciler is closed'));
    await rules.idle();
    addresses.close();
    this.#session?.close();
  }

  async #start(nowMs: number): Promise<SyncReport> {
    const { init, effects, applied, retries, addresses, closing, progress, planner, foreign } = this.#parts;
    const { auditor, observation } = this.#steps;
    const tally = new Tally();
    const session = this.#openSession();
    this.#steps.beforeRead(session, nowMs);
    const observed = await readInTurns(session, init, () => this.#steps.turn());
    checkLink(observed);
    const { signal } = closing;
    const iptables = await effects.openIptables({ probe: true, signal });
    signal.throwIfAborted();
    checkScheduler(session, init.scheduler, observed);
    const writer = new Writer(session, applied, retries, {
      scheduler: init.scheduler,
      bound: () => addresses.collect(),
      recorder: observation.recorder,
    });
    const { families } = init;
    const { contests } = auditor;
    const plane = new DataPlane({ families, session, planner, applied, foreign, retries, contests, writer });
    const running: Running = { session, iptables, writer, plane, readMs: nowMs };
    auditor.open(session);
    auditor.roundBegins(nowMs);
    this.#steps.takeIn(observed, running, nowMs);
    this.#steps.mendStatics(observed, running, nowMs, tally);
    const linkFailure = tally.failures.find(({ object }) => object === `link ${vipLink}`);
    if (linkFailure !== undefined) throw linkError(linkFailure.error.message);
    this.#steps.mendSysctls(tally);
    await this.#steps.mendRules(running, nowMs, tally);
    this.#running = running;
    progress.isStarted = true;
    return this.#report('start', tally);
  }

  async #records(message: RecordMessage, nowMs: number): Promise<SyncReport | undefined> {
    const { progress } = this.#parts;
    this.#steps.observation.recorder.message(message, nowMs);
    this.#takeRecords(message);
    if (this.#running === undefined || progress.inSnapshot) return undefined;
    if (progress.isComplete) {
      const tally = new Tally();
      if (!this.#steps.follow(this.#running, nowMs, tally)) return this.#full(this.#running, nowMs);
      return this.#pass('incremental', this.#running, nowMs, tally);
    }
    return progress.allSynced ? this.#first(this.#running, nowMs) : undefined;
  }

  /** Taken out at once where there is something to take them out of; otherwise by the first complete pass. */
  #drainEndpoints(nowMs: number): SyncReport | undefined {
    this.#steps.project();
    if (this.#running === undefined || !this.#parts.progress.mayWrite) return undefined;
    return this.#pass('incremental', this.#running, nowMs, new Tally());
  }

  #takeRecords(message: RecordMessage): void {
    const { progress, planner, dirty } = this.#parts;
    const ends = message.snapshot === 'end' || message.snapshot === 'whole';
    if (message.snapshot !== undefined) progress.inSnapshot = !ends;
    for (const { seq } of message.records) progress.revision = Math.max(progress.revision, seq);
    // A snapshot drops what it does not say; what the worker has read itself is said again.
    const own = ends ? this.#steps.ownRecords() : [];
    planner.apply(own.length === 0 ? message : { ...message, records: [...message.records, ...own] });
    if (this.#running !== undefined && !progress.inSnapshot) {
      askForSaid(planner, this.#running.session, message.records);
    }
    if (message.allSynced && !progress.allSynced) dirty.add('all');
    progress.allSynced = message.allSynced;
    this.#steps.project();
  }

  async #tick(nowMs: number): Promise<SyncReport | undefined> {
    const { progress, drains, rules, conntrack } = this.#parts;
    const { auditor } = this.#steps;
    const running = this.#running;
    if (running === undefined || progress.inSnapshot || progress.isPreparing) return undefined;
    const tally = new Tally();
    const isFollowed = this.#steps.follow(running, nowMs, tally);
    if (!progress.isComplete && progress.allSynced) return this.#first(running, nowMs);
    if (!isFollowed || (!progress.isComplete && nowMs >= auditor.nextRoundMs)) return this.#full(running, nowMs);
    auditor.retry(nowMs);
    const auditDue = progress.isComplete && isDue(auditor.dueMs, nowMs);
    const audited = auditDue ? auditor.step(this.#steps.drifting(nowMs, tally)) : undefined;
    if (audited === 'over') return this.#endAudit(running, nowMs, tally);
    const passDue = isDue(passDueMs(this.#parts, nowMs), nowMs);
    const drainDue = progress.isComplete && isDue(drains.nextMs, nowMs);
    const rulesDue = isDue(rules.nextMs(nowMs), nowMs);
    const cleaningDue = progress.isComplete && isDue(conntrack.nextMs(nowMs), nowMs);
    if (cleaningDue) this.#steps.cleanConnections(running, nowMs, tally);
    if (!passDue && !drainDue && !rulesDue && tally.isEmpty) return undefined;
    if (passDue) this.#steps.write(running, nowMs, tally);
    if (drainDue) this.#steps.drain(running, nowMs, tally);
    if (rulesDue) await this.#steps.mendRules(running, nowMs, tally);
    return this.#report(audited === 'failed' ? 'full' : 'incremental', tally);
  }

  /** Adopt, then differ: the first pass in which everything is known. With very much to write it takes several calls. */
  async #first(running: Running, nowMs: number): Promise<SyncReport | undefined> {
    const { progress, events, warnings, ruleInputs, dirty, conntrack, applied, foreign } = this.#parts;
    if (progress.isPreparing) return undefined;
    const tally = new Tally();
    if (!progress.hasBegun) {
      if (!(await this.#mendRulesFirst(running, nowMs, tally))) return undefined;
      events.push(...warnings.update('node', ruleInputs.warnings()));
      if (nowMs - running.readMs > freshMs) {
        let isRead = false;
        const mayWrite = await this.#beforeFirst(async () => {
          isRead = await this.#steps.read(running, nowMs, tally);
        });
        if (!isRead) return this.#report('full', tally);
        if (!mayWrite) return undefined;
      }
      progress.hasBegun = true;
      dirty.add('all');
      // Endpoints and virtual services may have gone while nobody looked.
      conntrack.note(applied.services.keys());
    }
    progress.isComplete = !dirty.isAdding;
    const report = this.#pass(progress.isComplete ? 'full' : 'incremental', running, nowMs, tally);
    if (progress.isComplete) events.push(...foreign.report());
    return report;
  }

  /** False: nothing can be written now. */
  async #mendRulesFirst(running: Running, nowMs: number, tally: Tally): Promise<boolean> {
    const { rules } = this.#parts;
    if (!rules.isStale && rules.unproven.size === 0) return true;
    return this.#beforeFirst(() => this.#steps.mendRules(running, nowMs, tally));
  }

  /** The first complete pass waits for it. False: nothing can be written now. */
  async #beforeFirst(act: () => Promise<unknown>): Promise<boolean> {
    const { progress, closing } = this.#parts;
    progress.isPreparing = true;
    await act();
    progress.isPreparing = false;
    return !progress.inSnapshot && !closing.signal.aborted;
  }

  /** Reads the kernel, compares everything, mends; the rules and the sysctls, too. Others are answered meanwhile. */
  #full(running: Running, nowMs: number, isAsked: boolean = false): Promise<SyncReport> {
    return this.#steps.auditor.alone(() => this.#fullPass(running, nowMs, isAsked));
  }

  async #fullPass(running: Running, nowMs: number, isAsked: boolean): Promise<SyncReport> {
    const { progress, closing } = this.#parts;
    const steps = this.#steps;
    const tally = new Tally();
    if (!progress.isComplete) {
      if (!progress.hasBegun && (await steps.read(running, nowMs, tally))) steps.mendSysctls(tally);
      if (!progress.isComplete) {
        await steps.mendRules(running, nowMs, tally);
        return this.#report('full', tally);
      }
    }
    steps.beforeRead(running.session, nowMs);
    const audited = await steps.auditor.through(steps.drifting(nowMs, tally, isAsked), closing.signal);
    if (audited === 'over') return this.#endAudit(running, nowMs, tally);
    await steps.mendRules(running, nowMs, tally);
    return this.#report('full', tally);
  }

  /** Everything of the kernel was looked at: what goes with it. */
  async #endAudit(running: Running, nowMs: number, tally: Tally): Promise<SyncReport> {
    const { progress, planner, drains, foreign, events } = this.#parts;
    const steps = this.#steps;
    steps.mendSysctls(tally);
    if (askForAll(planner, running.session)) steps.project();
    if (progress.mayWrite) {
      if (isDue(passDueMs(this.#parts, nowMs), nowMs)) steps.write(running, nowMs, tally);
      if (isDue(drains.nextMs, nowMs)) steps.drain(running, nowMs, tally);
      events.push(...foreign.report());
    }
    await steps.mendRules(running, nowMs, tally);
    return this.#report('full', tally);
  }

  async #plan(against: 'kernel' | 'empty'): Promise<PlanResult> {
    const { init, effects, closing, planner, foreign, applied, drains, ruleInputs, settings, progress, events } =
      this.#parts;
    const ground =
      against === 'kernel'
        ? await readGround({
            ...{ init, effects, signal: closing.signal, iptables: this.#running?.iptables },
            openSession: () => this.#openSession(),
          })
        : emptyGround(init, effects);
    const { observed, saved } = ground;
    if (against === 'kernel' || !this.#steps.knowsNodeAddresses) this.#steps.know(observed.nodeAddresses);
    return planResult({
      ...{ against, init, planner, observed, foreign, saved, events },
      written: applied,
      withLeftOvers: (state) => drains.preview(state),
      mayRemove: progress.allSynced,
      ruleOptions: ruleInputs.options,
      settings: settings.plan(against),
    });
  }

  #openSession(): KernelSession {
    this.#session ??= this.#parts.effects.openSession();
    return this.#session;
  }

  #started(): Running {
    if (this.#running === undefined) throw new ProxierError('ERR_CLOSED', 'the reconciler was not started');
    return this.#running;
  }

  #pass(kind: SyncReport['kind'], running: Running, nowMs: number, tally: Tally): SyncReport {
    this.#steps.write(running, nowMs, tally);
    return this.#report(kind, tally);
  }

  #report(kind: SyncReport['kind'], tally: Tally): SyncReport {
    const { statics, progress, applied, drains, foreign } = this.#parts;
    const { auditor, observation } = this.#steps;
    if (kind !== 'incremental') tally.failures.push(...statics.failures());
    const report = tally.report({
      kind,
      revision: progress.revision,
      services: applied.services.size,
      destinations: applied.destinations,
      draining: drains.size,
      foreign: foreign.count,
      contested: foreign.contested + auditor.contests.size,
      complete: progress.isComplete,
    });
    return observation.recorder.reported(tally.trace, report);
  }

  #reply(nowMs: number, report: SyncReport | undefined): ReconcileReply {
    const parts = this.#parts;
    const { auditor, observation } = this.#steps;
    const events = parts.events.splice(0);
    observation.recorder.answered(events, report, nowMs);
    const wake = wakeInMs(parts, auditor, nowMs);
    const drains = parts.progress.isComplete ? parts.drains.takeChanges() : [];
    const left = unwritten(parts, nowMs);
    const { revision } = parts.progress;
    const reply: { -readonly [K in keyof ReconcileReply]: ReconcileReply[K] } = { events, revision };
    if (report !== undefined) reply.report = report;
    if (drains.length > 0) reply.drains = drains;
    if (wake !== undefined) reply.wakeInMs = wake;
    if (left > 0) reply.unwritten = left;
    return reply;
  }
}
