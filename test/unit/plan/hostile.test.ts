/**
 * Acceptance tests T45, T56 and T91 to T110 of behaviour.md section 10 on objects as the API server says them: through the projection and the
 * record store into the plan. What each field comes to is in test/unit/kube/projection.test.ts; here nothing else may suffer by it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecordStore } from '../../../lib/kube/record-store.ts';
import type { ResourceKind } from '../../../lib/kube/source.ts';
import { Planner } from '../../../lib/plan/planner.ts';
import { hostilities, withValue } from '../../harness/hostile-objects.ts';
import { ip, planDefaults } from '../../harness/records.ts';
import { stateText } from '../../harness/state-text.ts';
import { node, service, slice } from '../kube/objects.ts';

const kinds = ['Service', 'EndpointSlice', 'Node'] as const;

interface KubeObject {
  readonly kind: ResourceKind;
  readonly [field: string]: unknown;
}

/** From what a source says to what is wanted. */
class Cluster {
  readonly planner: Planner = new Planner(planDefaults);
  readonly problems: string[] = [];
  readonly warnings: string[] = [];
  readonly #store = new RecordStore({
    nodeName: 'n1',
    onProblem: (_source, { object, message }) => this.problems.push(`${object}: ${message}`),
  });
  readonly #sink = this.#store.sinkFor({ name: 'api', kinds });

  constructor(...objects: readonly KubeObject[]) {
    for (const kind of kinds) this.#sink.synced(kind);
    this.#store.setNodeAddresses([ip('192.168.1.10')]);
    this.say(...objects);
  }

  say(...objects: readonly KubeObject[]): this {
    for (const object of objects) this.#sink.upsert(object.kind, object);
    return this.#settle();
  }

  remove(kind: ResourceKind, name: string): this {
    this.#sink.remove(kind, 'ns1', name);
    return this.#settle();
  }

  /** Records that the planner has not seen. */
  get pending(): number {
    return this.#store.pending;
  }

  #settle(): this {
    this.planner.apply({ records: this.#store.takePending(), allSynced: true });
    this.planner.project();
    for (const { object, message } of this.planner.warnings()) this.warnings.push(`${object}: ${message}`);
    return this;
  }

  get ipvs(): readonly string[] {
    return stateText(this.planner.desired).ipvs;
  }

  destinations(name = '-t 10.96.0.10:80'): readonly string[] {
    return this.ipvs.flatMap((line) => (line.startsWith(`-a ${name} `) ? (/ -r (\S+)/.exec(line)?.[1] ?? []) : []));
  }
}

const endpoint = (address: string): unknown => ({ addresses: [address], nodeName: 'n1' });
const of = (name: string): { 'kubernetes.io/service-name': string } => ({ 'kubernetes.io/service-name': name });

test('T91, T94 to T100, T102, T104 to T106, T108 to T110: whatever an object is, the one beside it is served as ever', () => {
  const bystander = [
    service('good', { clusterIP: '10.96.0.99', ports: [{ name: 'p80', port: 8099, nodePort: 30099 }] }),
    slice('good-1', { endpoints: [endpoint('10.244.9.9')] }, of('good')),
  ];
  const makers = {
    Service: () => service('s'),
    EndpointSlice: () => slice('s-1', {}, of('s')),
    Node: () => node('n2'),
  };
  const served = (cluster: Cluster): readonly string[] =>
    [...cluster.ipvs, ...stateText(cluster.planner.desired).sets].filter((line) =>
      /8099|30099|10\.244\.9\.9/.test(line),
    );
  const undisturbed = served(new Cluster(...bystander));
  assert.ok(undisturbed.length > 5);
  for (const { test: number, kind, path, values } of hostilities) {
    for (const value of values) {
      const what = `${number} ${path.join('.')} = ${JSON.stringify(value)?.slice(0, 80)}`;
      const object: unknown = withValue(makers[kind](), path, value);
      const cluster = new Cluster(service('s'), slice('s-1', {}, of('s')), ...bystander);
      // Typed as the source may be wrong: what comes is whatever the API server, or somebody in between, says.
      if (typeof object === 'object' && object !== null) cluster.say({ kind, ...object });
      assert.deepEqual(served(cluster), undisturbed, what);
      for (const problem of [...cluster.problems, ...cluster.warnings]) assert.doesNotMatch(problem, /\p{Cc}/u, what);
      cluster.remove(kind, 's').remove(kind, 's-1');
      assert.deepEqual(served(cluster), undisturbed, `${what}, gone again`);
    }
  }
});

