/** The steps that answers to requests are made of: each takes something in, or writes something, and says so in the tally and the events. */
import type { Iptables } from '../kernel/iptables.ts';
import type { KernelSession } from '../kernel/session.ts';
import type { DirtyObjects } from '../plan/dirty.ts';
import { Auditor } from './auditor.ts';
import type { DriftContext } from './drift.ts';
import { nodeAddressesRecord } from './node-addresses.ts';
import { Observation } from './observation.ts';
import type { Observed, StaticRead } from './observed.ts';
import type { Parts } from './parts.ts';
import { type DataPlane, kernelObject } from './pass.ts';
import type { ReconcileEvent } from './protocol.ts';
import { readInTurns } from './reading.ts';
import type { Tally } from './tally.ts';
import type { Writer } from './writer.ts';

/** What there is once `start` has succeeded. */
export interface Running {
  readonly session: KernelSession;
  readonly iptables: Iptables;
  readonly writer: Writer;
  readonly plane: DataPlane;
  readMs: number;
}

export class Steps {
  readonly auditor: Auditor;
  readonly observation: Observation;
  readonly #parts: Parts;
  #nodeAddresses: Observed['nodeAddresses'] | undefined;

  /** @param running Throws before there is one. */
  constructor(parts: Parts, running: () => Running) {
    this.#parts = parts;
    const { init, planner, applied, foreign, retries, dirty, addresses, drains, rules, statics, progress } = parts;
    this.auditor = new Auditor({
      ...{ init, planner, applied, foreign, retries, dirty },
      turn: () => this.turn(),
      tookAddresses: (read) => {
        addresses.afterRead(read);
        this.know(read.nodeAddresses);
      },
      isNews: (nodeAddresses) => addresses.isNews(nodeAddresses),
      mendStatics: (read, nowMs, tally) => this.mendStatics(read, running(), nowMs, tally),
      write: (nowMs, tally) => {
        if (progress.mayWrite) this.write(running(), nowMs, tally);
      },
    });
    this.observation = new Observation({
      ...{ planner, applied, foreign, retries, drains, rules, dirty },
      contests: this.auditor.contests,
      broken: () => statics.broken,
      waitsFor: () => progress.waitsFor,
    });
  }

  /** Lets others have their turn. */
  async turn(): Promise<void> {
    await this.#parts.effects.turn?.();
  }

  get knowsNodeAddresses(): boolean {
    return this.#nodeAddresses !== undefined;
  }

