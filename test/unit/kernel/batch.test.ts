import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { familyOf, parseAddress } from '../../../lib/address.ts';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import { Batch } from '../../../lib/kernel/batch.ts';
import type { Operation } from '../../../lib/operations.ts';
import type { ForwardMethod, IpAddress, IpFamily, Protocol, SetType, Tunnel } from '../../../lib/types.ts';
import { runs } from '../../harness/runs.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const anyV4 = fc.ipV4().map(address);
/** Many zero groups, so that every kind of `::` is met. */
const anyV6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.map((group) => group.toString(16)).join(':'))
  .filter((text) => parseAddress(text) !== undefined)
  .map(address);
const port = fc.integer({ min: 0, max: 65535 });
const count = fc.integer({ min: 0, max: 0x7fff_ffff });
const seconds = fc.integer({ min: 0, max: 2_147_483 });
const some = fc.integer({ min: 1, max: 0x7fff_ffff });
const family = fc.constantFrom<IpFamily>('IPv4', 'IPv6');
const protocol = fc.constantFrom<Protocol>('tcp', 'udp', 'sctp');
const name = (most: number) =>
  fc.stringMatching(new RegExp(`^[A-Za-z0-9_.-]{1,${most}}$`)).filter((n) => !/^\.+$/.test(n));
const of = (which: IpFamily) => (which === 'IPv4' ? anyV4 : anyV6);
const full = (which: IpFamily) => (which === 'IPv4' ? 32 : 128);
const option = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(
    value.map((v) => ({ [key]: v })),
    { nil: {} },
  );

const key = family.chain((which) =>
  fc.oneof(
    fc.record({ protocol, address: of(which), port }, { noNullPrototype: true }),
    fc.record(
      { fwmark: fc.integer({ min: 1, max: 0xffff_ffff }), family: fc.constant(which) },
      { noNullPrototype: true },
    ),
  ),
);
const keyFamily = (k: { readonly family: IpFamily } | { readonly address: IpAddress }): IpFamily =>
  'family' in k ? k.family : familyOf(k.address);
const service = key.chain((k) =>
  fc
    .tuple(
      name(15),
      fc.integer({ min: 0, max: 0xffff_ffff }).map((flags) => (flags & ~2) >>> 0),
      fc.integer({ min: 0, max: 2_147_483 }),
      option('prefixLength', fc.integer({ min: 1, max: full(keyFamily(k)) - 1 })),
      option('persistenceEngine', name(15)),
    )
    .map(([scheduler, flags, timeoutSeconds, prefix, engine]) => ({
      key: k,
      scheduler,
      flags,
      timeoutSeconds,
      ...prefix,
      ...engine,
    })),
);
const checksum = option('checksum', fc.constant(true));
/** Never plain IPIP, which is the same as none. */
const tunnel = fc.oneof(
  checksum.map((sum): Tunnel => ({ type: 'gre', ...sum })),
  fc
    .tuple(fc.integer({ min: 1, max: 65535 }), checksum, option('remoteChecksum', fc.constant(true)))
    .map(([at, sum, remote]): Tunnel => ({ type: 'gue', port: at, ...sum, ...remote })),
);
const onDestination = key.chain((k) =>
  fc
    .tuple(
      of(keyFamily(k)),
      port,
      count,
      fc.constantFrom<ForwardMethod>('masquerade', 'local', 'tunnel', 'direct', 'bypass'),
      fc.option(fc.tuple(some, some), { nil: undefined }),
      fc.option(tunnel, { nil: undefined }),
    )
    .map(([where, at, weight, forward, limits, tun]) => ({
      key: k,
      destination: {
        address: where,
        port: at,
        weight,
        forward,
        ...(tun === undefined || forward !== 'tunnel' ? {} : { tunnel: tun }),
        ...(limits === undefined ? {} : { upperThreshold: Math.max(...limits), lowerThreshold: Math.min(...limits) }),
      },
    })),
);

/** The network that the address is in, canonical. */
function masked(text: IpAddress, length: number): string {
  const parsed = ipaddr.parse(text);
  const kind = parsed.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6;
  return `${address(kind.networkAddressFromCIDR(`${text}/${length}`).toString())}/${length}`;
}

