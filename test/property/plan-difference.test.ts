/** A difference leads where it should, and no prefix of it opens a window (design.md, 'Promises'). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { familyOf } from '../../lib/address.ts';
import { type Change, type DifferenceOptions, difference } from '../../lib/plan/difference.ts';
import { Planner, type PlanOptions } from '../../lib/plan/planner.ts';
import { type SetId, setName } from '../../lib/plan/sets.ts';
import { type KernelState, type ServiceNode, serviceFamily, serviceId } from '../../lib/plan/state.ts';
import { bindingObject, isBound, vipKinds } from '../../lib/plan/vip-binding.ts';
import type { IpFamily } from '../../lib/types.ts';
import { histories, oneService } from '../harness/arbitrary-records.ts';
import { boundIn, checkWindows } from '../harness/check-windows.ts';
import { differenceDefaults, emptyState } from '../harness/difference-options.ts';
import { MemoryState } from '../harness/memory-state.ts';
import { message, planDefaults, plannerOf } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { stateText } from '../harness/state-text.ts';

/** A history and what follows, or one Service in two states. */
const steps = fc.oneof(fc.tuple(histories, histories), fc.tuple(oneService, oneService));
const parameters = { numRuns: runs(200) };

type VipBinding = PlanOptions['vipBinding'];
const bindings = fc.constantFrom<VipBinding>('address', 'local-route');

function run(changes: readonly Change[], state: MemoryState, check: () => void = () => {}): void {
  for (const { operation } of changes) {
    state.apply(operation);
    check();
  }
}

test('a difference leads from any state to any other, by scope as well as in full, in the safe order', () => {
  fc.assert(
    fc.property(steps, bindings, ([first, second], vipBinding) => {
      const planner = new Planner({ ...planDefaults, vipBinding });
      planner.apply(message(...first));
      planner.project();
      const before = MemoryState.of(planner.desired);
      planner.apply(message(...second));
      const dirty = planner.project();
      const full = MemoryState.of(before);
      const changes = difference(planner.desired, before, 'all', differenceDefaults);
      run(changes, full, () => checkWindows(full, before, planner.desired));
      const scoped = MemoryState.of(before);
      const scopedChanges = difference(planner.desired, before, dirty, differenceDefaults);
      run(scopedChanges, scoped, () => checkWindows(scoped, before, planner.desired));
      const texts = (list: readonly Change[]): string[] =>
        list.map(({ object, operation }) => `${operation.verb} ${object}`);
      assert.deepEqual(texts(scopedChanges).sort(), texts(changes).sort(), 'nothing outside the scope differs');
      assert.equal(new Set(texts(changes)).size, changes.length, 'no object is written twice');

      const again = difference(planner.desired, full, 'all', differenceDefaults);
      assert.deepEqual(again, [], 'what drains is left to drain');
      full.finishDrains(planner.desired);
      assert.deepEqual(stateText(full), stateText(planner.desired));
    }),
    parameters,
  );
});

test('VIPs that are to be bound in another way than they are: none is unbound in between, and none is bound twice in the end', () => {
  fc.assert(
    fc.property(steps, bindings, ([first, second], vipBinding) => {
      const other: VipBinding = vipBinding === 'address' ? 'local-route' : 'address';
      const earlier = plannerOf(first, { vipBinding: other });
      const { desired } = plannerOf([...first, ...second], { vipBinding });
      const before = MemoryState.of(earlier.desired);
      const state = MemoryState.of(before);
      run(difference(desired, before, 'all', differenceDefaults), state, () => checkWindows(state, before, desired));
      assert.deepEqual([state.addresses, state.routes], [new Set(desired.addresses), new Set(desired.routes)]);

      const stuck = MemoryState.of(before);
      const hold = new Set(
        [...boundIn(desired)].flatMap((address) => vipKinds.map((kind) => bindingObject(kind, address))),
      );
      run(difference(desired, stuck, 'all', { ...differenceDefaults, hold }), stuck);
      for (const address of boundIn(desired)) assert.equal(isBound(stuck, address), isBound(before, address), 'kept');
    }),
    parameters,
  );
});

