/** What is said of endpoints is what is done with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Planner } from '../../lib/plan/planner.ts';
import { destinationId } from '../../lib/plan/state.ts';
import { clusterEvents } from '../harness/arbitrary-objects.ts';
import { reconcileInits } from '../harness/arbitrary-options.ts';
import { ObjectHistory } from '../harness/object-history.ts';
import { runs } from '../harness/runs.ts';

test('for every frontend, the destinations are the endpoints that are said to be in its list, each of them once', () => {
  let endpointsIn = 0;
  fc.assert(
    fc.property(fc.array(clusterEvents, { minLength: 8, maxLength: 16 }), reconcileInits, (events, options) => {
      const history = new ObjectHistory({ saysAddresses: true });
      for (const event of events) history.take(event);
      const planner = new Planner(options);
      planner.apply({ records: history.store.snapshot(), snapshot: 'whole', allSynced: true });
      planner.project();
      const explained = planner.explain();
      assert.deepEqual(
        explained.map(({ port }) => port),
        [...planner.ports.keys()].sort(),
      );
      const served: string[] = [];
      for (const { frontends, endpoints } of explained) {
        for (const { service, isServed, list } of frontends) {
          if (!isServed) continue;
          served.push(service);
          const said = endpoints.filter((endpoint) => list !== 'none' && endpoint[list]?.isIn === true);
          const done = planner.desired.services.get(service)?.destinations ?? new Map();
          assert.deepEqual(said.map(destinationId).sort(), [...done.keys()].sort(), service);
          endpointsIn += said.length;
        }
      }
      assert.deepEqual(served.sort(), [...planner.desired.services.keys()].sort());
    }),
    { numRuns: runs(400) },
  );
  assert.ok(endpointsIn > 400, 'the cases are about something');
});
