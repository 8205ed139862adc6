/** The plan is a function of what was said, not of when or in which portions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { servicesOfEntry } from '../../lib/plan/entry-services.ts';
import { Planner, type PlanOptions } from '../../lib/plan/planner.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import { histories } from '../harness/arbitrary-records.ts';
import { MemoryState } from '../harness/memory-state.ts';
import { message, planDefaults } from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { type StateText, stateText } from '../harness/state-text.ts';

const families = ['IPv4', 'IPv6'] as const;

interface Outcome {
  readonly state: StateText;
  readonly hashes: readonly number[];
  readonly wantedBy: readonly (readonly string[])[];
}

function outcome(planner: Planner): Outcome {
  const { services, addresses } = planner.desired;
  return {
    state: stateText(planner.desired),
    hashes: families.map((family) => planner.hash(family)),
    wantedBy: [
      ...[...services.keys()].sort().map((id) => planner.wantedBy(`service ${id}`)),
      ...[...addresses].sort().map((address) => planner.wantedBy(`address ${address}`)),
    ],
  };
}

/** What counts in the end: the last record of each source and key, bodies only. */
function last(history: readonly ObjectRecord[]): ObjectRecord[] {
  const records = new Map<string, ObjectRecord>();
  for (const record of history) records.set(`${record.source} ${record.kind} ${record.key}`, record);
  return [...records.values()].filter(({ body }) => body !== null);
}

function planAtOnce(records: readonly ObjectRecord[], options: PlanOptions): Planner {
  const planner = new Planner(options);
  planner.apply({ records, snapshot: 'whole', allSynced: true });
  planner.project();
  return planner;
}

const optionSets: fc.Arbitrary<PlanOptions> = fc
  .record({
    families: fc.constantFrom(['IPv4'] as const, ['IPv6'] as const, families),
    nodePortAddresses: fc.constantFrom([], ['192.168.0.0/16'], 'primary' as const),
  })
  .map((varied) => ({ ...planDefaults, ...varied }));

test('any grouping of any history ends like one snapshot of its outcome', () => {
  fc.assert(
    fc.property(histories, optionSets, fc.infiniteStream(fc.integer({ min: 0, max: 3 })), (history, options, cuts) => {
      const planner = new Planner(options);
      for (const record of history) {
        planner.apply(message(record));
        if (cuts.next().value === 0) planner.project();
      }
      planner.project();
      assert.deepEqual(outcome(planner), outcome(planAtOnce(last(history), options)));
    }),
    { numRuns: runs(400) },
  );
});

test('records of a snapshot may come in any order, and a snapshot replaces whatever was there', () => {
  fc.assert(
    fc.property(
      histories.chain((history) =>
        fc.tuple(fc.constant(last(history)), fc.shuffledSubarray(last(history), { minLength: last(history).length })),
      ),
      histories,
      ([records, shuffled], before) => {
        const planner = planAtOnce(before, planDefaults);
        const half = shuffled.length >> 1;
        planner.apply({ records: shuffled.slice(0, half), snapshot: 'begin', allSynced: true });
        planner.project();
        planner.apply({ records: shuffled.slice(half), snapshot: 'end', allSynced: true });
        planner.project();
        assert.deepEqual(outcome(planner), outcome(planAtOnce(records, planDefaults)));
      },
    ),
    { numRuns: runs(200) },
  );
});

test('equal hashes are equal wants', () => {
  const seen = new Map<string, string>();
  fc.assert(
    fc.property(histories, (history) => {
      const planner = planAtOnce(last(history), planDefaults);
      for (const port of planner.ports.values()) {
        const { hash, id, virtualServices, entries, addresses } = port;
        const services = virtualServices.map(({ kind, service, destinations }) => [kind, service, [...destinations]]);
        const content = JSON.stringify([services, entries, addresses]);
        const key = `${id} ${hash}`;
        assert.equal(seen.get(key) ?? content, content);
        seen.set(key, content);
      }
    }),
    { numRuns: runs(200) },
  );
});

test('who stands behind an entry is known without a search, and is who a search finds', () => {
  let found = 0;
  fc.assert(
    fc.property(histories, optionSets, (history, options) => {
      const { desired } = planAtOnce(last(history), options);
      const searched = MemoryState.of(desired);
      for (const [set, entries] of desired.sets) {
        if (!/IPVS-IPS|NODE-PORT-(LOCAL-)?(TCP|UDP)$/.test(set)) continue;
        for (const entry of entries) {
          const services = servicesOfEntry(desired, set, entry).sort();
          assert.deepEqual(services, servicesOfEntry(searched, set, entry).sort(), `${set} ${entry}`);
          found += services.length;
        }
      }
    }),
    { numRuns: runs(200) },
  );
  assert.ok(found > 0);
});
