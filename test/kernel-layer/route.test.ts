/** Addresses, local routes and their changes on a real kernel, judged by `ip`. In a network namespace of its own process: cleans up. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { familyOf, parseAddress } from '../../lib/address.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type Cursor, type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { ChangeEvent, IpAddress, LinkAddress, LinkAddressState, LocalRoute } from '../../lib/types.ts';
import { runTool } from '../harness/run-tool.ts';

const LINK = 'route-test0';
const OWNER = 211;

function ip(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** `ip -j addr` on the test's link, by address. */
async function shownAddresses(): Promise<Map<string, Record<string, unknown>>> {
  const links: unknown = JSON.parse(await runTool('ip', ['-j', 'addr', 'show', 'dev', LINK]));
  assert.ok(Array.isArray(links));
  const shown = new Map<string, Record<string, unknown>>();
  for (const link of links) {
    const infos: unknown = isRecord(link) ? link['addr_info'] : undefined;
    if (!Array.isArray(infos)) continue;
    for (const info of infos) if (isRecord(info)) shown.set(String(info['local']), info);
  }
  return shown;
}

/** Lines of `ip -d route show table local` of the owner, both families. */
async function shownRoutes(): Promise<string[]> {
  const of = (family: string) =>
    runTool('ip', ['-d', family, 'route', 'show', 'table', 'local', 'proto', String(OWNER)], { mayFail: true });
  return `${await of('-4')}${await of('-6')}`.split('\n').flatMap((line) => {
    const [, prefix = '', dev = ''] = /^local (\S+) dev (\S+)/.exec(line) ?? [];
    if (prefix === '') return [];
    const source = / src (\S+)/.exec(line)?.[1];
    return [`${withLength(prefix)} ${dev}${source === undefined ? '' : ` src ${source}`}`];
  });
}

function withLength(prefix: string): string {
  return prefix.includes('/') ? prefix : `${prefix}/${prefix.includes(':') ? 128 : 32}`;
}

function routeLine({ address, prefixLength, link = 'lo', source }: LocalRoute): string {
  return `${address}/${prefixLength} ${link}${source === undefined ? '' : ` src ${source}`}`;
}

