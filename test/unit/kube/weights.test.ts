/** Weights from the record store: who counts, and that every event ends where a fresh look at the same objects would. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import type { Hooks, WeightContext, WeightHook } from '../../../lib/kube/hooks.ts';
import { PlaceTable } from '../../../lib/kube/places.ts';
import { RecordStore, type StoreSink } from '../../../lib/kube/record-store.ts';
import type { ResourceKind } from '../../../lib/kube/source.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { node, service, slice } from './objects.ts';

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node'];
const PREFIX = 'ipvs-proxier.io/';

interface World {
  readonly store: RecordStore;
  readonly sink: StoreSink;
  /** `Service ns1/svc1: message` */
  readonly told: string[];
  /** Keys of the records since the last call. */
  readonly changed: () => string[];
}

function world(hooks: Hooks = {}, synced: boolean = true): World {
  const told: string[] = [];
  const store = new RecordStore({
    nodeName: 'n1',
    hooks,
    onProblem: (_, { kind, object, message }) => told.push(`${kind} ${object}: ${message}`),
  });
  const sink = store.sinkFor({ name: 'a', kinds: KINDS });
  if (synced) for (const kind of KINDS) sink.synced(kind);
  return { store, sink, told, changed: () => store.takePending().map(({ kind, key }) => `${kind} ${key}`) };
}

function weightsOf(store: RecordStore, key: string = 'ns1/s1'): readonly number[] | 'even' | undefined {
  const record = store.snapshot().find((each) => each.kind === 'slice' && each.key === key);
  return record?.kind === 'slice' ? (record.body?.weights ?? 'even') : undefined;
}

function annotated(
  annotations: { readonly [name: string]: string },
  name: string = 'svc1',
): ReturnType<typeof service> {
  const whole = Object.fromEntries(Object.entries(annotations).map(([key, value]) => [PREFIX + key, value]));
  return service(name, {}, {}, { annotations: whole });
}

function nodeIn(name: string, zone: string, labels: { readonly [name: string]: string } = {}): ReturnType<typeof node> {
  const all = { ...(zone === '' ? {} : { 'topology.kubernetes.io/zone': zone }), ...labels };
  return node(name, { metadata: { name, uid: `uid-${name}`, labels: all } });
}

const three = slice('s1', {
  endpoints: [
    { addresses: ['10.244.1.5'], nodeName: 'n1', zone: 'z1' },
    { addresses: ['bad'], nodeName: 'n1' },
    { addresses: ['10.244.2.7'], nodeName: 'n2', hostname: 'web-0', targetRef: { kind: 'Pod', name: 'web-0' } },
    { addresses: ['10.244.9.9'] },
  ],
});

test('zones and Node labels multiply; Services and Nodes that change weigh their own slices again, and noise is noise', () => {
  const { store, sink, told, changed } = world();
  sink.upsert('EndpointSlice', three);
  sink.upsert('EndpointSlice', slice('s2', {}, { 'kubernetes.io/service-name': 'other' }));
  sink.upsert('Service', service('svc1'));
  sink.upsert('Service', service('other'));
  sink.upsert('Node', nodeIn('n1', 'z1', { cores: '4' }));
  sink.upsert('Node', nodeIn('n2', 'z2', { cores: '40000' }));
  changed();
  assert.equal(weightsOf(store), 'even');

  // An annotation that comes late finds the slices that came before it.
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3,z2=2' }));
  assert.deepEqual(weightsOf(store), [3, 2, 1]);
  assert.deepEqual(changed(), ['slice ns1/s1'], 'the Service itself has not changed as a record');
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3,z2=2', 'weight-node-label': 'cores' }));
  assert.deepEqual(weightsOf(store), [12, 65535, 1]);
  assert.deepEqual(changed(), ['slice ns1/s1']);

  sink.upsert('Node', nodeIn('n1', 'z1', { cores: '4', other: 'x' }));
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3,z2=2', 'weight-node-label': 'cores' }));
  sink.upsert('EndpointSlice', three);
  assert.deepEqual(changed(), []);
  sink.upsert('Node', nodeIn('n2', 'z1', { cores: '0' }));
  assert.deepEqual(weightsOf(store), [12, 0, 1]);
  assert.deepEqual(changed(), ['node n2', 'slice ns1/s1']);
  assert.equal(told.filter((line) => !line.includes('"bad"')).length, 0, told.join('\n'));

  sink.upsert('Node', nodeIn('n2', 'z1', { cores: 'many' }));
  assert.deepEqual(weightsOf(store), [12, 3, 1]);
  assert.match(
    told.at(-1) ?? '',
    /^EndpointSlice ns1\/s1: label cores of Node n2: "many" is not a weight from 0 to 65535/,
  );
  sink.upsert('Node', nodeIn('n2', 'z1'));
  sink.remove('Node', '', 'n2');
  assert.deepEqual(weightsOf(store), [12, 1, 1]);
  const unknown = told.filter((line) => line.includes('option watchNodes: all'));
  assert.equal(unknown.length, 2, told.join('\n'));
  assert.match(unknown.join('\n'), /zone-weights"\] of Service ns1\/svc1 needs Nodes .*\n.*weight-node-label"\]/);
  sink.remove('Service', 'ns1', 'svc1');
  assert.equal(weightsOf(store), 'even');
  assert.equal(weightsOf(store, 'ns1/s2'), 'even');
});

