/** A reconciler on the fake kernel that is looked at after every single write: has it opened a window (`check-windows.ts`)? */
import assert from 'node:assert/strict';
import { familyOf, fullPrefix, parseAddress } from '../../lib/address.ts';
import type { Operation } from '../../lib/operations.ts';
import { Planner } from '../../lib/plan/planner.ts';
import { hasTuple, serviceOfTuple, setIdOf, tupleEntry } from '../../lib/plan/sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, serviceFamily, serviceId } from '../../lib/plan/state.ts';
import type { ReconcileInit, ReconcileReply, ReconcileRequest, SyncReport } from '../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import type { FakeService } from '../../lib/testing/fake-ipvs.ts';
import type { FakeKernel, Fault } from '../../lib/testing/fake-kernel.ts';
import type { AddressServiceKey, IpAddress } from '../../lib/types.ts';
import { newKernel, World } from '../unit/reconcile/world.ts';
import { checkWindows } from './check-windows.ts';
import { emptyState } from './difference-options.ts';
import { fakeKernelState, interfaceAddresses } from './fake-kernel-state.ts';
import { MemoryState } from './memory-state.ts';
import { nodeAddresses } from './records.ts';
import { stateText } from './state-text.ts';

const nodeLink = 'eth0';

export class WatchedWorld extends World {
  /** What the records ask for, said by a planner that nothing can go wrong with. */
  #planner: Planner;
  readonly #said = new Map<string, ObjectRecord>();
  #before: MemoryState = emptyState();
  /** Before the change that the request is about. */
  #interfaces: ReadonlySet<string>;
  readonly #harmedServices = new Set<ServiceId>();
  readonly #harmedAddresses = new Set<string>();
  readonly #harmedPorts = new Set<number>();
  /** Writes that the kernel was asked for since the last look at this number. */
  writes = 0;
  /** The process is killed right after so many writes more; undefined = not at all. */
  killIn: number | undefined;
  /** What the kernel had of others before we came. */
  readonly #others: ReadonlyMap<string, string>;

  constructor(init: Partial<ReconcileInit> = {}, kernel: FakeKernel = newKernel()) {
    super(kernel, { families: ['IPv4', 'IPv6'], ...init });
    this.#planner = new Planner(this.init);
    this.#interfaces = interfaceAddresses(kernel);
    this.#others = new Map([...kernel.outside.services].map(([id, node]) => [id, nodeText(node)]));
    kernel.afterEach = () => {
      this.writes += 1;
      this.#check();
      if (this.killIn === undefined) return;
      this.killIn -= 1;
      if (this.killIn <= 0) throw new Error('killed');
    };
  }

  /** The kernel as it is. */
  get state(): MemoryState {
    return MemoryState.of(fakeKernelState(this.kernel));
  }

