/** Whatever happens, in whatever portions: what was followed step by step is what comes of the outcome when all of it is derived anew. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EndpointRef } from '../../lib/model/exclusions.ts';
import { difference } from '../../lib/plan/difference.ts';
import { Planner } from '../../lib/plan/planner.ts';
import type { ObjectRecord } from '../../lib/records.ts';
import { histories } from '../harness/arbitrary-records.ts';
import { differenceDefaults } from '../harness/difference-options.ts';
import { MemoryState } from '../harness/memory-state.ts';
import { planFromScratch, type ScratchPlan } from '../harness/plan-from-scratch.ts';
import {
  type EndpointShape,
  ip,
  message,
  node,
  nodeAddresses,
  planDefaults,
  service,
  servicePort,
  slice,
} from '../harness/records.ts';
import { runs } from '../harness/runs.ts';
import { stateText } from '../harness/state-text.ts';

/** A record, or endpoints that are taken out in the place of those that were. */
type Event = ObjectRecord | readonly EndpointRef[];

const options = { ...planDefaults, nodePortAddresses: [] };
const families = ['IPv4', 'IPv6'] as const;

/** One Service with many frontends and two ports, and slices that overlap, repeat themselves, and are edited more than replaced. */
const ports = [servicePort('a', 80, 'tcp', 30001), servicePort('b', 53, 'udp')];
const services = fc
  .record({
    externalPolicyLocal: fc.boolean(),
    internalPolicyLocal: fc.boolean(),
    vips: fc.subarray(['203.0.113.5', '198.18.0.1', '10.244.0.3']),
    ports: fc.constantFrom(ports, ports, ports.slice(1)),
    tuning: fc.constantFrom({}, {}, {}, { forward: 'direct' as const }),
    isGone: fc.constantFrom(false, false, false, true),
  })
  .map(({ isGone, vips, ...body }) => {
    const whole = { ...body, loadBalancerIPs: vips.map(ip), clusterIPs: [ip('10.96.0.1'), ip('fd00:96::1')] };
    return service(isGone ? null : whole, 'ns/s1');
  });
const endpoints: fc.Arbitrary<EndpointShape> = fc
  .record({
    host: fc.integer({ min: 1, max: 12 }),
    // Ready as a rule, so that the choice goes by single endpoints more often than by all.
    conditions: fc.constantFrom(3, 3, 3, 3, 3, 3, 3, 3, 2, 6, 6, 4, 0, 7),
    local: fc.constantFrom(false, false, false, true),
    weight: fc.constantFrom(1, 1, 1, 0, 7),
    zones: fc.constantFrom<string[][]>(['z1'], ['z1'], ['z2'], ['z1', 'z2'], []),
    nodes: fc.constantFrom<string[][]>([], [], ['n1'], ['n2']),
  })
  .map(({ host, ...shape }) => ({ address: `10.244.0.${host}`, ...shape }));
const plain = endpoints.map(({ zones: _, nodes: __, ...shape }) => shape);
const slicePorts = fc.constantFrom(
  [{ name: 'a', protocol: 'tcp' as const, port: 80 }],
  [
    { name: 'a', protocol: 'tcp' as const, port: 80 },
    { name: 'b', protocol: 'udp' as const, port: 5353 },
  ],
  [
    { name: 'a', protocol: 'tcp' as const, port: 80 },
    { name: 'a', protocol: 'tcp' as const, port: 81 },
  ],
  [{ name: 'b', protocol: 'udp' as const, port: 53 }],
);
const slices = fc
  .record({
    key: fc.constantFrom('ns/x1', 'ns/x2', 'ns/x3'),
    service: fc.constantFrom('ns/s1', 'ns/s1', 'ns/s1', 'ns/s1', 'ns/s2'),
    ports: slicePorts,
    list: fc.oneof(
      { weight: 2, arbitrary: fc.array(plain, { minLength: 1, maxLength: 8 }) },
      { weight: 1, arbitrary: fc.array(endpoints, { maxLength: 8 }) },
    ),
    isGone: fc.constantFrom(false, false, false, false, true),
  })
  .map(({ list, isGone, ...shape }) => slice(isGone ? null : list, shape));