test('a Node that is not known is told only once no more Nodes are to come', () => {
  const { store, sink, told } = world({}, false);
  sink.upsert('EndpointSlice', slice('s1', { endpoints: [{ addresses: ['10.244.2.7'], nodeName: 'n2' }] }));
  sink.upsert('Service', annotated({ 'weight-node-label': 'cores' }));
  sink.upsert('EndpointSlice', slice('s2', { endpoints: [{ addresses: ['10.244.3.7'], nodeName: 'n3' }] }));
  sink.synced('Service');
  sink.upsert('Node', nodeIn('n2', '', { cores: '2' }));
  assert.deepEqual([weightsOf(store), told], [[2], []]);
  sink.synced('Node');
  assert.match(told.join('\n'), /^EndpointSlice ns1\/s2: .*weight-node-label.*watchNodes: all\)$/);
});

test('weightFor sees endpoint, Service, slice and Node, counts before annotations, and runs only when one of them changed', () => {
  const calls: Parameters<WeightHook>[] = [];
  const weightFor: WeightHook = (...given) => {
    calls.push(given);
    const [{ hostname }, { service: owner, node: host }] = given;
    if (hostname !== undefined) return host === undefined ? undefined : Number(owner.metadata.labels['size'] ?? 7);
    return undefined;
  };
  const { store, sink, told, changed } = world({ weightFor });
  sink.upsert('EndpointSlice', three);
  assert.equal(calls.length, 0, 'not without a Service');
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3,z2=2' }));
  assert.deepEqual(weightsOf(store), [3, 1, 1]);
  sink.upsert('Node', nodeIn('n2', 'z2'));
  assert.deepEqual(weightsOf(store), [3, 7, 1]);
  const [endpoint, context] = calls.at(-2) ?? [];
  assert.deepEqual(endpoint, {
    address: '10.244.2.7',
    ready: true,
    serving: true,
    terminating: false,
    nodeName: 'n2',
    zone: 'z2',
    hostname: 'web-0',
    targetRef: { kind: 'Pod', name: 'web-0', namespace: '', uid: '' },
  });
  assert.deepEqual(
    [context?.nodeName, context?.slice.metadata.name, context?.slice.endpoints.length, context?.node?.metadata.name],
    ['n1', 's1', 4, 'n2'],
  );

  changed();
  const before = calls.length;
  // Heartbeats, and metadata that no hook sees.
  const labels = { 'topology.kubernetes.io/zone': 'z2' };
  const status = { conditions: [{ type: 'Ready', lastHeartbeatTime: 'now' }] };
  sink.upsert('Node', node('n2', { metadata: { name: 'n2', uid: 'uid-n2', labels, resourceVersion: '9' }, status }));
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3,z2=2' }));
  assert.deepEqual([calls.length - before, changed()], [0, []]);
  const relabelled = annotated({ 'zone-weights': 'z1=3,z2=2' });
  sink.upsert('Service', { ...relabelled, metadata: { ...relabelled.metadata, labels: { size: '9' } } });
  assert.deepEqual([calls.length - before, changed()], [3, ['slice ns1/s1']]);
  assert.deepEqual(weightsOf(store), [3, 9, 1]);

  sink.upsert('EndpointSlice', slice('s1'));
  const after = calls.length;
  sink.upsert('Node', nodeIn('n2', 'z3'));
  assert.equal(calls.length, after, 'no endpoint of the slice is there any more');
  assert.equal(told.filter((line) => !line.includes('"bad"') && !line.includes('watchNodes')).length, 0);
});

