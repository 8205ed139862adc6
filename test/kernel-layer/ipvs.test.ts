/** IPVS whole, against a real kernel, judged by ipvsadm; and its two ways of reading against each other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { parseAddress } from '../../lib/address.ts';
import { InvalidArgumentError } from '../../lib/errors.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openKernel } from '../../lib/kernel/client.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { schedulerFlags } from '../../lib/kernel/scheduler-flags.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type {
  AddressServiceKey,
  Destination,
  IpAddress,
  IpvsStatistics,
  ServiceKey,
  VirtualService,
  VirtualServiceWithDestinations,
} from '../../lib/types.ts';
import { runTool } from '../harness/run-tool.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const LINK = 'ipvs-test0';
const NETNS = 'ipvs-test';
const tcp = (ip: string, port: number): AddressServiceKey => ({ protocol: 'tcp', address: address(ip), port });
const rr = (key: ServiceKey): VirtualService => ({ key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
const to = (ip: string, port: number, rest: Partial<Destination> = {}): Destination => ({
  address: address(ip),
  port,
  weight: 1,
  forward: 'masquerade',
  ...rest,
});
const idle = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
/** In an order of its own, so that equal tables are equal. */
const sorted = (table: readonly VirtualServiceWithDestinations[]) =>
  table.map((service) => ({ ...service, destinations: [...service.destinations].sort(byText) })).sort(byText);
const byText = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

