import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../../lib/address.ts';
import { RecordStore, type StoreSink } from '../../../lib/kube/record-store.ts';
import type { SourceProblem } from '../../../lib/kube/source.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { node, service, slice } from './objects.ts';

interface Fixture {
  readonly store: RecordStore;
  readonly sink: StoreSink;
  readonly problems: SourceProblem[];
  readonly changes: () => number;
}

function fixture(): Fixture {
  const problems: SourceProblem[] = [];
  let changes = 0;
  const store = new RecordStore({
    nodeName: 'n1',
    onChange: () => changes++,
    onProblem: (_, problem) => problems.push(problem),
  });
  const sink = store.sinkFor({ name: 'a', kinds: ['Service', 'EndpointSlice', 'Node'] });
  return { store, sink, problems, changes: () => changes };
}

function brief(records: readonly ObjectRecord[]): string[] {
  return records.map(({ source, kind, key, body }) => `${body === null ? '-' : '+'}${source}:${kind}:${key}`);
}

test('noise dies, changes are numbered, the latest state of a key is taken once', () => {
  const { store, sink, changes } = fixture();
  sink.upsert('Service', service('svc1'));
  const [first] = store.takePending();
  assert.deepEqual(first, {
    source: 'a',
    seq: 1,
    kind: 'service',
    key: 'ns1/svc1',
    uid: 'uid-svc1',
    body: first?.body,
  });
  // T103: metadata and status only.
  sink.upsert(
    'Service',
    service('svc1', {}, { status: { conditions: [1] } }, { resourceVersion: '9', annotations: { a: 'b' } }),
  );
  sink.upsert('Service', service('svc1'));
  assert.equal(store.pending, 0);
  assert.equal(changes(), 1);

  sink.upsert('EndpointSlice', slice('s1'));
  sink.upsert('Service', service('svc1', { ports: [{ port: 81 }] }));
  sink.upsert('EndpointSlice', slice('s1', { endpoints: [] }));
  sink.upsert('Node', node('n1'));
  assert.deepEqual(brief(store.takePending(2)), ['+a:service:ns1/svc1', '+a:slice:ns1/s1']);
  assert.deepEqual(brief(store.takePending()), ['+a:node:n1']);

  // A Service made anew with the same content is another object; one that loses its cluster IP is gone.
  sink.upsert('Service', service('svc1', { ports: [{ port: 81 }] }, {}, { uid: 'other' }));
  assert.deepEqual(brief(store.takePending()), ['+a:service:ns1/svc1']);
  sink.upsert('Service', service('svc1', { clusterIP: 'None' }));
  assert.deepEqual(brief(store.takePending()), ['-a:service:ns1/svc1']);
  sink.upsert('Service', service('svc1', { clusterIP: 'None' }));
  sink.remove('Service', 'ns1', 'svc1');
  sink.remove('Service', 'ns1', 'unknown');
  assert.equal(store.pending, 0);
  sink.remove('Node', '', 'n1');
  assert.deepEqual(brief(store.takePending()), ['-a:node:n1']);
  assert.deepEqual(brief(store.snapshot()), ['+a:slice:ns1/s1']);
});

test('what is wrong with an endpoint is told once, wherever in its list it moves to, and again after it was mended', () => {
  const { sink, problems } = fixture();
  const say = (...addresses: string[]): string[] => {
    problems.length = 0;
    sink.upsert('EndpointSlice', slice('s1', { endpoints: addresses.map((address) => ({ addresses: [address] })) }));
    return problems.map(({ message }) => message.replace(/ is a .*| are skipped.*/, ''));
  };
  const told = (place: number, address: string): string => `endpoints[${place}].addresses[0]: ${address}`;
  assert.deepEqual(say('10.244.1.5', '127.0.0.1'), [told(1, '127.0.0.1')]);
  assert.deepEqual(say('127.0.0.1'), []);
  assert.deepEqual(say('127.0.0.1', '10.244.1.5', '169.254.1.1'), [told(2, '169.254.1.1')]);
  assert.deepEqual(say('10.244.1.5'), []);
  assert.equal(say('127.0.0.1').length, 1);
  const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `127.0.0.${index + 1}`);
  assert.match(say(...many(7)).at(-1) ?? '', /more than 5 endpoints/);
  assert.deepEqual(say(...many(9)), []);
});

test('replace removes what is not named, unless the list breaks off', () => {
  const { store, sink, problems } = fixture();
  sink.replace('Service', [service('svc1'), service('svc2'), service('svc3', { clusterIP: 'None' })]);
  store.takePending();
  sink.replace('Service', [service('svc2'), { nonsense: true }]);
  assert.deepEqual(brief(store.takePending()), ['-a:service:ns1/svc1']);
  assert.match(problems[0]?.message ?? '', /metadata: nothing is not an object; the Service is skipped/);
  sink.replace(
    'Service',
    (function* () {
      yield service('svc4');
      throw new Error('torn');
    })(),
  );
  assert.deepEqual(brief(store.takePending()), ['+a:service:ns1/svc4']);
  assert.match(problems[1]?.message ?? '', /nothing is removed/);
});

