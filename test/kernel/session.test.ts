/** The session against a real kernel, judged by ipvsadm, ipset and ip. Leaves nothing of its own behind. */
import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { parseAddress } from '../../lib/address.ts';
import { NetlinkError } from '../../lib/errors.ts';
import { Batch } from '../../lib/kernel/batch.ts';
import { openSession } from '../../lib/kernel/linux-session.ts';
import { type KernelSession, readAll } from '../../lib/kernel/session.ts';
import type { Destination, IpAddress, ServiceKey, VirtualService } from '../../lib/types.ts';
import { runTool } from '../harness/run-tool.ts';

function address(text: string): IpAddress {
  const parsed = parseAddress(text);
  assert.ok(parsed !== undefined, text);
  return parsed;
}

const LINK = 'session-test0';
const SETS = [
  'ST-IP',
  'ST-IP6',
  'ST-NET',
  'ST-IPPORT',
  'ST-LOOP',
  'ST-LOOP6',
  'ST-SRC',
  'ST-IFACE',
  'ST-PORT',
  'ST-BIG',
  'ST-TMP',
];
const tcp = (ip: string, port: number) => ({ protocol: 'tcp', address: address(ip), port }) as const;
const rr = (key: ServiceKey): VirtualService => ({ key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 });
const to = (ip: string, port: number, weight = 1): Destination => ({
  address: address(ip),
  port,
  weight,
  forward: 'masquerade',
});
const lines = (text: string) => text.split('\n').filter((line) => line !== '');

