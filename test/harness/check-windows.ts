/** What must hold between any two writes on the way from one state to another (design.md, 'Promises'). */
import assert from 'node:assert/strict';
import { boundSetOf, hasTuple, serviceOfTuple, setName, tupleEntry, tupleSetIds } from '../../lib/plan/sets.ts';
import { type KernelState, type ServiceId, type ServiceNode, serviceFamily } from '../../lib/plan/state.ts';
import { isBound } from '../../lib/plan/vip-binding.ts';
import type { IpAddress } from '../../lib/types.ts';
import { active, isProtected, type Reach, reach, serves } from './reach.ts';

/** Addresses on the interfaces of the generated nodes, at one time or another. */
const interfaces: ReadonlySet<string> = new Set(['192.168.1.10', '172.17.0.1', 'fd00:50::10']);

export function boundIn(state: KernelState): ReadonlySet<IpAddress> {
  return new Set([...state.addresses, ...state.routes]);
}

export interface WindowOptions {
  /** Addresses on the interfaces of the node. */
  readonly interfaces?: ReadonlySet<string>;
  /** The same, before the change. */
  readonly interfacesBefore?: ReadonlySet<string>;
  /** What was to be written for these virtual services was refused, or waits: they may be refused to clients. Nobody may get in who must not. */
  isHarmed?(id: ServiceId): boolean;
}

interface Window {
  readonly state: KernelState;
  readonly before: KernelState;
  readonly desired: KernelState;
  readonly interfaces: ReadonlySet<string>;
  readonly interfacesBefore: ReadonlySet<string>;
  isHarmed(id: ServiceId): boolean;
}

export function checkWindows(
  state: KernelState,
  before: KernelState,
  desired: KernelState,
  options: WindowOptions = {},
): void {
  const window: Window = {
    state,
    before,
    desired,
    interfaces,
    interfacesBefore: interfaces,
    isHarmed: () => false,
    ...options,
  };
  checkBinding(window);
  const ids = new Set([...before.services.keys(), ...desired.services.keys(), ...state.services.keys()]);
  for (const id of ids) checkReach(id, window);
  for (const [id, node] of state.services) checkRefusal(id, node, window);
  for (const family of ['IPv4', 'IPv6'] as const) {
    for (const tuple of tupleSetIds.flatMap((set) => [...(state.sets.get(setName(set, family)) ?? [])])) {
      const isThere = [...boundIn(state)].some((bound) => tuple.startsWith(`${bound},`));
      const id = serviceOfTuple(tuple) ?? '';
      assert.ok(!isThere || state.services.has(id), `${tuple} without its virtual service lets packets to a host port`);
    }
  }
}

/** A VIP is bound only where it is protected, and without a gap where it is bound before and after. */
function checkBinding(window: Window): void {
  const { state, before, desired } = window;
  for (const address of boundIn(state)) {
    assert.ok(state.sets.get(boundSetOf(address))?.has(address), `${address} is bound and not protected`);
    if (!isBound(before, address)) checkWhole(window, desired, address, 'new');
    if (!isBound(desired, address)) checkWhole(window, before, address, 'about to be unbound');
  }
  for (const address of boundIn(before)) {
    if (isBound(desired, address)) assert.ok(isBound(state, address), `${address} unbound in between`);
  }
}

/** All ports of an address that comes or goes are there while it is. */
function checkWhole(
  { state, interfaces, isHarmed }: Window,
  whole: KernelState,
  address: IpAddress,
  what: string,
): void {
  for (const [id, node] of whole.services) {
    if (node.service.key.address !== address || !isVip(whole, node) || isHarmed(id)) continue;
    assert.ok(isVip(state, node), `${id} is refused on an address that is ${what}`);
    if (interfaces.has(address)) continue;
    assert.deepEqual(active(state.services.get(id)), active(node), `${id} on an address that is ${what}`);
  }
}

function checkReach(id: ServiceId, window: Window): void {
  const { state, desired, interfaces, interfacesBefore, isHarmed } = window;
  const [now, after] = [state, desired].map((side) => reach(side, id, interfaces));
  const before = reach(window.before, id, interfacesBefore);
  const mayFail = isHarmed(id);
  const mayBeUnserved = mayFail || isLost(state.services.get(id), window);
  if (serves(before) && serves(after) && !mayBeUnserved) assert.ok(serves(now), `${id} is not served in between`);
  if (now === undefined || !serves(now)) return;
  const sides = [before, after].filter((side) => side !== undefined);
  const [first] = sides;
  if (first === undefined && mayFail) return;
  assert.ok(first !== undefined, `${id} is reached, and neither was nor is to be`);
  if (now.sources === 'everybody') {
    assert.ok(
      sides.some(({ sources }) => sources === 'everybody'),
      `${id} is open to everybody`,
    );
  } else {
    const isOpen = sides.some(({ sources }) => sources === 'everybody');
    for (const net of isOpen ? [] : now.sources) {
      assert.ok(
        sides.some(({ sources }) => sources !== 'everybody' && sources.has(net)),
        `${id} is open to ${net}`,
      );
    }
    if (sides.length === 2 && !mayFail) {
      assert.ok(!sides.every(({ sources }) => sources === 'everybody'), `${id} is closed to some`);
      for (const net of both(sides)) assert.ok(now.sources.has(net), `${id} is closed to ${net}`);
    }
  }
  // By another method than masquerade the back end answers the client itself.
  const exempt = now.isTranslated ? [] : now.destinations.filter((name) => name.endsWith(' masquerade'));
  const known = sides.flatMap(({ isTranslated, destinations }) => (isTranslated ? [] : destinations));
  for (const name of exempt) assert.ok(known.includes(name), `${name} of ${id} is reached without SNAT`);
}

/** The node has lost the address, before the first write: until it is bound no packet for it comes in, whatever is written. */
function isLost(node: ServiceNode | undefined, { state, before, interfaces, interfacesBefore }: Window): boolean {
  const address = node?.service.key.address;
  if (address === undefined || isBound(before, address) || isBound(state, address)) return false;
  return interfacesBefore.has(address) && !interfaces.has(address);
}

/** Who may come in before and after. */
function both(sides: readonly Reach[]): readonly string[] {
  const lists = sides.flatMap(({ sources }) => (sources === 'everybody' ? [] : [sources]));
  const [first = new Set<string>()] = lists;
  return [...first].filter((net) => lists.every((list) => list.has(net)));
}

/** A VIP that is served before and after never loses its tuple: that would refuse it. Endpoints or not. */
function checkRefusal(id: ServiceId, node: ServiceNode, { state, before, desired, isHarmed }: Window): void {
  if (isHarmed(id) || !isProtected(state, node) || !isVip(before, node) || !isVip(desired, node)) return;
  assert.ok(isVip(state, node), `${tupleOf(node)} is refused`);
}

function tupleOf({ service: { key } }: ServiceNode): string {
  return tupleEntry(key.address, key.protocol, key.port);
}

function isVip(state: KernelState, node: ServiceNode): boolean {
  return hasTuple(state.sets, serviceFamily(node.service.key), tupleOf(node));
}
