import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ipAddress } from '../../../lib/kernel/ip-address.ts';
import { losesEndpoints } from '../../../lib/kube/lost-endpoints.ts';
import { type PendingChange, PendingRecords, type RoundLimits } from '../../../lib/kube/pending-records.ts';
import { RecordStore } from '../../../lib/kube/record-store.ts';
import { EndpointBit, type SliceBody } from '../../../lib/records.ts';
import { service, slice } from './objects.ts';

const EVERYTHING: RoundLimits = { records: Number.POSITIVE_INFINITY, endpoints: Number.POSITIVE_INFINITY };

function keys(changes: readonly PendingChange[]): string[] {
  return changes.map(({ record }) => record.key.replace('ns1/', ''));
}

function endpoints(...hosts: readonly number[]): { readonly endpoints: readonly object[] } {
  return { endpoints: hosts.map((host) => ({ addresses: [`10.244.1.${host}`], conditions: { ready: true } })) };
}

function of(name: string): { readonly 'kubernetes.io/service-name': string } {
  return { 'kubernetes.io/service-name': name };
}

test('a round: critical Services, those that lose endpoints with all their slices, then who came first', () => {
  const store = new RecordStore({ nodeName: 'n1' });
  const sink = store.sinkFor({ name: 'a', kinds: ['Service', 'EndpointSlice'] });
  sink.upsert('EndpointSlice', slice('moved-from', endpoints(1, 2), of('moving')));
  sink.upsert('EndpointSlice', slice('shrinks', endpoints(3, 4), of('shrinking')));
  store.takeRound(EVERYTHING);

  sink.upsert('Service', service('first'));
  sink.upsert('EndpointSlice', slice('moved-to', endpoints(1), of('moving')));
  sink.upsert('EndpointSlice', slice('grows', endpoints(5), of('growing')));
  sink.upsert('EndpointSlice', slice('moved-from', endpoints(2), of('moving')));
  sink.upsert('EndpointSlice', {
    ...slice('dns', endpoints(6), of('kube-dns')),
    metadata: { name: 'dns', namespace: 'kube-system', labels: of('kube-dns') },
    ports: [{ name: 'dns', port: 53, protocol: 'UDP' }],
  });
  sink.upsert('EndpointSlice', slice('shrinks', endpoints(3), of('shrinking')));
  sink.upsert('Service', service('kubernetes', {}, {}, { namespace: 'default' }));
  const critical = ['kube-system/dns', 'default/kubernetes'];
  const losing = ['moved-to', 'moved-from', 'shrinks'];
  const all = [...critical, ...losing, 'first', 'grows'];
  // What has waited longest has its share, and the endpoint that moves is in before it is out.
  assert.deepEqual(keys(store.takeRound({ records: 6, endpoints: 100 })), [...critical, ...losing, 'first']);
  assert.deepEqual(keys(store.takeRound(EVERYTHING)), ['grows']);
  assert.equal(all.length, 7);

  // A slice that is larger than the limit goes nevertheless, one at a time.
  for (const name of ['s1', 's2']) sink.upsert('EndpointSlice', slice(name, endpoints(1, 2, 3), of(name)));
  assert.deepEqual(keys(store.takeRound({ records: 10, endpoints: 2 })), ['s1']);
  assert.deepEqual(keys(store.takeRound({ records: 10, endpoints: 2 })), ['s2']);
});

test('rounds stay in their limits, take the newest states, keep the age of the oldest, and starve nobody', () => {
  const limits: RoundLimits = { records: 8, endpoints: 8 };
  const event = fc.record({ key: fc.nat(40), size: fc.nat(3), loses: fc.boolean(), critical: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 120 }), fc.nat(3), (events, flood) => {
      const pending = new PendingRecords();
      const newest = new Map<string, number>();
      let seq = 0;
      const put = (key: number, size: number, loses: boolean, critical: boolean): void => {
        const body = sliceBody(`ns1/${key % 9}`, size);
        const record = { source: 'a', seq: ++seq, kind: 'slice', key: String(key), uid: '', body } as const;
        const urgency = { service: body.service, isCritical: critical, losesEndpoints: loses };
        pending.put(record, urgency, seq, undefined);
        newest.set(record.key, seq);
      };
      for (const { key, size, loses, critical } of events) put(key, size, loses, critical === 0);
      assert.ok(pending.size <= 41, 'bounded by objects');
      const waiting = pending.size;
      // Each round brings urgent changes anew: all that waited before goes all the same.
      for (let round = 0; round < waiting; round += 1) {
        const oldest = pending.oldest;
        const taken = pending.take(limits);
        assert.ok(oldest === undefined || taken.some(({ id }) => id === oldest.id), 'the oldest goes with every round');
        const sizes = taken.map(({ record }) => (record.kind === 'slice' ? (record.body?.addresses.length ?? 0) : 0));
        assert.ok(taken.length <= limits.records + 1);
        assert.ok(sizes.reduce((sum, size) => sum + size, 0) <= limits.endpoints + Math.max(0, ...sizes));
        for (const { record, firstSeq, sinceMs } of taken) {
          assert.equal(record.seq, newest.get(record.key));
          assert.equal(firstSeq, sinceMs);
        }
        for (let index = 0; index < flood * 4; index += 1) put(1000 + index, 1, true, index % 2 === 0);
      }
      assert.ok([...pending.take(EVERYTHING)].every(({ record }) => Number(record.key) >= 1000));
      assert.equal(pending.size, 0);
      assert.equal(pending.oldest, undefined);
    }),
  );
});

test('an endpoint is lost when it goes, or ceases to be ready or to serve, wherever in the slice it stands', () => {
  const both = EndpointBit.ready | EndpointBit.serving;
  const said = (...pairs: readonly (readonly [number, number])[]): SliceBody => ({
    ...sliceBody('ns1/a', 0),
    addresses: pairs.map(([host]) => ipAddress(`10.0.0.${host}`)),
    conditions: pairs.map(([, bits]) => bits),
  });
  const before = said([1, both], [2, both | EndpointBit.local], [3, EndpointBit.terminating]);
  assert.equal(losesEndpoints(undefined, before), false);
  assert.equal(
    losesEndpoints(before, said([2, both], [4, both], [1, both])),
    false,
    'moved, one more, a dead one gone',
  );
  assert.equal(losesEndpoints(before, said([1, both])), true);
  assert.equal(losesEndpoints(before, said([1, EndpointBit.serving | EndpointBit.terminating], [2, both])), true);
  assert.equal(losesEndpoints(before, null), true);
  assert.equal(losesEndpoints(said([3, EndpointBit.terminating]), null), false);
});

function sliceBody(owner: string, size: number): SliceBody {
  const hosts = Array.from({ length: size }, (_, index) => ipAddress(`10.0.0.${index + 1}`));
  return { service: owner, family: 'IPv4', ports: [], addresses: hosts, conditions: hosts.map(() => 3) };
}
