/** Each state of a kernel object: how it comes, what is said of it, how it ends. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Operation } from '../../../lib/operations.ts';
import type { ObjectStatus } from '../../../lib/reconcile/answers.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import { bindOutside, foreignService, ip, restricted, service, slice, World } from './world.ts';

const web = service('ns1/web', '10.96.0.10');
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);
const webService = 'service tcp 10.96.0.10:80';
const settled = { pending: 0, failing: 0, draining: 0, contested: 0, foreign: 0 };

async function started(init: ConstructorParameters<typeof World>[1] = {}): Promise<World> {
  const world = new World(undefined, init);
  await world.start();
  return world;
}

async function listed(world: World): Promise<Map<string, ObjectStatus>> {
  const { notApplied } = await world.status();
  return new Map(notApplied.map((status) => [status.object, status]));
}

const creates = (address: string) => (operation: Operation) =>
  operation.verb === 'create-service' &&
  'address' in operation.service.key &&
  operation.service.key.address === address;
const adds = (start: string) => (operation: Operation) =>
  operation.verb === 'add-entry' && `${operation.set.name} ${operation.entry}`.startsWith(start);

describe('applied', () => {
  test('everything that is as it is wanted is counted, and nothing is listed', async () => {
    const world = await started();
    await world.say(web, webSlice('10.244.1.5', '10.244.1.6'));
    const status = await world.status();
    assert.deepEqual(status.holds, { services: 1, destinations: 2, entries: 2, addresses: 1 });
    assert.deepEqual(status.objects, { ...settled, applied: 6 });
    assert.deepEqual([status.notApplied, status.omitted, status.servicePorts], [[], 0, { total: 1, notApplied: 0 }]);
    assert.equal(status.waitsFor, undefined);
  });
});

describe('pending', () => {
  test('before the start, and until every source has synced, it says for what everything waits', async () => {
    const world = new World();
    await world.hint(web, webSlice('10.244.1.5'));
    assert.equal((await world.status()).waitsFor, 'the first read of the kernel');
    await world.start();
    const { waitsFor, objects, servicePorts, complete } = await world.status();
    assert.equal(waitsFor, 'the first complete lists of every source');
    assert.deepEqual([complete, servicePorts], [false, { total: 1, notApplied: 1 }]);
    assert.deepEqual(objects, { ...settled, applied: 0, pending: 5 });
    assert.equal((await listed(world)).get(webService)?.why, 'waits for the first complete lists of every source');
    await world.say();
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 5 });
  });

  test('what waits for something that was refused names it, and comes with it', async () => {
    const world = await started();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 1);
    await world.say(web, webSlice('10.244.1.5'));
    const before = await listed(world);
    assert.equal(before.get(webService)?.state, 'failing');
    for (const object of [
      'destination tcp 10.96.0.10:80 10.244.1.5:8080',
      'entry KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'entry KUBE-IPVS-IPS 10.96.0.10',
      'address 10.96.0.10',
    ]) {
      const status = before.get(object);
      assert.deepEqual([status?.state, status?.why], ['pending', `waits for ${webService}, which was refused`], object);
      assert.deepEqual(status?.wantedBy, ['IPv4 ns1/web:p/tcp']);
      assert.equal(status?.applied, undefined);
    }
    await world.pass(1000);
    assert.deepEqual(await listed(world), new Map());
  });

  test('a load balancer IP that its firewall entry does not protect yet waits for that', async () => {
    const world = await started();
    world.kernel.failNext(adds('KUBE-LOAD-BALANCER-FW'), 'ENOMEM', 1);
    await world.say(restricted('ns1/web', '10.96.0.10', '203.0.113.1', '198.51.100.0/24'), webSlice('10.244.1.5'));
    const status = (await listed(world)).get('address 203.0.113.1');
    assert.match(status?.why ?? '', /^waits for entry KUBE-LOAD-BALANCER-FW 203\.0\.113\.1,tcp:80, which was refused$/);
    await world.pass(1000);
    assert.deepEqual(await listed(world), new Map());
  });

  test('frontends wait for the rules of their family, and say what is wrong with those', async () => {
    const world = new World();
    world.iptables.failNext('restore', 2, 'no xt_set');
    await world.start();
    await world.say(web, webSlice('10.244.1.5'));
    const before = await listed(world);
    assert.equal(before.get('rules IPv4')?.state, 'failing');
    assert.match(before.get(webService)?.why ?? '', /^waits for the iptables rules of IPv4: .*no xt_set/);
    await world.pass(10_000);
    assert.deepEqual(await listed(world), new Map());
  });

  test('what must not be removed is said to stay', async () => {
    const world = await started();
    await world.say(web, webSlice('10.244.1.5'));
    await world.close();
    world.die();
    await world.start();
    await world.hint();
    assert.equal((await world.explain('tcp 10.96.0.10:80')).others[0]?.state, 'pending', 'a removal that has to wait');
  });
});

describe('failing', () => {
  test('why, how often, since when, and when it is tried again; it ends when it works', async () => {
    const world = await started();
    const startMs = world.nowMs;
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 3);
    await world.say(web, webSlice('10.244.1.5'));
    await world.pass(350);
    const failure = (await listed(world)).get(webService)?.failure;
    assert.deepEqual(
      [failure?.attempts, failure?.errno, failure?.code, failure?.operation],
      [3, 'ENOMEM', 'ERR_NETLINK', 'ipvsadm -A -t 10.96.0.10:80 -s rr'],
    );
    assert.deepEqual([failure?.since, failure?.nextTry], [new Date(startMs), new Date(startMs + 700)]);
    assert.equal((await world.status()).objects.failing, 1);
    await world.pass(1000);
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 5 });
  });

  test('it ends when nobody asks for it any more', async () => {
    const world = await started();
    world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 100);
    await world.say(web, webSlice('10.244.1.5'));
    await world.say(service('ns1/web', null));
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 0 });
  });

  test('a set of another type is named, with what should be in it; it ends when it is replaced', async () => {
    const world = new World();
    world.kernel.outside.apply({
      verb: 'create-set',
      set: { name: 'KUBE-LOOP-BACK', type: 'hash:ip', family: 'IPv4' },
    });
    const set = world.kernel.outside.sets.get('KUBE-LOOP-BACK');
    assert.ok(set);
    set.references = 1;
    await world.start();
    await world.say(web, slice('ns1/web-1', 'ns1/web', ['10.244.1.5'], { local: true }));
    const before = await listed(world);
    assert.deepEqual(
      [...before.values()].map(({ object, state }) => [object, state]),
      [
        ['set KUBE-LOOP-BACK', 'failing'],
        ['entry KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5', 'pending'],
      ],
    );
    for (const { why } of before.values()) assert.match(why ?? '', /should be hash:ip,port,ip/);
    set.references = 0;
    await world.pass(30_000);
    assert.deepEqual(await listed(world), new Map());
  });
});

describe('draining', () => {
  test('since when and until when; it ends when it is deleted', async () => {
    const world = await started({ drainTimeoutMs: 5000 });
    await world.say(web, webSlice('10.244.1.5', '10.244.1.6'));
    world.kernel.setConnections('tcp 10.96.0.10:80', '10.244.1.6:8080', 1, 0);
    const sinceMs = world.nowMs;
    await world.say(webSlice('10.244.1.5'));
    const drained = 'destination tcp 10.96.0.10:80 10.244.1.6:8080';
    const status = (await listed(world)).get(drained);
    assert.deepEqual(
      [status?.state, status?.drain, status?.wanted],
      ['draining', { since: new Date(sinceMs), until: new Date(sinceMs + 5000) }, undefined],
    );
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 5, draining: 1 });
    await world.pass(7000);
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 5 });
  });

  test('a virtual service that is kept for its connections drains with its destinations', async () => {
    const world = await started({ drainServices: true, drainTimeoutMs: 5000 });
    await world.say(web, webSlice('10.244.1.5'));
    world.kernel.setConnections('tcp 10.96.0.10:80', '10.244.1.5:8080', 1, 0);
    const sinceMs = world.nowMs;
    await world.say(service('ns1/web', null));
    const status = (await listed(world)).get(webService);
    assert.deepEqual(
      [status?.state, status?.drain],
      ['draining', { since: new Date(sinceMs), until: new Date(sinceMs + 5000) }],
    );
    const asked = await world.explain('10.96.0.10');
    assert.deepEqual([asked.kind, asked.state], ['address', 'draining']);
    await world.pass(10_000);
    assert.deepEqual((await world.status()).objects, { ...settled, applied: 0 });
  });
});

describe('contested and foreign', () => {
  test('wanted and otherwise by somebody else: contested, with what waits for it; it ends when theirs is gone', async () => {
    const world = await started();
    foreignService(world.kernel, '10.96.0.10', 80);
    foreignService(world.kernel, '10.96.0.99', 80);
    await world.resync();
    await world.say(web, webSlice('10.244.1.5'));
    const before = await listed(world);
    const status = before.get(webService);
    assert.deepEqual(
      [status?.state, status?.wanted, status?.applied],
      ['contested', 'ipvsadm -A -t 10.96.0.10:80 -s rr', 'ipvsadm -A -t 10.96.0.10:80 -s wlc'],
    );
    assert.match(before.get('address 10.96.0.10')?.why ?? '', /tcp 10\.96\.0\.10:80, which is somebody else's$/);
    const { objects } = await world.status();
    assert.deepEqual([objects.contested, objects.foreign], [1, 1]);
    const foreign = await world.explain('tcp 10.96.0.99:80');
    assert.deepEqual(
      [foreign.state, foreign.others.map(({ object }) => object)],
      ['foreign', ['service tcp 10.96.0.99:80']],
    );
    const told = (await world.explain('ns1/web')).history.filter(({ kind }) => kind === 'contested');
    assert.equal(told.length, 1);
    world.kernel.outside.apply({
      verb: 'remove-service',
      key: { protocol: 'tcp', address: ip('10.96.0.10'), port: 80 },
    });
    await world.resync();
    assert.deepEqual(await listed(world), new Map());
  });
});

test('what is listed is bounded, what fails first, and the rest is a number', async () => {
  const world = await started();
  world.kernel.failNext(creates('10.96.0.10'), 'ENOMEM', 1);
  await world.say(web, webSlice('10.244.1.5', '10.244.1.6'));
  const { notApplied, omitted, objects } = await world.status(2);
  assert.deepEqual(
    [notApplied.length, omitted, notApplied[0]?.state],
    [2, objects.failing + objects.pending - 2, 'failing'],
  );
  assert.deepEqual((await world.status(0)).notApplied, []);
});

/** The summary looks only where something may be out of order; an explanation looks at everything a Service wants. */
test('property: the summary misses nothing that an explanation finds, whatever failed', async () => {
  const names = ['ns1/a', 'ns1/b', 'ns2/c'];
  const action = fc.oneof(
    fc.record({ kind: fc.constant('say' as const), name: fc.nat(2), endpoints: fc.array(fc.nat(4), { maxLength: 4 }) }),
    fc.record({ kind: fc.constant('drop' as const), name: fc.nat(2) }),
    fc.record({
      kind: fc.constant('fail' as const),
      count: fc.integer({ min: 1, max: 6 }),
      every: fc.integer({ min: 1, max: 5 }),
    }),
    fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 500 }) }),
    fc.record({ kind: fc.constant('foreign' as const), name: fc.nat(2) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async (actions) => {
      const world = await started();
      bindOutside(world.kernel, 'eth0', '192.168.1.11', 24);
      await world.say();
      for (const each of actions) {
        if (each.kind === 'fail') {
          let seen = 0;
          world.kernel.failNext(() => ++seen % each.every === 0, 'ENOMEM', each.count);
        } else if (each.kind === 'wait') {
          await world.pass(each.ms);
        } else {
          const name = names[each.name] ?? 'ns1/a';
          const address = `10.96.0.${10 + each.name}`;
          if (each.kind === 'foreign') {
            if (!world.kernel.dump().includes(`-A -t ${address}:80`)) foreignService(world.kernel, address, 80);
            await world.resync();
          } else {
            const records: ObjectRecord[] =
              each.kind === 'drop'
                ? [service(name, null), slice(`${name}-1`, name, null)]
                : [
                    service(name, address, {
                      nodePort: 30_000 + each.name,
                      body: { loadBalancerIPs: [ip(`203.0.113.${each.name + 1}`)] },
                    }),
                    slice(
                      `${name}-1`,
                      name,
                      [...new Set(each.endpoints)].map((n) => `10.244.${each.name}.${n + 1}`),
                    ),
                  ];
            await world.say(...records);
          }
        }
        const status = await world.status(10_000);
        const found = new Map(status.notApplied.map(({ object, state }) => [object, state]));
        assert.equal(found.size, status.notApplied.length, 'each once');
        const explained = await Promise.all(names.map((name) => world.explain(name)));
        const all = explained.flatMap(({ services }) =>
          services.flatMap(({ ports }) => ports.flatMap(({ objects }) => objects)),
        );
        for (const { object, state } of all) {
          assert.equal(found.get(object) ?? 'applied', state, object);
        }
        const { pending, failing, draining, contested } = status.objects;
        assert.equal(pending + failing + draining + contested, found.size);
      }
    }),
    { numRuns: 60 },
  );
});