describe('kernel session', () => {
  let session: KernelSession;
  const services: ServiceKey[] = [];
  const run = (batch: Batch) => session.run(batch);
  const ok = (batch: Batch) => {
    const result = run(batch);
    assert.deepEqual(result.failures, []);
    assert.equal(result.applied, batch.size);
    return result;
  };
  const service = (one: VirtualService) => {
    services.push(one.key);
    return one;
  };
  const clean = () => {
    const batch = new Batch();
    for (const key of services.splice(0)) batch.removeService(key);
    for (const name of SETS) batch.removeSet(name);
    ok(batch.removeLink(LINK));
  };

  before(() => {
    session = openSession();
    clean();
  });
  after(() => {
    clean();
    session.close();
    assert.throws(() => session.links(), { code: 'ERR_CLOSED' });
  });

  test('services and destinations of both families, as ipvsadm shows them and as they are read back', async () => {
    const web = tcp('10.99.0.1', 80);
    const web6 = { protocol: 'udp', address: address('fd99::1'), port: 53 } as const;
    const sctp = { protocol: 'sctp', address: address('10.99.0.2'), port: 9 } as const;
    const mark = { fwmark: 4711, family: 'IPv6' } as const;
    const wanted: VirtualService[] = [
      { key: web, scheduler: 'wrr', flags: 1, timeoutSeconds: 10800 },
      { key: web6, scheduler: 'rr', flags: 1, timeoutSeconds: 60, prefixLength: 64 },
      rr(sctp),
      { key: mark, scheduler: 'sh', flags: 0x18, timeoutSeconds: 0 },
    ];
    const limited: Destination = { ...to('10.98.0.1', 8080, 3), upperThreshold: 100, lowerThreshold: 50 };
    const batch = new Batch();
    for (const one of wanted) batch.ensureService(service(one));
    batch.createDestination(web, limited).createDestination(web, to('10.98.0.2', 8080, 0));
    batch.createDestination(web6, { ...to('fd98::1', 53), forward: 'direct' });
    batch.createDestination(sctp, { ...to('10.98.0.3', 9), forward: 'tunnel' });
    const result = ok(batch);
    assert.equal(result.messages, batch.size);
    assert.equal(result.roundTrips, 1);

    // ipvsadm -S leaves the thresholds out; they are in what is read back below.
    const shown = lines(await runTool('ipvsadm', ['-Sn'])).map((line) => line.trim());
    for (const line of [
      '-A -t 10.99.0.1:80 -s wrr -p 10800',
      '-a -t 10.99.0.1:80 -r 10.98.0.1:8080 -m -w 3',
      '-a -t 10.99.0.1:80 -r 10.98.0.2:8080 -m -w 0',
      '-A -u [fd99::1]:53 -s rr -p 60 -M 64',
      '-a -u [fd99::1]:53 -r [fd98::1]:53 -g -w 1',
      '-A --sctp-service 10.99.0.2:9 -s rr',
      '-A -f 4711 -6 -s sh -b sh-fallback,sh-port',
    ]) {
      assert.ok(shown.includes(line), `${line}\nnot in\n${shown.join('\n')}`);
    }
    assert.ok(shown.some((line) => line.startsWith('-a --sctp-service 10.99.0.2:9 -r 10.98.0.3:9 -i -w 1')));

    const read = readAll(session.services());
    for (const one of wanted)
      assert.deepEqual(
        read.find((r) => JSON.stringify(r.key) === JSON.stringify(one.key)),
        one,
      );
    const idle = { activeConnections: 0, inactiveConnections: 0, persistentConnections: 0 };
    const byPort = readAll(session.destinations(web)).sort((a, b) => b.weight - a.weight);
    assert.deepEqual(byPort, [
      { ...limited, ...idle },
      { ...to('10.98.0.2', 8080, 0), ...idle },
    ]);
    assert.deepEqual(readAll(session.destinations(web6)), [{ ...to('fd98::1', 53), forward: 'direct', ...idle }]);
    assert.deepEqual(readAll(session.destinations(tcp('10.99.99.99', 1))), []);
  });

  test('ensure updates what is there, remove finds nothing and is content, create and update insist', () => {
    const key = tcp('10.99.1.1', 80);
    ok(new Batch().ensureService(service(rr(key))).ensureDestination(key, to('10.98.1.1', 80)));
    const again = ok(
      new Batch()
        .ensureService({ ...rr(key), scheduler: 'wrr' })
        .ensureDestination(key, to('10.98.1.1', 80, 7))
        .ensureDestination(key, to('10.98.1.2', 80, 2))
        .removeDestination(key, to('10.98.1.9', 80))
        .removeDestination(tcp('10.99.1.9', 80), to('10.98.1.9', 80))
        .removeService(tcp('10.99.1.9', 80)),
    );
    assert.equal(again.roundTrips, 2);
    assert.equal(
      readAll(session.services()).find((s) => 'port' in s.key && s.key.address === key.address)?.scheduler,
      'wrr',
    );
    assert.deepEqual(
      readAll(session.destinations(key))
        .map((d) => [d.address, d.weight])
        .sort(),
      [
        ['10.98.1.1', 7],
        ['10.98.1.2', 2],
      ],
    );
    // The updates come last, but never over the head of a later operation of the same batch.
    ok(
      new Batch()
        .ensureService(rr(key))
        .updateService({ ...rr(key), scheduler: 'wlc' })
        .ensureDestination(key, to('10.98.1.1', 80, 3))
        .updateDestination(key, to('10.98.1.1', 80, 4))
        .ensureDestination(key, to('10.98.1.2', 80, 3))
        .removeDestination(key, to('10.98.1.2', 80)),
    );
    assert.deepEqual(
      readAll(session.destinations(key)).map(({ address, weight }) => [address, weight]),
      [['10.98.1.1', 4]],
    );
    assert.equal(
      readAll(session.services()).find((s) => 'port' in s.key && s.key.address === key.address)?.scheduler,
      'wlc',
    );
    const { applied, failures } = run(
      new Batch()
        .createService(rr(key))
        .updateService(rr(tcp('10.99.1.9', 80)))
        .createDestination(key, to('10.98.1.1', 80))
        .updateDestination(key, to('10.98.1.9', 80))
        .createDestination(tcp('10.99.1.9', 80), to('10.98.1.1', 80))
        .createService({ ...rr(tcp('10.99.1.9', 80)), scheduler: 'nonsense' }),
    );
    assert.equal(applied, 0);
    assert.deepEqual(
      failures.map(({ index, outcome, error }) => [index, outcome, error.command, error.errnoName]),
      [
        [0, 'failed', 'IPVS_CMD_NEW_SERVICE', 'EEXIST'],
        [1, 'failed', 'IPVS_CMD_SET_SERVICE', 'ESRCH'],
        [2, 'failed', 'IPVS_CMD_NEW_DEST', 'EEXIST'],
        [3, 'failed', 'IPVS_CMD_SET_DEST', 'ENOENT'],
        [4, 'failed', 'IPVS_CMD_NEW_DEST', 'ESRCH'],
        [5, 'failed', 'IPVS_CMD_NEW_SERVICE', 'ENOENT'],
      ],
    );
    assert.match(failures[5]?.error.reason ?? '', /scheduler nonsense is not known to the kernel/);
    assert.equal(failures[3]?.operation, 'ipvsadm -e -t 10.99.1.1:80 -r 10.98.1.9:80 -m -w 1');
  });

  test('a large batch of all families in more than one send: each failure at its own index', () => {
    const batch = new Batch();
    const expected: number[] = [];
    const big = { name: 'ST-BIG', type: 'hash:ip,port', family: 'IPv4', maxElements: 70000, hashSize: 4096 } as const;
    batch.ensureSet(big);
    for (let i = 0; i < 3000; i++) {
      const key = tcp(`10.99.${10 + (i >> 8)}.${i & 255}`, 80);
      batch.createService(service(rr(key)));
      if (i % 100 === 7) {
        expected.push(batch.size);
        batch.createService(rr(key));
      }
      batch.createDestination(key, to('10.98.2.1', 80));
      if (i % 500 === 250) {
        expected.push(batch.size);
        batch.addEntry({ ...big, name: 'ST-NOT-THERE' }, '10.0.0.1,tcp:80');
        batch.addEntry(big, `10.99.${i >> 8}.${i & 255},tcp:80`);
      }
    }
    const { failures, applied, roundTrips } = run(batch);
    assert.deepEqual(
      failures.map(({ index }) => index),
      expected,
    );
    assert.equal(applied, batch.size - expected.length);
    assert.ok(roundTrips > 10 && roundTrips < 40, `${roundTrips}`);
    assert.ok(readAll(session.services()).length >= 3000);
    assert.equal(readAll(session.entries('ST-BIG')).length, 6);
    // More failures at once than a default receive buffer holds.
    const refused = new Batch();
    for (let i = 0; i < 5000; i++) refused.updateDestination(tcp('10.99.1.77', 1), to('10.98.0.1', 1));
    const all = run(refused);
    assert.equal(all.failures.length, 5000);
    assert.ok(all.failures.every(({ error, outcome }) => outcome === 'failed' && error.errnoName === 'ESRCH'));
  });

  test('sets of every type and family, as ipset shows them and as they are read back', async () => {
    const content: Record<
      string,
      readonly [type: Parameters<Batch['createSet']>[0]['type'], entries: readonly string[]]
    > = {
      'ST-IP': ['hash:ip', ['10.96.0.1', '10.96.0.2']],
      'ST-IP6': ['hash:ip', ['fd00::1']],
      'ST-NET': ['hash:net', ['10.0.0.0/8', '10.1.2.3']],
      'ST-IPPORT': ['hash:ip,port', ['10.96.0.10,sctp:9', '10.96.0.10,tcp:80', '10.96.0.10,udp:53']],
      'ST-LOOP': ['hash:ip,port,ip', ['10.244.1.5,tcp:8080,10.244.1.5']],
      'ST-LOOP6': ['hash:ip,port,ip', ['fd00::5,udp:53,fd00::5']],
      'ST-SRC': ['hash:ip,port,net', ['198.18.0.1,tcp:80,10.0.0.0/8', '198.18.0.1,tcp:80,192.0.2.1']],
      'ST-IFACE': ['hash:net,iface', ['10.0.0.0/8,eth0']],
      'ST-PORT': ['bitmap:port', ['30080', '32767']],
    };
    const batch = new Batch();
    for (const [name, [type, entries]] of Object.entries(content)) {
      const family = name.endsWith('6') ? 'IPv6' : 'IPv4';
      batch.ensureSet({ name, type, family }).ensureSet({ name, type, family });
      for (const entry of entries)
        batch.addEntry({ name, type, family }, entry).addEntry({ name, type, family }, entry);
      batch.removeEntry({ name, type, family }, entries[0] ?? '').removeEntry({ name, type, family }, entries[0] ?? '');
      batch.addEntry({ name, type, family }, entries[0] ?? '');
    }
    ok(batch);
    const saved = lines(await runTool('ipset', ['save']));
    const states = readAll(session.sets());
    for (const [name, [type, entries]] of Object.entries(content)) {
      const family = name.endsWith('6') ? 'inet6' : 'inet';
      const head = type === 'bitmap:port' ? 'range 0-65535' : `family ${family} hashsize 1024 maxelem 65536`;
      assert.ok(
        saved.some((line) => line.startsWith(`create ${name} ${type} ${head}`)),
        name,
      );
      const inKernel = saved.filter((line) => line.startsWith(`add ${name} `)).map((line) => line.split(' ')[2]);
      assert.deepEqual(inKernel.sort(), [...entries].sort());
      assert.deepEqual(readAll(session.entries(name)).sort(), [...entries].sort());
      const state = states.find((one) => one.name === name);
      assert.equal(state?.type, type);
      assert.equal(state?.entries, entries.length);
    }
    const ip = { name: 'ST-IP', type: 'hash:ip', family: 'IPv4' } as const;
    ok(
      new Batch()
        .createSet({ ...ip, name: 'ST-TMP' })
        .addEntry({ ...ip, name: 'ST-TMP' }, '10.9.9.9')
        .swapSets('ST-IP', 'ST-TMP'),
    );
    assert.deepEqual(readAll(session.entries('ST-IP')), ['10.9.9.9']);
    const { failures } = run(
      new Batch()
        .createSet(ip)
        .createSet({ name: 'ST-IP', type: 'hash:net', family: 'IPv4' })
        .swapSets('ST-IP', 'ST-NOT-THERE')
        .flushSet('ST-NOT-THERE')
        .addEntry({ name: 'ST-IP', type: 'hash:ip', family: 'IPv6' }, 'fd00::1')
        .removeEntry({ ...ip, name: 'ST-NOT-THERE' }, '10.0.0.1')
        .removeSet('ST-TMP')
        .removeSet('ST-TMP'),
    );
    assert.deepEqual(
      failures.map(({ index, error }) => [index, error.errnoName]),
      [
        [0, 'EEXIST'],
        [1, 'EEXIST'],
        [2, 'IPSET_ERR_EXIST_SETNAME2'],
        [3, 'ENOENT'],
        [4, 'IPSET_ERR_PROTOCOL'],
      ],
    );
    assert.throws(
      () => session.entries('ST-NOT-THERE'),
      (error) => error instanceof NetlinkError && error.errnoName === 'ENOENT' && error.object === 'ST-NOT-THERE',
    );
  });

  test('a full set says so', () => {
    const small = { name: 'ST-TMP', type: 'hash:ip', family: 'IPv4', maxElements: 8 } as const;
    const batch = new Batch().createSet(small);
    for (let i = 0; i < 2000; i++) batch.addEntry(small, `10.7.${i >> 8}.${i & 255}`);
    const { failures } = session.run(batch.removeSet('ST-TMP'), { growSets: false });
    assert.ok(failures.length > 0);
    assert.ok(failures.every(({ error }) => error.errnoName === 'IPSET_ERR_HASH_FULL'));
  });

  test('the dummy link and its addresses, as ip shows them and as they are read back', async () => {
    const batch = new Batch().ensureLink(LINK).ensureLink(LINK);
    const many: string[] = [];
    for (let i = 0; i < 300; i++) many.push(`10.97.${i >> 8}.${i & 255}`);
    for (const ip of many) batch.addAddress({ link: LINK, address: address(ip), prefixLength: 32 });
    batch
      .addAddress({ link: LINK, address: address('10.97.9.1'), prefixLength: 32, scope: 'host' })
      .addAddress({ link: LINK, address: address('10.97.9.1'), prefixLength: 32 })
      .addAddress({ link: LINK, address: address('fd97::1'), prefixLength: 128 })
      .addAddress({ link: LINK, address: address('fd97::2'), prefixLength: 128, deprecated: true })
      .removeAddress(LINK, address('10.97.8.8'), 32)
      .removeAddress(LINK, address(many[0] ?? ''), 32)
      .removeAddress('no-such-link', address('10.97.8.8'), 32);
    const result = ok(batch);
    assert.ok(result.roundTrips < 10, `${result.roundTrips}`);
    const link = readAll(session.links()).find(({ name }) => name === LINK);
    assert.equal(link?.kind, 'dummy');
    assert.equal(link?.up, false);
    const shown: unknown = JSON.parse(await runTool('ip', ['-j', 'addr', 'show', 'dev', LINK]));
    const expected = [...many.slice(1), '10.97.9.1', 'fd97::1', 'fd97::2'].sort();
    assert.deepEqual(localAddresses(shown).sort(), expected);
    const read = readAll(session.addresses()).filter((one) => one.link === LINK);
    assert.deepEqual(read.map((one) => one.address).sort(), expected);
    assert.equal(read.find((one) => one.address === '10.97.9.1')?.scope, 'host');
    assert.equal(read.find((one) => one.address === 'fd97::2')?.deprecated, true);
    assert.ok(
      read.every((one) => one.linkIndex === link?.index && one.prefixLength === (one.address.includes(':') ? 128 : 32)),
    );
    const { failures } = run(
      new Batch()
        .ensureLink('lo')
        .removeLink('lo')
        .addAddress({ link: 'no-such-link', address: address('10.97.8.8'), prefixLength: 32 }),
    );
    assert.deepEqual(
      failures.map(({ index, error }) => [index, error.command, error.errnoName]),
      [
        [0, 'RTM_NEWLINK', 'EEXIST'],
        [1, 'RTM_DELLINK', 'EINVAL'],
        [2, 'RTM_NEWADDR', 'ENODEV'],
      ],
    );
    ok(new Batch().removeLink(LINK).removeLink(LINK));
  });

  test('cursors: several at once, closed half way, read after others', () => {
    const first = session.services();
    const second = session.services();
    const one = first.next();
    assert.ok(one !== undefined && one.length > 0);
    first.close();
    first.close();
    assert.equal(first.next(), undefined);
    assert.equal(readAll(session.services()).length, readAll(second).length);
    assert.equal(second.next(), undefined);
  });

  test('four workers at once, each with a session of its own', async () => {
    const workers = [1, 2, 3, 4].map((port) => startWorker(port, 4, 300));
    for (const [index] of workers.entries()) services.push(tcp('10.99.8.1', index + 1));
    const said = await Promise.all(workers.map((worker) => messages(worker, 2)));
    assert.deepEqual(
      said,
      Array.from({ length: 4 }, () => ['open', { failures: [], destinations: 300 }]),
    );
    for (const worker of workers) await worker.terminate();
  });

  test('a worker terminated in the midst of its batches takes nothing down', async () => {
    services.push(tcp('10.99.8.1', 9));
    // A hundred of them, on the host's kernel: test/integration/terminate.test.ts.
    for (let round = 0; round < 6; round++) {
      const worker = startWorker(9, 100_000, 200);
      await once(worker, 'message');
      await worker.terminate();
    }
    assert.equal(readAll(session.destinations(tcp('10.99.8.1', 9))).length <= 200, true);
  });
});

function startWorker(port: number, rounds: number, count: number): Worker {
  return new Worker(join(import.meta.dirname, 'session-worker.js'), { workerData: { port, rounds, count } });
}

async function messages(worker: Worker, count: number): Promise<unknown[]> {
  const said: unknown[] = [];
  for await (const [message] of on(worker, 'message')) if (said.push(message) === count) break;
  return said;
}

function localAddresses(shown: unknown): string[] {
  assert.ok(Array.isArray(shown));
  const infos: unknown = shown[0]?.addr_info;
  assert.ok(Array.isArray(infos));
  return infos.map((info: { readonly local: string }) => info.local);
}
