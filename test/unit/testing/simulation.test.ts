import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { parseAddress } from '../../../lib/address.ts';
import { asArray, type JsonObject, objectOrEmpty } from '../../../lib/kube/json.ts';
import { objectKey } from '../../../lib/kube/projection.ts';
import { RecordStore } from '../../../lib/kube/record-store.ts';
import type { ResourceKind } from '../../../lib/kube/source.ts';
import {
  type ChurnOptions,
  churn,
  SeededRandom,
  type SimulatedClusterOptions,
  simulateCluster,
} from '../../../lib/testing/index.ts';
import { runs } from '../../harness/runs.ts';

const KINDS: readonly ResourceKind[] = ['Node', 'Service', 'EndpointSlice'];

const clusters: fc.Arbitrary<SimulatedClusterOptions> = fc.record({
  seed: fc.nat(),
  services: fc.integer({ min: 0, max: 30 }),
  endpointsPerService: fc.constantFrom(0, 3, { min: 0, max: 150 }),
  nodes: fc.integer({ min: 1, max: 12 }),
  families: fc.constantFrom(['IPv4' as const], ['IPv6' as const], ['IPv4' as const, 'IPv6' as const]),
});
const histories: fc.Arbitrary<ChurnOptions> = fc.record({
  seed: fc.nat(),
  ratePerSecond: fc.constantFrom(1, 20, 500),
  maxEvents: fc.integer({ min: 0, max: 400 }),
  mix: fc.constantFrom({}, { noise: 0, nodeLoss: 5 }, { flip: 0, service: 40 }),
});

function digest(cluster: SimulatedClusterOptions, options: ChurnOptions): string {
  const hash = createHash('sha256');
  const simulated = simulateCluster(cluster);
  for (const object of simulated.objects()) hash.update(JSON.stringify(object));
  for (const event of churn(simulated, options)) hash.update(JSON.stringify(event));
  return hash.digest('hex');
}

test('the generator of chance gives the same numbers on every platform', () => {
  const random = new SeededRandom(42);
  assert.deepEqual(
    Array.from({ length: 4 }, () => random.next()),
    [1264412219, 1947509147, 3919439299, 1251167922],
  );
});

test('the same seed makes the same bytes, another one others', () => {
  fc.assert(
    fc.property(clusters, histories, (cluster, options) => {
      assert.equal(digest(cluster, options), digest({ ...cluster }, { ...options }));
    }),
    { numRuns: runs(4) },
  );
  assert.notEqual(digest({ seed: 1 }, { maxEvents: 0 }), digest({ seed: 2 }, { maxEvents: 0 }));
  assert.notEqual(digest({}, { seed: 1, maxEvents: 50 }), digest({}, { seed: 2, maxEvents: 50 }));
});

test('every object is one that a proxier takes without a complaint, whatever happened before', () => {
  fc.assert(
    fc.property(clusters, histories, (options, history) => {
      const problems: string[] = [];
      const store = new RecordStore({
        nodeName: 'node-0',
        onProblem: (_source, { object, message }) => problems.push(`${object}: ${message}`),
      });
      const sink = store.sinkFor({ name: 'test', kinds: KINDS });
      const cluster = simulateCluster(options);
      for (const kind of KINDS) for (const object of cluster.objects(kind)) sink.upsert(kind, object);
      for (const event of churn(cluster, history)) {
        if (event.op === 'upsert') sink.upsert(event.kind, event.object);
        else sink.remove(event.kind, event.namespace, event.name);
      }
      assert.deepEqual(problems, []);
    }),
    { numRuns: runs(25) },
  );
});

test('the events lead from what the cluster was to what it is; time never goes back', () => {
  fc.assert(
    fc.property(clusters, histories, (options, history) => {
      const cluster = simulateCluster(options);
      const seen = new Map<string, JsonObject>();
      for (const kind of KINDS) for (const object of cluster.objects(kind)) seen.set(idOf(kind, object), object);
      let lastMs = 0;
      for (const event of churn(cluster, history)) {
        assert.ok(event.atMs >= lastMs);
        lastMs = event.atMs;
        if (event.op === 'upsert') seen.set(idOf(event.kind, event.object), event.object);
        else assert.ok(seen.delete(`${event.kind} ${event.namespace}/${event.name}`), 'removed is what was there');
      }
      const now = new Map<string, JsonObject>();
      for (const kind of KINDS) for (const object of cluster.objects(kind)) now.set(idOf(kind, object), object);
      // The garbage collector may not have come yet.
      for (const [id, object] of seen) if (isOrphan(object, now)) seen.delete(id);
      assert.deepEqual(sorted(seen), sorted(now));
    }),
    { numRuns: runs(25) },
  );
});

