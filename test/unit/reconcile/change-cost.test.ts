/** A change costs what the change costs: objects looked at, bytes that cross, netlink messages, the same in a cluster of any size. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { RecordStore } from '../../../lib/kube/record-store.ts';
import type { RecordMessage } from '../../../lib/records.ts';
import { countVisits } from '../../harness/count-visits.ts';
import { bindOutside, newKernel, World } from './world.ts';

interface Cost {
  readonly records: number;
  readonly bytes: number;
  /** Looked at on the caller's side, and on the worker's. */
  readonly projected: number;
  readonly visits: number;
  readonly drained: readonly unknown[];
}

type Pod = { readonly address: string; readonly local?: boolean };

const address = (block: number, index: number): string =>
  `10.${block + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
const small = (index: number): string => `s${index}`;

/** The API of a cluster that grows, as far as a worker that serves it. */
class Cluster {
  readonly world: World;
  readonly #store = new RecordStore({ nodeName: 'n1' });
  readonly #sink = this.#store.sinkFor({ name: 'api', kinds: ['Service', 'EndpointSlice'] });
  #services = 0;

  constructor(world: World) {
    this.world = world;
  }

  service(name: string, clusterIP: string, spec: object = {}, status: object = {}): void {
    const metadata = { name, namespace: 'ns1', uid: name };
    this.#sink.upsert('Service', { metadata, spec: { clusterIP, ports: [{ port: 80 }], ...spec }, status });
  }

  slice(of: string, number: number, pods: readonly Pod[], metadata: object = {}, protocol = 'TCP'): void {
    const labels = { 'kubernetes.io/service-name': of };
    this.#sink.upsert('EndpointSlice', {
      metadata: { name: `${of}-${number}`, namespace: 'ns1', uid: `${of}-${number}`, labels, ...metadata },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol }],
      endpoints: pods.map(({ address: pod, local = false }) => ({ addresses: [pod], nodeName: local ? 'n1' : 'n2' })),
    });
  }

  /** Up to so many Services of one endpoint. */
  growTo(services: number): void {
    for (; this.#services < services; this.#services += 1) {
      this.service(small(this.#services), address(64, this.#services));
      this.slice(small(this.#services), 1, [{ address: address(128, this.#services) }]);
    }
  }

  take(): RecordMessage {
    return { records: this.#store.takePending(), allSynced: true };
  }
}

const pods = (part: number): Pod[] =>
  Array.from({ length: 100 }, (_, index) => ({ address: `172.16.${part}.${index}` }));
const newcomer: Pod = { address: '172.16.3.200' };

test('one endpoint more or less costs the same in a cluster of 1,000, of 10,000 and of 50,000 Services', async () => {
  const kernel = newKernel();
  bindOutside(kernel, 'eth0', '192.168.1.11', 24);
  const world = new World(kernel);
  await world.start();
  const cluster = new Cluster(world);
  const say = async (message: RecordMessage) => {
    const report = await world.say(...message.records);
    assert.deepEqual(report.failures, []);
    return report;
  };
  // Ten slices of a hundred: four virtual services with a thousand destinations each.
  const spec = { type: 'LoadBalancer', ports: [{ port: 80, nodePort: 30080 }] };
  cluster.service('big', '10.96.0.10', spec, { loadBalancer: { ingress: [{ ip: '198.18.0.1' }] } });
  cluster.service('dns', '10.96.0.53', { ports: [{ port: 53, protocol: 'UDP' }] });
  for (let part = 0; part < 10; part += 1) {
    cluster.slice('big', part, pods(part));
    cluster.slice('dns', part, pods(part), {}, 'UDP');
  }
  await say(cluster.take());
  assert.equal(kernel.dump().match(/-r 172\.16\.3\.\d+:8080/g)?.length, 500);

  const changes: Readonly<Record<string, () => void>> = {
    'one comes': () => cluster.slice('big', 3, [...pods(3), newcomer]),
    'one goes': () => cluster.slice('big', 3, pods(3)),
    'one comes on this node': () => cluster.slice('big', 3, [...pods(3), { ...newcomer, local: true }]),
    'it goes as well': () => cluster.slice('big', 3, pods(3)),
    'one of UDP comes': () => cluster.slice('dns', 3, [...pods(3), newcomer], {}, 'UDP'),
    'one of UDP goes': () => cluster.slice('dns', 3, pods(3), {}, 'UDP'),
    'one is replaced': () => cluster.slice('s7', 1, [newcomer]),
    'and put back': () => cluster.slice('s7', 1, [{ address: address(128, 7) }]),
  };
  const expected: Readonly<Record<string, Readonly<Record<string, number>>>> = {
    'one comes': { 'create-destination': 4 },
    'one goes': { 'update-destination': 4 },
    'one comes on this node': { 'create-destination': 4, 'add-entry': 1 },
    'it goes as well': { 'update-destination': 4, 'remove-entry': 1 },
    'one of UDP comes': { 'create-destination': 1 },
    'one of UDP goes': { 'remove-destination': 1 },
    'one is replaced': { 'create-destination': 1, 'update-destination': 1 },
    'and put back': { 'create-destination': 1, 'update-destination': 1 },
  };
  const costs: Record<string, Cost>[] = [];
  // The first time is for what is remembered by it.
  for (const services of [1000, 1000, 10_000, 50_000]) {
    cluster.growTo(services);
    await say(cluster.take());
    const cost: Record<string, Cost> = {};
    for (const [name, change] of Object.entries(changes)) {
      const crossed = await countVisits(async () => {
        change();
        return cluster.take();
      });
      const message = crossed.result;
      // Numbers of records are longer as there are more.
      const records = message.records.map((record) => ({ ...record, seq: 0 }));
      const { visits, result } = await countVisits(() => say(message));
      assert.deepEqual(result.byVerb, expected[name], name);
      // What has weight 0 goes with the next look at the counts.
      const drained = (await world.pass(2000)).flatMap(({ byVerb }) => Object.entries(byVerb));
      cost[name] = {
        records: records.length,
        bytes: serialize({ ...message, records }).length,
        projected: crossed.visits,
        visits,
        drained,
      };
    }
    costs.push(cost);
  }
  const [, first, ...larger] = costs;
  for (const cost of larger) assert.deepEqual(cost, first);
  // A slice of a hundred, and four virtual services of a thousand destinations.
  for (const { records, bytes, projected, visits } of Object.values(first ?? assert.fail())) {
    assert.equal(records, 1);
    assert.ok(bytes < 2500 && projected < 1500 && visits < 1000, `${bytes} bytes, ${projected} + ${visits} visits`);
  }
  assert.deepEqual(first?.['one goes']?.drained, [['remove-destination', 4]]);
  await world.close();
});

test('what says nothing new does not cross: metadata, status, the same again', () => {
  const cluster = new Cluster(new World());
  cluster.service('a', '10.96.0.10', {}, { loadBalancer: {} });
  cluster.slice('a', 1, pods(1));
  assert.equal(cluster.take().records.length, 2);
  cluster.service('a', '10.96.0.10', {}, { loadBalancer: {}, conditions: [{ type: 'Ready' }] });
  cluster.slice('a', 1, pods(1), { resourceVersion: '77', annotations: { touched: 'yes' }, managedFields: [{}] });
  assert.equal(cluster.take().records.length, 0);
});
