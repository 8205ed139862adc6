/** Batches of all nouns: order, failures in the middle, and their places. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { allApplied, type Bed, check, ip, OWNER, service, stateOf, tcp, to } from './bed.ts';

export function mixedCases(bed: () => Bed): void {
  test('a batch of all nouns: each operation after those before it, a failure stops none, and has its place', () => {
    const { session } = bed();
    const web = tcp('10.99.0.1', 80);
    const set = { name: 'CF-IP', type: 'hash:ip', family: 'IPv4' } as const;
    const address = { link: 'cf0', address: ip('10.99.0.1'), prefixLength: 32 };
    const tuple = {
      protocol: 'udp',
      source: ip('10.1.0.1'),
      sourcePort: 1,
      destination: ip('10.1.0.2'),
      destinationPort: 2,
    } as const;
    const batch = new Batch()
      .addAddress(address)
      .ensureLink('cf0')
      .addEntry(set, '10.99.0.1')
      .createSet(set)
      .addEntry(set, '10.99.0.1')
      .createDestination(web, to('10.98.0.1', 80))
      .createService(service(web))
      .addAddress(address)
      .createDestination(web, to('10.98.0.1', 80))
      .removeConnection(tuple)
      .ensureLink('lo')
      .addLocalRoute({ address: ip('10.98.0.0'), prefixLength: 24, protocol: OWNER })
      .createService(service(web))
      .flushSet('CF-NONE')
      .removeDestination(web, to('10.98.0.9', 80))
      .updateDestination(web, to('10.98.0.9', 80))
      .swapSets('CF-IP', 'CF-NONE')
      .ensureService(service(web, { scheduler: 'wrr' }))
      .removeLink('lo')
      .removeEntry(set, '10.99.0.2')
      .ensureSet({ ...set, maxElements: 10 });
    const { failures } = check(session, batch, [
      ...['ENODEV', 'applied', 'ENOENT', 'applied', 'applied', 'ESRCH', 'applied', 'applied', 'applied', 'applied'],
      ...[
        'EEXIST',
        'applied',
        'EEXIST',
        'ENOENT',
        'applied',
        'ENOENT',
        'IPSET_ERR_EXIST_SETNAME2',
        'applied',
        'EINVAL',
      ],
      ...['applied', 'applied'],
    ]);
    assert.deepEqual(
      failures.map(({ index }) => index),
      [0, 2, 5, 10, 12, 13, 15, 16, 18],
    );
    const lines = batch.toString().trimEnd().split('\n');
    for (const { index, operation, error } of failures) {
      assert.ok((lines[index] ?? '').includes(operation), `${operation} is not ${lines[index]}`);
      assert.ok(error.errno > 0 && error.command !== '' && error.object !== '' && error.reason !== '');
    }
    const state = stateOf(session);
    assert.equal(state.services[0]?.scheduler, 'wrr');
    assert.deepEqual([state.addresses.length, state.routes.length, state.services[0]?.destinations.length], [1, 1, 1]);
    assert.deepEqual(
      state.sets.map(({ name, maxElements, list }) => [name, maxElements, list]),
      [['CF-IP', 10, ['10.99.0.1']]],
    );
  });

  test('reads of what cannot be: refused with the field, before the kernel is asked', () => {
    const { session } = bed();
    const web = tcp('10.99.0.1', 80);
    const wrong: readonly (readonly [field: string, read: () => unknown])[] = [
      ['key.port', () => session.service({ ...web, port: 65536 })],
      ['key.fwmark', () => session.destinations({ fwmark: 0, family: 'IPv4' })],
      ['name', () => session.entries('CF NONE')],
      ['entry', () => session.testEntry({ name: 'CF-IP', type: 'hash:ip', family: 'IPv4' }, 'fd00::1')],
      ['protocol', () => session.localRoutes({ protocol: 256 })],
      ['filter.originalSourcePort', () => session.connections({ originalSourcePort: 53 })],
      ['filter.replySource', () => session.connections({ family: 'IPv6', replySource: ip('10.1.0.1') })],
      ['groups', () => session.openMonitor([])],
    ];
    for (const [field, read] of wrong) assert.throws(read, { code: 'ERR_INVALID_ARGUMENT', field });
  });

  test('an empty batch, one of a thousand operations, and the same batch again', () => {
    const { session } = bed();
    assert.deepEqual(session.run(new Batch()), {
      applied: 0,
      failures: [],
      messages: 0,
      roundTrips: 0,
      kernelMicros: 0,
    });
    const set = { name: 'CF-BITS', type: 'bitmap:port', family: 'IPv4' } as const;
    const batch = new Batch().ensureSet(set);
    for (let number = 0; number < 500; number++) {
      batch.addEntry(set, String(number)).ensureService(service(tcp('10.99.0.1', 1 + number)));
    }
    allApplied(session, batch);
    allApplied(session, batch);
    const { services, sets } = stateOf(session);
    assert.deepEqual([services.length, sets[0]?.entries], [500, 500]);
  });
}