describe('routes', () => {
  let session: KernelSession;
  const ok = (batch: Batch) => assert.deepEqual(session.run(batch).failures, []);
  const clean = () => {
    const batch = new Batch();
    for (const { linkIndex: _, ...route } of readAll(session.localRoutes({ protocol: OWNER }))) {
      batch.removeLocalRoute(route);
    }
    ok(batch.removeLink(LINK));
  };

  before(async () => {
    await runTool('ip', ['link', 'set', 'lo', 'up']);
    session = openSession();
    clean();
  });
  after(() => {
    clean();
    session.close();
  });

  test('scope, lifetimes and flags, as ip shows them and as they are read back', async () => {
    const wanted: LinkAddress[] = [
      {
        link: LINK,
        address: ip('10.95.0.1'),
        prefixLength: 24,
        scope: 'host',
        validSeconds: 5000,
        preferredSeconds: 3000,
      },
      { link: LINK, address: ip('10.95.1.1'), prefixLength: 24, scope: 'link', noPrefixRoute: true },
      { link: LINK, address: ip('10.95.2.1'), prefixLength: 32, deprecated: true },
      { link: LINK, address: ip('fd95::1'), prefixLength: 64, noDad: true, validSeconds: 4000 },
      { link: LINK, address: ip('fd95::2'), prefixLength: 128 },
      { link: LINK, address: ip('fd95:1::3'), prefixLength: 64, noDad: true, noPrefixRoute: true, deprecated: true },
    ];
    const batch = new Batch().ensureLink(LINK);
    for (const address of wanted) batch.addAddress(address);
    // As they are there already, whatever they are.
    ok(batch.addAddress({ link: LINK, address: ip('10.95.0.1'), prefixLength: 24 }));
    const shown = await shownAddresses();
    const read = new Map(
      readAll(session.addresses())
        .filter(({ link }) => link === LINK)
        .map((one) => [String(one.address), one]),
    );
    assert.equal(shown.size, wanted.length);
    assert.equal(read.size, wanted.length);
    for (const address of wanted) {
      const { scope = 'global', deprecated = false, prefixLength } = address;
      const vip = familyOf(address.address) === 'IPv6' && prefixLength === 128;
      const info = shown.get(address.address);
      const state = read.get(address.address);
      assert.ok(info !== undefined && state !== undefined, address.address);
      assert.equal(info['prefixlen'], prefixLength);
      assert.equal(state.prefixLength, prefixLength);
      assert.equal(info['scope'], scope, address.address);
      assert.equal(state.scope, scope);
      assert.equal(info['deprecated'] ?? false, deprecated, address.address);
      assert.equal(state.deprecated, deprecated);
      assert.equal(info['noprefixroute'] ?? false, address.noPrefixRoute ?? vip, address.address);
      assert.equal(state.noPrefixRoute, address.noPrefixRoute ?? vip);
      assert.equal(info['nodad'] ?? false, address.noDad ?? vip, address.address);
      assert.equal(state.noDad, address.noDad ?? vip);
      assert.equal(state.tentative, false);
      // Counting down; ip says all ones for ever.
      const { validSeconds, preferredSeconds = deprecated ? 0 : validSeconds } = address;
      for (const [given, tool, back] of [
        [validSeconds, info['valid_life_time'], state.validSeconds],
        [preferredSeconds, deprecated ? 0 : info['preferred_life_time'], state.preferredSeconds],
      ] as const) {
        if (given === undefined) assert.deepEqual([tool, back], [0xffff_ffff, undefined], address.address);
        else
          assert.ok(Number(tool) <= given && Number(back) <= given && Number(back) >= given - 1000, `${tool} ${back}`);
      }
    }
  });

  test('an address is changed in place where the kernel can, and stays one address', async () => {
    ok(
      new Batch()
        .ensureLink(LINK)
        .ensureAddress({ link: LINK, address: ip('10.95.9.1'), prefixLength: 32, validSeconds: 5000 })
        .ensureAddress({ link: LINK, address: ip('10.95.9.1'), prefixLength: 32, scope: 'host', deprecated: true })
        .ensureAddress({ link: LINK, address: ip('fd95::9'), prefixLength: 128, validSeconds: 5000 })
        .ensureAddress({ link: LINK, address: ip('fd95::9'), prefixLength: 128, noPrefixRoute: false }),
    );
    const shown = await shownAddresses();
    const four = shown.get('10.95.9.1');
    assert.deepEqual([four?.['deprecated'], four?.['valid_life_time']], [true, 0xffff_ffff]);
    // What the types say: an IPv4 address keeps its scope.
    assert.equal(four?.['scope'], 'global');
    const six = shown.get('fd95::9');
    assert.deepEqual([six?.['noprefixroute'] ?? false, six?.['valid_life_time']], [false, 0xffff_ffff]);
    assert.equal(readAll(session.addresses()).filter(({ address }) => address === ip('10.95.9.1')).length, 1);
    const { failures } = session.run(
      new Batch().ensureAddress({ link: 'no-such-link', address: ip('10.95.9.1'), prefixLength: 32 }),
    );
    assert.deepEqual(
      failures.map(({ operation, error }) => [operation, error.errnoName]),
      [['ip addr replace 10.95.9.1/32 dev no-such-link', 'ENODEV']],
    );
  });

  test('local routes of an owner, as ip shows them; nobody else’s is touched', async () => {
    const routes: LocalRoute[] = [
      { address: ip('10.94.0.0'), prefixLength: 16, protocol: OWNER },
      { address: ip('10.94.7.7'), prefixLength: 32, protocol: OWNER, source: ip('127.0.0.1') },
      { address: ip('fd94::'), prefixLength: 64, protocol: OWNER },
      { address: ip('fd94:1::7'), prefixLength: 128, protocol: OWNER },
    ];
    const foreign: LocalRoute = { address: ip('10.94.0.0'), prefixLength: 16, protocol: OWNER + 1 };
    const foreign6: LocalRoute = { address: ip('fd94:1::7'), prefixLength: 128, protocol: OWNER + 1 };
    const batch = new Batch().addLocalRoute(foreign);
    for (const route of routes) batch.addLocalRoute(route).addLocalRoute(route);
    ok(batch);
    try {
      assert.deepEqual((await shownRoutes()).sort(), routes.map(routeLine).sort());
      const read = readAll(session.localRoutes({ protocol: OWNER }));
      assert.deepEqual(read.map(routeLine).sort(), routes.map(routeLine).sort());
      assert.ok(read.every(({ protocol, linkIndex }) => protocol === OWNER && linkIndex > 0));
      const all = readAll(session.localRoutes());
      assert.ok(all.some(({ address, protocol }) => address === '127.0.0.0' && protocol === 2));
      assert.ok(all.length > read.length);
      // The host takes packets to it, without an address.
      assert.match(await runTool('ip', ['route', 'get', '10.94.3.3']), /^local 10\.94\.3\.3 dev lo/);
      assert.ok(!readAll(session.addresses()).some(({ address }) => address.startsWith('10.94.')));

      const { failures } = session.run(
        new Batch()
          .addLocalRoute({ address: ip('10.93.0.0'), prefixLength: 16, protocol: OWNER, link: 'no-such-link' })
          .ensureLink(LINK)
          .addLocalRoute({ address: ip('fd93::'), prefixLength: 64, protocol: OWNER, link: LINK }),
      );
      assert.deepEqual(
        failures.map(({ index, error }) => [index, error.command, error.errnoName]),
        [
          [0, 'RTM_NEWROUTE', 'ENODEV'],
          [2, 'RTM_NEWROUTE', 'ENETDOWN'],
        ],
      );
      assert.match(failures[1]?.error.reason ?? '', /down/);
      const removal = new Batch().removeLocalRoute(foreign6);
      for (const route of routes) removal.removeLocalRoute(route).removeLocalRoute(route);
      ok(removal);
      assert.deepEqual(await shownRoutes(), []);
      assert.deepEqual(readAll(session.localRoutes({ protocol: OWNER + 1 })).map(routeLine), [routeLine(foreign)]);
    } finally {
      ok(new Batch().removeLocalRoute(foreign));
    }
  });

  test('in slices the same is listed as in one go; what changes meanwhile is told, or does no harm to the rest', () => {
    const vip = (index: number): IpAddress => ip(`10.211.${index >> 8}.${index & 255}`);
    const batch = new Batch().ensureLink(LINK);
    const count = 2000;
    for (let index = 0; index < count; index += 1) {
      batch.addAddress({ link: LINK, address: vip(index), prefixLength: 32 });
      batch.addLocalRoute({ address: ip(`10.212.${index >> 8}.${index & 255}`), prefixLength: 32, protocol: OWNER });
    }
    ok(batch);
    const sizes: number[] = [];
    const listed = <T>(cursor: Cursor<T>): T[] => {
      const all: T[] = [];
      for (let slice = cursor.next(); slice !== undefined; slice = cursor.next()) {
        sizes.push(slice.length);
        all.push(...slice);
      }
      return all;
    };
    // Without their lifetimes, which run out.
    const names = (states: readonly LinkAddressState[]) => states.map(({ link, address }) => `${link} ${address}`);
    assert.deepEqual(names(listed(session.addresses({ inSlices: true }))), names(readAll(session.addresses())));
    const owner = { protocol: OWNER };
    assert.deepEqual(listed(session.localRoutes(owner, { inSlices: true })), readAll(session.localRoutes(owner)));
    assert.ok(Math.max(...sizes) < 1500, `slices of ${sizes}`);
    const cursor = session.addresses({ inSlices: true });
    cursor.next();
    ok(new Batch().removeAddress(LINK, vip(count - 1), 32));
    assert.throws(() => listed(cursor), { errnoName: 'EINTR' });
  });

  test('a monitor tells of links and addresses in the kernel’s order, and of a loss', async () => {
    ok(new Batch().removeLink(LINK));
    const monitor = session.openMonitor(['link', 'address']);
    const addressesOnly = session.openMonitor(['address']);
    assert.deepEqual(monitor.drain(), []);
    const address = { link: LINK, address: ip('10.95.3.1'), prefixLength: 32, scope: 'host' } as const;
    ok(new Batch().ensureLink(LINK).addAddress(address).removeAddress(LINK, address.address, 32));
    await runTool('ip', ['link', 'set', LINK, 'up']);
    ok(new Batch().removeLink(LINK));
    const told = monitor.drain().filter((event) => nameOf(event) === LINK);
    const words = told.map((event) => (event.kind === 'lost' ? 'lost' : `${event.kind} ${event.change}`));
    assert.equal(words[0], 'link set');
    assert.equal(words.at(-1), 'link removed');
    assert.ok(words.indexOf('address set') > 0 && words.indexOf('address removed') > words.indexOf('address set'));
    assert.ok(told.some((event) => event.kind === 'link' && event.change === 'set' && event.link.up));
    const seen = told.find((event) => event.kind === 'address');
    assert.ok(seen?.kind === 'address' && seen.address.scope === 'host' && seen.address.address === address.address);
    assert.ok(addressesOnly.drain().every(({ kind }) => kind === 'address'));
    addressesOnly.close();
    addressesOnly.close();
    assert.throws(() => addressesOnly.drain(), { code: 'ERR_CLOSED' });

    // More than the socket holds, and nobody reads.
    const flood = new Batch().ensureLink(LINK);
    const many = { link: LINK, address: ip('10.95.4.1'), prefixLength: 32 } as const;
    for (let i = 0; i < 15_000; i++) flood.addAddress(many).removeAddress(LINK, many.address, 32);
    ok(flood);
    let lost = 0;
    let events = 0;
    for (let slice = monitor.drain(); slice.length > 0; slice = monitor.drain()) {
      events += slice.length;
      lost += slice.filter(({ kind }) => kind === 'lost').length;
    }
    assert.ok(lost > 0 && events > lost, `${lost} of ${events}`);
    // And goes on after it.
    ok(new Batch().addAddress(many));
    assert.deepEqual(
      monitor.drain().map((event) => event.kind === 'address' && event.address.link),
      [LINK],
    );
    monitor.close();
  });

  test('a watch on a worker: what changes after the call is told, return and an aborted signal end it', async () => {
    await using kernel = await openKernel();
    const stop = new AbortController();
    const watch = kernel.route.watch(['address'], { signal: stop.signal, intervalMs: 5 });
    await kernel.route.addresses();
    const address = { link: LINK, address: ip('10.95.5.1'), prefixLength: 32 } as const;
    ok(new Batch().ensureLink(LINK).addAddress(address));
    for await (const event of watch) {
      assert.ok(event.kind === 'address');
      if (event.address.address === address.address) break;
    }
    assert.deepEqual(await watch.next(), { value: undefined, done: true });

    const second = kernel.route.watch(['link'], { signal: stop.signal, intervalMs: 60_000 });
    const pending = second.next();
    // Its first question has been answered: now it waits.
    await kernel.route.links();
    await kernel.route.links();
    const reason = new Error('enough');
    stop.abort(reason);
    await assert.rejects(pending, reason);
    const third = kernel.route.watch(['link'], { intervalMs: 60_000 });
    const waiting = third.next();
    await kernel.route.links();
    await third.return?.();
    assert.deepEqual(await waiting, { value: undefined, done: true });
  });
});

function nameOf(event: ChangeEvent): string | undefined {
  return event.kind === 'link' ? event.link.name : event.kind === 'address' ? event.address.link : undefined;
}