test('T45, T97: an endpoint without conditions, or with nulls in them, is ready', () => {
  for (const conditions of [undefined, {}, { ready: null, serving: null, terminating: null }]) {
    const cluster = new Cluster(
      service('svc1'),
      slice('s', { endpoints: [{ addresses: ['10.244.1.5'], conditions }] }),
    );
    assert.deepEqual(cluster.destinations(), ['10.244.1.5:8080']);
  }
});

test('T56, T98: an IPv4-mapped IPv6 address is of no family, be it an endpoint, an external IP or a cluster IP', () => {
  const mapped = '::ffff:10.0.0.1';
  const cluster = new Cluster(
    service('svc1', { clusterIP: undefined, clusterIPs: ['10.96.0.10', 'fd00:96::10'], externalIPs: [mapped] }),
    service('svc2', { clusterIP: mapped }),
    slice('s6', { addressType: 'IPv6', endpoints: [endpoint(mapped), endpoint('fd00:244::5')] }),
    slice('s4', { endpoints: [endpoint(mapped), endpoint('10.244.1.5')] }),
  );
  assert.deepEqual(cluster.ipvs, [
    '-A -t 10.96.0.10:80 -s rr',
    '-A -t [fd00:96::10]:80 -s rr',
    '-a -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 1',
    '-a -t [fd00:96::10]:80 -r [fd00:244::5]:8080 -m -w 1',
  ]);
  assert.equal(cluster.problems.filter((problem) => problem.includes('belongs to no family')).length, 4);
});

test('T92, T93: of two Services that want the same, the same one has it after every event, and one warning says so', () => {
  const both = { ports: [{ name: 'p80', port: 80, nodePort: 30080 }], externalIPs: ['203.0.113.5'], type: 'NodePort' };
  const younger = service('a', { ...both, clusterIP: '10.96.0.10' }, {}, { creationTimestamp: '2026-02-02T00:00:00Z' });
  const older = service('b', { ...both, clusterIP: '10.96.0.10' }, {}, { creationTimestamp: '2026-01-01T00:00:00Z' });
  const slices = [
    slice('a-1', { endpoints: [endpoint('10.244.1.1')] }, of('a')),
    slice('b-1', { endpoints: [endpoint('10.244.1.2')] }, of('b')),
  ];
  const names = ['-t 10.96.0.10:80', '-t 203.0.113.5:80', '-t 192.168.1.10:30080'];
  for (const order of [
    [younger, older],
    [older, younger],
  ]) {
    const cluster = new Cluster(...order, ...slices);
    for (let round = 0; round < 5; round += 1) {
      // Something is said of either again and again: noise, and another endpoint of the loser.
      cluster.say({ ...older, status: { round } }, younger);
      cluster.say(slice('a-2', { endpoints: [endpoint(`10.244.2.${round}`)] }, of('a')));
      for (const name of names) assert.deepEqual(cluster.destinations(name), ['10.244.1.2:8080'], name);
    }
    assert.equal(cluster.warnings.length, names.length, cluster.warnings.join('\n'));
    for (const warning of cluster.warnings)
      assert.match(warning, /^service ns1\/a: .* is served for IPv4 ns1\/b:p80\/tcp/);
  }
});