test('where two sources say the same object, that of the lowest name weighs, as it counts', () => {
  const { store, sink } = world();
  const other = store.sinkFor({ name: '0', kinds: KINDS });
  for (const kind of KINDS) other.synced(kind);
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3' }));
  sink.upsert('EndpointSlice', slice('s1', { endpoints: [{ addresses: ['10.244.1.5'], nodeName: 'n1' }] }));
  sink.upsert('Node', nodeIn('n1', 'z1'));
  assert.deepEqual(weightsOf(store), [3]);
  other.upsert('Node', nodeIn('n1', 'z2'));
  assert.equal(weightsOf(store), 'even');
  other.remove('Node', '', 'n1');
  assert.deepEqual(weightsOf(store), [3]);
  other.upsert('Service', service('svc1'));
  assert.equal(weightsOf(store), 'even');
  other.upsert('Service', service('svc1', { clusterIP: 'None' }));
  assert.deepEqual(weightsOf(store), [3]);
  sink.upsert('Node', nodeIn('n1', 'z2'));
  assert.equal(weightsOf(store), 'even');
});

test('a hook that throws or gives nonsense is told once for each object, and the annotations count', () => {
  let count = 0;
  let act: (context: WeightContext) => unknown = () => undefined;
  const { store, sink, told } = world({
    weightFor: (_, context) => Reflect.get({ said: act(context) }, String('said')),
  });
  const one = (address: string): ReturnType<typeof slice> =>
    slice('s1', { endpoints: [{ addresses: [address], nodeName: 'n1', zone: 'z1' }] });
  sink.upsert('Service', annotated({ 'zone-weights': 'z1=3' }));
  sink.upsert('EndpointSlice', one('10.244.1.1'));
  assert.deepEqual([weightsOf(store), told], [[3], []]);
  const hopeless = Object.create(null);
  for (const [wrong, pattern] of [
    [-1, /gave -1 for 10\.244\.1\.\d+/],
    [65536, /gave 65536/],
    [1.5, /gave 1.5/],
    [Number.NaN, /gave NaN/],
    ['3', /gave "3"/],
    [null, /gave null/],
    [10n, /gave bigint/],
    [Promise.reject(new Error('later')), /gave a Promise/],
  ] as const) {
    act = () => wrong;
    sink.upsert('EndpointSlice', one('10.244.1.2'));
    assert.match(told.pop() ?? '', pattern);
    assert.deepEqual([weightsOf(store), told], [[3], []]);
    act = () => 5;
    sink.upsert('EndpointSlice', one('10.244.1.3'));
    assert.deepEqual(weightsOf(store), [5]);
  }
  act = () => {
    throw count++ === 0 ? new Error(`no ${count}\nforged`) : hopeless;
  };
  for (const address of ['10.244.1.4', '10.244.1.5', '10.244.1.6']) sink.upsert('EndpointSlice', one(address));
  assert.equal(count, 3);
  assert.equal(told.length, 1, told.join('\n'));
  assert.match(
    told[0] ?? '',
    /^EndpointSlice ns1\/s1: weightFor threw for 10\.244\.1\.4: "Error: no 1\\nforged"; the annotations/,
  );
  act = ({ service: owner }) => Object.assign(owner.spec, { clusterIP: 'None' });
  sink.upsert('EndpointSlice', slice('s2'));
  assert.match(told.at(-1) ?? '', /^EndpointSlice ns1\/s2: weightFor threw .*read only/);
});

