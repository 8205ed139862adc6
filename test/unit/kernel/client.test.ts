/** The async clients over the fake kernel: same types as on a worker, which test/kernel runs on the real one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { BatchError } from '../../../lib/kernel/batch-error.ts';
import { openKernel } from '../../../lib/kernel/client.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { AddressServiceKey, Destination, IpAddress, VirtualService } from '../../../lib/types.ts';

const vip: AddressServiceKey = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 };
const service: VirtualService = { key: vip, scheduler: 'rr', flags: 0, timeoutSeconds: 0 };

function ip(text: string): IpAddress {
  const address = parseAddress(text);
  assert.ok(address);
  return address;
}

function pod(last: number): Destination {
  return { address: ip(`10.244.1.${last}`), port: 8080, weight: 1, forward: 'masquerade' };
}

test('a batch runs in order, and what failed is told by index, operation and errno', async () => {
  const fake = new FakeKernel();
  await using kernel = await openKernel({ session: fake.session() });
  const batch = kernel.batch().createDestination(vip, pod(1)).createService(service).createDestination(vip, pod(2));

  const report = await kernel.run(batch, { onFailure: 'report' });
  assert.equal(report.applied, 2);
  assert.deepEqual(
    report.failures.map(({ index, outcome, error }) => ({ index, outcome, errno: error.errnoName })),
    [{ index: 0, outcome: 'failed', errno: 'ESRCH' }],
  );
  await assert.rejects(kernel.run(kernel.batch().createService(service)), (error: unknown) => {
    assert.ok(error instanceof BatchError);
    assert.equal(error.code, 'ERR_NETLINK');
    assert.match(error.message, /ipvsadm -A -t 10\.96\.0\.10:80 -s rr: EEXIST/);
    return true;
  });

  const [listed] = await kernel.ipvs.listWithDestinations();
  assert.deepEqual(listed?.key, vip);
  assert.deepEqual(
    listed?.destinations.map((destination) => destination.address),
    ['10.244.1.2'],
  );
});

test('an answer that was lost is unknown, never done', async () => {
  const fake = new FakeKernel();
  await using kernel = await openKernel({ session: fake.session() });
  fake.failNext((operation) => operation.verb === 'create-service', 'lost');
  await assert.rejects(kernel.run(kernel.batch().createService(service)), { code: 'ERR_NETLINK_LOST' });
});

test('sets, links and addresses are listed; a set that is not there is an error with its name', async () => {
  await using kernel = await openKernel({ session: new FakeKernel().session() });
  const set = { name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', family: 'IPv4' } as const;
  await kernel.run(
    kernel
      .batch()
      .createSet(set)
      .addEntry(set, '10.96.0.10,tcp:80')
      .ensureLink('kube-ipvs0')
      .addAddress({ link: 'kube-ipvs0', address: vip.address, prefixLength: 32 }),
  );
  assert.deepEqual(await kernel.ipset.entries('KUBE-CLUSTER-IP'), ['10.96.0.10,tcp:80']);
  assert.deepEqual(
    (await kernel.ipset.list()).map(({ name, type, entries }) => ({ name, type, entries })),
    [{ name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', entries: 1 }],
  );
  assert.ok((await kernel.route.links()).some((link) => link.name === 'kube-ipvs0' && link.kind === 'dummy'));
  assert.ok((await kernel.route.addresses()).some((address) => address.address === '10.96.0.10'));
  await assert.rejects(kernel.ipset.entries('NO-SUCH-SET'), { code: 'ERR_NETLINK', errnoName: 'ENOENT' });
});

test('an aborted call rejects with the reason; a closed client with ERR_CLOSED', async () => {
  const kernel = await openKernel({ session: new FakeKernel().session() });
  const reason = new Error('enough');
  await assert.rejects(kernel.ipvs.list({ signal: AbortSignal.abort(reason) }), reason);
  await kernel.close();
  await kernel.close();
  await assert.rejects(kernel.ipvs.list(), { code: 'ERR_CLOSED' });
});