test('T99: an endpoint that is a virtual IP of its own Service is skipped, and named', () => {
  const vips = { externalIPs: ['203.0.113.5'] };
  const status = { status: { loadBalancer: { ingress: [{ ip: '198.18.0.1' }] } } };
  const endpoints = ['10.96.0.10', '203.0.113.5', '198.18.0.1', '10.244.1.5'].map(endpoint);
  const cluster = new Cluster(service('svc1', vips, status), slice('s', { endpoints }));
  for (const name of ['10.96.0.10', '203.0.113.5', '198.18.0.1'])
    assert.deepEqual(cluster.destinations(`-t ${name}:80`), ['10.244.1.5:8080']);
  assert.equal(
    cluster.warnings.filter((warning) => warning.includes('is a virtual IP of the Service itself')).length,
    3,
  );
  const { sets } = stateText(cluster.planner.desired);
  assert.deepEqual(
    sets.filter((line) => line.includes('LOOP-BACK')),
    ['add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5'],
  );
  const said = cluster.planner.explain().flatMap(({ endpoints: all }) => all.map(({ cluster: list }) => list?.why));
  assert.deepEqual(said, [...Array(3).fill('its address is a virtual IP of the Service itself'), 'ready']);
});

test('T101: three slices of the same thousand endpoints are a thousand destinations', () => {
  const endpoints = Array.from({ length: 1000 }, (_, index) => endpoint(`10.244.${index >> 8}.${index & 255}`));
  const cluster = new Cluster(service('svc1'), ...['a', 'b', 'c'].map((name) => slice(name, { endpoints })));
  assert.equal(cluster.destinations().length, 1000);
});

test('T102: a slice that changes its label leaves the old Service for the new one', () => {
  const cluster = new Cluster(service('svc1'), service('svc2', { clusterIP: '10.96.0.11' }), slice('s'));
  assert.deepEqual(cluster.destinations(), ['10.244.1.5:8080']);
  cluster.say(slice('s', {}, of('svc2')));
  assert.deepEqual([cluster.destinations(), cluster.destinations('-t 10.96.0.11:80')], [[], ['10.244.1.5:8080']]);
  cluster.say({ ...slice('s'), metadata: { ...slice('s').metadata, labels: {} } });
  assert.deepEqual([cluster.destinations(), cluster.destinations('-t 10.96.0.11:80')], [[], []]);
});

test('T106: five thousand ports and as many source ranges are that many virtual services and entries, a change of one is one', () => {
  const ports = Array.from({ length: 5000 }, (_, index) => ({ name: `p${index}`, port: 1 + index }));
  const ranges = Array.from({ length: 5000 }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`);
  const many = service('svc1', { ports });
  const balanced = { status: { loadBalancer: { ingress: [{ ip: '198.18.0.1' }] } } };
  const ranged = service(
    'svc2',
    { type: 'LoadBalancer', clusterIP: '10.96.0.11', loadBalancerSourceRanges: ranges },
    balanced,
  );
  const cluster = new Cluster(many, ranged);
  const { desired } = cluster.planner;
  assert.equal(desired.services.size, 5002);
  assert.equal(desired.sets.get('KUBE-LOAD-BALANCER-SOURCE-CIDR')?.size, 5000);
  const fewer = service('svc2', { ...ranged.spec, loadBalancerSourceRanges: ranges.slice(1) }, balanced);
  cluster.say(fewer);
  assert.equal(desired.sets.get('KUBE-LOAD-BALANCER-SOURCE-CIDR')?.size, 4999);
});

test('T103, T107: what is deleted and was not there, updated before it was added, or says nothing new, is no event', () => {
  const cluster = new Cluster(slice('s'));
  assert.deepEqual(cluster.ipvs, []);
  cluster.remove('Service', 'svc1').remove('EndpointSlice', 'never').remove('Node', 'n9');
  cluster.say(service('svc1'));
  assert.deepEqual(cluster.destinations(), ['10.244.1.5:8080']);
  const { planner } = cluster;
  const before = planner.hash('IPv4');
  cluster.say({
    ...slice('s'),
    metadata: { ...slice('s').metadata, ...{ resourceVersion: '7', annotations: { a: 'b' } } },
  });
  assert.equal(cluster.pending, 0);
  assert.equal(planner.hash('IPv4'), before);
  cluster.remove('EndpointSlice', 's').remove('EndpointSlice', 's').remove('Service', 'svc1').remove('Service', 'svc1');
  assert.deepEqual(cluster.ipvs, []);
});
