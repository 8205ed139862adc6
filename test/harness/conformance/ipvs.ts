/** Virtual services and destinations: every verb, and every errno that can be had of a kernel that has IPVS. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import type { VirtualServiceWithDestinations } from '../../../lib/types.ts';
import { allApplied, type Bed, check, ip, service, sorted, stateOf, tcp, to } from './bed.ts';

const web = tcp('10.99.0.1', 80);
const idle = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };

export function ipvsCases(bed: () => Bed): void {
  test('services: create insists on a new one, update on an old one, ensure on nothing, remove neither', () => {
    const { session } = bed();
    const batch = new Batch()
      .updateService(service(web))
      .createService(service(web))
      .createService(service(web, { scheduler: 'wrr' }))
      .updateService(service(web, { scheduler: 'wlc', flags: 1, timeoutSeconds: 360 }))
      .removeService(web)
      .removeService(web)
      .ensureService(service(web, { scheduler: 'sh', flags: 0x18 }));
    check(session, batch, ['ESRCH', 'applied', 'EEXIST', 'applied', 'applied', 'applied', 'applied']);
    assert.deepEqual(readAll(session.services()), [service(web, { scheduler: 'sh', flags: 0x18 })]);
    allApplied(session, new Batch().ensureService(service(web, { scheduler: 'lc' })));
    assert.deepEqual(session.service(web), service(web, { scheduler: 'lc' }));
    assert.equal(session.service(tcp('10.99.0.2', 80)), undefined);
  });

  test('a scheduler or persistence engine that is not there is ENOENT; what is there already is told first', () => {
    const { session } = bed();
    const unknown = service(web, { scheduler: 'no-such' });
    const engine = service(web, { persistenceEngine: 'no-such', flags: 1, timeoutSeconds: 60 });
    const batch = new Batch()
      .createService(unknown)
      .ensureService(unknown)
      .createService(engine)
      .updateService(unknown)
      .createService(service(web))
      .createService(unknown)
      .updateService(unknown)
      .updateService(engine)
      .ensureService(unknown)
      .removeService(tcp('10.99.9.9', 1));
    check(session, batch, [
      ...['ENOENT', 'ENOENT', 'ENOENT', 'ESRCH', 'applied'],
      ...['EEXIST', 'ENOENT', 'ENOENT', 'ENOENT', 'applied'],
    ]);
    assert.deepEqual(readAll(session.services()), [service(web)]);
  });

  test('every scheduler of the kernel, and the engine sip', () => {
    const { session } = bed();
    const names = 'rr wrr lc wlc fo ovf lblc lblcr dh sh mh sed nq none'.split(' ');
    const all = names.map((scheduler, at) => service(tcp('10.99.0.1', 1 + at), { scheduler }));
    const sip = { protocol: 'udp', address: ip('10.99.0.1'), port: 5060 } as const;
    all.push(service(sip, { flags: 1, timeoutSeconds: 60, persistenceEngine: 'sip' }));
    const batch = new Batch();
    for (const one of all) batch.createService(one);
    allApplied(session, batch);
    assert.deepEqual(sorted(readAll(session.services())), sorted(all));
    allApplied(session, new Batch().updateService(service(sip)));
    assert.deepEqual(session.service(sip), service(sip), 'an engine that is not given is taken away');
  });

  test('keys: protocol, address, port, mark and family each make another service', () => {
    const { session } = bed();
    const all = [
      service(web),
      service(tcp('10.99.0.1', 0), { flags: 1, timeoutSeconds: 10800, prefixLength: 24 }),
      service({ protocol: 'udp', address: ip('10.99.0.1'), port: 80 }, { flags: 4 }),
      service({ protocol: 'sctp', address: ip('10.99.0.1'), port: 80 }),
      service(tcp('fd99::1', 80), { flags: 1, timeoutSeconds: 60, prefixLength: 64 }),
      service({ fwmark: 7, family: 'IPv4' }),
      service({ fwmark: 7, family: 'IPv6' }, { scheduler: 'wrr' }),
      service({ fwmark: 8, family: 'IPv4' }),
    ];
    const batch = new Batch();
    for (const one of all) batch.createService(one);
    for (const one of all) batch.createService(one);
    check(session, batch, [...all.map(() => 'applied'), ...all.map(() => 'EEXIST')]);
    assert.deepEqual(sorted(readAll(session.services())), sorted(all));
    const { statistics } = session.service(web, { statistics: true }) ?? {};
    assert.deepEqual([statistics?.connections, statistics?.inBytes, statistics?.outPackets], [0n, 0n, 0n]);
  });

  test('flags and prefixes that mean nothing are not kept: hashed, a whole prefix', () => {
    const { session } = bed();
    allApplied(session, new Batch().createService(service(web, { flags: 0x2, prefixLength: 32 })));
    assert.deepEqual(readAll(session.services()), [service(web)]);
  });

  test('destinations: no service is ESRCH, no destination ENOENT on update, one that is there EEXIST on create', () => {
    const { session } = bed();
    const a = to('10.98.0.1', 8080);
    const batch = new Batch()
      .createDestination(web, a)
      .updateDestination(web, a)
      .ensureDestination(web, a)
      .removeDestination(web, a)
      .createService(service(web))
      .updateDestination(web, a)
      .removeDestination(web, a)
      .createDestination(web, a)
      .createDestination(web, { ...a, weight: 9 })
      .updateDestination(web, { ...a, weight: 5, upperThreshold: 100, lowerThreshold: 50 })
      .ensureDestination(web, to('10.98.0.2', 8080, { weight: 0 }))
      .createDestination(web, to('10.98.0.1', 8081, { forward: 'direct' }));
    check(session, batch, [
      ...['ESRCH', 'ESRCH', 'ESRCH', 'applied', 'applied', 'ENOENT', 'applied'],
      ...['applied', 'EEXIST', 'applied', 'applied', 'applied'],
    ]);
    const wanted = [
      { ...a, weight: 5, upperThreshold: 100, lowerThreshold: 50, ...idle },
      { ...to('10.98.0.2', 8080, { weight: 0 }), ...idle },
      { ...to('10.98.0.1', 8081, { forward: 'direct' }), ...idle },
    ];
    assert.deepEqual(sorted(readAll(session.destinations(web))), sorted(wanted));
    allApplied(session, new Batch().ensureDestination(web, { ...a, weight: 3 }).removeService(web));
    assert.deepEqual(readAll(session.destinations(web)), [], 'gone with their service');
    allApplied(session, new Batch().createService(service(web)));
    assert.deepEqual(readAll(session.destinations(web)), []);
  });

  test('destinations that are no unicast address are EINVAL; of a missing service ESRCH comes first', () => {
    const { session } = bed();
    const web6 = tcp('fd99::1', 80);
    const batch = new Batch()
      .createDestination(web, to('224.0.0.1', 1))
      .createService(service(web))
      .createService(service(web6));
    const bad4 = ['224.0.0.1', '239.255.255.255', '255.255.255.255', '0.0.0.0'];
    const bad6 = ['ff02::1', 'fe80::1', 'febf::1', '::'];
    const good4 = ['0.1.2.3', '127.0.0.1', '169.254.1.1', '240.0.0.1', '10.98.0.1'];
    const good6 = ['fd98::1', '2001:db8::1', 'fec0::1'];
    for (const address of bad4) batch.createDestination(web, to(address, 1));
    for (const address of bad6) batch.createDestination(web6, to(address, 1));
    for (const address of bad4) batch.updateDestination(web, to(address, 1));
    for (const address of good4) batch.createDestination(web, to(address, 1));
    for (const address of good6) batch.createDestination(web6, to(address, 1));
    check(session, batch, [
      ...['ESRCH', 'applied', 'applied'],
      ...[...bad4, ...bad6].map(() => 'EINVAL'),
      ...bad4.map(() => 'ENOENT'),
      ...[...good4, ...good6].map(() => 'applied'),
    ]);
  });

  test('every forwarding method and tunnel, read in every way', () => {
    const { session } = bed();
    const mixed = [
      to('10.98.0.1', 80, { upperThreshold: 10, lowerThreshold: 5 }),
      to('10.98.0.2', 80, { forward: 'direct' }),
      to('10.98.0.3', 80, { forward: 'local' }),
      to('10.98.0.4', 80, { forward: 'bypass' }),
      to('10.98.0.5', 80, { forward: 'tunnel' }),
      to('10.98.0.6', 80, { forward: 'tunnel', tunnel: { type: 'gue', port: 6080, checksum: true } }),
      to('10.98.0.7', 80, { forward: 'tunnel', tunnel: { type: 'gue', port: 6081, remoteChecksum: true } }),
      to('10.98.0.8', 80, { forward: 'tunnel', tunnel: { type: 'gre', checksum: true } }),
      to('fd98::9', 80, { forward: 'tunnel' }),
    ];
    const plain = tcp('10.99.0.2', 80);
    const sticky = tcp('10.99.0.3', 80);
    const mark = { fwmark: 9, family: 'IPv4' } as const;
    const limited = to('10.98.0.1', 80, { upperThreshold: 10 });
    const batch = new Batch().createService(service(web));
    for (const one of mixed) batch.createDestination(web, one);
    batch.createService(service(plain)).createDestination(plain, limited);
    batch.createService(service(sticky, { flags: 1, timeoutSeconds: 60 })).createDestination(sticky, limited);
    batch.createService(service(mark)).createDestination(mark, limited);
    allApplied(session, batch);
    const withIdle = mixed.map((one) => ({ ...one, ...idle }));
    assert.deepEqual(sorted(readAll(session.destinations(web))), sorted(withIdle));
    const whole = (options: { thresholds?: boolean; statistics?: boolean }): VirtualServiceWithDestinations[] =>
      sorted(
        readAll(session.servicesWithDestinations(options)).map((one) => ({
          ...one,
          destinations: sorted(one.destinations),
        })),
      );
    const wanted = [
      { ...service(web), destinations: sorted(withIdle) },
      { ...service(plain), destinations: [{ ...limited, ...idle }] },
      { ...service(sticky, { flags: 1, timeoutSeconds: 60 }), destinations: [{ ...limited, ...idle }] },
      { ...service(mark), destinations: [{ ...limited, ...idle }] },
    ];
    assert.deepEqual(whole({ thresholds: true }), sorted(wanted));
    const without = wanted.map((one, at) =>
      at === 1 ? { ...one, destinations: [{ ...to('10.98.0.1', 80), ...idle }] } : one,
    );
    assert.deepEqual(whole({}), sorted(without), 'the thresholds of masquerade are left out');
    for (const one of whole({ statistics: true })) {
      assert.equal(one.statistics?.inPackets, 0n);
      for (const { statistics } of one.destinations) assert.equal(statistics?.connections, 0n);
    }
    // All that an update does not say is gone.
    const changed = to('10.98.0.6', 80, { forward: 'tunnel' });
    allApplied(session, new Batch().updateDestination(web, changed).updateDestination(plain, to('10.98.0.1', 80)));
    const tunnel = readAll(session.destinations(web)).find(({ address }) => address === changed.address);
    assert.deepEqual(tunnel, { ...changed, ...idle });
    assert.deepEqual(readAll(session.destinations(plain)), [{ ...to('10.98.0.1', 80), ...idle }]);
  });

  test('zero, flush, time-outs, version', () => {
    const { session } = bed();
    const batch = new Batch()
      .zeroService(web)
      .zeroServices()
      .createService(service(web))
      .zeroService(web)
      .setTimeouts({ tcpSeconds: 1000 })
      .setTimeouts({ udpSeconds: 10, tcpFinSeconds: 2_147_483 })
      .flushServices()
      .zeroService(web)
      .flushServices();
    check(session, batch, [
      ...['ESRCH', 'applied', 'applied', 'applied', 'applied'],
      ...['applied', 'applied', 'ESRCH', 'applied'],
    ]);
    assert.deepEqual(session.timeouts(), { tcpSeconds: 1000, tcpFinSeconds: 2_147_483, udpSeconds: 10 });
    assert.deepEqual(stateOf(session).services, []);
    assert.match(session.info().version, /^1\.\d+\.\d+$/);
  });

  test('an ensure that had to wait does not undo what its batch said later', () => {
    const { session } = bed();
    const a = to('10.98.0.1', 80);
    const other = tcp('10.99.0.2', 80);
    allApplied(
      session,
      new Batch()
        .createService(service(web))
        .createDestination(web, a)
        .createService(service(other))
        .createDestination(other, a),
    );
    allApplied(
      session,
      new Batch()
        .ensureService(service(web, { scheduler: 'wrr' }))
        .updateService(service(web, { scheduler: 'lc' }))
        .ensureDestination(web, { ...a, weight: 5 })
        .updateDestination(web, { ...a, weight: 7 })
        .ensureDestination(other, { ...a, weight: 5 })
        .removeService(other)
        .ensureService(service(other, { scheduler: 'sh' })),
    );
    assert.deepEqual(
      stateOf(session).services,
      sorted([
        { ...service(web, { scheduler: 'lc' }), destinations: [{ ...a, weight: 7, ...idle }] },
        { ...service(other, { scheduler: 'sh' }), destinations: [] },
      ]),
    );
  });

  test('an ensure that had to wait is done when what its batch said later was refused', () => {
    const { session } = bed();
    const a = to('10.98.0.1', 80);
    allApplied(session, new Batch().createService(service(web)).createDestination(web, a));
    check(
      session,
      new Batch()
        .ensureService(service(web, { scheduler: 'wrr' }))
        .updateService(service(web, { scheduler: 'cf-none' }))
        .ensureService(service(web, { scheduler: 'lc' }))
        .ensureService(service(web, { scheduler: 'cf-none' }))
        .ensureDestination(web, { ...a, weight: 5 })
        .createDestination(web, { ...a, weight: 7 }),
      ['applied', 'ENOENT', 'applied', 'ENOENT', 'applied', 'EEXIST'],
    );
    assert.deepEqual(stateOf(session).services, [
      { ...service(web, { scheduler: 'lc' }), destinations: [{ ...a, weight: 5, ...idle }] },
    ]);
  });
}
