/** One bad object harms itself alone: refusals, lost answers, surprises. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Operation } from '../../../lib/operations.ts';
import { ip, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10');
const other = service('ns1/other', '10.96.0.11');
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);
const otherSlice = (...addresses: string[]) => slice('ns1/other-1', 'ns1/other', addresses);
const records = [web, webSlice('10.244.1.5'), other, otherSlice('10.244.1.6')];

const creates = (address: string) => (operation: Operation) =>
  operation.verb === 'create-service' &&
  'address' in operation.service.key &&
  operation.service.key.address === address;
const writesDestination = (operation: Operation) => operation.verb === 'create-destination';

async function right(): Promise<string> {
  const world = new World();
  await world.start();
  await world.say(...records);
  return world.kernel.dump();
}

describe('refusals', () => {
  test('a virtual service that cannot be made: the rest works, nothing of it shows, it comes when it can', async () => {
    const world = new World();
    await world.start();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 3);
    const report = await world.say(...records);
    assert.deepEqual(
      report.failures.map(({ object, attempts, retryInMs, error }) => [
        object,
        attempts,
        retryInMs,
        error.netlink?.errnoName,
      ]),
      [['service tcp 10.96.0.10:80', 1, 100, 'ENOMEM']],
    );
    assert.doesNotMatch(world.kernel.dump(), /10\.96\.0\.10|10\.244\.1\.5/, 'no tuple, no address without it');
    assert.match(
      world.kernel.dump(),
      /-a -t 10\.96\.0\.11:80 -r 10\.244\.1\.6:8080[\s\S]*kube-ipvs0 10\.96\.0\.11\/32/,
    );
    const reports = await world.pass(1000);
    assert.deepEqual(
      reports.map(({ failures }) => failures.map(({ retryInMs }) => retryInMs)),
      [[200], [400], []],
    );
    assert.equal(world.kernel.dump(), await right());
  });

  test('the wait doubles up to a minute, and ends when the object changes', async () => {
    const world = new World();
    await world.start();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 1000);
    await world.say(...records);
    const waits = (await world.pass(280_000)).flatMap(({ failures }) => failures.map(({ retryInMs }) => retryInMs));
    assert.deepEqual(waits.slice(0, 11), [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    world.kernel.heal();
    await world.say(service('ns1/web', '10.96.0.10', { createdMs: 2 }), webSlice('10.244.1.5', '10.244.1.7'));
    assert.match(
      world.kernel.dump(),
      /-a -t 10\.96\.0\.10:80 -r 10\.244\.1\.7:8080[\s\S]*kube-ipvs0 10\.96\.0\.10\/32/,
    );
    const rest = (await world.pass(120_000)).flatMap(({ failures }) => failures);
    assert.deepEqual(rest, []);
  });

  test('a Service that goes while it waits is forgotten', async () => {
    const world = new World();
    await world.start();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 1000);
    await world.say(...records);
    const report = await world.say(service('ns1/web', null));
    assert.deepEqual(report.failures, []);
    world.kernel.log.length = 0;
    await world.pass(120_000);
    assert.deepEqual(world.kernel.log, []);
  });

  test('a node port that cannot be removed stays known as ours, so that the next process removes it', async () => {
    for (const protocol of ['tcp', 'udp', 'sctp'] as const) {
      const world = new World();
      await world.start();
      await world.say(service('ns1/np', '10.96.0.12', { nodePort: 30080, protocol }));
      const stuck = (operation: Operation) =>
        operation.verb === 'remove-service' && 'port' in operation.key && operation.key.port === 30080;
      world.kernel.failNext(stuck, 'ENOMEM', 1000);
      await world.say(service('ns1/np', null));
      await world.pass(1000);
      const left = world.kernel.dump();
      assert.match(left, /add KUBE-NODE-PORT-\S+ .*30080\n/);
      world.die();
      await world.start();
      world.kernel.heal();
      await world.say();
      assert.doesNotMatch(world.kernel.dump(), /30080/, protocol);
    }
  });

  test('every operation of the way refused once, one at a time: it ends as it should', async () => {
    const wanted = await right();
    const count = await operationsOfFirstPass();
    for (let victim = 0; victim < count; victim += 1) {
      for (const fault of ['EINVAL', 'lost', 'dropped', 'ENOMEM', 'EBUSY'] as const) {
        const world = new World();
        await world.start();
        let index = 0;
        world.kernel.failNext(() => {
          index += 1;
          return index - 1 === victim;
        }, fault);
        await world.say(...records);
        await world.pass(1000);
        assert.equal(world.kernel.dump(), wanted, `operation ${victim} met ${fault}`);
      }
    }
  });

  async function operationsOfFirstPass(): Promise<number> {
    const world = new World();
    await world.start();
    return (await world.say(...records)).operations;
  }

  test('a set of another type that rules use: its function alone fails, with a warning (T74)', async () => {
    const world = new World();
    world.kernel.outside.apply({
      verb: 'create-set',
      set: { name: 'KUBE-LOOP-BACK', type: 'hash:ip', family: 'IPv4' },
    });
    const set = world.kernel.outside.sets.get('KUBE-LOOP-BACK');
    assert.ok(set);
    set.references = 1;
    await world.start();
    const report = await world.say(web, slice('ns1/web-1', 'ns1/web', ['10.244.1.5'], { local: true }));
    assert.deepEqual(
      report.failures.map(({ object, attempts }) => [object, attempts]),
      [['set KUBE-LOOP-BACK', 1]],
      'not as asked, and the report says so',
    );
    assert.deepEqual((await world.resync()).failures[0]?.attempts, 2);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10\/32/);
    assert.deepEqual(
      world.events.map((event) => (event.kind === 'warning' ? event.object : event.kind)),
      ['set KUBE-LOOP-BACK'],
    );
    set.references = 0;
    const [mended] = await world.pass(30_000);
    assert.deepEqual(mended?.failures, []);
    assert.match(
      world.kernel.dump(),
      /add KUBE-LOOP-BACK 10\.244\.1\.5,tcp:8080,10\.244\.1\.5/,
      'replaced once it is free',
    );
  });

  test('a set that is too small grows; one that cannot is a failure of the entries that do not fit', async () => {
    const world = new World();
    const set = { name: 'KUBE-CLUSTER-IP', type: 'hash:ip,port', family: 'IPv4', maxElements: 1 } as const;
    world.kernel.outside.apply({ verb: 'create-set', set });
    await world.start();
    // Refused for as long as the session repeats it.
    world.kernel.failNext(
      (operation) => operation.verb === 'add-entry' && operation.entry === '10.96.0.10,tcp:80',
      'IPSET_ERR_HASH_FULL',
      4,
    );
    const report = await world.say(...records);
    assert.equal(report.failures.length, 1);
    assert.equal(report.failures[0]?.error.netlink?.errnoName, 'IPSET_ERR_HASH_FULL');
    await world.pass(30_000);
    assert.match(world.kernel.dump(), /add KUBE-CLUSTER-IP 10\.96\.0\.10,tcp:80/);
    assert.match(world.kernel.dump(), /add KUBE-CLUSTER-IP 10\.96\.0\.11,tcp:80/);
  });

  test('a part of the static side that fails at start comes later', async () => {
    const world = new World();
    world.kernel.failNext(({ verb }) => verb === 'ensure-set', 'ENOMEM');
    const report = await world.start();
    assert.equal(report.failures[0]?.object, 'set KUBE-LOOP-BACK');
    await world.say(...records);
    await world.pass(1000);
    assert.equal(world.kernel.dump(), await right());
  });
});

describe('lost answers', () => {
  for (const fault of ['lost', 'dropped'] as const) {
    test(`${fault}: the object is read back before the next write, not guessed`, async () => {
      const world = new World();
      await world.start();
      world.kernel.failNext(writesDestination, fault);
      const report = await world.say(...records);
      assert.equal(report.unknown, 1);
      assert.deepEqual(report.failures, []);
      assert.equal(world.kernel.dump(), await right());
      const tries = world.kernel.log.filter((line) => line.includes('-r 10.244.1.5:8080'));
      assert.equal(tries.length, fault === 'lost' ? 1 : 2);
    });
  }

  test('while the kernel cannot be read either, nothing is written', async () => {
    const world = new World();
    await world.start();
    world.kernel.failNext(writesDestination, 'dropped');
    world.kernel.failRead('services', 'ENOBUFS', 2);
    const report = await world.say(...records);
    assert.equal(report.failures[0]?.object, 'kernel');
    const written = world.kernel.log.length;
    await world.say(service('ns1/third', '10.96.0.12'));
    assert.equal(world.kernel.log.length, written);
    await world.say(service('ns1/third', null));
    await world.pass(1000);
    assert.equal(world.kernel.dump(), await right());
  });
});

describe('a kernel that gives no peace', () => {
  test('while it cannot be read back, it is asked again after 100 ms, 200 ms, …, not at once', async () => {
    const world = new World();
    await world.start();
    await world.say(...records);
    world.kernel.failNext(writesDestination, 'dropped');
    world.kernel.failRead('services', 'ENOBUFS', 1000);
    await world.say(webSlice('10.244.1.5', '10.244.1.7'));
    const waits = (await world.pass(3000)).map(({ failures }) => failures[0]?.retryInMs);
    assert.deepEqual(waits, [200, 400, 800, 1600]);
    world.kernel.heal();
    await world.pass(2000);
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.7:8080/);
  });

  test('nor when everything was made due at once (resync)', async () => {
    const world = new World();
    await world.start();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 1000);
    await world.say(...records);
    world.kernel.failRead('services', 'ENOBUFS', 1000);
    world.kernel.failNext(writesDestination, 'dropped');
    await world.say(otherSlice('10.244.1.6', '10.244.1.7'));
    await world.resync();
    assert.ok((await world.pass(3000)).length < 10);
    world.kernel.heal();
    await world.pass(10_000);
    await world.say(otherSlice('10.244.1.6'));
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.7:8080 -m -w 0/);
  });

  test('nor when what is written does not stay: that is a failure, and waits like one', async () => {
    const world = new World();
    await world.start();
    await world.say(web);
    const all = Array.from({ length: 12 }, (_none, index) => `10.244.1.${index + 10}`);
    // Each round one more destination is refused, and the virtual service is gone when somebody looks.
    let round = 0;
    world.kernel.failNext(
      (operation) => {
        if (operation.verb === 'create-service') round += 1;
        return operation.verb === 'create-destination' && operation.destination.address === `10.244.1.${round + 10}`;
      },
      'EEXIST',
      100,
    );
    world.kernel.afterEach = (operation) => {
      if (operation.verb === 'create-destination' && operation.destination.address === '10.244.1.21') {
        world.kernel.outside.services.delete('tcp 10.96.0.10:80');
      }
    };
    const report = await world.say(webSlice(...all));
    assert.deepEqual(
      report.failures.map(({ object, operation, retryInMs }) => [object, operation, retryInMs]),
      [['kernel', 'compare', 100]],
    );
    assert.equal(world.wakeAtMs, world.nowMs + 100);
    world.kernel.heal();
    world.kernel.afterEach = undefined;
    const [next] = await world.pass(1000);
    assert.deepEqual(next?.failures, []);
    assert.equal(world.kernel.outside.services.get('tcp 10.96.0.10:80')?.destinations.size, 12);
  });
});

describe('surprises', () => {
  test('a virtual service that somebody removed: found out by the next write, restored whole', async () => {
    const world = new World();
    await world.start();
    await world.say(...records);
    world.kernel.outside.services.delete('tcp 10.96.0.10:80');
    const report = await world.say(webSlice('10.244.1.5', '10.244.1.7'));
    assert.deepEqual(report.failures, []);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr\n.*-r 10\.244\.1\.5.*\n.*-r 10\.244\.1\.7/);
  });

  test('one that somebody made meanwhile is looked at, not overwritten blindly', async () => {
    const world = new World();
    await world.start();
    await world.say(web, webSlice('10.244.1.5'));
    const key = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 } as const;
    world.kernel.outside.apply({
      verb: 'create-destination',
      key,
      destination: { address: ip('10.244.1.7'), port: 8080, weight: 5, forward: 'masquerade' },
    });
    const report = await world.say(webSlice('10.244.1.5', '10.244.1.7'));
    assert.deepEqual(report.failures, []);
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.7:8080 -m -w 1/);
  });
});