test("slices are the slice controller's: of one family, full before there is another, and with each pod once", () => {
  const cluster = simulateCluster({ services: 3, endpointsPerService: 250, mix: { externalName: 0, dualStack: 1 } });
  for (const family of ['IPv4', 'IPv6']) {
    const slices = [...cluster.objects('EndpointSlice')].filter(
      (slice) => slice['addressType'] === family && String(idOf('EndpointSlice', slice)).includes('kube-dns'),
    );
    assert.deepEqual(
      slices.map((slice) => asArray(slice['endpoints'])?.length),
      [100, 100, 50],
    );
    const addresses = slices.flatMap((slice) => addressesOf(slice));
    assert.equal(new Set(addresses).size, 250);
    assert.ok(
      addresses.every((address) => parseAddress(address) === address && address.includes(':') === (family === 'IPv6')),
    );
  }
});

test('events come as often as was asked, of the kinds that were asked', () => {
  const cluster = simulateCluster({ services: 50 });
  const seen = new Map<string, number>();
  for (const { change } of churn(cluster, { ratePerSecond: 200, durationMs: 60_000, mix: { noise: 0, rollout: 3 } })) {
    seen.set(change, (seen.get(change) ?? 0) + 1);
  }
  const total = [...seen.values()].reduce((sum, count) => sum + count, 0);
  assert.ok(total > 0.85 * 12_000 && total < 1.15 * 12_000, `${total} events in a minute at 200 a second`);
  assert.equal(seen.get('noise'), undefined);
  for (const change of ['flip', 'replace', 'rollout', 'scale', 'service'])
    assert.ok((seen.get(change) ?? 0) > 20, change);
});

test('a lost node takes its endpoints with it and comes back', () => {
  const cluster = simulateCluster({ services: 20, nodes: 4, families: ['IPv4'] });
  const mix = { flip: 0, replace: 0, rollout: 0, scale: 0, service: 0, noise: 0, nodeLoss: 1 };
  const readiness = new Map<string, boolean>();
  let losses = 0;
  for (const event of churn(cluster, { ratePerSecond: 1, durationMs: 200_000, mix })) {
    if (event.op !== 'upsert' || event.kind !== 'Node') continue;
    const ready = JSON.stringify(event.object).includes('"status":"True"');
    readiness.set(idOf('Node', event.object), ready);
    if (!ready) losses += 1;
    const down = [...readiness.values()].filter((each) => !each).length;
    assert.ok(down <= 2, 'half of the nodes stay');
  }
  assert.ok(losses >= 2);
  assert.ok([...readiness.values()].includes(true), 'one came back');
});

test('a hundred thousand events (two million in the long run) leave no objects behind', () => {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  const cluster = simulateCluster({ services: 10, endpointsPerService: 2, families: ['IPv4'], nodes: 3 });
  const watched: WeakRef<object>[] = [];
  let count = 0;
  for (const event of churn(cluster, { ratePerSecond: 1000, maxEvents: runs(100_000) })) {
    count += 1;
    if (count % 1000 === 0) watched.push(new WeakRef(event));
  }
  return new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    Reflect.apply(collect, undefined, []);
    const alive = watched.filter((reference) => reference.deref() !== undefined).length;
    assert.ok(count >= runs(100_000));
    assert.ok(alive <= 2, `${alive} of ${watched.length} events are still held`);
    const { Service, EndpointSlice, endpoints } = cluster.counts;
    assert.ok(Service <= 10 && EndpointSlice <= 30 && endpoints < 500, JSON.stringify(cluster.counts));
  });
});

function idOf(kind: ResourceKind, object: JsonObject): string {
  return `${kind} ${objectKey(kind, object)}`;
}

function addressesOf(slice: JsonObject): string[] {
  return (asArray(slice['endpoints']) ?? []).map((endpoint) =>
    String(asArray(objectOrEmpty(endpoint)['addresses'])?.[0]),
  );
}

function isOrphan(object: JsonObject, now: ReadonlyMap<string, JsonObject>): boolean {
  const { namespace, labels } = objectOrEmpty(object['metadata']);
  const service = objectOrEmpty(labels)['kubernetes.io/service-name'];
  return object['kind'] === 'EndpointSlice' && !now.has(`Service ${String(namespace)}/${String(service)}`);
}

/** Without the heartbeats of nodes: the last one told is older than now. */
function sorted(objects: ReadonlyMap<string, JsonObject>): unknown[] {
  return [...objects]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, object]) => {
      return object['kind'] === 'Node' ? { ...object, status: objectOrEmpty(object['status'])['addresses'] } : object;
    });
}