const TYPES: readonly SetType[] = [
  'hash:ip',
  'hash:net',
  'hash:ip,port',
  'hash:ip,port,ip',
  'hash:ip,port,net',
  'hash:net,iface',
  'bitmap:port',
];
const setRef = fc.record({ name: name(31), type: fc.constantFrom(...TYPES), family }, { noNullPrototype: true });
const entryOf = (type: SetType, which: IpFamily): fc.Arbitrary<string> => {
  const ip = of(which);
  const portText = fc
    .tuple(fc.constantFrom('tcp', 'udp', 'sctp', '136', '47'), port)
    .map(([p, n]) => `${p}:${p === '47' ? 0 : n}`);
  const net = fc
    .tuple(ip, fc.integer({ min: 1, max: full(which) }))
    .map(([a, length]) => (length === full(which) ? a : masked(a, length)));
  const nomatch = fc.constantFrom('', ' nomatch');
  const join = (...parts: fc.Arbitrary<string>[]) => fc.tuple(...parts).map((texts) => texts.join(','));
  switch (type) {
    case 'hash:ip':
      return ip;
    case 'hash:net':
      return fc.tuple(net, nomatch).map((texts) => texts.join(''));
    case 'hash:ip,port':
      return join(ip, portText);
    case 'hash:ip,port,ip':
      return join(ip, portText, ip);
    case 'hash:ip,port,net':
      return fc.tuple(join(ip, portText, net), nomatch).map((texts) => texts.join(''));
    case 'hash:net,iface':
      return fc.tuple(join(net, fc.constantFrom('eth0', 'physdev:br-lan.5')), nomatch).map((texts) => texts.join(''));
    case 'bitmap:port':
      return port.map(String);
  }
};
const onEntry = setRef.chain((set) => entryOf(set.type, set.family).map((entry) => ({ set, entry })));
/** ` timeout 60 nomatch comment "x"`, the entry's own nomatch in its place. */
const withOptions = (entry: string) =>
  fc
    .tuple(
      fc.option(fc.integer({ min: 0, max: 2_147_483 }), { nil: undefined }),
      fc.option(
        fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }).map((text) => text.replace(/["\p{Cc}]/gu, '.')),
        { nil: undefined },
      ),
    )
    .map(([timeout, comment]) => {
      const [body = ''] = entry.split(' ');
      const middle = `${timeout === undefined ? '' : ` timeout ${timeout}`}${entry.slice(body.length)}`;
      return `${body}${middle}${comment === undefined ? '' : ` comment "${comment}"`}`;
    });
const onAddition = onEntry.chain(({ set, entry }) => withOptions(entry).map((text) => ({ set, entry: text })));
const linkAddress = fc
  .tuple(
    name(15),
    family.chain((which) => fc.tuple(of(which), fc.integer({ min: 0, max: full(which) }))),
    option('scope', fc.constantFrom('site' as const, 'link' as const, 'host' as const)),
    option('deprecated', fc.constant(true)),
  )
  .map(([link, [where, prefixLength], scope, deprecated]) => ({
    link,
    address: where,
    prefixLength,
    ...scope,
    ...deprecated,
  }));

const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc
    .tuple(fc.constantFrom('create-service' as const, 'update-service' as const, 'ensure-service' as const), service)
    .map(([verb, s]): Operation => ({ verb, service: s })),
  key.map((k): Operation => ({ verb: 'remove-service', key: k })),
  key.map((k): Operation => ({ verb: 'zero-service', key: k })),
  fc.constantFrom('zero-services' as const, 'flush-services' as const).map((verb): Operation => ({ verb })),
  fc.tuple(seconds, seconds, seconds).map(
    ([tcpSeconds, tcpFinSeconds, udpSeconds]): Operation => ({
      verb: 'set-timeouts',
      timeouts: { tcpSeconds, tcpFinSeconds, udpSeconds },
    }),
  ),
  fc
    .tuple(
      fc.constantFrom('create-destination' as const, 'update-destination' as const, 'ensure-destination' as const),
      onDestination,
    )
    .map(([verb, rest]): Operation => ({ verb, ...rest })),
  fc
    .tuple(key, anyV6, port)
    .map(([k, a, p]): Operation => ({ verb: 'remove-destination', key: k, destination: { address: a, port: p } })),
  fc
    .tuple(
      fc.constantFrom('create-set' as const, 'ensure-set' as const),
      setRef,
      option('hashSize', some),
      option('maxElements', some),
      option('timeoutSeconds', fc.integer({ min: 0, max: 2_147_483 })),
      option('comment', fc.constant(true)),
    )
    .map(([verb, set, hash, most, timeout, comment]): Operation => {
      return { verb, set: { ...set, ...hash, ...most, ...timeout, ...comment } };
    }),
  fc
    .tuple(fc.constantFrom('remove-set' as const, 'flush-set' as const), name(31))
    .map(([verb, n]): Operation => ({ verb, name: n })),
  fc.tuple(name(31), name(31)).map(([n, other]): Operation => ({ verb: 'swap-sets', name: n, other })),
  fc.tuple(name(31), name(31)).map(([n, newName]): Operation => ({ verb: 'rename-set', name: n, newName })),
  onAddition.map((rest): Operation => ({ verb: 'add-entry', ...rest })),
  onEntry.map((rest): Operation => ({ verb: 'remove-entry', ...rest })),
  fc
    .tuple(fc.constantFrom('ensure-link' as const, 'remove-link' as const), name(15))
    .map(([verb, n]): Operation => ({ verb, name: n })),
  linkAddress.map((a): Operation => ({ verb: 'add-address', address: a })),
  linkAddress.map(
    ({ link, address: a, prefixLength }): Operation => ({ verb: 'remove-address', link, address: a, prefixLength }),
  ),
);

