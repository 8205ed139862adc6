/** Whose is a virtual service, while the process lives: what others have stays theirs (design.md, 'Whose is it'). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { foreignService, ip, newKernel, restricted, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10');
const tls = service('ns1/tls', '10.96.0.10', { port: 443 });
const webSlice = slice('ns1/web-1', 'ns1/web', ['10.244.1.5']);
const foreignText = (address: string, port: number): string =>
  `-A -t ${address}:${port} -s wlc\n-a -t ${address}:${port} -r 10.9.9.9:1 -m -w 5\n`;

function held(world: World): string {
  return [...world.kernel.outside.services.keys()].sort().join(', ');
}

describe('what others have on an address that we bind', () => {
  test('stays theirs at every later read, and in the plan; a restart only goes by the address', async () => {
    const world = new World();
    foreignService(world.kernel, '10.96.0.10', 443);
    foreignService(world.kernel, '10.96.0.10', 8443);
    await world.start();
    const first = await world.say(web, tls, webSlice);
    assert.deepEqual([first.foreign, first.contested], [2, 1]);
    world.kernel.log.length = 0;
    const { plan } = await world.send({ kind: 'plan', against: 'kernel' });
    assert.deepEqual(plan?.operations, []);
    const again = await world.resync();
    assert.deepEqual([again.foreign, again.contested], [2, 1]);
    await world.pass(90_000);
    assert.deepEqual(world.kernel.log, []);
    for (const port of [443, 8443]) assert.ok(world.kernel.dump().includes(foreignText('10.96.0.10', port)));
    world.die();
    await world.start();
    await world.say(web, tls, webSlice);
    assert.equal(held(world), 'tcp 10.96.0.10:443, tcp 10.96.0.10:80', 'the limit that docs/architecture.md names');
  });

  test('so does what they make there later, and a node port of theirs whose number we open elsewhere', async () => {
    const world = new World();
    foreignService(world.kernel, '192.168.1.10', 30080);
    world.kernel.outside.apply({
      verb: 'add-address',
      address: { link: 'eth0', address: ip('192.168.1.11'), prefixLength: 24 },
    });
    await world.start();
    await world.say(service('ns1/web', '10.96.0.10', { nodePort: 30080 }), webSlice);
    assert.match(world.kernel.dump(), /-A -t 192\.168\.1\.11:30080 -s rr[\s\S]*add KUBE-NODE-PORT-TCP 30080/);
    foreignService(world.kernel, '10.96.0.10', 8443);
    await world.pass(90_000);
    assert.ok(world.kernel.dump().includes(foreignText('192.168.1.10', 30080)));
    assert.ok(world.kernel.dump().includes(foreignText('10.96.0.10', 8443)));
    assert.deepEqual(world.events.map(({ kind }) => kind).sort(), ['contested', 'foreign']);
  });

  test('when it vanished and we made ours, that is ours', async () => {
    const world = new World();
    foreignService(world.kernel, '10.96.0.10', 80);
    await world.start();
    await world.say(web, tls, webSlice);
    world.kernel.outside.services.delete('tcp 10.96.0.10:80');
    await world.pass(30_000);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr/);
    await world.say(service('ns1/web', null));
    await world.pass(30_000);
    assert.equal(held(world), 'tcp 10.96.0.10:443');
  });
});

describe('one that somebody made after our last read, and that we want', () => {
  async function raced(takeOver: boolean): Promise<World> {
    const world = new World(newKernel(), { takeOver });
    await world.start();
    await world.say();
    foreignService(world.kernel, '10.96.0.10', 80);
    world.kernel.log.length = 0;
    const report = await world.say(web, webSlice);
    assert.deepEqual(report.failures, []);
    assert.equal(report.contested, takeOver ? 0 : 1);
    return world;
  }

  test('is contested like any other: nothing of it is touched, nothing of ours is put beside it', async () => {
    const world = await raced(false);
    assert.deepEqual(world.kernel.log, ['ipvsadm -A -t 10.96.0.10:80 -s rr # EEXIST']);
    assert.deepEqual(
      world.events.map(({ kind }) => kind),
      ['contested'],
    );
    await world.pass(60_000);
    assert.equal(world.kernel.log.length, 1);
    world.kernel.outside.services.delete('tcp 10.96.0.10:80');
    await world.pass(30_000);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr[\s\S]*kube-ipvs0 10\.96\.0\.10/);
  });

  test('is not restricted by our source ranges', async () => {
    const world = new World();
    await world.start();
    await world.say();
    foreignService(world.kernel, '198.18.0.1', 80);
    const report = await world.say(restricted('ns1/web', '10.96.0.10', '198.18.0.1', '0.0.0.0/0'), webSlice);
    assert.deepEqual([report.contested, report.failures], [1, []]);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
    assert.doesNotMatch(world.kernel.dump(), /add .* 198\.18\.0\.1/);
  });

  test('is taken over with takeOver', async () => {
    const world = await raced(true);
    assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr[\s\S]*kube-ipvs0 10\.96\.0\.10/);
  });

  test('is adopted when it is as it should be', async () => {
    const world = new World();
    await world.start();
    await world.say();
    const key = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 } as const;
    world.kernel.outside.apply({
      verb: 'create-service',
      service: { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
    });
    const report = await world.say(web, webSlice);
    assert.deepEqual([report.contested, report.failures.length], [0, 0]);
    assert.match(world.kernel.dump(), /-r 10\.244\.1\.5:8080[\s\S]*kube-ipvs0 10\.96\.0\.10/);
  });
});

describe('one that we made without hearing the answer', () => {
  for (const reads of ['back', 'everything'] as const) {
    test(`is ours when it is there, also when nobody wants it any more (read ${reads})`, async () => {
      const world = new World();
      await world.start();
      await world.say();
      world.kernel.failNext(({ verb }) => verb === 'create-service', 'lost');
      world.kernel.failRead('services', 'ENOBUFS', 2);
      await world.say(web, webSlice);
      await world.say(service('ns1/web', null));
      assert.equal(held(world), 'tcp 10.96.0.10:80');
      if (reads === 'back') await world.pass(1000);
      else await world.resync();
      assert.equal(held(world), '');
      assert.deepEqual(world.events, []);
    });
  }
});

test('one that a death left without its tuple is ours again, although its Service has changed since', async () => {
  const world = new World();
  const key = { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 } as const;
  world.kernel.outside.apply({
    verb: 'create-service',
    service: { key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0 },
  });
  await world.start();
  const { contested } = await world.say(web, webSlice);
  assert.equal(contested, 0);
  assert.match(world.kernel.dump(), /-A -t 10\.96\.0\.10:80 -s rr\n-a .* -r 10\.244\.1\.5:8080/);
});

test('who has been told is forgotten with what it was about, and told again when that comes back', async () => {
  const world = new World();
  await world.start();
  await world.say(web);
  for (const _round of [1, 2]) {
    foreignService(world.kernel, '172.31.1.1', 80);
    await world.resync();
    await world.resync();
    world.kernel.outside.services.delete('tcp 172.31.1.1:80');
    await world.resync();
  }
  assert.deepEqual(
    world.events,
    [1, 2].map(() => ({ kind: 'foreign', service: 'tcp 172.31.1.1:80' })),
  );
});

describe('what is removed when nobody wants it (behaviour.md 6.6)', () => {
  const excluded = '172.31.1.0/24';

  function crowded(): FakeKernel {
    const kernel = newKernel();
    for (const address of ['172.31.1.1', '172.31.2.2', 'fd00::1']) foreignService(kernel, address, 80);
    kernel.outside.apply({
      verb: 'create-service',
      service: { key: { fwmark: 5, family: 'IPv4' }, scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
    });
    return kernel;
  }

  test('ownership all: everything of our families but fwmarks and excludeCIDRs, once all has synced, whenever it comes', async () => {
    const world = new World(crowded(), { ownership: 'all', excludeCIDRs: [excluded] });
    await world.start();
    await world.hint(web);
    await world.pass(60_000);
    assert.equal(world.kernel.outside.services.size, 4);
    const report = await world.say(webSlice);
    const left = 'fwmark 5 IPv4, tcp 10.96.0.10:80, tcp 172.31.1.1:80, tcp fd00::1:80';
    assert.equal(held(world), left.replace('tcp fd00::1:80', 'tcp [fd00::1]:80'));
    assert.deepEqual([report.foreign, report.contested], [2, 0]);
    foreignService(world.kernel, '172.31.3.3', 80);
    foreignService(world.kernel, '172.31.1.3', 80);
    await world.pass(30_000);
    assert.match(held(world), /172\.31\.1\.3:80/);
    assert.doesNotMatch(held(world), /172\.31\.3\.3/);
  });

  test('ownership all: a wanted one that somebody else made is made as wanted, excluded or not', async () => {
    const world = new World(newKernel(), { ownership: 'all', excludeCIDRs: ['10.96.0.0/16'] });
    foreignService(world.kernel, '10.96.0.10', 80);
    await world.start();
    const report = await world.say(web, webSlice);
    assert.deepEqual([report.contested, report.failures], [0, []]);
    assert.match(
      world.kernel.dump(),
      /-A -t 10\.96\.0\.10:80 -s rr\n.*-r 10\.244\.1\.5:8080 -m -w 1\n.*-r 10\.9\.9\.9:1 -m -w 0/,
    );
  });

  test('ownership ledger: ours go (T61), but for those in excludeCIDRs (T62); destinations in excludeCIDRs drain', async () => {
    const world = new World(newKernel(), { excludeCIDRs: ['10.96.0.10/32'] });
    await world.start();
    await world.say(web, webSlice, service('ns1/other', '10.96.0.11'));
    await world.say(slice('ns1/web-1', 'ns1/web', []));
    assert.match(world.kernel.dump(), /-a -t 10\.96\.0\.10:80 -r 10\.244\.1\.5:8080 -m -w 0/);
    await world.say(service('ns1/web', null), service('ns1/other', null));
    assert.equal(held(world), 'tcp 10.96.0.10:80');
    assert.doesNotMatch(world.kernel.dump(), /kube-ipvs0 10|add KUBE/);
    await world.pass(90_000);
    assert.equal(held(world), 'tcp 10.96.0.10:80');
    world.die();
    await world.start();
    await world.say();
    assert.equal(held(world), 'tcp 10.96.0.10:80');
  });
});