  /** What the worker has read itself, as records say it. */
  ownRecords(): readonly ReturnType<typeof nodeAddressesRecord>[] {
    const { init, progress } = this.#parts;
    return this.#nodeAddresses === undefined
      ? []
      : [nodeAddressesRecord(init.nodeName, this.#nodeAddresses, progress.revision)];
  }

  know(addresses: Observed['nodeAddresses']): void {
    const before = this.#nodeAddresses;
    this.#nodeAddresses = addresses;
    if (before?.length === addresses.length && before.every((address, index) => address === addresses[index])) return;
    this.#parts.planner.apply({ records: this.ownRecords(), allSynced: this.#parts.progress.allSynced });
    this.project();
  }

  /** Before anything of the Services is written. A kernel that cannot be read is left as it is, and so is what is believed of it. */
  async read(running: Running, nowMs: number, tally: Tally): Promise<boolean> {
    const { init, progress, retries } = this.#parts;
    let observed: Observed;
    this.beforeRead(running.session, nowMs);
    try {
      observed = await readInTurns(running.session, init, () => this.turn());
    } catch (error) {
      this.auditor.couldNotRead(error, nowMs, tally);
      return false;
    }
    // The first complete pass has begun meanwhile: what was read is older than what it wrote.
    if (progress.hasBegun) return true;
    retries.cleared(kernelObject);
    running.plane.trust();
    this.auditor.roundBegins(nowMs);
    this.takeIn(observed, running, nowMs);
    this.mendStatics(observed, running, nowMs, tally);
    return true;
  }

  beforeRead(session: KernelSession, nowMs: number): void {
    const { events, warnings, addresses } = this.#parts;
    events.push(...warnings.update('addresses', addresses.beforeRead(session, nowMs)));
  }

  takeIn(observed: Observed, running: Running, nowMs: number): void {
    const { addresses, foreign, applied } = this.#parts;
    running.readMs = nowMs;
    addresses.afterRead(observed);
    foreign.adopt(observed, applied);
    this.know(observed.nodeAddresses);
  }

  /** Takes in what others did to links and addresses. False: only a full pass can tell what has changed. */
  follow({ session }: Running, nowMs: number, tally: Tally): boolean {
    const { addresses, dirty, progress } = this.#parts;
    const { isLost, vips, nodeAddresses } = addresses.follow(session, nowMs, tally);
    for (const address of vips) dirty.addWithDependents({ kind: 'address', address });
    if (progress.isComplete) this.auditor.sawVips(vips, this.drifting(nowMs, tally));
    if (nodeAddresses !== undefined) this.know(nodeAddresses);
    return !isLost;
  }

  drifting(nowMs: number, tally: Tally, isAsked: boolean = false): DriftContext {
    const tell = (event: ReconcileEvent): void => {
      this.#parts.events.push(event);
      this.observation.told(event, nowMs);
    };
    return { nowMs, tally, tell, isAsked };
  }

  /** Recomputes what the records ask, and notes what to compare for it. */
  project(): void {
    this.#parts.dirty.add(this.#projected());
  }

  #projected(): DirtyObjects {
    const { ruleInputs, planner, dirty, rules, conntrack, retries, events } = this.#parts;
    ruleInputs.followNode();
    const changed = planner.project();
    dirty.addReleased(rules.follow());
    conntrack.noteChanges(changed);
    for (const scope of retries.forget(changed)) dirty.addWithDependents(scope);
    this.auditor.follow(changed);
    for (const { object, message } of planner.warnings()) events.push({ kind: 'warning', object, message });
    return changed;
  }

  write(running: Running, nowMs: number, tally: Tally): void {
    const { dirty, drains, rules, statics, planner, conntrack, progress, effects, events } = this.#parts;
    this.auditor.release();
    let released: readonly DirtyObjects[];
    do {
      const { scope, additionsOnly } = dirty.take();
      const mayRemove = progress.allSynced && !additionsOnly;
      const options = { mayRemove, closed: rules.unproven, nowMs };
      drains.prepare(scope, options);
      const left = running.plane.run({
        scope,
        ...options,
        tally,
        events,
        unruled: rules.missing,
        broken: statics.broken,
        nowMicros: () => effects.nowMicros(),
        lackSchedulers: (names) => {
          planner.lackSchedulers(new Set([...planner.unknownSchedulers, ...names]));
          return this.#projected();
        },
      });
      dirty.add(left);
      released = drains.observe(nowMs, scope);
      for (const objects of released) dirty.add(objects);
    } while (released.length > 0);
    conntrack.observe();
  }

  drain(running: Running, nowMs: number, tally: Tally): void {
    const { drains, dirty, events } = this.#parts;
    const released = drains.check(running, { nowMs, tally, events });
    for (const objects of released) dirty.add(objects);
    if (released.length > 0) this.write(running, nowMs, tally);
  }

  cleanConnections({ session }: Running, nowMs: number, tally: Tally): void {
    const { conntrack, warnings, events } = this.#parts;
    tally.udpCleaning = conntrack.step(session, nowMs);
    events.push(...warnings.update('conntrack', conntrack.warnings()));
  }

  mendStatics(observed: StaticRead, running: Running, nowMs: number, tally: Tally): void {
    const { statics, warnings, events } = this.#parts;
    const { warnings: said, retryInMs } = statics.mend(observed, running.writer, nowMs, tally);
    events.push(...warnings.update('statics', said));
    this.auditor.nextRoundMs = Math.min(this.auditor.nextRoundMs, nowMs + retryInMs);
  }

  mendSysctls(tally: Tally): void {
    const { settings, warnings, events } = this.#parts;
    events.push(...warnings.update('sysctls', settings.mend(tally)));
  }

  /** What waited for the rules is written as soon as they are there. */
  async mendRules(running: Running, nowMs: number, tally: Tally): Promise<void> {
    const { rules, dirty, progress, closing } = this.#parts;
    const { signal } = closing;
    const { written, failures, opened, arrived } = await rules.check(running.iptables, nowMs, signal);
    tally.rulesWritten += written;
    tally.failures.push(...failures);
    if (opened) dirty.add('all');
    dirty.addReleased(arrived);
    if (!opened && arrived.length === 0) return;
    if (progress.mayWrite && !signal.aborted) this.write(running, nowMs, tally);
  }
}