test('what is pushed comes back, in order, and a refused operation leaves no trace', () => {
  const refused: Operation = { verb: 'ensure-link', name: 'a/b' };
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), fc.nat(40), (operations, at) => {
      const batch = new Batch();
      for (const [index, one] of operations.entries()) {
        if (index === at) assert.throws(() => batch.push(refused), InvalidArgumentError);
        batch.push(one);
      }
      assert.equal(batch.size, operations.length);
      assert.deepEqual([...batch], operations);
      assert.equal(batch.toString().split('\n').length, operations.length + 1);
    }),
    { numRuns: runs(300) },
  );
});

test('the usual operations take less than 100 bytes', () => {
  const batch = new Batch();
  const tcp = { protocol: 'tcp', address: address('10.96.0.10'), port: 80 } as const;
  const to = { address: address('10.244.1.5'), port: 8080, weight: 1, forward: 'masquerade' } as const;
  const set = { name: 'KUBE-LOAD-BALANCER-SOURCE-CIDR', type: 'hash:ip,port,net', family: 'IPv4' } as const;
  batch.ensureService({ key: tcp, scheduler: 'rr', flags: 0, timeoutSeconds: 0 }).ensureDestination(tcp, to);
  batch.addEntry(set, '10.96.0.10,tcp:80,10.0.0.0/8');
  const reader = batch.reader();
  while (reader.next()) assert.ok(reader.length < 80, `${reader.length}`);
});