test('sources do not overwrite each other, and all of them must have synced', () => {
  const { store, sink, changes } = fixture();
  assert.equal(new RecordStore({ nodeName: 'n1' }).allSynced, false);
  const other = store.sinkFor({ name: 'b', kinds: ['Service'] });
  sink.upsert('Service', service('svc1'));
  other.upsert('Service', service('svc1'));
  other.remove('Service', 'ns1', 'svc1');
  assert.deepEqual(brief(store.takePending()), ['+a:service:ns1/svc1', '-b:service:ns1/svc1']);
  sink.synced('Service');
  sink.synced('EndpointSlice');
  sink.synced('Node');
  assert.deepEqual(store.unsynced, ['b/Service']);
  assert.equal(store.allSynced, false);
  const before = changes();
  other.synced('Service');
  other.synced('Service');
  assert.equal(store.allSynced, true);
  assert.equal(changes(), before + 1);
  other.close();
  other.upsert('Service', service('svc9'));
  assert.equal(store.pending, 0);
  const address = parseAddress('192.168.1.10');
  assert.ok(address !== undefined);
  store.setNodeAddresses([address]);
  store.setNodeAddresses([address]);
  assert.deepEqual(brief(store.takePending()), ['+:nodeAddresses:n1']);
  assert.deepEqual(brief(store.snapshot()), ['+:nodeAddresses:n1', '+a:service:ns1/svc1']);
});

test('a slice whose label moves to another Service leaves the first, and without one it is gone (T102)', () => {
  const { store, sink, problems } = fixture();
  const labelled = (labels: { readonly [name: string]: string }): ReturnType<typeof slice> => slice('s1', {}, labels);
  const said = (): (string | undefined)[] =>
    store.takePending().map(({ kind, body }) => (kind === 'slice' ? (body?.service ?? 'gone') : kind));
  sink.upsert('EndpointSlice', labelled({ 'kubernetes.io/service-name': 'a' }));
  assert.deepEqual(said(), ['ns1/a']);
  sink.upsert('EndpointSlice', labelled({ 'kubernetes.io/service-name': 'b' }));
  assert.deepEqual(said(), ['ns1/b']);
  sink.upsert('EndpointSlice', labelled({}));
  assert.deepEqual(said(), ['gone']);
  assert.match(problems[0]?.message ?? '', /names no Service; the slice is skipped/);
  // T107: what is not there is removed, what is there is said again, and what was removed comes back.
  sink.remove('EndpointSlice', 'ns1', 's1');
  sink.remove('EndpointSlice', 'ns1', 's1');
  assert.deepEqual(said(), []);
  sink.upsert('EndpointSlice', labelled({ 'kubernetes.io/service-name': 'a' }));
  assert.deepEqual(said(), ['ns1/a']);
});

test('a problem is told once, and again only when it comes back', () => {
  const { store, sink, problems } = fixture();
  const bad = service('svc1', { ports: [{ port: 80 }, { name: 'b', port: 0 }] });
  for (let round = 0; round < 3; round++) sink.replace('Service', [bad, { metadata: {} }]);
  assert.deepEqual(
    problems.map(({ object, kind }) => `${kind} ${object}`),
    ['Service ns1/svc1', 'Service '],
  );
  assert.match(problems[0]?.message ?? '', /spec\.ports\[1\]\.port: 0/);
  sink.upsert('Service', service('svc1'));
  sink.upsert('Service', bad);
  assert.equal(problems.length, 3);
  sink.upsert(
    'Service',
    service('svc2', { loadBalancerSourceRanges: Array.from({ length: 5000 }, (_, index) => `x${index}`) }),
  );
  assert.equal(problems.length, 3 + 21);
  assert.match(problems.at(-1)?.message ?? '', /4980 more/);
  assert.equal(brief(store.takePending()).length, 2);
});

test('an object whose getters throw harms itself alone', () => {
  const { store, sink, problems } = fixture();
  sink.upsert('Service', service('svc1'));
  store.takePending();
  const trap = service('svc1');
  Object.defineProperty(trap, 'spec', {
    get: () => {
      throw new Error('boom\nboom');
    },
  });
  sink.replace('Service', [trap, service('svc2')]);
  assert.deepEqual(brief(store.takePending()), ['+a:service:ns1/svc2']);
  assert.match(problems[0]?.message ?? '', /cannot be read \(.*boom\\nboom/);
});

test('pending records applied one after the other lead to the snapshot, however they are taken', () => {
  const step = fc.record({
    act: fc.constantFrom('upsert', 'remove', 'replace', 'take'),
    name: fc.constantFrom('s1', 's2', 's3'),
    port: fc.integer({ min: 0, max: 3 }),
    source: fc.constantFrom('a', 'b'),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { store, sink } = fixture();
      const sinks = new Map([
        ['a', sink],
        ['b', store.sinkFor({ name: 'b', kinds: ['Service'] })],
      ]);
      const applied = new Map<string, ObjectRecord>();
      let last = 0;
      const take = (max?: number): void => {
        for (const record of store.takePending(max)) {
          assert.ok(record.seq > last, 'seq rises');
          last = record.seq;
          const key = `${record.source} ${record.key}`;
          if (record.body === null) applied.delete(key);
          else applied.set(key, record);
        }
      };
      for (const { act, name, port, source } of steps) {
        const into = sinks.get(source);
        if (act === 'upsert') into?.upsert('Service', service(name, { ports: [{ port }] }));
        else if (act === 'remove') into?.remove('Service', 'ns1', name);
        else if (act === 'replace') into?.replace('Service', [service(name, { ports: [{ port }] })]);
        else take(port);
        assert.ok(store.pending <= 6, 'bounded by keys');
      }
      take();
      const bySeq = (left: ObjectRecord, right: ObjectRecord): number => left.seq - right.seq;
      assert.deepEqual([...applied.values()].sort(bySeq), store.snapshot().sort(bySeq));
    }),
  );
});
