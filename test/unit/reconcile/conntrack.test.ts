/** Stale UDP connections (behaviour.md 2.8, section 9 #8 and #30; T70 to T72). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { EndpointBit, type ObjectRecord } from '../../../lib/records.ts';
import type { FakeKernelOptions } from '../../../lib/testing/fake-kernel.ts';
import type { Connection, Protocol } from '../../../lib/types.ts';
import { bindOutside, ip, newKernel, service, slice, World } from './world.ts';

const dns = service('ns1/dns', '10.96.0.11', { protocol: 'udp', port: 53, nodePort: 30053 });
const dnsSlice = (...addresses: string[]) => slice('ns1/dns-1', 'ns1/dns', addresses, { protocol: 'udp' });
const web = service('ns1/web', '10.96.0.10', { nodePort: 30080 });
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);

let lastId = 0;

/** From a client's port to `to`, answered by `by`. */
function connection(to: string, by: string, protocol: Protocol = 'udp', zone: number = 0): Connection {
  lastId += 1;
  const [destination = '', destinationPort = ''] = to.split(':');
  const [source = '', sourcePort = ''] = by.split(':');
  const client = { address: ip('10.244.9.9'), port: 10_000 + lastId };
  return {
    id: lastId,
    zone,
    status: 0,
    timeoutSeconds: 100,
    mark: 0,
    original: {
      protocol,
      source: client.address,
      sourcePort: client.port,
      destination: ip(destination),
      destinationPort: Number(destinationPort),
    },
    reply: {
      protocol,
      source: ip(source),
      sourcePort: Number(sourcePort),
      destination: client.address,
      destinationPort: client.port,
    },
  };
}

class Tracked extends World {
  dumps = 0;

  constructor(options: FakeKernelOptions = {}) {
    super(newKernel(options));
    const { kernel } = this;
    const read = kernel.read.bind(kernel);
    kernel.read = (what, ...rest) => {
      if (what === 'connections') this.dumps += 1;
      read(what, ...rest);
    };
  }

  static async serving(...records: ObjectRecord[]): Promise<Tracked> {
    const world = new Tracked();
    await world.start();
    await world.say(...records);
    await world.pass(2000);
    world.dumps = 0;
    return world;
  }

  track(...connections: Connection[]): void {
    for (const each of connections) this.kernel.outside.connections.add(each);
  }

  get troubles(): string[] {
    return this.events.flatMap((event) => (event.kind === 'warning' ? [event.object] : []));
  }

  get left(): Connection[] {
    return [...this.kernel.outside.connections];
  }
}