const zones = fc.constantFrom('z1', 'z2', '').map((zone) => node({ zone }));
const interfaces = fc.constantFrom(nodeAddresses(), nodeAddresses('192.168.1.10', '203.0.113.5'));
const exclusions: fc.Arbitrary<readonly EndpointRef[]> = fc.array(
  fc.integer({ min: 1, max: 9 }).map((host) => ({ address: ip(`10.244.0.${host}`) })),
  { maxLength: 2 },
);
const endpointHistories: fc.Arbitrary<readonly Event[]> = fc
  .tuple(
    services,
    fc.array(
      fc.oneof(
        { weight: 12, arbitrary: slices },
        { weight: 1, arbitrary: services },
        { weight: 1, arbitrary: fc.oneof(zones, interfaces) },
        { weight: 1, arbitrary: exclusions },
      ),
      { minLength: 4, maxLength: 24 },
    ),
  )
  .map(([first, events]) => [node(), nodeAddresses(), first, ...events]);

/** What counts in the end. */
function outcome(events: readonly Event[]): { records: ObjectRecord[]; excluded: readonly EndpointRef[] } {
  const records = new Map<string, ObjectRecord>();
  let excluded: readonly EndpointRef[] = [];
  for (const event of events) {
    if ('kind' in event) records.set(`${event.source} ${event.kind} ${event.key}`, event);
    else excluded = event;
  }
  return { records: [...records.values()].filter(({ body }) => body !== null), excluded };
}

function text(
  plan: Pick<Planner, 'hash'> & { readonly desired: ScratchPlan['desired'] | Planner['desired'] },
  of: Planner['ports'],
): unknown {
  return {
    state: stateText(plan.desired),
    hashes: families.map((family) => plan.hash(family)),
    ports: [...of.values()]
      .map(({ id, hash, shape, warnings, serving, loopBack }) => [
        id,
        hash,
        shape,
        warnings,
        [...(serving ?? [])].sort(),
        [...loopBack].sort(),
      ])
      .sort(),
  };
}

test('followed step by step or derived anew: the same state, service ports and hashes, and the kernel is led there by what was named', () => {
  let followed = 0;
  fc.assert(
    fc.property(
      fc.oneof({ weight: 4, arbitrary: endpointHistories }, { weight: 1, arbitrary: histories }),
      fc.infiniteStream(fc.integer({ min: 0, max: 2 })),
      (history, cuts) => {
        const planner = new Planner(options);
        const kernel = MemoryState.of(planner.desired);
        const project = (so_far: readonly Event[]): void => {
          const dirty = planner.project();
          if (dirty.destinations.size > 0) followed += 1;
          for (const { operation } of difference(planner.desired, kernel, dirty, differenceDefaults))
            kernel.apply(operation);
          assert.deepEqual(
            difference(planner.desired, kernel, 'all', differenceDefaults),
            [],
            'something was not named',
          );
          const { records, excluded } = outcome(so_far);
          const scratch = planFromScratch(records, options, excluded);
          assert.deepEqual(text(planner, planner.ports), text(scratch, scratch.desired.ports));
        };
        for (const [index, event] of history.entries()) {
          if ('kind' in event) planner.apply(message(event));
          else planner.exclude(event);
          if (cuts.next().value === 0) project(history.slice(0, index + 1));
          if (cuts.next().value === 0) kernel.finishDrains(planner.desired);
        }
        project(history);
        kernel.finishDrains(planner.desired);
        assert.deepEqual(stateText(kernel), stateText(planner.desired));
      },
    ),
    { numRuns: runs(300) },
  );
  assert.ok(followed > 200, `the cases are about something: ${followed}`);
});
