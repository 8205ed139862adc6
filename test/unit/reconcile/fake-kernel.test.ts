/** What the fake adds to the kernel it stands for: faults, a log, copies. Its manners are compared with the real one's in test/kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { ip } from './world.ts';

const key = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 } as const;
const service = { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 };

test('faults meet the operations they are meant for, as often as said; lost ones were carried out, dropped ones were not', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  kernel.failNext(({ verb }) => verb === 'create-service', 'ENOMEM', 2);
  const batch = new Batch().ensureLink('d0').createService(service);
  for (const expected of [['ENOMEM'], ['ENOMEM'], []]) {
    assert.deepEqual(
      session.run(batch).failures.map(({ error }) => error.errnoName),
      expected,
    );
  }
  for (const fault of ['lost', 'dropped'] as const) {
    kernel.failNext(({ verb }) => verb === 'remove-service', fault);
    const { failures, applied } = session.run(new Batch().removeService(key));
    assert.deepEqual([applied, failures[0]?.outcome], [0, 'unknown']);
    assert.equal(readAll(session.services()).length, fault === 'lost' ? 0 : 1);
    session.run(new Batch().ensureService(service));
  }
  assert.equal(kernel.log[1], 'ipvsadm -A -t 10.96.0.10:80 -s rr # ENOMEM');
});

test('reads fail when told to, a closed session always; a clone goes its own way', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  kernel.failRead('links', 'ENOBUFS');
  assert.throws(() => session.links(), { code: 'ERR_NETLINK', errnoName: 'ENOBUFS' });
  assert.equal(readAll(session.links()).length, 1);
  const copy = kernel.clone();
  copy.session().run(new Batch().createService(service).ensureLink('d0'));
  assert.notEqual(copy.dump(), kernel.dump());
  assert.equal(copy.clone().dump(), copy.dump());
  session.close();
  assert.throws(() => session.links(), { code: 'ERR_CLOSED' });
});

test('a batch of many slices is read whole', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  const batch = new Batch();
  for (let port = 1; port <= 200; port += 1) batch.createService({ ...service, key: { ...key, port } });
  assert.equal(session.run(batch).applied, 200);
  assert.equal(readAll(session.services()).length, 200);
});
