import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import { node, service } from './objects.ts';
import { RecordingSink } from './recording-sink.ts';

test('what the embedder says arrives, also what was said before the start', async () => {
  const source = new ObjectSource({ kinds: ['Service', 'Node'] });
  const sink = new RecordingSink();
  source.apply(service('early'));
  source.apply(node('n1'));
  source.synced('Service');
  await source.start(sink, new AbortController().signal);
  source.apply(service('late'));
  source.delete({ kind: 'Service', namespace: 'ns1', name: 'early' });
  source.delete({ kind: 'Node', name: 'n1' });
  source.replace('Service', [service('other')]);
  source.synced();
  assert.deepEqual(sink.calls, [
    ...['upsert Service ns1/early', 'upsert Node n1', 'synced Service', 'upsert Service ns1/late'],
    ...['remove Service ns1/early', 'remove Node n1', 'upsert Service ns1/other', 'replace Service'],
    ...['synced Service', 'synced Node'],
  ]);
  await assert.rejects(source.start(sink, new AbortController().signal), { code: 'ERR_INVALID_ARGUMENT' });
  await source.stop();
  source.apply(service('ignored'));
  assert.equal(sink.calls.length, 10);
});

test('a call that cannot mean anything throws and names the value', async () => {
  const source = new ObjectSource({ kinds: ['Service'] });
  assert.throws(() => source.apply({ kind: 'Pod' }), {
    code: 'ERR_INVALID_ARGUMENT',
    message: /object\.kind: "Pod" is none.*Service/,
  });
  assert.throws(() => source.apply({}), { message: /nothing is none/ });
  assert.throws(() => source.apply(node('n1')), { message: /"Node"/ });
  assert.throws(() => source.delete({ kind: 'Service', name: 'x' }), {
    message: /reference: .*"x".* names no Service/,
  });
  const sink = new RecordingSink();
  const abort = new AbortController();
  await source.start(sink, abort.signal);
  abort.abort();
  source.apply(service('ignored'));
  assert.deepEqual(sink.calls, []);
});
