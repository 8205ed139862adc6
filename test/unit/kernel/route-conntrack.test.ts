/** Addresses, local routes and connections: what is encoded comes back, what must not be encoded is refused, and changes are told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, parseCidr } from '../../../lib/address.ts';
import { InvalidArgumentError, ProxierError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import { ChangeWatch } from '../../../lib/kernel/change-watch.ts';
import { openKernel } from '../../../lib/kernel/client.ts';
import { encodeConnectionFilter } from '../../../lib/kernel/encode-conntrack.ts';
import { RecordWriter } from '../../../lib/kernel/record-writer.ts';
import { removeConnections } from '../../../lib/kernel/remove-connections.ts';
import type { ConntrackOperation, Operation } from '../../../lib/operations.ts';
import { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { ChangeEvent, Connection, ConnectionFilter, ConnectionTuple, IpAddress } from '../../../lib/types.ts';

function ip(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const four = fc.ipV4().map(ip);
const six = fc
  .array(fc.integer({ min: 0, max: 0xffff }), { minLength: 7, maxLength: 7 })
  .map((groups) => ip(`fd00:${groups.map((group) => group.toString(16)).join(':')}`));
const port = fc.integer({ min: 0, max: 65535 });
const optional = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(
    value.map((one) => ({ [key]: one })),
    { nil: {} },
  );

const lifetimes = fc.oneof(
  fc.constant({}),
  fc.constant({ deprecated: true }),
  fc.integer({ min: 1, max: 0xffff_fffe }).map((validSeconds) => ({ validSeconds })),
  fc
    .integer({ min: 2, max: 0xffff_fffe })
    .chain((validSeconds) =>
      fc.integer({ min: 1, max: validSeconds - 1 }).map((preferredSeconds) => ({ validSeconds, preferredSeconds })),
    ),
);
const anyAddress = fc.boolean().chain((isFour) =>
  fc
    .tuple(isFour ? four : six, fc.integer({ min: 0, max: isFour ? 32 : 128 }), lifetimes, fc.boolean(), fc.boolean())
    .map(([address, prefixLength, times, dad, route]) => {
      // Only what is not so by default comes back.
      const vip = !isFour && prefixLength === 128;
      const flags = { ...(dad && !isFour ? { noDad: !vip } : {}), ...(route ? { noPrefixRoute: !vip } : {}) };
      return { link: 'd0', address, prefixLength, ...times, ...flags };
    }),
);
const anyRoute = fc.boolean().chain((isFour) =>
  fc
    .tuple(isFour ? four : six, fc.integer({ min: 0, max: isFour ? 32 : 128 }), fc.integer({ min: 4, max: 255 }))
    .chain(([address, prefixLength, protocol]) => {
      const cidr = parseCidr(`${address}/${prefixLength}`);
      assert.ok(cidr !== undefined);
      return fc
        .tuple(optional('link', fc.constantFrom('eth0', 'd0')), optional('source', isFour ? four : six))
        .map(([link, source]) => ({ address: cidr.address, prefixLength, protocol, ...link, ...source }));
    }),
);
const anyTuple: fc.Arbitrary<ConnectionTuple> = fc.boolean().chain((isFour) => {
  const address = isFour ? four : six;
  const ports = fc
    .record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
      sourcePort: port,
      destinationPort: port,
    })
    .chain((rest) => fc.tuple(address, address).map(([source, destination]) => ({ ...rest, source, destination })));
  const icmp = fc
    .tuple(address, address, fc.nat(255), fc.nat(255), port)
    .map(([source, destination, type, code, id]) => {
      const protocol = isFour ? ('icmp' as const) : ('icmpv6' as const);
      return { protocol, source, sourcePort: 0, destination, destinationPort: 0, icmp: { type, code, id } };
    });
  return fc.oneof(ports, icmp);
});
const anyRemoval: fc.Arbitrary<ConntrackOperation> = fc
  .tuple(
    anyTuple,
    optional('zone', fc.integer({ min: 1, max: 65535 })),
    optional('id', fc.integer({ min: 0, max: 0xffff_ffff })),
  )
  .map(([tuple, zone, id]) => ({ verb: 'remove-connection', tuple, ...zone, ...id }));

test('operations come back as they were pushed', () => {
  const operation: fc.Arbitrary<Operation> = fc.oneof(
    anyAddress.map((address): Operation => ({ verb: 'ensure-address', address })),
    anyRoute.map((route): Operation => ({ verb: 'add-local-route', route })),
    anyRoute.map((route): Operation => ({ verb: 'remove-local-route', route })),
    anyRemoval,
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 20 }), (operations) => {
      const batch = new Batch();
      for (const one of operations) batch.push(one);
      assert.deepEqual([...batch], operations);
    }),
    { numRuns: 300 },
  );
});

test('a removal without its whole tuple is never encoded, whichever part is missing or of another kind', () => {
  fc.assert(
    fc.property(
      anyRemoval,
      fc.constantFrom('protocol', 'source', 'sourcePort', 'destination', 'destinationPort', 'icmp'),
      fc.constantFrom<unknown>(undefined, null, '', -1, 65536, 1.5, Number.NaN, {}, 'gre'),
      (removal, part, wrong) => {
        const tuple: Record<string, unknown> = { ...removal.tuple };
        if (part === 'icmp' && !('icmp' in tuple)) return;
        tuple[part] = wrong;
        const operation: Operation = JSON.parse(JSON.stringify({ ...removal, tuple: undefined }));
        // As it comes from code without types.
        Object.assign(operation, { tuple });
        const batch = new Batch().flushSet('S');
        assert.throws(() => batch.push(operation), InvalidArgumentError);
        assert.equal(batch.size, 1);
        assert.equal(batch.toString(), 'ipset flush S\n');
      },
    ),
    { numRuns: 500 },
  );
  for (const tuple of [undefined, null, 'udp', []]) {
    const operation: Operation = JSON.parse('{"verb":"remove-connection"}');
    Object.assign(operation, { tuple });
    assert.throws(() => new Batch().push(operation), InvalidArgumentError);
  }
});

test('bad values are refused with the name of their field', () => {
  const link = { link: 'd0', address: ip('10.0.0.1'), prefixLength: 32 } as const;
  const link6 = { link: 'd0', address: ip('fd00::1'), prefixLength: 64 } as const;
  const route = { address: ip('10.96.0.0'), prefixLength: 16, protocol: 200 } as const;
  const tuple = {
    protocol: 'udp',
    source: ip('10.0.0.1'),
    sourcePort: 1,
    destination: ip('10.0.0.2'),
    destinationPort: 2,
  } as const;
  const icmp = { ...tuple, protocol: 'icmp', sourcePort: 0, destinationPort: 0 } as const;
  const cases: readonly (readonly [string, (batch: Batch) => void])[] = [
    ['address.validSeconds', (b) => b.ensureAddress({ ...link, validSeconds: 0 })],
    ['address.validSeconds', (b) => b.ensureAddress({ ...link, validSeconds: 2 ** 32 - 1 })],
    ['address.preferredSeconds', (b) => b.ensureAddress({ ...link, validSeconds: 5, preferredSeconds: 6 })],
    ['address.preferredSeconds', (b) => b.ensureAddress({ ...link6, deprecated: true, preferredSeconds: 6 })],
    ['address.noDad', (b) => b.ensureAddress({ ...link, noDad: true })],
    ['route.address', (b) => b.addLocalRoute({ ...route, prefixLength: 8 })],
    ['route.prefixLength', (b) => b.addLocalRoute({ ...route, prefixLength: 33 })],
    ['route.protocol', (b) => b.addLocalRoute({ ...route, protocol: 2 })],
    ['route.protocol', (b) => b.removeLocalRoute({ ...route, protocol: 0 })],
    ['route.protocol', (b) => b.removeLocalRoute({ ...route, protocol: 256 })],
    ['route.source', (b) => b.addLocalRoute({ ...route, source: ip('fd00::1') })],
    ['route.link', (b) => b.addLocalRoute({ ...route, link: 'a/b' })],
    ['tuple.destination', (b) => b.removeConnection({ ...tuple, destination: ip('fd00::1') })],
    ['tuple.icmp', (b) => b.removeConnection(icmp)],
    ['tuple.icmp', (b) => b.removeConnection({ ...tuple, icmp: { type: 8, code: 0, id: 1 } })],
    ['tuple.protocol', (b) => b.removeConnection({ ...icmp, protocol: 'icmpv6', icmp: { type: 8, code: 0, id: 1 } })],
    ['zone', (b) => b.removeConnection(tuple, { zone: 65536 })],
    ['id', (b) => b.removeConnection(tuple, { id: -1 })],
  ];
  for (const [field, build] of cases) {
    assert.throws(
      () => build(new Batch()),
      (error) => error instanceof InvalidArgumentError && error.field === field,
      `${field}: ${build}`,
    );
  }
  const filters: readonly (readonly [string, ConnectionFilter])[] = [
    ['filter.originalDestinationPort', { originalDestinationPort: 53 }],
    ['filter.replySourcePort', { protocol: 'icmp', replySourcePort: 53 }],
    ['filter.replySource', { originalSource: ip('10.0.0.1'), replySource: ip('fd00::1') }],
    ['filter.originalSource', { family: 'IPv6', originalSource: ip('10.0.0.1') }],
    ['filter.protocol', { family: 'IPv6', protocol: 'icmp' }],
    ['filter.zone', { zone: -1 }],
    ['filter.mark.mask', { mark: { value: 0, mask: 2 ** 32 } }],
  ];
  for (const [field, filter] of filters) {
    assert.throws(() => encodeConnectionFilter(new RecordWriter(), filter), { code: 'ERR_INVALID_ARGUMENT', field });
  }
});

test('operations read as the commands people know', () => {
  const tuple = {
    protocol: 'udp',
    source: ip('10.0.0.1'),
    sourcePort: 4711,
    destination: ip('10.96.0.10'),
    destinationPort: 53,
  } as const;
  const batch = new Batch()
    .ensureAddress({
      link: 'd0',
      address: ip('fd00::1'),
      prefixLength: 64,
      noDad: true,
      validSeconds: 60,
      preferredSeconds: 30,
    })
    .addLocalRoute({ address: ip('10.96.0.0'), prefixLength: 16, protocol: 200, source: ip('10.0.0.1') })
    .removeLocalRoute({ address: ip('fd96::'), prefixLength: 64, protocol: 200, link: 'd0' })
    .removeConnection(tuple, { zone: 7, id: 1 })
    .removeConnection({
      ...{ protocol: 'icmp', source: ip('10.0.0.1'), sourcePort: 0, destination: ip('10.0.0.2'), destinationPort: 0 },
      icmp: { type: 8, code: 0, id: 77 },
    });
  assert.deepEqual(batch.toString().trimEnd().split('\n'), [
    'ip addr replace fd00::1/64 dev d0 nodad valid_lft 60 preferred_lft 30',
    'ip route append local 10.96.0.0/16 dev lo table local proto 200 src 10.0.0.1',
    'ip route del local fd96::/64 dev d0 table local proto 200',
    'conntrack -D -p udp --orig-src 10.0.0.1 --orig-dst 10.96.0.10 --sport 4711 --dport 53 --zone 7',
    'conntrack -D -p icmp --orig-src 10.0.0.1 --orig-dst 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77',
  ]);
});

function connection(number: number): Connection {
  const original = {
    protocol: number % 2 === 0 ? 'udp' : 'tcp',
    ...{ source: ip(`10.1.${number >> 8}.${number & 255}`), sourcePort: 4711 },
    ...{ destination: ip('10.96.0.10'), destinationPort: 53 },
  } as const;
  const { protocol, source, destination, sourcePort, destinationPort } = original;
  const reply = {
    protocol,
    source: destination,
    sourcePort: destinationPort,
    destination: source,
    destinationPort: sourcePort,
  };
  return { id: number + 1, zone: 0, status: 0xe, timeoutSeconds: 30, mark: 0, original, reply };
}

test('many connections by a predicate: in slices, up to the limit, failures told but not all of them', async () => {
  let batches = 0;
  const table = Array.from({ length: 1000 }, (_, number) => connection(number));
  const failing = {
    connections: () => {
      const slices = [table.slice(0, 400), table.slice(400, 800), table.slice(800)];
      return { next: () => slices.shift(), close: () => slices.splice(0) };
    },
    run: (batch: Batch) => {
      batches++;
      const error = { errno: 1, errnoName: 'EPERM', command: 'IPCTNL_MSG_CT_DELETE', object: '', reason: '' };
      const failures = [...batch].map((_, index) => ({ index, operation: '', outcome: 'failed' as const, error }));
      return { applied: 0, failures, messages: batch.size, roundTrips: 1, kernelMicros: 0 };
    },
  };
  const refused = removeConnections(failing, {}, ({ id }) => id % 2 === 1, {});
  assert.deepEqual([refused.examined, refused.removed, refused.failed, batches], [1000, 0, 500, 3]);
  assert.equal(refused.failures.length, 100);
  const limited = removeConnections(failing, {}, () => true, { max: 450 });
  assert.deepEqual([limited.failed, limited.limited], [450, true]);
  assert.throws(() => removeConnections(failing, {}, () => true, { max: -1 }), { field: 'max' });

  const fake = new FakeKernel();
  for (const one of table) fake.outside.connections.add(one);
  await using kernel = await openKernel({ session: fake.session() });
  const udp = await kernel.conntrack.removeWhere({ protocol: 'udp' }, ({ id }) => id > 500, { max: 200 });
  assert.deepEqual([udp.removed, udp.limited, udp.failures], [200, true, []]);
  assert.equal((await kernel.conntrack.list()).length, 800);
  assert.ok(
    table
      .filter(({ id, original }) => id <= 500 || original.protocol === 'tcp')
      .every((one) => fake.outside.connections.has(one)),
  );
});

test('a watch over the fake kernel tells what changed, and ends as an iterator does', async () => {
  const fake = new FakeKernel();
  await using kernel = await openKernel({ session: fake.session() });
  assert.throws(() => kernel.route.watch([]), { field: 'groups' });
  assert.throws(() => kernel.route.watch(['link'], { intervalMs: 0 }), { field: 'intervalMs' });
  const told: string[] = [];
  const watch = kernel.route.watch(['address', 'link'], { intervalMs: 1 });
  await kernel.run(
    kernel
      .batch()
      .ensureLink('d0')
      .addAddress({ link: 'd0', address: ip('10.0.0.1'), prefixLength: 32 }),
  );
  for await (const event of watch) {
    if (event.kind === 'lost') continue;
    told.push(`${event.kind} ${event.change}`);
    if (told.length === 2) await kernel.run(kernel.batch().removeLink('d0'));
    if (told.length === 4) break;
  }
  assert.deepEqual(told, ['link set', 'address set', 'address removed', 'link removed']);
  const last = kernel.route.watch(['address'], { intervalMs: 1 });
  await kernel.close();
  await assert.rejects(last.next(), { code: 'ERR_CLOSED' });
});

test('a worker that was replaced took the monitor with it: the watch goes on, and says what it lost', async () => {
  const link = { index: 2, name: 'd0', kind: 'dummy', up: false };
  const event: ChangeEvent = { kind: 'link', change: 'set', link };
  let opened = 0;
  const closed: number[] = [];
  const answers: (() => readonly ChangeEvent[] | undefined)[] = [
    () => [event],
    () => undefined,
    () => [event],
    () => {
      throw new ProxierError('ERR_WORKER', 'it died');
    },
    () => [event],
    () => {
      throw new ProxierError('ERR_PERMISSION', 'no');
    },
  ];
  const monitors = {
    open: async () => ++opened,
    drain: async () => answers.shift()?.(),
    close: async (monitor: number) => {
      closed.push(monitor);
    },
  };
  const kinds: string[] = [];
  const watch = new ChangeWatch(monitors, ['link'], {});
  await assert.rejects(
    async () => {
      for await (const one of watch) kinds.push(one.kind);
    },
    { code: 'ERR_PERMISSION' },
  );
  assert.deepEqual(kinds, ['link', 'lost', 'link', 'lost', 'link']);
  assert.equal(opened, 3);
  assert.deepEqual(closed, [3]);
});