test('operations read as the commands people know', () => {
  const v4 = { protocol: 'tcp', address: address('10.96.0.10'), port: 80 } as const;
  const v6 = { protocol: 'sctp', address: address('fd00::a'), port: 9 } as const;
  const mark = { fwmark: 7, family: 'IPv6' } as const;
  const set = { name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', family: 'IPv4' } as const;
  const batch = new Batch()
    .ensureService({ key: v4, scheduler: 'rr', flags: 1, timeoutSeconds: 10800, prefixLength: 24 })
    .updateService({ key: mark, scheduler: 'mh', flags: 0x1c, timeoutSeconds: 0, persistenceEngine: 'sip' })
    .removeService(v6)
    .createDestination(v4, { address: address('10.1.2.3'), port: 8080, weight: 1, forward: 'masquerade' })
    .updateDestination(v6, { address: address('fd00::b'), port: 9, weight: 0, forward: 'direct', upperThreshold: 5 })
    .removeDestination(v4, { address: address('10.1.2.3'), port: 8080 })
    .createSet({ ...set, hashSize: 4096 })
    .ensureSet({ name: 'KUBE-NODE-PORT-TCP', type: 'bitmap:port', family: 'IPv4' })
    .addEntry(set, '10.96.0.10,tcp:80')
    .removeEntry(set, '10.96.0.10,tcp:80')
    .swapSets('A', 'B')
    .flushSet('A')
    .removeSet('B')
    .ensureLink('kube-ipvs0')
    .addAddress({ link: 'kube-ipvs0', address: v4.address, prefixLength: 32, scope: 'host' })
    .removeAddress('kube-ipvs0', v6.address, 128)
    .removeLink('kube-ipvs0');
  assert.equal(
    batch.toString(),
    [
      'ipvsadm -A -t 10.96.0.10:80 -s rr -p 10800 -M 255.255.255.0',
      'ipvsadm -E -f 7 -6 -s mh -o -b mh-fallback,mh-port --pe sip',
      'ipvsadm -D --sctp-service [fd00::a]:9',
      'ipvsadm -a -t 10.96.0.10:80 -r 10.1.2.3:8080 -m -w 1',
      'ipvsadm -e --sctp-service [fd00::a]:9 -r [fd00::b]:9 -g -w 0 -x 5',
      'ipvsadm -d -t 10.96.0.10:80 -r 10.1.2.3:8080',
      'ipset create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 4096',
      'ipset -exist create KUBE-NODE-PORT-TCP bitmap:port range 0-65535',
      'ipset add KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'ipset del KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'ipset swap A B',
      'ipset flush A',
      'ipset destroy B',
      'ip link add kube-ipvs0 type dummy',
      'ip addr add 10.96.0.10/32 dev kube-ipvs0 scope host',
      'ip addr del fd00::a/128 dev kube-ipvs0',
      'ip link del kube-ipvs0',
      '',
    ].join('\n'),
  );
});

test('bad values are refused with the name of the field and the operation', () => {
  const key4 = { protocol: 'tcp', address: address('10.96.0.10'), port: 80 } as const;
  const base = { address: address('10.1.2.3'), port: 80, weight: 1, forward: 'masquerade' } as const;
  const plain = { key: key4, scheduler: 'rr', flags: 0, timeoutSeconds: 0 } as const;
  const set = (type: SetType, which: IpFamily = 'IPv4') => ({ name: 'S', type, family: which });
  const link = { link: 'd0', address: key4.address, prefixLength: 32 } as const;
  const cases: readonly (readonly [string, (batch: Batch) => void])[] = [
    ['key.port', (b) => b.removeService({ ...key4, port: 65536 })],
    ['key.port', (b) => b.removeService({ ...key4, port: 1.5 })],
    ['key.fwmark', (b) => b.removeService({ fwmark: 0, family: 'IPv4' })],
    ['service.scheduler', (b) => b.createService({ ...plain, scheduler: 'a-name-of-16-byt' })],
    ['service.scheduler', (b) => b.createService({ ...plain, scheduler: '' })],
    ['service.scheduler', (b) => b.createService({ ...plain, scheduler: 'rr\u0000' })],
    ['service.timeoutSeconds', (b) => b.createService({ ...plain, timeoutSeconds: -1 })],
    ['service.prefixLength', (b) => b.createService({ ...plain, prefixLength: 33 })],
    ['destination.weight', (b) => b.createDestination(key4, { ...base, weight: -1 })],
    ['destination.weight', (b) => b.createDestination(key4, { ...base, weight: Number.NaN })],
    ['destination.port', (b) => b.createDestination(key4, { ...base, port: -1 })],
    ['destination.address', (b) => b.createDestination(key4, { ...base, address: address('fd00::1') })],
    ['destination.lowerThreshold', (b) => b.createDestination(key4, { ...base, upperThreshold: 1, lowerThreshold: 2 })],
    ['set.name', (b) => b.createSet({ ...set('hash:ip'), name: 'x'.repeat(32) })],
    ['set.hashSize', (b) => b.createSet({ ...set('hash:ip'), hashSize: -1 })],
    ['name', (b) => b.removeSet('ä')],
    ['other', (b) => b.swapSets('a', '')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.256')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '010.0.0.1')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1/24')],
    ['entry', (b) => b.addEntry(set('hash:ip'), 'fd00::1')],
    ['entry', (b) => b.addEntry(set('hash:ip', 'IPv6'), '::ffff:a00:1')],
    ['entry', (b) => b.addEntry(set('hash:ip', 'IPv6'), '1:2:3:4:5:6:7:8:9')],
    ['entry', (b) => b.addEntry(set('hash:ip', 'IPv6'), '1::2::3')],
    ['entry', (b) => b.addEntry(set('hash:ip', 'IPv6'), '1:2:3:')],
    ['set.timeoutSeconds', (b) => b.createSet({ ...set('hash:ip'), timeoutSeconds: 2_147_484 })],
    ['set.timeoutSeconds', (b) => b.ensureSet({ ...set('hash:ip'), timeoutSeconds: -1 })],
    ['newName', (b) => b.renameSet('a', 'x'.repeat(32))],
    ['entry', (b) => b.addEntry(set('hash:net'), '0.0.0.0/0')],
    ['entry', (b) => b.addEntry(set('hash:ip,port,net', 'IPv6'), '::1,tcp:80,::/0')],
    ['entry', (b) => b.addEntry(set('hash:net'), '10.1.2.3/8')],
    ['entry', (b) => b.addEntry(set('hash:net,iface', 'IPv6'), 'fd00::1/16,eth0')],
    ['entry', (b) => b.addEntry(set('hash:net,iface'), '0.0.0.1/0,eth0')],
    ['entry', (b) => b.addEntry(set('hash:ip,port'), '10.0.0.1,47:80')],
    ['entry', (b) => b.addEntry(set('hash:ip,port'), '10.0.0.1,0:0')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 nomatch')],
    ['entry', (b) => b.addEntry(set('bitmap:port'), '80 nomatch')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 timeout')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 timeout 2147484')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 timeout 1 timeout 2')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 comment x')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 comment "a"b"')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 comment "a\tb"')],
    ['entry', (b) => b.addEntry(set('hash:ip'), `10.0.0.1 comment "${'ä'.repeat(128)}"`)],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 packets 5')],
    ['entry', (b) => b.addEntry(set('hash:ip'), '10.0.0.1 ')],
    ['entry', (b) => b.addEntry(set('hash:ip,port'), '10.0.0.1,80')],
    ['entry', (b) => b.addEntry(set('hash:ip,port'), '10.0.0.1,tcp:80,10.0.0.2')],
    ['entry', (b) => b.addEntry(set('hash:ip,port,net'), '10.0.0.1,tcp:80,10.0.0.0/33')],
    ['entry', (b) => b.addEntry(set('bitmap:port'), '65536')],
    ['name', (b) => b.ensureLink('0123456789abcdef')],
    ['address.prefixLength', (b) => b.addAddress({ ...link, prefixLength: 33 })],
    ['address.link', (b) => b.addAddress({ ...link, link: '..' })],
    ['prefixLength', (b) => b.removeAddress('d0', key4.address, -1)],
  ];
  for (const [field, build] of cases) {
    const batch = new Batch();
    assert.throws(
      () => build(batch),
      (error) => error instanceof InvalidArgumentError && error.field === field && /\(.+\)$/.test(error.message),
      `${field}: ${build}`,
    );
    assert.equal(batch.size, 0);
    assert.deepEqual([...batch], []);
  }
});

test('a family is mixed only by a tunnel', () => {
  const key4 = { protocol: 'tcp', address: address('10.96.0.10'), port: 80 } as const;
  const to6 = { address: address('fd00::1'), port: 80, weight: 1, forward: 'tunnel' } as const;
  assert.equal(new Batch().createDestination(key4, to6).size, 1);
});