describe('ipvs', () => {
  let session: KernelSession;
  const ok = (batch: Batch) => assert.deepEqual(session.run(batch).failures, []);

  before(() => {
    session = openSession();
    ok(new Batch().flushServices());
  });
  after(async () => {
    ok(new Batch().flushServices().removeLink(LINK));
    session.close();
    await runTool('ip', ['netns', 'del', NETNS], { mayFail: true });
  });

  test('every kind of service and destination, as ipvsadm shows it and as it is read back', async () => {
    const table: readonly (readonly [VirtualService, ...Destination[]])[] = [
      [
        { ...rr(tcp('10.90.0.1', 80)), scheduler: 'sh', flags: schedulerFlags('sh', ['fallback', 'port']) },
        to('10.91.0.1', 80),
        to('10.91.0.2', 8080, { weight: 0, upperThreshold: 100, lowerThreshold: 50 }),
      ],
      [
        {
          ...rr({ protocol: 'udp', address: address('10.90.0.2'), port: 53 }),
          scheduler: 'mh',
          flags: 4 | schedulerFlags('mh', ['port']),
        },
        to('10.91.0.3', 53, { forward: 'tunnel' }),
        to('10.91.0.4', 53, { forward: 'tunnel', tunnel: { type: 'gue', port: 6080, checksum: true } }),
        to('10.91.0.5', 53, { forward: 'tunnel', tunnel: { type: 'gue', port: 6081, remoteChecksum: true } }),
        to('10.91.0.6', 53, { forward: 'tunnel', tunnel: { type: 'gre', checksum: true } }),
        to('10.91.0.7', 53, { forward: 'tunnel', tunnel: { type: 'gre' } }),
      ],
      [
        { key: tcp('fd90::1', 0), scheduler: 'wlc', flags: 1, timeoutSeconds: 300, prefixLength: 64 },
        to('fd91::1', 0, { forward: 'direct', weight: 3 }),
        to('fd91::2', 0, { forward: 'local' }),
        to('fd91::3', 0, { forward: 'bypass' }),
        to('10.91.0.8', 0, { forward: 'tunnel' }),
      ],
      [
        { key: { fwmark: 7, family: 'IPv4' }, scheduler: 'lc', flags: 1, timeoutSeconds: 60, prefixLength: 24 },
        to('10.91.0.9', 0),
      ],
      [rr({ fwmark: 7, family: 'IPv6' }), to('fd91::9', 0)],
      [rr({ fwmark: 0xffff_ffff, family: 'IPv6' })],
    ];
    const batch = new Batch();
    for (const [service, ...destinations] of table) {
      batch.ensureService(service);
      for (const destination of destinations) batch.ensureDestination(service.key, destination);
    }
    ok(batch);
    // Once more by update, for marks too.
    ok(batch);
    const shown = lines(await runTool('ipvsadm', ['-Sn']));
    for (const line of [
      '-A -t 10.90.0.1:80 -s sh -b sh-fallback,sh-port',
      '-a -t 10.90.0.1:80 -r 10.91.0.2:8080 -m -w 0',
      '-A -u 10.90.0.2:53 -s mh -o -b mh-port',
      '-a -u 10.90.0.2:53 -r 10.91.0.4:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum',
      '-a -u 10.90.0.2:53 -r 10.91.0.5:53 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum',
      '-a -u 10.90.0.2:53 -r 10.91.0.6:53 -i -w 1 --tun-type gre --tun-csum',
      '-A -t [fd90::1]:0 -s wlc -p 300 -M 64',
      '-a -t [fd90::1]:0 -r [fd91::1]:0 -g -w 3',
      '-A -f 7 -s lc -p 60 -M 255.255.255.0',
      '-a -f 7 -r 10.91.0.9:0 -m -w 1',
      '-A -f 7 -6 -s rr',
      '-a -f 7 -6 -r [fd91::9]:0 -m -w 1',
    ]) {
      assert.ok(shown.includes(line), `${line}\nnot in\n${shown.join('\n')}`);
    }
    const wanted = sorted(
      table.map(([service, ...destinations]) => ({
        ...service,
        destinations: destinations.map((destination) => ({ ...destination, ...idle })),
      })),
    );
    assert.deepEqual(sorted(readAll(session.servicesWithDestinations({ thresholds: true }))), wanted);
    // What /proc does not have is left out, and nothing else.
    const [, , ...rest] = wanted;
    const quick = sorted(readAll(session.servicesWithDestinations()));
    assert.deepEqual(
      quick,
      sorted(
        wanted.map((service) => ({
          ...service,
          destinations: service.destinations.map((destination) => {
            const { upperThreshold, lowerThreshold, ...plain } = destination;
            return plain;
          }),
        })),
      ),
    );
    assert.equal(quick.length, rest.length + 2);
    for (const [service, ...destinations] of table) {
      assert.deepEqual(session.service(service.key), service);
      assert.equal(readAll(session.destinations(service.key)).length, destinations.length);
    }
    assert.equal(session.service(tcp('10.90.99.99', 1)), undefined);
    assert.equal(session.service({ fwmark: 8, family: 'IPv4' }), undefined);

    const mark = { fwmark: 7, family: 'IPv4' } as const;
    ok(
      new Batch()
        .updateService({ ...rr(mark), scheduler: 'wrr' })
        .updateDestination(mark, to('10.91.0.9', 0, { weight: 5 }))
        .createDestination(mark, to('10.91.0.10', 0))
        .removeDestination(mark, to('10.91.0.9', 0))
        .removeService({ fwmark: 7, family: 'IPv6' })
        .removeService({ fwmark: 7, family: 'IPv6' }),
    );
    const marks = lines(await runTool('ipvsadm', ['-Sn'])).filter((line) => line.includes(' -f 7'));
    assert.deepEqual(marks, ['-A -f 7 -s wrr', '-a -f 7 -r 10.91.0.10:0 -m -w 1']);

    // A flush has the last word over an update that an ensure before it still owes.
    ok(new Batch().ensureService(rr(mark)).zeroService(mark).flushServices());
    assert.deepEqual(readAll(session.services()), []);
    ok(
      new Batch()
        .ensureService(rr(mark))
        .ensureService({ ...rr(mark), scheduler: 'wrr' })
        .zeroService(mark),
    );
    assert.equal(session.service(mark)?.scheduler, 'wrr');
    ok(new Batch().flushServices());
  });

  test('the two ways of reading agree on large tables of both families', () => {
    const batch = new Batch();
    for (let i = 0; i < 1500; i++) {
      const six = i % 3 === 0;
      const key = tcp(six ? `fd90::${i.toString(16)}` : `10.90.${i >> 8}.${i & 255}`, 1000 + i);
      batch.createService({ ...rr(key), flags: i % 50 === 7 ? 1 : 0, timeoutSeconds: i % 50 === 7 ? 100 : 0 });
      for (let j = 0; j < i % 8; j++) {
        const forward = i % 40 === 5 && j === 1 ? 'direct' : 'masquerade';
        batch.createDestination(key, to(six ? `fd91::${j}` : `10.91.7.${j}`, 80 + i, { weight: (i + j) % 5, forward }));
      }
    }
    const big = tcp('10.90.200.1', 1);
    batch.createService(rr(big));
    for (let j = 0; j < 3000; j++) batch.createDestination(big, to(`10.92.${j >> 8}.${j & 255}`, 1, { weight: j }));
    for (let j = 0; j < 300; j++) batch.createService(rr({ fwmark: j + 1, family: j % 2 === 0 ? 'IPv4' : 'IPv6' }));
    ok(batch);
    const byNetlink = sorted(readAll(session.servicesWithDestinations({ thresholds: true })));
    assert.equal(byNetlink.length, 1801);
    assert.equal(byNetlink.flatMap(({ destinations }) => destinations).length, destinationsOf(1500) + 3000);
    assert.deepEqual(sorted(readAll(session.servicesWithDestinations())), byNetlink);
    const oneByOne = readAll(session.services()).map((service) => ({
      ...service,
      destinations: readAll(session.destinations(service.key)),
    }));
    assert.deepEqual(sorted(oneByOne), byNetlink);

    // Closed half way, and two at once.
    const first = session.servicesWithDestinations();
    const second = session.servicesWithDestinations();
    assert.ok((first.next()?.length ?? 0) > 0);
    first.close();
    assert.equal(first.next(), undefined);
    assert.deepEqual(sorted(readAll(second)), byNetlink);
  });

  test('what stays while others come and go is read exactly once', async () => {
    const stays = new Set(readAll(session.services()).map(({ key }) => JSON.stringify(key)));
    const worker = new Worker(join(import.meta.dirname, 'ipvs-churn-worker.js'));
    try {
      await once(worker, 'message');
      for (let round = 0; round < 8; round++) {
        const options = { thresholds: round % 4 === 3 };
        const read = readAll(session.servicesWithDestinations(options));
        const seen = read.map(({ key }) => JSON.stringify(key));
        assert.equal(new Set(seen).size, seen.length);
        assert.equal(seen.filter((key) => stays.has(key)).length, stays.size);
        assert.equal(read.find(({ key }) => 'port' in key && key.port === 1)?.destinations.length, 3000);
      }
    } finally {
      await worker.terminate();
    }
    ok(new Batch().flushServices());
  });

  test('statistics, zero, time-outs and information, as ipvsadm shows them', async () => {
    const vip = tcp('10.93.0.1', 80);
    const server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((done) => server.listen(8080, '0.0.0.0', done));
    try {
      ok(
        new Batch()
          .ensureLink(LINK)
          .addAddress({ link: LINK, address: vip.address, prefixLength: 32 })
          .addAddress({ link: LINK, address: address('10.93.0.2'), prefixLength: 32 })
          .createService(rr(vip))
          .createDestination(vip, to('10.93.0.2', 8080)),
      );
      await runTool('ip', ['link', 'set', 'lo', 'up']);
      for (let i = 0; i < 3; i++) {
        const socket = connect(vip.port, vip.address);
        socket.setEncoding('utf8');
        let heard = '';
        for await (const chunk of socket) heard += String(chunk);
        assert.equal(heard, 'hello');
      }
    } finally {
      server.close();
    }
    // The kernel sums them up every two seconds.
    const read = await settled(() => session.service(vip, { statistics: true })?.statistics);
    const [listed] = readAll(session.services({ statistics: true }));
    const [destination] = readAll(session.destinations(vip, { statistics: true }));
    const [table] = readAll(session.servicesWithDestinations({ statistics: true }));
    assert.equal(read?.connections, 3n);
    assert.ok(read.inPackets > 3n && read.inBytes > 100n && read.outBytes > 100n);
    assert.deepEqual(totals(listed?.statistics), totals(read));
    assert.deepEqual(totals(table?.statistics), totals(read));
    assert.deepEqual(totals(table?.destinations[0]?.statistics), totals(destination?.statistics));
    assert.equal(destination?.statistics?.connections, 3n);
    const shown = lines(await runTool('ipvsadm', ['-Ln', '--stats', '--exact'])).find((line) => line.startsWith('TCP'));
    assert.deepEqual(shown?.split(/\s+/), ['TCP', '10.93.0.1:80', ...totals(read)]);
    assert.ok((destination?.inactiveConnections ?? 0) + (destination?.activeConnections ?? 0) > 0);
    assert.deepEqual(
      readAll(session.servicesWithDestinations())[0]?.destinations.map(({ inactiveConnections: n }) => n),
      [destination?.inactiveConnections],
    );
    ok(new Batch().zeroService(vip));
    assert.equal(session.service(vip, { statistics: true })?.statistics?.connections, 0n);
    ok(new Batch().zeroServices());
    assert.equal(session.service(vip)?.statistics, undefined);
    const { failures } = session.run(new Batch().zeroService(tcp('10.93.9.9', 1)));
    assert.deepEqual(
      failures.map(({ operation, error }) => [operation, error.command, error.errnoName]),
      [['ipvsadm -Z -t 10.93.9.9:1', 'IPVS_CMD_ZERO', 'ESRCH']],
    );

    const timeouts = session.timeouts();
    ok(new Batch().setTimeouts({ tcpSeconds: 1000, udpSeconds: 77 }));
    assert.deepEqual(session.timeouts(), { ...timeouts, tcpSeconds: 1000, udpSeconds: 77 });
    assert.match(await runTool('ipvsadm', ['-L', '--timeout']), new RegExp(`: 1000 ${timeouts.tcpFinSeconds} 77\\s*$`));
    ok(new Batch().setTimeouts(timeouts));
    const { version, connectionTableSize } = session.info();
    assert.match(await runTool('ipvsadm', ['-Ln']), new RegExp(`version ${version} \\(size=${connectionTableSize}\\)`));
  });

  test('a client in another network namespace sees that one only', async () => {
    await runTool('ip', ['netns', 'add', NETNS]);
    await runTool('ip', ['-n', NETNS, 'link', 'set', 'lo', 'up']);
    const netns = `/run/netns/${NETNS}`;
    const key = tcp('10.94.0.1', 80);
    {
      await using blue = await openKernel({ netns });
      await blue.run(blue.batch().createService(rr(key)).createDestination(key, to('10.94.0.2', 80)));
      const [read, ...others] = await blue.ipvs.listWithDestinations();
      assert.deepEqual(read, { ...rr(key), destinations: [{ ...to('10.94.0.2', 80), ...idle }] });
      assert.deepEqual(others, []);
      assert.deepEqual((await blue.route.links()).map(({ name }) => name).includes(LINK), false);
      assert.deepEqual(lines(await runTool('ip', ['netns', 'exec', NETNS, 'ipvsadm', '-Sn'])), [
        '-A -t 10.94.0.1:80 -s rr',
        '-a -t 10.94.0.1:80 -r 10.94.0.2:80 -m -w 1',
      ]);
      assert.equal(session.service(key), undefined);
      await using here = await openKernel();
      assert.equal(await here.ipvs.get(key), undefined);
      assert.deepEqual(await blue.ipvs.get(key), rr(key));
      await blue.ipvs.setTimeouts({ tcpSeconds: 600 });
      assert.equal((await blue.ipvs.timeouts()).tcpSeconds, 600);
      await blue.ipvs.zero();
      await blue.ipvs.zero(key);
      await assert.rejects(blue.ipvs.zero(tcp('10.94.9.9', 1)), { code: 'ERR_NETLINK' });
      assert.equal((await blue.ipvs.list({ statistics: true }))[0]?.statistics?.connections, 0n);
      assert.equal((await blue.ipvs.destinations(key, { statistics: true }))[0]?.statistics?.connections, 0n);
      assert.equal((await blue.ipvs.info()).version, session.info().version);
      await blue.ipvs.flush();
      assert.deepEqual(await blue.ipvs.list(), []);
    }
    for (const [path, words] of [
      ['/run/netns/not-there', /\/run\/netns\/not-there: ENOENT/],
      ['/proc/self/status', /\/proc\/self\/status is not a network namespace/],
      ['/proc/self/ns/mnt', /is not a network namespace/],
    ] as const) {
      await assert.rejects(
        openKernel({ netns: path }),
        (error) => error instanceof InvalidArgumentError && error.field === 'netns' && words.test(error.message),
      );
    }
    assert.throws(() => openSession({ netns }), {
      code: 'ERR_INVALID_ARGUMENT',
      field: 'netns',
      message: /thread: 'worker'/,
    });
  });
});

/** The columns of `ipvsadm -Ln --stats`; the rates change by themselves. */
function totals(statistics: IpvsStatistics | undefined): string[] {
  assert.ok(statistics !== undefined);
  const { connections, inPackets, outPackets, inBytes, outBytes } = statistics;
  return [connections, inPackets, outPackets, inBytes, outBytes].map(String);
}

/** The value once it has been more than nought, and the same for longer than the kernel takes to sum up. */
async function settled(read: () => IpvsStatistics | undefined): Promise<IpvsStatistics | undefined> {
  let last = read();
  for (let same = 0; same < 6; ) {
    await setTimeout(500);
    const next = read();
    const isSame = next?.connections === last?.connections && next?.outBytes === last?.outBytes;
    same = isSame && next?.connections !== 0n ? same + 1 : 0;
    last = next;
  }
  return last;
}

function destinationsOf(services: number): number {
  let count = 0;
  for (let i = 0; i < services; i++) count += i % 8;
  return count;
}
