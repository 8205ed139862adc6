/** What others do to addresses and links is followed as the kernel tells it, and costs no read when nothing happened (T25, T26, T76). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Monitor } from '../../../lib/kernel/session.ts';
import type { ReconcileInit } from '../../../lib/reconcile/protocol.ts';
import type { FakeKernel } from '../../../lib/testing/fake-kernel.ts';
import type { ChangeEvent } from '../../../lib/types.ts';
import { bindOutside, ip, newKernel, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10', { nodePort: 30080 });
const webSlice = slice('ns1/web-1', 'ns1/web', ['10.244.1.5']);

/** Reads of the kernel since it was last emptied. */
type Reads = string[];

function readsOf(kernel: FakeKernel): Reads {
  const reads: Reads = [];
  const read = kernel.read.bind(kernel);
  kernel.read = (what, ...rest) => {
    reads.push(what);
    read(what, ...rest);
  };
  return reads;
}

async function served(init: ConstructorParameters<typeof World>[1] = {}): Promise<{ world: World; reads: Reads }> {
  const kernel = newKernel();
  const reads = readsOf(kernel);
  const world = new World(kernel, { syncPeriodMs: 600_000, ...init });
  await world.start();
  await world.say(web, webSlice);
  reads.length = 0;
  kernel.log.length = 0;
  return { world, reads };
}

function nodePorts(kernel: FakeKernel): string[] {
  return [...kernel.outside.services.keys()].filter((key) => key.endsWith(':30080')).sort();
}

test('nothing is read while nobody but us writes, however long, whatever we write', async () => {
  const { world, reads } = await served();
  await world.say(service('ns1/other', '10.96.0.11'));
  await world.pass(10_000);
  await world.say(service('ns1/other', null));
  await world.pass(10_000);
  assert.deepEqual(reads, []);
  assert.equal(world.kernel.log.filter((line) => line.includes('ip addr')).length, 2);
});

test('node ports follow the addresses of the node within a second, at the price of one read of addresses (T25)', async () => {
  const { world, reads } = await served();
  const { kernel } = world;
  bindOutside(kernel, 'eth0', '192.168.1.11', 24);
  await world.pass(1000);
  assert.deepEqual(nodePorts(kernel), ['tcp 192.168.1.10:30080', 'tcp 192.168.1.11:30080']);
  assert.deepEqual(reads, ['links', 'addresses']);
  kernel.outside.apply({ verb: 'remove-address', link: 'eth0', address: ip('192.168.1.11'), prefixLength: 24 });
  await world.say(service('ns1/other', '10.96.0.12'));
  assert.deepEqual(nodePorts(kernel), ['tcp 192.168.1.10:30080']);
});

test('what is no news is not read: a refreshed address, the same on another link, link-local ones, another family', async () => {
  const { world, reads } = await served();
  const { outside } = world.kernel;
  outside.addLink('veth1', 'veth', true);
  outside.apply({
    verb: 'ensure-address',
    address: { link: 'eth0', address: ip('192.168.1.10'), prefixLength: 24, validSeconds: 300 },
  });
  for (const [address, prefixLength] of [
    ['192.168.1.10', 32] as const,
    ['fe80::1', 64] as const,
    ['fd00::9', 64] as const,
  ])
    bindOutside(world.kernel, 'veth1', address, prefixLength);
  await world.pass(3000);
  assert.deepEqual(reads, []);
});

test('addresses that cannot be read stay as they were, are a failure, and are read again (T26)', async () => {
  const { world } = await served();
  const { kernel } = world;
  bindOutside(kernel, 'eth0', '192.168.1.11', 24);
  kernel.failRead('addresses', 'ENOBUFS', 2);
  const report = await world.say(service('ns1/other', '10.96.0.12'));
  assert.deepEqual(
    report.failures.map(({ object, operation }) => `${operation} ${object}`),
    ['read addresses'],
  );
  assert.deepEqual(nodePorts(kernel), ['tcp 192.168.1.10:30080']);
  assert.match(kernel.dump(), /kube-ipvs0 10\.96\.0\.12/);
  await world.pass(1000);
  assert.deepEqual(nodePorts(kernel), ['tcp 192.168.1.10:30080', 'tcp 192.168.1.11:30080']);
});