  /**
   * Everything is as the records ask, what drains and what others have apart.
   * @param leftOver What else may be there.
   */
  checkDone(leftOver: (node: ServiceNode, state: KernelState) => boolean = () => false): void {
    const { desired } = this.#planner;
    const state = this.state;
    state.finishDrains(desired);
    for (const [id, node] of [...state.services]) {
      if (this.#others.has(id) || (!desired.services.has(id) && leftOver(node, state))) state.services.delete(id);
    }
    assert.deepEqual(stateText(state), stateText(desired));
  }

  override async send(request: ReconcileRequest): Promise<ReconcileReply> {
    this.#before = this.state;
    const reply = await super.send(request);
    this.#interfaces = interfaceAddresses(this.kernel);
    return reply;
  }

  /** One change, of whatever many objects. The node's addresses are changed at the node, not said. */
  async change(records: readonly ObjectRecord[]): Promise<SyncReport> {
    const said = this.#remember(records);
    this.#planner.apply({ records: [...said, nodeAddresses(...interfaceAddresses(this.kernel))], allSynced: true });
    this.#planner.project();
    return this.say(...said);
  }

  /** The process dies, if it is there, and another one starts with these options. */
  async restart(init: Partial<ReconcileInit> = {}): Promise<SyncReport> {
    this.die();
    this.init = { ...this.init, ...init };
    this.#planner = new Planner(this.init);
    const records = [...this.#said.values()];
    this.#planner.apply({ records: [...records, nodeAddresses(...interfaceAddresses(this.kernel))], allSynced: true });
    this.#planner.project();
    await this.start();
    const { report } = await this.send({
      kind: 'records',
      nowMs: this.nowMs,
      message: { records, snapshot: 'whole', allSynced: true },
    });
    if (report === undefined) throw new Error('the first pass made no report');
    return report;
  }

  /** As {@link change}, by a process that is killed after so many writes, if it gets so far: true = it was. What it knew is gone. */
  async changeAndKill(records: readonly ObjectRecord[], writes: number): Promise<boolean> {
    this.killIn = writes;
    try {
      await this.change(records);
    } catch (error) {
      if (this.killIn > 0) throw error;
    }
    const wasKilled = this.killIn <= 0;
    this.killIn = undefined;
    this.die();
    // No ledger names these: one that is wanted in another way by now is contested.
    for (const [id, node] of this.state.services) if (isOrphan(node, this.state)) this.#harmedServices.add(id);
    return wasKilled;
  }

  /** Objects come, change and go while no process runs. */
  changeWhileDown(records: readonly ObjectRecord[]): void {
    this.#remember(records);
  }

  /** The n-th write from now on, counted from 0, meets this, and the same write again for as many times. */
  failNth(n: number, fault: Fault, times: number = 1): void {
    let position = -1;
    let chosen: string | undefined;
    this.kernel.failNext(
      (operation) => {
        position += 1;
        const text = JSON.stringify(operation);
        if (position === n) chosen = text;
        if (position < n || text !== chosen) return false;
        this.#harm(operation);
        return true;
      },
      fault,
      times,
    );
  }

  /** All faults are over, and what they harmed has had the time to be tried again. */
  async heal(): Promise<void> {
    this.kernel.heal();
    await this.pass(200_000);
    this.#harmedServices.clear();
    this.#harmedAddresses.clear();
    this.#harmedPorts.clear();
  }

  #remember(records: readonly ObjectRecord[]): readonly ObjectRecord[] {
    const said = records.filter(({ kind }) => kind !== 'nodeAddresses');
    for (const record of said) {
      const name = `${record.kind} ${record.source} ${record.key}`;
      if (record.body === null) this.#said.delete(name);
      else this.#said.set(name, record);
    }
    for (const record of records) {
      if (record.kind === 'nodeAddresses' && record.body !== null) this.#setAddresses(record.body.addresses);
    }
    return said;
  }

  #check(): void {
    for (const [id, text] of this.#others) {
      const node = this.kernel.outside.services.get(id);
      if (node === undefined || nodeText(node) !== text) throw new Error(`${id} is somebody else's`);
    }
    const interfaces = interfaceAddresses(this.kernel);
    const interfacesBefore = this.#interfaces;
    const isHarmed = (id: ServiceId): boolean => this.#isHarmed(id);
    try {
      checkWindows(fakeKernelState(this.kernel), this.#before, this.#planner.desired, {
        interfaces,
        interfacesBefore,
        isHarmed,
      });
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      throw new Error(`${what}\nafter the last of\n${this.kernel.log.slice(-20).join('\n')}`);
    }
  }

  #isHarmed(id: ServiceId): boolean {
    if (this.#harmedServices.has(id)) return true;
    for (const address of this.#harmedAddresses) {
      if (id.includes(address.includes(':') ? ` [${address}]:` : ` ${address}:`)) return true;
    }
    for (const port of this.#harmedPorts) if (id.endsWith(`:${port}`)) return true;
    // It waits for its rule.
    for (const { outFilters } of this.#planner.ports.values()) if (outFilters.includes(id)) return true;
    return false;
  }

  #harm(operation: Operation): void {
    const service = 'service' in operation ? operation.service.key : 'key' in operation ? operation.key : undefined;
    if (service !== undefined && 'address' in service)
      this.#harmedServices.add(serviceId(service satisfies AddressServiceKey));
    if (operation.verb === 'add-address') this.#harmedAddresses.add(operation.address.address);
    if (operation.verb === 'remove-address') this.#harmedAddresses.add(operation.address);
    if ('route' in operation) this.#harmedAddresses.add(operation.route.address);
    if (!('entry' in operation)) return;
    const { set, entry } = operation;
    if (setIdOf(set.name)?.id === 'LOOP-BACK') return;
    const id = serviceOfTuple(entry);
    if (id !== undefined) this.#harmedServices.add(id);
    else if (parseAddress(entry) !== undefined) this.#harmedAddresses.add(entry);
    else this.#harmedPorts.add(Number(entry));
  }

  #setAddresses(addresses: readonly IpAddress[]): void {
    const wanted = new Set(addresses);
    for (const address of interfaceAddresses(this.kernel)) {
      if (wanted.has(address)) continue;
      const bound = [...this.kernel.outside.addresses].filter(
        ([, one]) => one.link === nodeLink && one.address === address,
      );
      for (const [key] of bound) this.kernel.outside.addresses.delete(key);
    }
    for (const address of wanted) {
      if (interfaceAddresses(this.kernel).has(address)) continue;
      const prefixLength = fullPrefix(familyOf(address));
      this.kernel.outside.apply({ verb: 'add-address', address: { link: nodeLink, address, prefixLength } });
    }
  }
}

/**
 * The limit of the ledger (docs/architecture.md): killed between a virtual service and its tuple, and its Service gone before the next start.
 * What is left is empty and serves nobody. It goes when a later start finds it on an address that is bound, and is taken up when it is wanted again.
 */
export function isOrphan({ service: { key }, destinations }: ServiceNode, { sets }: KernelState): boolean {
  return (
    destinations.size === 0 && !hasTuple(sets, serviceFamily(key), tupleEntry(key.address, key.protocol, key.port))
  );
}

function nodeText({ service, destinations }: FakeService): string {
  return JSON.stringify([service, ...destinations.values()]);
}