describe('stale UDP connections', () => {
  test('those to an endpoint that was replaced go, and nothing else does (T70, T72)', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6', '10.244.1.7'), web, webSlice('10.244.1.6'));
    const stale = [
      connection('10.96.0.11:53', '10.244.1.6:8080'),
      connection('192.168.1.10:30053', '10.244.1.6:8080'),
      // Made while nothing answered there.
      connection('10.96.0.11:53', '10.96.0.11:53'),
    ];
    const others = [
      connection('10.96.0.11:53', '10.244.1.7:8080'),
      connection('10.96.0.11:53', '10.244.1.8:8080'),
      connection('192.168.1.99:30053', '10.244.1.6:8080'),
      connection('10.96.0.12:53', '10.244.1.6:8080'),
      connection('10.96.0.11:54', '10.244.1.6:8080'),
      connection('10.244.1.6:8080', '10.244.1.6:8080'),
      connection('10.96.0.11:53', '10.244.1.6:8080', 'udp', 7),
      connection('10.96.0.10:80', '10.244.1.6:8080', 'tcp'),
      connection('10.96.0.11:53', '10.244.1.6:8080', 'tcp'),
      connection('10.96.0.11:53', '10.244.1.6:8080', 'sctp'),
    ];
    world.track(...stale, ...others);
    await world.say(dnsSlice('10.244.1.7', '10.244.1.8'), webSlice('10.244.1.9'));
    const reports = await world.pass(100);
    assert.deepEqual(world.left, others);
    const [cleaning] = reports.flatMap(({ udpCleaning }) => (udpCleaning === undefined ? [] : [udpCleaning]));
    assert.deepEqual([cleaning?.removed, cleaning?.failed], [3, 0]);
  });

  test('a frontend that goes takes what it translated along; a node address too; a process of the host on the port keeps its own', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6'));
    const own = connection('192.168.1.10:30053', '192.168.1.10:30053');
    world.track(
      own,
      connection('10.96.0.11:53', '10.244.1.6:8080'),
      connection('192.168.1.10:30053', '10.244.1.6:8080'),
    );
    await world.say(service('ns1/dns', null));
    await world.pass(100);
    assert.deepEqual(world.left, [own]);

    await world.say(dns);
    await world.pass(2000);
    bindOutside(world.kernel, 'eth0', '192.168.1.11', 24);
    world.kernel.outside.addresses.delete('eth0 192.168.1.10');
    const live = connection('10.96.0.11:53', '10.244.1.6:8080');
    world.track(live, connection('192.168.1.10:30053', '10.244.1.6:8080'));
    await world.pass(30_000);
    assert.deepEqual(world.left, [live], "and the port is the Service's again");
  });

  test('without a serving endpoint they stay (T71); one that serves while it terminates is a live one until it serves no more', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6', '10.244.1.7'));
    const old = connection('10.96.0.11:53', '10.244.1.6:8080');
    world.track(old);
    const dying = dnsSlice('10.244.1.6', '10.244.1.7');
    if (dying.kind !== 'slice' || dying.body === null) throw new Error('no slice');
    const { ready, serving, terminating } = EndpointBit;
    const conditions = (first: number): ObjectRecord =>
      dying.body === null ? dying : { ...dying, body: { ...dying.body, conditions: [first, ready | serving] } };
    await world.say(conditions(serving | terminating));
    await world.pass(3000);
    assert.deepEqual(world.left, [old]);
    await world.say(dnsSlice());
    await world.pass(3000);
    assert.deepEqual(world.left, [old], 'nobody else could answer');
    await world.say(conditions(serving | terminating));
    await world.pass(3000);
    await world.say(conditions(terminating));
    await world.pass(3000);
    assert.deepEqual(world.left, []);
  });

  test('direct routing translates nothing: what goes to the VIP as it came is left alone', async () => {
    const direct = service('ns1/dns', '10.96.0.11', {
      ...{ protocol: 'udp', port: 8080 },
      body: { tuning: { forward: 'direct' } },
    });
    const world = await Tracked.serving(direct, dnsSlice('10.244.1.6'));
    const live = connection('10.96.0.11:8080', '10.96.0.11:8080');
    world.track(live, connection('10.96.0.11:8080', '10.244.1.6:8080'));
    await world.say(dnsSlice('10.244.1.7'));
    await world.pass(3000);
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.7:8080 -g/);
    assert.deepEqual(world.left, [live], 'but one of the time before it was asked for');
  });

  test('the table is read when a UDP Service changed and not otherwise, at most once a second', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6'), web, webSlice('10.244.1.6'));
    await world.say(webSlice('10.244.1.7'));
    await world.say(service('ns1/web', null), dns, dnsSlice('10.244.1.6'));
    await world.resync();
    await world.pass(120_000);
    assert.equal(world.dumps, 0);
    for (let change = 0; change < 20; change += 1) {
      await world.say(dnsSlice(`10.244.1.${10 + change}`));
      await world.pass(100);
    }
    await world.pass(5000);
    assert.ok(world.dumps >= 2 && world.dumps <= 3, `${world.dumps} reads in two seconds`);
  });

  test('what went while no proxier ran is cleaned at the start', async () => {
    const world = await Tracked.serving(
      dns,
      dnsSlice('10.244.1.6'),
      service('ns1/old', '10.96.0.13', { protocol: 'udp', port: 53 }),
    );
    world.track(connection('10.96.0.11:53', '10.244.1.6:8080'), connection('10.96.0.13:53', '10.244.1.6:8080'));
    world.die();
    await world.start();
    await world.say(dns, dnsSlice('10.244.1.7'));
    await world.pass(100);
    assert.deepEqual(world.left, []);
  });

  test('a long list is read in pieces, with changes in between; an endpoint that comes meanwhile is a live one', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6'));
    const many = Array.from({ length: 1000 }, () => connection('10.96.0.11:53', '10.244.1.6:8080'));
    const late = Array.from({ length: 100 }, () => connection('10.96.0.11:53', '10.244.1.8:8080'));
    world.track(...many, ...late);
    await world.say(dnsSlice('10.244.1.7'));
    const first = await world.send({ kind: 'tick', nowMs: world.nowMs });
    assert.equal(first.wakeInMs, 0);
    const between = world.left.length;
    assert.ok(between > 100 && between < 1100, `${between}`);
    await world.say(dnsSlice('10.244.1.7', '10.244.1.8'));
    await world.pass(100);
    assert.deepEqual(world.left, late);
  });

  test('a read that breaks off is repeated; a kernel without connection tracking, or no permission, is a warning that ends', async () => {
    const world = await Tracked.serving(dns, dnsSlice('10.244.1.6'));
    world.track(connection('10.96.0.11:53', '10.244.1.6:8080'));
    world.kernel.failRead('connections', 'EINTR', 2);
    await world.say(dnsSlice('10.244.1.7'));
    await world.pass(5000);
    assert.deepEqual(world.left, []);
    assert.deepEqual(world.troubles, []);

    world.kernel.failRead('connections', 'EPERM', 2);
    for (const address of ['10.244.1.8', '10.244.1.9']) {
      const { failures } = await world.say(dnsSlice(address));
      assert.deepEqual(failures, []);
      await world.pass(5000);
    }
    assert.deepEqual(world.troubles, ['conntrack']);
    assert.equal(world.dumps, 5, 'nothing is repeated that cannot work');

    const without = new Tracked({ conntrack: false });
    await without.start();
    await without.say(dns, dnsSlice('10.244.1.6'));
    await without.pass(60_000);
    assert.deepEqual(without.troubles, ['conntrack']);
    assert.equal(without.dumps, 1);
  });
});
