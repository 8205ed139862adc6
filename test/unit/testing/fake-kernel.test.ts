/** What the fake kernel adds to the real one's manners, which are in `conformance.test.ts`: faults, what it lacks, its texts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { ip, outcomes, service, tcp, to } from '../../harness/conformance/bed.ts';

const web = tcp('10.99.0.1', 80);

test('slow is done, and the result says how long it took; nothing waits', () => {
  const kernel = new FakeKernel();
  kernel.failNext(({ verb }) => verb === 'create-service', { slowMicros: 5_000_000 });
  const { applied, kernelMicros } = kernel.session().run(new Batch().createService(service(web)).zeroServices());
  assert.deepEqual([applied, kernelMicros], [2, 5_000_000]);
});

test('ip_vs taken out is not there, the rest is; put in again it is empty, for sessions that were open, too', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  session.run(new Batch().createService(service(web)).setTimeouts({ tcpSeconds: 60 }));
  kernel.unloadIpvs();
  const batch = new Batch().createService(service(web)).ensureLink('d0');
  assert.deepEqual(outcomes(batch, session.run(batch)), ['EOPNOTSUPP', 'applied']);
  assert.throws(() => session.services(), { code: 'ERR_KERNEL_UNSUPPORTED' });
  kernel.loadIpvs();
  assert.deepEqual(readAll(session.services()), []);
  assert.equal(session.timeouts().tcpSeconds, 900);
});

test('an ensure of something that is there is two messages, and each can meet a fault', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  const batch = new Batch().ensureService(service(web));
  session.run(batch);
  kernel.failNext(({ verb }) => verb === 'update-service', 'lost');
  const result = session.run(batch);
  assert.deepEqual(outcomes(batch, result), ['unknown']);
  assert.deepEqual([result.messages, result.roundTrips], [2, 2]);
  assert.deepEqual(kernel.log.slice(1), [
    'ipvsadm -A -t 10.99.0.1:80 -s rr # EEXIST',
    'ipvsadm -E -t 10.99.0.1:80 -s rr # lost',
  ]);
});

test('an ensure whose object a later operation may or may not have changed is unknown, too', () => {
  for (const fault of ['lost', 'dropped'] as const) {
    const fake = new FakeKernel();
    const session = fake.session();
    session.run(new Batch().createService(service(web)));
    fake.failNext(({ verb }) => verb === 'update-service', fault);
    const batch = new Batch().ensureService(service(web, { scheduler: 'wrr' }));
    const { applied, failures } = session.run(batch.updateService(service(web, { scheduler: 'lc' })));
    assert.deepEqual([applied, failures.map(({ outcome }) => outcome)], [0, ['unknown', 'unknown']], fault);
  }
});

test('a set that cannot be made larger, because making another meets a fault, keeps what it held', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  const set = { name: 'S', type: 'hash:ip', family: 'IPv4' } as const;
  session.run(new Batch().createSet({ ...set, maxElements: 1 }).addEntry(set, '10.0.0.1'));
  kernel.failNext(({ verb }) => verb === 'swap-sets', 'EBUSY');
  const batch = new Batch().addEntry(set, '10.0.0.2');
  const { failures } = session.run(batch);
  assert.equal(failures[0]?.error.errnoName, 'IPSET_ERR_HASH_FULL');
  assert.match(failures[0]?.error.reason ?? '', /EBUSY/);
  assert.deepEqual(readAll(session.entries('S')), ['10.0.0.1']);
  assert.deepEqual([...kernel.outside.sets.keys()], ['S']);
  assert.deepEqual(session.run(batch).grownSets, [{ name: 'S', from: 1, to: 2 }]);
});

test('a kernel without a subsystem, a process without the capability', () => {
  const set = { name: 'S', type: 'hash:ip', family: 'IPv4' } as const;
  const tuple = {
    protocol: 'udp',
    source: ip('10.0.0.1'),
    sourcePort: 1,
    destination: ip('10.0.0.2'),
    destinationPort: 2,
  } as const;
  const batch = new Batch()
    .createService(service(web))
    .setTimeouts({ tcpSeconds: 1 })
    .createSet(set)
    .addEntry(set, '10.0.0.1')
    .removeConnection(tuple)
    .ensureLink('d0');
  for (const lacking of ['ipvs', 'ipset', 'conntrack', 'dummy'] as const) {
    const session = new FakeKernel({ [lacking]: false }).session();
    const lost = { ipvs: [0, 1], ipset: [2, 3], conntrack: [4], dummy: [5] }[lacking];
    const expected = [0, 1, 2, 3, 4, 5].map((index) => (lost.includes(index) ? 'EOPNOTSUPP' : 'applied'));
    assert.deepEqual(outcomes(batch, session.run(batch)), expected);
  }
  const absent = new FakeKernel({ ipvs: false, ipset: false, conntrack: false }).session();
  for (const read of [() => absent.services(), () => absent.info(), () => absent.sets(), () => absent.connections()]) {
    assert.throws(read, { code: 'ERR_KERNEL_UNSUPPORTED', errnoName: 'EOPNOTSUPP' });
  }
  const denied = new FakeKernel({ permitted: false }).session();
  assert.deepEqual(new Set(outcomes(batch, denied.run(batch))), new Set(['EPERM']));
  assert.throws(() => denied.timeouts(), { code: 'ERR_PERMISSION' });
  assert.equal(readAll(denied.links()).length, 1);
});

test('reads of every kind fail when they are told to, once', () => {
  const kernel = new FakeKernel();
  const session = kernel.session();
  session.run(new Batch().createSet({ name: 'S', type: 'hash:ip', family: 'IPv4' }));
  const reads = {
    services: () => session.services(),
    destinations: () => session.destinations(web),
    sets: () => session.sets(),
    entries: () => session.entries('S'),
    links: () => session.links(),
    addresses: () => session.addresses(),
    localRoutes: () => session.localRoutes(),
    connections: () => session.connections(),
  } as const;
  for (const kind of [
    'services',
    'destinations',
    'sets',
    'entries',
    'links',
    'addresses',
    'localRoutes',
    'connections',
  ] as const) {
    kernel.failRead(kind, 'ENOBUFS');
    assert.throws(reads[kind], { code: 'ERR_NETLINK', errnoName: 'ENOBUFS' }, kind);
    readAll<unknown>(reads[kind]());
  }
});

test('the dump is in the notation of the tools, in an order of its own', () => {
  const kernel = new FakeKernel();
  const set = { name: 'S', type: 'hash:net', family: 'IPv4', timeoutSeconds: 60, comment: true } as const;
  kernel.session().run(
    new Batch()
      .createService(service(web, { scheduler: 'mh', flags: 0x19, timeoutSeconds: 60, prefixLength: 24 }))
      .createDestination(
        web,
        to('10.98.0.2', 80, { forward: 'tunnel', tunnel: { type: 'gue', port: 6080, checksum: true } }),
      )
      .createDestination(web, to('10.98.0.1', 80, { upperThreshold: 9 }))
      .createSet(set)
      .addEntry(set, '10.0.0.0/8 nomatch comment "ten"')
      .ensureLink('d0')
      .addAddress({ link: 'd0', address: ip('10.99.0.1'), prefixLength: 32, validSeconds: 100 })
      .addLocalRoute({ address: ip('10.96.0.0'), prefixLength: 16, protocol: 99 }),
  );
  assert.deepEqual(kernel.dump().split('\n'), [
    '-A -t 10.99.0.1:80 -s mh -p 60 -M 255.255.255.0 -b mh-fallback,mh-port',
    '-a -t 10.99.0.1:80 -r 10.98.0.1:80 -m -w 1 -x 9',
    '-a -t 10.99.0.1:80 -r 10.98.0.2:80 -i --tun-type gue --tun-port 6080 --tun-csum -w 1',
    '',
    'create S hash:net family inet hashsize 1024 maxelem 65536 timeout 60 comment',
    'add S 10.0.0.0/8 timeout 60 nomatch comment "ten"',
    '',
    'link d0 dummy',
    'link lo physical',
    'd0 10.99.0.1/32 global valid_lft 100sec preferred_lft 100sec',
    '',
    'local 10.96.0.0/16 dev lo table local proto 99',
    '',
  ]);
});