describe('at the VIP device', () => {
  test('a VIP that somebody deleted is bound again within a second, and one that somebody added goes; nothing is read', async () => {
    const { world, reads } = await served();
    const { kernel } = world;
    kernel.outside.addresses.delete('kube-ipvs0 10.96.0.10');
    bindOutside(kernel, 'kube-ipvs0', '10.96.0.99', 32);
    await world.pass(1000);
    assert.deepEqual(
      [...kernel.outside.addresses.keys()].filter((key) => key.startsWith('kube')),
      ['kube-ipvs0 10.96.0.10'],
    );
    assert.deepEqual(reads, []);
  });

  for (const [how, remove] of [
    ['was deleted', (kernel: FakeKernel) => kernel.outside.removeLink('kube-ipvs0')],
    [
      'was deleted and made again',
      (kernel: FakeKernel) => {
        kernel.outside.removeLink('kube-ipvs0');
        kernel.outside.addLink('kube-ipvs0', 'dummy', false);
      },
    ],
  ] as const) {
    test(`that ${how} it is mended within a second (T76)`, async () => {
      const { world } = await served();
      const before = world.kernel.dump();
      remove(world.kernel);
      await world.pass(1000);
      assert.equal(world.kernel.dump(), before);
      world.kernel.log.length = 0;
      await world.pass(5000);
      assert.deepEqual(world.kernel.log, [], 'once');
    });
  }
});

describe('a monitor', () => {
  /** A world whose monitor tells what `say` says, and nothing else. */
  async function monitored(
    say: () => readonly ChangeEvent[],
    init: Partial<ReconcileInit> = {},
  ): Promise<{ world: World; reads: Reads }> {
    const kernel = newKernel();
    const open = kernel.session.bind(kernel);
    kernel.session = () => {
      const real = open();
      const openMonitor = real.openMonitor.bind(real);
      real.openMonitor = (groups): Monitor => {
        const monitor = openMonitor(groups);
        return { drain: () => say(), close: () => monitor.close() };
      };
      return real;
    };
    const reads = readsOf(kernel);
    const world = new World(kernel, { syncPeriodMs: 600_000, ...init });
    await world.start();
    await world.say(web, webSlice);
    reads.length = 0;
    return { world, reads };
  }

  test('that overflowed: the addresses are read again, and what is missing on the VIP device is put back', async () => {
    let lost = false;
    const { world, reads } = await monitored(() => (lost ? [{ kind: 'lost' }] : []));
    bindOutside(world.kernel, 'eth0', '192.168.1.11', 24);
    world.kernel.outside.addresses.delete('kube-ipvs0 10.96.0.10');
    await world.pass(2000);
    assert.deepEqual(reads, []);
    lost = true;
    await world.pass(1000);
    lost = false;
    assert.deepEqual(reads, ['links', 'addresses']);
    assert.equal(nodePorts(world.kernel).length, 2);
    assert.match(world.kernel.dump(), /kube-ipvs0 10\.96\.0\.10/);
  });

  test('that overflows all the time costs one read a second, however many changes come', async () => {
    for (const vipBinding of ['address', 'local-route'] as const) {
      const { world, reads } = await monitored(() => [{ kind: 'lost' }], { vipBinding });
      for (let change = 0; change < 100; change += 1) {
        await world.say(slice('ns1/web-1', 'ns1/web', [`10.244.1.${change + 1}`]));
        await world.pass(50);
      }
      const count = reads.filter((what) => what === 'links').length;
      assert.ok(count >= 4 && count <= 6, `${vipBinding}: ${count} reads in five seconds`);
    }
  });

  test('that fails is given up, and opened again by the next full pass', async () => {
    let failing = false;
    const { world } = await monitored(() => {
      if (failing) throw new Error('the socket is gone');
      return [];
    });
    failing = true;
    bindOutside(world.kernel, 'eth0', '192.168.1.11', 24);
    await world.pass(1000);
    assert.equal(nodePorts(world.kernel).length, 2, 'read at once');
    failing = false;
    await world.resync();
    assert.equal((world.wakeAtMs ?? 0) - world.nowMs, 1000, 'asked again');
  });
});
