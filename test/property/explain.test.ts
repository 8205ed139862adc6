/** What is said of endpoints is what is done with them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Planner } from '../../lib/plan/planner.ts';
import { destinationId } from '../../lib/plan/state.ts';
import { histories } from '../harness/arbitrary-records.ts';
import { message, planDefaults } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';

const options = fc
  .record({ externalLocalFallback: fc.constantFrom('cluster' as const, 'none' as const) })
  .map((varied) => ({ ...planDefaults, ...varied }));

test('for every frontend, the destinations are the endpoints that are said to be in its list, each of them once', () => {
  fc.assert(
    fc.property(histories, options, (history, planOptions) => {
      const planner = new Planner(planOptions);
      planner.apply(message(...history));
      planner.project();
      const explained = planner.explain();
      assert.deepEqual(explained.map(({ port }) => port).sort(), [...planner.ports.keys()].sort());
      const spokenOf = new Set<string>();
      for (const { port, frontends, endpoints } of explained) {
        for (const { service, list, why } of frontends) {
          const node = planner.desired.services.get(service);
          const isMine = planner.wantedBy(`service ${service}`)[0] === port;
          assert.equal(isMine, !/^(served for|not served|no address)/.test(why), `${port} ${service} ${why}`);
          if (!isMine) continue;
          spokenOf.add(service);
          const said = endpoints.filter((endpoint) => list !== 'none' && endpoint[list]?.isIn === true);
          assert.deepEqual(said.map(destinationId).sort(), [...(node?.destinations.keys() ?? [])].sort(), service);
        }
      }
      assert.deepEqual([...spokenOf].sort(), [...planner.desired.services.keys()].sort());
    }),
    { numRuns: runs(400) },
  );
});