test('before all sources have synced, nothing is removed, drained or unbound', () => {
  fc.assert(
    fc.property(steps, ([first, second]) => {
      const [old, next] = [first, second].map((history) => {
        const planner = new Planner(planDefaults);
        planner.apply(message(...history));
        planner.project();
        return planner.desired;
      });
      const before = MemoryState.of(old ?? emptyState());
      const desired = next ?? emptyState();
      const changes = difference(desired, before, 'all', { ...differenceDefaults, mayRemove: false });
      const state = MemoryState.of(before);
      run(changes, state);
      for (const { operation } of changes) assert.doesNotMatch(operation.verb, /^remove-/);
      for (const [id, { destinations }] of before.services) {
        for (const [name, { weight }] of destinations) {
          assert.ok((state.services.get(id)?.destinations.get(name)?.weight ?? 0) >= weight);
        }
      }
      run(difference(desired, state, 'all', differenceDefaults), state);
      state.finishDrains(desired);
      assert.deepEqual(stateText(state), stateText(desired), 'what was left out is made up for afterwards');
    }),
    parameters,
  );
});

test('a family whose rules are not there: no frontend appears or goes, whatever is asked; once they are, all of it is made up for', () => {
  fc.assert(
    fc.property(steps, fc.subarray<IpFamily>(['IPv4', 'IPv6'], { minLength: 1 }), ([first, second], families) => {
      const planner = new Planner(planDefaults);
      planner.apply(message(...first));
      planner.project();
      const before = MemoryState.of(planner.desired);
      planner.apply(message(...second));
      planner.project();
      const { desired } = planner;
      const state = MemoryState.of(before);
      const closed: ReadonlySet<IpFamily> = new Set(families);
      run(difference(desired, state, 'all', { ...differenceDefaults, closed }), state);
      const frontends = ({ services, sets, addresses }: KernelState): unknown => ({
        services: [...services.values()].filter(({ service }) => closed.has(serviceFamily(service.key))).map(frontend),
        addresses: [...addresses].filter((address) => closed.has(familyOf(address))).sort(),
        // An external IP may move from one set to the other, as its policy says.
        tuples: ([['CLUSTER-IP'], ['LOAD-BALANCER'], ['EXTERNAL-IP', 'EXTERNAL-IP-LOCAL']] as const).map((ids) =>
          families.map((family) =>
            [...new Set(ids.flatMap((id: SetId) => [...(sets.get(setName(id, family)) ?? [])]))].sort(),
          ),
        ),
      });
      const frontend = ({ service }: ServiceNode): string => serviceId(service.key);
      assert.deepEqual(frontends(state), frontends(before));
      for (const [id, node] of desired.services) {
        const { service, destinations } = state.services.get(id) ?? {};
        if (service === undefined || !closed.has(serviceFamily(service.key))) continue;
        for (const [name, { weight }] of node.destinations) {
          assert.equal(destinations?.get(name)?.weight, weight, `${id} ${name} follows`);
        }
      }
      run(difference(desired, state, 'all', differenceDefaults), state);
      state.finishDrains(desired);
      assert.deepEqual(stateText(state), stateText(desired));
    }),
    parameters,
  );
});

test('virtual services of others, and what is in back-off, are left alone with what belongs to them', () => {
  fc.assert(
    fc.property(steps, fc.func(fc.boolean()), ([first, second], choose) => {
      const planner = new Planner(planDefaults);
      planner.apply(message(...first, ...second));
      planner.project();
      const { desired } = planner;
      const chosen = new Set([...desired.services.keys()].filter((id) => choose(id)));
      const variants: readonly DifferenceOptions[] = [
        { ...differenceDefaults, untouchable: chosen },
        { ...differenceDefaults, hold: new Set([...chosen].map((id) => `service ${id}`)) },
      ];
      for (const options of variants) {
        const state = emptyState();
        run(difference(desired, state, 'all', options), state);
        for (const id of chosen) assert.ok(!state.services.has(id));
        for (const id of desired.services.keys()) assert.ok(chosen.has(id) || state.services.has(id), id);
        checkWindows(state, emptyState(), state);
        for (const address of boundIn(state)) {
          assert.ok([...state.services.values()].some(({ service }) => service.key.address === address));
        }
        run(difference(desired, state, 'all', differenceDefaults), state);
        assert.deepEqual(stateText(state), stateText(desired), 'released, they are made up for');
      }
    }),
    parameters,
  );
});
