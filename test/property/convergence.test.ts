/** Whatever was said in whatever order and in whatever portions, the end is as if only the outcome had been said. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Planner, type PlanOptions } from '../../lib/plan/planner.ts';
import { clusterEvents } from '../harness/arbitrary-objects.ts';
import { reconcileInits } from '../harness/arbitrary-options.ts';
import { ObjectHistory } from '../harness/object-history.ts';
import { runs } from '../harness/runs.ts';
import { stateText } from '../harness/state-text.ts';

const events = fc.array(clusterEvents, { minLength: 4, maxLength: 24, size: 'max' });
/** After an event: say nothing yet; say it; say it and look; start anew with all there is. */
const portions = fc.array(fc.nat(11), { minLength: 24, maxLength: 24, size: 'max' });

function outcome(planner: Planner, options: PlanOptions): unknown {
  const { services, sets, addresses } = planner.desired;
  return {
    state: stateText(planner.desired),
    hashes: options.families.map((family) => planner.hash(family)),
    ports: [...planner.ports.values()].map(({ id, hash, warnings }) => [id, hash, warnings]).sort(),
    wantedBy: [
      ...[...services.keys()].sort().map((id) => planner.wantedBy(`service ${id}`)),
      ...[...addresses].sort().map((address) => planner.wantedBy(`address ${address}`)),
      ...[...sets].map(([name, entries]) =>
        [...entries].sort().map((entry) => planner.wantedBy(`entry ${name} ${entry}`)),
      ),
    ],
    explained: planner.explain(),
    podCIDRs: planner.self?.podCIDRs,
  };
}

/** Services of both policies and kinds, with endpoints: without them the property would be about nothing. */
const seen = { services: 0, destinations: 0, entries: 0, conflicts: 0, cases: 0 };

test('hostile objects, new lists and restarts included: the same state, hashes, owners and explanations as from scratch', () => {
  fc.assert(
    fc.property(events, portions, reconcileInits, (history, cuts, options) => {
      const live = new ObjectHistory({ saysAddresses: true });
      const planner = new Planner(options);
      history.forEach((event, index) => {
        live.take(event);
        const cut = cuts[index] ?? 0;
        if (cut === 0) return;
        const records = live.store.takePending();
        if (cut === 1) planner.apply({ records: live.store.snapshot(), snapshot: 'whole', allSynced: true });
        else planner.apply({ records, allSynced: true });
        if (cut > 4) planner.project();
      });
      planner.apply({ records: live.store.takePending(), allSynced: true });
      planner.project();
      const fresh = new Planner(options);
      fresh.apply({ records: live.outcome().store.snapshot(), snapshot: 'whole', allSynced: true });
      fresh.project();
      assert.deepEqual(outcome(planner, options), outcome(fresh, options));
      const { desired } = fresh;
      seen.cases += 1;
      seen.services += desired.services.size;
      for (const { destinations } of desired.services.values()) seen.destinations += destinations.size;
      for (const entries of desired.sets.values()) seen.entries += entries.size;
      if (fresh.warnings().some(({ message }) => message.includes('which comes first'))) seen.conflicts += 1;
    }),
    { numRuns: runs(2000, 50_000) },
  );
  assert.ok(
    seen.services > 2 * seen.cases && seen.destinations > seen.cases && seen.entries > 5 * seen.cases,
    'the cases are about something',
  );
  assert.ok(seen.conflicts > seen.cases / 20, 'Services meet');
});
