/** As an embedder writes a test: nothing but what `ipvs-proxier` and `ipvs-proxier/testing` export. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError, ObjectSource, type Proxier } from '../../../lib/index.ts';
import { FakeIptables, FakeKernel, FakeSysctls, type FakeTables, fakeProxier } from '../../../lib/testing/index.ts';

function webSource(): ObjectSource {
  const source = new ObjectSource({ kinds: ['Service', 'EndpointSlice'] });
  source.apply({
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', uid: '1' },
    spec: { clusterIP: '10.96.0.10', ports: [{ name: 'http', port: 80, protocol: 'TCP' }] },
  });
  source.apply({
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.1.5'], conditions: { ready: true } }],
  });
  source.synced();
  return source;
}

test('a proxier over a fake kernel runs, follows changes, plans and stops', async () => {
  const kernel = new FakeKernel();
  const iptables = new FakeIptables(kernel);
  const sysctls = new FakeSysctls();
  const make = (source: ObjectSource): Proxier =>
    fakeProxier({ nodeName: 'n1', families: ['IPv4'], source }, kernel, { iptables, sysctls });
  const planned = await make(webSource()).plan('empty');
  assert.ok(planned.operations.length > 0);
  assert.equal(kernel.log.length, 0, 'a plan writes nothing');

  const source = webSource();
  const handle = await make(source).run();
  assert.match(kernel.dump(), /10\.96\.0\.10:80[\s\S]*10\.244\.1\.5:8080/);
  assert.match(await iptables.save('IPv4'), /KUBE-SERVICES/);
  assert.equal(sysctls.read('net/ipv4/vs/conntrack'), '1');
  source.delete({ kind: 'Service', namespace: 'default', name: 'web' });
  await handle.settled();
  const tables: FakeTables = kernel.outside;
  assert.equal(tables.services.size, 0);
  await handle.stop();

  const writes = kernel.log.length;
  const restarted = await make(webSource()).run();
  assert.equal(restarted.report.byVerb['create-service'] ?? restarted.report.byVerb['ensure-service'], 1);
  assert.ok(kernel.log.length > writes);
  await restarted.stop();
});

test('a fault of the fake kernel reaches the embedder as one of the real kernel would', async () => {
  const refused = fakeProxier({ nodeName: 'n1', source: webSource() }, new FakeKernel({ permitted: false }));
  await assert.rejects(refused.run(), { code: 'ERR_PERMISSION' });
  assert.throws(() => fakeProxier({ nodeName: '', source: webSource() }, new FakeKernel()), InvalidArgumentError);
});
