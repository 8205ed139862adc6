/** Links, addresses, local routes, and what is told of their changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batch } from '../../../lib/kernel/batch.ts';
import { readAll } from '../../../lib/kernel/session.ts';
import type { LinkAddress, LocalRoute } from '../../../lib/types.ts';
import { allApplied, type Bed, check, ip, OTHER_OWNER, OWNER, stateOf } from './bed.ts';

const hours = 200_000;

function on(link: string, address: string, prefixLength: number, more: Partial<LinkAddress> = {}): LinkAddress {
  return { link, address: ip(address), prefixLength, ...more };
}

function via(address: string, prefixLength: number, more: Partial<LocalRoute> = {}): LocalRoute {
  return { address: ip(address), prefixLength, protocol: OWNER, ...more };
}

export function routeCases(bed: () => Bed): void {
  const addresses = (): string[] =>
    stateOf(bed().session).addresses.map(
      ({ link, address, prefixLength, scope, deprecated, validSeconds, preferredSeconds, noDad, noPrefixRoute }) =>
        [
          `${link} ${address}/${prefixLength} ${scope}`,
          ...(deprecated ? ['deprecated'] : []),
          ...(validSeconds === undefined ? [] : [`valid ${validSeconds}`]),
          ...(preferredSeconds === undefined ? [] : [`preferred ${preferredSeconds}`]),
          ...(noDad ? ['nodad'] : []),
          ...(noPrefixRoute ? ['noprefixroute'] : []),
        ].join(' '),
    );
  const routes = (): string[] =>
    stateOf(bed().session).routes.map(
      ({ address, prefixLength, link, protocol, source }) =>
        `${address}/${prefixLength} ${link} ${protocol} ${source ?? '-'}`,
    );

  test('links: a dummy is made once, removed once, and no other kind is touched', () => {
    const { session } = bed();
    const batch = new Batch()
      .removeLink('cf0')
      .ensureLink('cf0')
      .ensureLink('cf0')
      .ensureLink('lo')
      .removeLink('lo')
      .ensureLink('cf1')
      .removeLink('cf0')
      .removeLink('cf0');
    check(session, batch, ['applied', 'applied', 'applied', 'EEXIST', 'EINVAL', 'applied', 'applied', 'applied']);
    assert.deepEqual(stateOf(session).links, [{ name: 'cf1', kind: 'dummy', up: false }]);
  });

  test('addresses: no link is ENODEV, one that is there stays as it is on add, what can be changed is on ensure', () => {
    const { session } = bed();
    const batch = new Batch()
      .addAddress(on('cf0', '10.99.0.1', 32))
      .ensureAddress(on('cf0', '10.99.0.1', 32))
      .removeAddress('cf0', ip('10.99.0.1'), 32)
      .ensureLink('cf0')
      .removeAddress('cf0', ip('10.99.0.1'), 32)
      .addAddress(on('cf0', '10.99.0.1', 32, { scope: 'host' }))
      .addAddress(on('cf0', '10.99.0.1', 32, { scope: 'global', deprecated: true }))
      .addAddress(on('cf0', '10.99.0.2', 32, { deprecated: true, noPrefixRoute: true }))
      .addAddress(on('cf0', '10.99.0.3', 32, { validSeconds: 3 * hours, preferredSeconds: hours }))
      .addAddress(on('cf0', '10.99.0.4', 32, { validSeconds: hours }))
      .ensureAddress(on('cf0', '10.99.0.4', 32))
      .ensureAddress(on('cf0', '10.99.0.1', 32, { validSeconds: hours, noPrefixRoute: true }))
      .addAddress(on('cf0', 'fd99::1', 128, { scope: 'host' }))
      .addAddress(on('cf0', 'fd99::1', 64, { noDad: true }))
      .addAddress(on('cf0', 'fd99::2', 128))
      .ensureAddress(on('cf0', 'fd99::2', 128, { noPrefixRoute: false, deprecated: true }))
      .ensureAddress(on('cf0', 'fd99:1::3', 64, { noDad: true, noPrefixRoute: true }))
      .addAddress(on('cf0', 'fe80::9', 128));
    check(session, batch, ['ENODEV', 'ENODEV', ...Array.from({ length: 16 }, () => 'applied')]);
    assert.deepEqual(addresses().sort(), [
      `cf0 10.99.0.1/32 host valid ${hours} preferred ${hours}`,
      'cf0 10.99.0.2/32 global deprecated preferred 0 noprefixroute',
      `cf0 10.99.0.3/32 global valid ${3 * hours} preferred ${hours}`,
      'cf0 10.99.0.4/32 global',
      'cf0 fd99:1::3/64 global nodad noprefixroute',
      'cf0 fd99::1/128 global nodad noprefixroute',
      'cf0 fd99::2/128 global deprecated preferred 0 nodad',
      'cf0 fe80::9/128 link nodad noprefixroute',
    ]);
    const removals = new Batch()
      .removeAddress('cf0', ip('10.99.0.1'), 24)
      .removeAddress('cf0', ip('fd99::1'), 64)
      .removeAddress('cf0', ip('10.99.0.2'), 32)
      .removeAddress('cf0', ip('fd99::2'), 128)
      .removeAddress('lo', ip('10.99.0.1'), 32);
    allApplied(session, removals);
    assert.equal(addresses().length, 6, 'a wrong prefix length names no address');
    allApplied(session, new Batch().removeLink('cf0').ensureLink('cf0'));
    assert.deepEqual(addresses(), [], 'gone with their link');
  });

  test('subnets: one address by several prefixes, one scope, secondary addresses that go with the first', () => {
    const { session } = bed();
    const batch = new Batch()
      .ensureLink('cf0')
      .addAddress(on('cf0', '10.99.0.1', 24))
      .addAddress(on('cf0', '10.99.0.1', 32))
      .addAddress(on('cf0', '10.99.0.2', 24))
      .addAddress(on('cf0', '10.99.0.3', 24, { scope: 'link' }))
      .ensureAddress(on('cf0', '10.99.0.3', 24, { scope: 'link' }))
      .addAddress(on('cf0', '10.99.1.1', 24, { scope: 'link' }));
    check(session, batch, ['applied', 'applied', 'applied', 'applied', 'EINVAL', 'EINVAL', 'applied']);
    assert.equal(addresses().length, 4);
    allApplied(session, new Batch().removeAddress('cf0', ip('10.99.0.1'), 24));
    assert.deepEqual(addresses().sort(), ['cf0 10.99.0.1/32 global', 'cf0 10.99.1.1/24 link']);
  });

  test('addresses that are none', () => {
    const { session } = bed();
    const batch = new Batch().ensureLink('cf0');
    for (const address of ['::', '::1', 'ff02::1']) batch.addAddress(on('cf0', address, 128));
    batch.addAddress(on('cf0', '0.0.0.0', 32));
    check(session, batch, ['applied', 'EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'applied']);
    assert.deepEqual(addresses(), []);
  });

  test('local routes: by owner, beside those that addresses bring', () => {
    const { session } = bed();
    const batch = new Batch()
      .addLocalRoute(via('10.99.0.0', 16, { link: 'cf0' }))
      .removeLocalRoute(via('10.99.0.0', 16, { link: 'cf0' }))
      .ensureLink('cf0')
      .addLocalRoute(via('10.99.0.0', 16))
      .addLocalRoute(via('10.99.0.0', 16))
      .addLocalRoute(via('10.99.0.0', 16, { protocol: OTHER_OWNER }))
      .addLocalRoute(via('10.98.0.1', 32, { source: ip('10.98.0.1') }))
      .addLocalRoute(via('10.98.0.0', 24, { source: ip('10.97.0.1') }))
      .addAddress(on('cf0', '10.97.0.1', 32))
      .addLocalRoute(via('10.98.0.0', 24, { source: ip('10.97.0.1') }))
      .addLocalRoute(via('10.98.0.0', 24))
      .addLocalRoute(via('10.97.0.1', 32, { link: 'cf0' }))
      .removeLocalRoute(via('10.99.0.0', 16, { protocol: OTHER_OWNER }))
      .removeLocalRoute(via('10.99.0.0', 16, { protocol: OTHER_OWNER }))
      .addLocalRoute(via('fd99::', 64))
      .addLocalRoute(via('fd99::', 64))
      .addLocalRoute(via('fd98::', 64, { source: ip('fd97::1') }))
      .addLocalRoute(via('fd98::', 64, { link: 'cf0' }))
      .addAddress(on('cf0', 'fe80::9', 128))
      .addLocalRoute(via('fd98::', 64, { source: ip('fe80::9') }));
    check(session, batch, [
      ...['ENODEV', 'applied', 'applied', 'applied', 'applied', 'applied', 'applied', 'EINVAL', 'applied'],
      ...['applied', 'applied', 'applied', 'applied', 'applied', 'applied', 'applied', 'EINVAL', 'ENETDOWN'],
      ...['applied', 'EINVAL'],
    ]);
    assert.deepEqual(routes().sort(), [
      '10.97.0.1/32 cf0 177 -',
      '10.98.0.0/24 lo 177 -',
      '10.98.0.0/24 lo 177 10.97.0.1',
      '10.98.0.1/32 lo 177 10.98.0.1',
      '10.99.0.0/16 lo 177 -',
      'fd99::/64 lo 177 -',
    ]);
    const kernels = readAll(session.localRoutes()).filter(({ link, protocol }) => link === 'cf0' && protocol === 2);
    assert.deepEqual(
      kernels.map(({ address, prefixLength, source }) => [address, prefixLength, source]),
      [
        ['10.97.0.1', 32, '10.97.0.1'],
        ['fe80::9', 128, undefined],
      ],
    );
    allApplied(session, new Batch().removeAddress('cf0', ip('10.97.0.1'), 32));
    assert.equal(routes().length, 5, 'those on a link go with its last IPv4 address');
    allApplied(session, new Batch().addLocalRoute(via('10.97.0.1', 32, { link: 'cf0' })).removeLink('cf0'));
    assert.equal(routes().length, 5, 'and with the link');
  });

  test('an IPv6 route in the place of ours: named with its owner, and left alone', () => {
    const { session } = bed();
    const others = via('fd99::', 64, { protocol: OTHER_OWNER });
    const sourced = via('fd98::', 64, { source: ip('fd97::1') });
    allApplied(
      session,
      new Batch()
        .ensureLink('cf0')
        .addAddress(on('cf0', 'fd97::1', 128))
        .addLocalRoute(others)
        .addLocalRoute(sourced)
        .addLocalRoute(via('fd96::', 64)),
    );
    const { failures } = session.run(
      new Batch()
        .addLocalRoute(via('fd99::', 64))
        .addLocalRoute(sourced)
        .addLocalRoute(via('fd98::', 64))
        // There, and gone by the end of the batch.
        .addLocalRoute(via('fd96::', 64))
        .removeLocalRoute(via('fd96::', 64))
        .removeLocalRoute(via('fd99::', 64)),
    );
    assert.deepEqual(
      failures.map(({ index, outcome, error }) => [index, outcome, error.command, error.errnoName]),
      [
        [0, 'failed', 'RTM_NEWROUTE', 'EEXIST'],
        [2, 'failed', 'RTM_NEWROUTE', 'EEXIST'],
      ],
    );
    assert.match(failures[0]?.error.reason ?? '', new RegExp(`belongs to protocol ${OTHER_OWNER} `));
    assert.match(failures[1]?.error.reason ?? '', /the source fd97::1: remove it first/);
    assert.deepEqual(routes().sort(), ['fd98::/64 lo 177 fd97::1', 'fd99::/64 lo 178 -']);
    // The holder goes in the same batch, after we asked.
    allApplied(session, new Batch().addLocalRoute(via('fd99::', 64)).removeLocalRoute(others));
    assert.deepEqual(routes().sort(), ['fd98::/64 lo 177 fd97::1', 'fd99::/64 lo 177 -']);
  });

  test('changes are told in their order, of the groups that were asked for', () => {
    const { session } = bed();
    const links = session.openMonitor(['link']);
    const addresses = session.openMonitor(['address']);
    try {
      allApplied(
        session,
        new Batch()
          .ensureLink('cf0')
          .addAddress(on('cf0', '10.99.0.1', 32))
          .addAddress(on('cf0', '10.99.0.1', 32))
          .ensureAddress(on('cf0', '10.99.0.1', 32, { deprecated: true }))
          .removeAddress('cf0', ip('10.99.0.1'), 32)
          .removeLink('cf0'),
      );
      const told = addresses
        .drain()
        .flatMap((event) => (event.kind === 'address' ? [event] : []))
        .map(({ change, address }) => `${change} ${address.link} ${address.address} ${address.deprecated}`);
      assert.deepEqual(told, ['set cf0 10.99.0.1 false', 'set cf0 10.99.0.1 true', 'removed cf0 10.99.0.1 true']);
      const seen = links
        .drain()
        .map((event) => (event.kind === 'link' ? `${event.change} ${event.link.name}` : event.kind));
      assert.deepEqual([seen[0], seen.at(-1), new Set(seen).size], ['set cf0', 'removed cf0', 2]);
      assert.deepEqual([...links.drain(), ...addresses.drain()], []);
    } finally {
      links.close();
      addresses.close();
    }
    assert.throws(() => links.drain(), { code: 'ERR_CLOSED' });
  });
}
