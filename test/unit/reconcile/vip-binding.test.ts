/** VIPs bound by local routes, and what becomes of them when the way of binding changes (design.md, 'Whose is it' and 'Promises'). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { vipRoute, vipRouteProtocol } from '../../../lib/plan/vip-binding.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import { ip, newKernel, service, slice, World } from './world.ts';

const vips = ['10.96.0.10', '10.96.0.11', 'fd00:96::10'] as const;
const records = [
  service('ns1/web', vips[0]),
  slice('ns1/web-1', 'ns1/web', ['10.244.1.5']),
  service('ns1/dns', vips[1], { protocol: 'udp', port: 53 }),
  service('ns1/six', vips[2]),
];

type VipBinding = 'address' | 'local-route';

async function served(vipBinding: VipBinding, kernel: FakeKernel = newKernel()): Promise<World> {
  const world = new World(kernel, { vipBinding, families: ['IPv4', 'IPv6'] });
  await world.start();
  kernel.log.length = 0;
  await world.say(...records);
  return world;
}

function bound({ outside }: FakeKernel): Record<VipBinding, readonly string[]> {
  const addresses = [...outside.addresses.values()].filter(({ link }) => link === 'kube-ipvs0');
  const routes = [...outside.localRoutes.values()].filter(({ protocol }) => protocol === vipRouteProtocol);
  return {
    address: addresses.map(({ address }) => address).sort(),
    'local-route': routes.map((one) => one.address).sort(),
  };
}

test('a local route for each VIP, in both families, and no address; KUBE-IPVS-IPS is the same', async () => {
  const { kernel } = await served('local-route');
  assert.deepEqual(bound(kernel), { address: [], 'local-route': [...vips] });
  assert.deepEqual([...(kernel.outside.sets.get('KUBE-IPVS-IPS')?.entries ?? [])].sort(), vips.slice(0, 2));
  assert.ok(
    kernel.log.includes('ip route append local 10.96.0.10/32 dev lo table local proto 155'),
    kernel.log.join('\n'),
  );
});

for (const [from, to] of [
  ['address', 'local-route'],
  ['local-route', 'address'],
] as const) {
  test(`a restart with ${to} instead of ${from} moves every VIP, and none is unbound at any moment; the next one writes nothing`, async () => {
    const before = await served(from);
    before.die();
    const { kernel } = before;
    kernel.afterEach = () => {
      const { address, 'local-route': route } = bound(kernel);
      assert.deepEqual([...new Set([...address, ...route])].sort(), [...vips]);
    };
    const after = await served(to, kernel);
    assert.deepEqual(bound(kernel), { [from]: [], [to]: [...vips] });
    assert.equal(kernel.log.length, 2 * vips.length, kernel.log.join('\n'));
    after.die();
    await served(to, kernel);
    assert.deepEqual(kernel.log, []);
  });
}

test('a VIP that cannot be bound in the new way keeps the old one, and the failure names it', async () => {
  const before = await served('address');
  before.die();
  const { kernel } = before;
  kernel.failNext(({ verb }) => verb === 'add-local-route', 'ENOMEM', 1);
  const world = new World(kernel, { vipBinding: 'local-route', families: ['IPv4', 'IPv6'] });
  await world.start();
  const report = await world.say(...records);
  const failed = report.failures.map(({ object }) => object);
  assert.equal(failed[0], `route ${vips[0]}/32`);
  assert.ok(bound(kernel).address.includes(vips[0]));
  assert.deepEqual(bound(kernel)['local-route'].includes(vips[1]), true);
  await world.pass(5000);
  assert.ok(!bound(kernel).address.includes(vips[0]));
});

test('an IPv6 route of somebody else in the place of ours: the failure names its owner, and the VIP stays as it is until it goes', async () => {
  const before = await served('address');
  before.die();
  const { kernel } = before;
  const theirs = { ...vipRoute(ip(vips[2])), protocol: 99 };
  kernel.outside.apply({ verb: 'add-local-route', route: theirs });
  const world = new World(kernel, { vipBinding: 'local-route', families: ['IPv4', 'IPv6'] });
  await world.start();
  const { failures } = await world.say(...records);
  const failure = failures.find(({ object }) => object === `route ${vips[2]}/128`);
  assert.match(failure?.error.message ?? '', /protocol 99/);
  assert.deepEqual(bound(kernel), { address: [vips[2]], 'local-route': vips.slice(0, 2) });
  kernel.outside.apply({ verb: 'remove-local-route', route: theirs });
  await world.pass(5000);
  assert.deepEqual(bound(kernel), { address: [], 'local-route': [...vips] });
});

test('a route that somebody removed is seen by a full pass and put back; a VIP of nobody loses its own, and only its own', async () => {
  const world = await served('local-route');
  const { kernel } = world;
  const foreign = { ...vipRoute(ip('10.96.0.99')), protocol: 99 };
  kernel.outside.apply({ verb: 'add-local-route', route: foreign });
  kernel.outside.apply({ verb: 'remove-local-route', route: vipRoute(ip(vips[0])) });
  kernel.outside.apply({ verb: 'add-local-route', route: vipRoute(ip('10.96.0.98')) });
  await world.resync();
  assert.deepEqual(bound(kernel)['local-route'], [...vips]);
  assert.equal(kernel.outside.localRoutes.size, vips.length + 1);
  const { plan } = await world.send({ kind: 'plan', against: 'empty' });
  const route = plan?.operations.find(({ text }) => text.includes('route append local fd00:96::10/128'));
  assert.deepEqual(route?.wantedBy, ['IPv6 ns1/six:p/tcp']);
});

test('a virtual service without a tuple, on a VIP that a route of ours binds, is ours', async () => {
  const kernel = newKernel();
  kernel.outside.apply({ verb: 'add-local-route', route: vipRoute(ip('10.96.0.50')) });
  const key = { protocol: 'tcp', address: ip('10.96.0.50'), port: 80 } as const;
  kernel.outside.apply({ verb: 'create-service', service: { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 } });
  const world = await served('address', kernel);
  assert.equal(kernel.outside.services.has('tcp 10.96.0.50:80'), false);
  assert.deepEqual(
    world.events.filter(({ kind }) => kind === 'foreign'),
    [],
  );
});