test('whatever the events, records are those of a fresh look at what is there', () => {
  const names = fc.constantFrom('a', 'b');
  const services = fc
    .record({
      name: names,
      clusterIP: fc.constantFrom('10.96.0.10', 'None'),
      size: fc.constantFrom('1', '2'),
      annotations: fc.constantFrom(
        {},
        { [`${PREFIX}zone-weights`]: 'z1=3,z2=0' },
        { [`${PREFIX}weight-node-label`]: 'cores' },
        { [`${PREFIX}zone-weights`]: 'z2=2', [`${PREFIX}weight-node-label`]: 'cores' },
        { [`${PREFIX}zone-weights`]: 'nonsense' },
      ),
    })
    .map(({ name, clusterIP, size, annotations }) => ({
      kind: 'Service' as const,
      object: service(name, { clusterIP }, {}, { annotations, labels: { size } }),
    }));
  const endpoints = fc.array(
    fc.record({
      addresses: fc.constantFrom(['10.244.1.1'], ['10.244.1.2'], ['bad'], []),
      nodeName: fc.constantFrom(undefined, 'n1', 'n2', 'n3'),
      zone: fc.constantFrom(undefined, 'z1', 'z2'),
    }),
    { maxLength: 3 },
  );
  const slices = fc.record({ name: fc.constantFrom('s1', 's2', 's3'), of: names, endpoints }).map((each) => ({
    kind: 'EndpointSlice' as const,
    object: slice(each.name, { endpoints: each.endpoints }, { 'kubernetes.io/service-name': each.of }),
  }));
  const nodes = fc
    .record({
      name: fc.constantFrom('n1', 'n2'),
      zone: fc.constantFrom('', 'z1', 'z2'),
      cores: fc.constantFrom('', '4', 'x'),
    })
    .map(({ name, zone, cores }) => ({
      kind: 'Node' as const,
      object: nodeIn(name, zone, cores === '' ? {} : { cores }),
    }));
  const events = fc.record({
    source: fc.constantFrom('a', 'b'),
    act: fc.constantFrom('upsert', 'upsert', 'upsert', 'remove', 'synced'),
    what: fc.oneof(services, slices, nodes),
  });
  const weightFor: WeightHook = ({ zone, address }, { service: owner, node: host }) => {
    if (address === '10.244.1.2') return undefined;
    return (zone ?? '').length * 100 + Number(owner.metadata.labels['size']) * 10 + (host === undefined ? 0 : 1);
  };
  const bare = (records: readonly ObjectRecord[]): object =>
    Object.fromEntries(
      records.map(({ seq: _, ...record }) => [`${record.source} ${record.kind} ${record.key}`, record]),
    );
  fc.assert(
    fc.property(fc.array(events, { maxLength: 30 }), fc.boolean(), (history, hooked) => {
      const hooks = hooked ? { weightFor } : {};
      const store = new RecordStore({ nodeName: 'n1', hooks });
      const sinks = new Map(['a', 'b'].map((name) => [name, store.sinkFor({ name, kinds: KINDS })]));
      const there = new Map<string, (typeof history)[number]>();
      const taken = new Map<string, ObjectRecord>();
      for (const event of history) {
        const { source, act, what } = event;
        const { metadata } = what.object;
        const namespace = what.kind === 'Node' ? '' : 'ns1';
        const key = `${source} ${what.kind} ${metadata.name}`;
        const sink = sinks.get(source);
        if (act === 'synced') sink?.synced(what.kind);
        else if (act === 'remove') sink?.remove(what.kind, namespace, metadata.name);
        else sink?.upsert(what.kind, what.object);
        if (act === 'remove') there.delete(key);
        else if (act === 'upsert') there.set(key, event);
        for (const record of store.takePending()) {
          const id = `${record.source} ${record.kind} ${record.key}`;
          if (record.body === null) taken.delete(id);
          else taken.set(id, record);
        }
      }
      const fresh = new RecordStore({ nodeName: 'n1', hooks });
      const freshSinks = new Map(['a', 'b'].map((name) => [name, fresh.sinkFor({ name, kinds: KINDS })]));
      for (const { source, what } of there.values()) freshSinks.get(source)?.upsert(what.kind, what.object);
      const expected = bare(fresh.snapshot());
      assert.deepEqual(bare(store.snapshot()), expected);
      assert.deepEqual(bare([...taken.values()]), expected, 'what the worker was told leads to the same');
    }),
    { numRuns: 400 },
  );
});

test('without weightFor no object is kept, also where annotations ask for weights; with it only copies', async () => {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  for (const hooks of [{}, { weightFor: () => 2 }]) {
    const { store, sink } = world(hooks);
    const kept = [annotated({ 'zone-weights': 'z1=3' }), service('plain'), three, nodeIn('n1', 'z1')].map(
      (object, index) => {
        const own: object = structuredClone(object);
        sink.upsert(index < 2 ? 'Service' : index === 2 ? 'EndpointSlice' : 'Node', own);
        const parts = Object.values(own).filter((part) => typeof part === 'object');
        return [own, ...parts].map((part) => new WeakRef<object>(part));
      },
    );
    // A WeakRef holds what it points to until the turn in which it was made is over.
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    assert.deepEqual(
      kept.flat().map((part) => part.deref()),
      kept.flat().map(() => undefined),
    );
    assert.deepEqual(weightsOf(store), hooks.weightFor === undefined ? [3, 1, 1] : [2, 2, 2]);
  }
});

test('places are shared while they are used, and forgotten after Nodes have come and gone for long', () => {
  const table = new PlaceTable();
  const used = [table.of('n1', 'z1'), table.of('n1', '')];
  assert.equal(table.of('n1', 'z1'), used[0]);
  assert.notEqual(table.of('n1', ''), used[0]);
  for (let index = 0; index < 100_000; index++) {
    table.of(`gone-${index}`, 'z1');
    table.sweep(() => used);
  }
  assert.ok(table.size < 1100, `${table.size}`);
  assert.equal(table.of('n1', 'z1'), used[0], 'what is used stays the one it was');
});
