/** What ends slowly: time-outs per Service, whole Services, endpoints on request (behaviour.md 2.9, section 9 #9 to #11; T65 to T69). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { destinationId, type ServiceId, type ServiceNode, serviceId } from '../../../lib/plan/state.ts';
import { AppliedState } from '../../../lib/reconcile/applied.ts';
import { DrainQueue } from '../../../lib/reconcile/drain.ts';
import { vipLink } from '../../../lib/reconcile/observed.ts';
import type { EndpointDrain, EndpointDrainState, PlanResult, SyncReport } from '../../../lib/reconcile/protocol.ts';
import type { ObjectRecord } from '../../../lib/records.ts';
import type { Destination } from '../../../lib/types.ts';
import { emptyState } from '../../harness/difference-options.ts';
import { foreignService, ip, newKernel, restricted, type ServiceOptions, service, slice, World } from './world.ts';

const web = (options: ServiceOptions = {}) => service('ns1/web', '10.96.0.10', { nodePort: 30080, ...options });
const webSlice = (...addresses: string[]) => slice('ns1/web-1', 'ns1/web', addresses);
const webKey = 'tcp 10.96.0.10:80';
const nodeKey = 'tcp 192.168.1.10:30080';
const dns = service('ns1/dns', '10.96.0.11', { protocol: 'udp', port: 53 });
const dnsSlice = (...addresses: string[]) => slice('ns1/dns-1', 'ns1/dns', addresses, { protocol: 'udp' });
const gone = service('ns1/web', null);
const inKernel = (world: World) => world.kernel.dump();

async function served(init: ConstructorParameters<typeof World>[1] = {}, ...records: ObjectRecord[]): Promise<World> {
  const world = new World(newKernel(), init);
  await world.start();
  await world.say(...(records.length > 0 ? records : [web(), webSlice('10.244.1.5', '10.244.2.7')]));
  world.kernel.log.length = 0;
  return world;
}

test('a weight of 0 that a user wants is no drain: the destination stays, also after a restart; unwanted, it drains', async () => {
  const world = await served({}, web(), slice('ns1/web-1', 'ns1/web', ['10.244.1.5'], { weights: [0] }));
  assert.match(inKernel(world), /10\.244\.1\.5:8080 -m -w 0/);
  await world.pass(120_000);
  world.die();
  await world.start();
  const report = await world.say(web(), slice('ns1/web-1', 'ns1/web', ['10.244.1.5'], { weights: [0] }));
  assert.deepEqual([report.operations, report.draining], [0, 0]);
  await world.pass(120_000);
  assert.match(inKernel(world), /10\.244\.1\.5:8080 -m -w 0/);
  assert.deepEqual(world.events, []);
  assert.equal((await world.say(webSlice())).draining, 2);
  await world.pass(2000);
  assert.doesNotMatch(inKernel(world), /10\.244\.1\.5/);
});

test('what is wanted at weight 0 is looked at when its virtual service is compared, not at every change', () => {
  const applied = new AppliedState(vipLink);
  const destination: Destination = { address: ip('10.244.1.5'), port: 8080, weight: 0, forward: 'masquerade' };
  const destinations = new Map([[destinationId(destination), destination]]);
  const wanted = new Map<ServiceId, ServiceNode>();
  for (let port = 1; port <= 1000; port += 1) {
    const key = { protocol: 'tcp', address: ip('10.96.0.10'), port } as const;
    const node = { service: { key, scheduler: 'rr', flags: 0, timeoutSeconds: 0 }, destinations };
    wanted.set(serviceId(key), node);
    applied.putService(serviceId(key), node);
  }
  let asked = 0;
  const get = (id: ServiceId): ServiceNode | undefined => {
    asked += 1;
    return wanted.get(id);
  };
  const desired = { ...emptyState(), services: Object.assign(new Map(wanted), { get }) };
  const queue = new DrainQueue(() => 60_000);
  queue.observe(applied, desired, 0, 'all');
  assert.deepEqual([queue.size, asked], [0, 1000]);
  wanted.set('tcp 10.96.0.10:7', {
    service: wanted.get('tcp 10.96.0.10:7')?.service ?? assert.fail(),
    destinations: new Map(),
  });
  asked = 0;
  queue.observe(applied, desired, 0, ['tcp 10.96.0.10:7', 'tcp 10.96.0.10:8']);
  assert.deepEqual([queue.size, asked], [1, 2]);
  queue.observe(applied, desired, 1000, []);
  assert.equal(queue.size, 1, 'what drains goes on draining');
});

test('however many virtual services drain, one request reads only some of them, and all have their turn at once', async () => {
  const keys = Array.from({ length: 300 }, (_, index) => `ns1/s${index}`);
  const slices = (...addresses: string[]) => keys.map((key) => slice(`${key}-1`, key, addresses));
  const world = await served(
    { syncPeriodMs: 600_000 },
    ...keys.map((key, index) => service(key, `10.97.${index >> 8}.${index & 255}`)),
    ...slices('10.244.1.5'),
  );
  assert.equal((await world.say(...slices())).draining, 300);
  const reads: number[] = [];
  const read = world.kernel.read.bind(world.kernel);
  world.kernel.read = (what, ...rest) => {
    if (what === 'destinations') reads[reads.length - 1] = (reads.at(-1) ?? 0) + 1;
    read(what, ...rest);
  };
  const { send } = world;
  world.send = (request) => {
    reads.push(0);
    return send.call(world, request);
  };
  await world.pass(1000);
  assert.equal(world.events.length, 300);
  assert.ok(Math.max(...reads) < 150, reads.join(' '));
  assert.equal(
    reads.reduce((sum, count) => sum + count, 0),
    300,
  );
  await world.pass(5000);
  assert.equal(world.events.length, 300);
});

describe('the drain time-out of a Service', () => {
  test('counts in the place of the option, and for what drains already when it changes', async () => {
    const world = await served({}, web({ drainTimeoutMs: 10_000 }), webSlice('10.244.1.5', '10.244.2.7'));
    for (const address of ['10.244.1.5:8080', '10.244.2.7:8080'])
      for (const key of [webKey, nodeKey]) world.kernel.setConnections(key, address, 1, 0);
    await world.say(webSlice('10.244.1.5'));
    await world.pass(9000);
    assert.match(inKernel(world), /10\.244\.2\.7:8080 -m -w 0/);
    await world.pass(1000);
    assert.doesNotMatch(inKernel(world), /10\.244\.2\.7/);
    assert.deepEqual(
      world.events.map((event) => event.kind === 'drained' && event.reason),
      ['deadline', 'deadline'],
    );

    await world.say(webSlice());
    await world.pass(5000);
    const report = await world.say(web({ drainTimeoutMs: 3_600_000 }));
    assert.equal(report.operations, 0);
    await world.pass(600_000);
    assert.match(inKernel(world), /10\.244\.1\.5:8080 -m -w 0/, 'longer than at first');
    await world.say(web({ drainTimeoutMs: 0 }));
    await world.pass(1000);
    assert.doesNotMatch(inKernel(world), /10\.244\.1\.5/, 'not waited for any more');
  });

  test('a deletion that the kernel refuses is tried again each second, not for ever at once', async () => {
    const world = await served({ drainTimeoutMs: 0 });
    world.kernel.failNext(({ verb }) => verb === 'remove-destination', 'ENOMEM', 4);
    await world.say(webSlice('10.244.1.5'));
    await world.pass(20_000);
    assert.doesNotMatch(inKernel(world), /10\.244\.2\.7/);
  });
});

/** What `plan` says before a run, with every source synced. */
async function unstarted(world: World, ...records: ObjectRecord[]): Promise<PlanResult | undefined> {
  await world.send({ kind: 'records', nowMs: world.nowMs, message: { records, allSynced: true } });
  return (await world.send({ kind: 'plan', against: 'kernel' })).plan;
}

describe('drainServices', () => {
  const drainServices = { drainServices: true };

  test('a Service that goes keeps what makes it reachable until its connections have ended, and then goes in order', async () => {
    const world = await served(drainServices);
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 1, 0);
    const report = await world.say(gone, webSlice());
    assert.deepEqual(report.byVerb, { 'update-destination': 4 });
    assert.match(inKernel(world), /-A -t 10\.96\.0\.10:80/);
    await world.pass(1000);
    // The node port had no connections.
    assert.doesNotMatch(inKernel(world), /:30080|KUBE-NODE-PORT-TCP 30080/);
    await world.pass(40_000);
    const still = [
      '-A -t 10.96.0.10:80',
      'KUBE-CLUSTER-IP 10.96.0.10,tcp:80',
      'KUBE-IPVS-IPS 10.96.0.10',
      'kube-ipvs0 10.96.0.10/32',
    ];
    for (const text of still) assert.ok(inKernel(world).includes(text), text);
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 0, 0);
    world.kernel.log.length = 0;
    await world.pass(1000);
    assert.deepEqual(
      world.kernel.log.map((line) => line.split(' ').slice(0, 3).join(' ')),
      ['ipvsadm -d -t', 'ip addr del', 'ipvsadm -D -t', 'ipset del KUBE-IPVS-IPS', 'ipset del KUBE-CLUSTER-IP'],
    );
    await world.pass(100_000);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10|30080/);
  });

  test('its own time-out counts for it, and no connection holds it longer', async () => {
    const world = await served(drainServices, web({ drainTimeoutMs: 5000 }), webSlice('10.244.1.5'));
    world.kernel.setConnections(webKey, '10.244.1.5:8080', 1, 0);
    await world.say(gone, webSlice());
    await world.pass(4000);
    assert.match(inKernel(world), /10\.96\.0\.10:80/);
    await world.pass(1000);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10/);
    assert.deepEqual(world.events.at(-1), {
      kind: 'drained',
      service: webKey,
      destination: '10.244.1.5:8080',
      reason: 'deadline',
    });
  });

  test('a load balancer IP stays shut to those who had no access', async () => {
    const plain = web({ nodePort: 0 });
    if (plain.kind !== 'service' || plain.body === null) throw new Error('no Service');
    const ranges = { sourceRanges: ['192.168.7.0/24'], hasSourceRanges: true };
    const body = { ...plain.body, loadBalancerIPs: [ip('172.20.0.9')], ...ranges };
    const world = await served(drainServices, { ...plain, body }, webSlice('10.244.1.5'));
    world.kernel.setConnections('tcp 172.20.0.9:80', '10.244.1.5:8080', 1, 0);
    await world.say(gone);
    await world.pass(10_000);
    const sets = ['LOAD-BALANCER', 'LOAD-BALANCER-FW'].map((name) => `KUBE-${name} 172.20.0.9,tcp:80`);
    const kept = [...sets, 'SOURCE-CIDR 172.20.0.9,tcp:80,192.168.7.0/24', 'KUBE-IPVS-IPS 172.20.0.9'];
    for (const text of kept) assert.ok(inKernel(world).includes(text), text);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10/);
    await world.pass(60_000);
    assert.doesNotMatch(inKernel(world), /172\.20\.0\.9/);
  });

  test('one that the kernel will not let drain goes when its time is up all the same', async () => {
    const world = await served(drainServices, web({ nodePort: 0 }), webSlice('10.244.1.5'));
    world.kernel.setConnections(webKey, '10.244.1.5:8080', 1, 0);
    world.kernel.failNext(({ verb }) => verb === 'update-destination', 'ENOMEM', 1000);
    await world.say(gone, webSlice());
    await world.pass(59_000);
    assert.match(inKernel(world), /10\.244\.1\.5:8080 -m -w 1/);
    await world.pass(2000);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10/);
  });

  test('a Service that comes back has everything in place, and so has another one that claims the address', async () => {
    for (const next of ['ns1/web', 'ns2/other']) {
      const world = await served(drainServices, web({ nodePort: 0 }), webSlice('10.244.1.5'));
      const before = inKernel(world);
      world.kernel.setConnections(webKey, '10.244.1.5:8080', 1, 0);
      await world.say(gone);
      await world.pass(10_000);
      const records = [service(next, '10.96.0.10'), slice(`${next}-1`, next, ['10.244.1.5'])];
      const report = await world.say(...records);
      assert.deepEqual(report.byVerb, { 'update-destination': 1 }, next);
      await world.pass(100_000);
      assert.equal(inKernel(world), before);
      assert.deepEqual(world.events, [], 'nothing was drained');
      // And it may go again.
      await world.say(service(next, null));
      await world.pass(100_000);
      assert.doesNotMatch(inKernel(world), /10\.96\.0\.10/);
    }
  });

  test('what an earlier process left drains on, and so does what went while none ran; UDP and an empty one go at once', async () => {
    const world = await served(
      drainServices,
      web(),
      webSlice('10.244.1.5'),
      dns,
      dnsSlice('10.244.1.6'),
      service('ns1/empty', '10.96.0.12'),
    );
    world.kernel.setConnections(webKey, '10.244.1.5:8080', 1, 0);
    await world.say(gone);
    world.die();
    await world.start();
    const report = await world.say();
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.11|10\.96\.0\.12/);
    assert.equal(report.byVerb['update-destination'], undefined, 'weight 0 from before');
    await world.pass(30_000);
    for (const text of ['-A -t 10.96.0.10:80', 'KUBE-CLUSTER-IP 10.96.0.10,tcp:80', 'kube-ipvs0 10.96.0.10/32'])
      assert.ok(inKernel(world).includes(text), text);
    assert.ok(!inKernel(world).includes('30080'));
    await world.pass(30_000);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10/);
  });

  test('plan says the same: what drains and what stays with its rules, before and while it does', async () => {
    const node: ObjectRecord = {
      ...{ source: 'test', seq: 1, kind: 'node', key: 'n1', uid: 'n1' },
      body: { self: true, zone: '', addresses: [ip('192.168.1.10')], podCIDRs: [] },
    };
    const lb = restricted('ns1/web', '10.96.0.10', '172.20.0.9', '10.0.0.0/8');
    for (const vipBinding of ['address', 'local-route'] as const) {
      const world = await served({ ...drainServices, vipBinding }, node, lb, webSlice('10.244.1.5'));
      world.die();
      await world.start();
      const { plan } = await world.send({ kind: 'plan', against: 'kernel' });
      assert.deepEqual(plan?.operations, [], 'nothing is removed before all is known');
      await world.close();
      const asked = await unstarted(world, node);
      const drained = asked?.operations.map(({ text }) => text) ?? [];
      assert.deepEqual(drained.sort(), [
        'ipvsadm -e -t 10.96.0.10:80 -r 10.244.1.5:8080 -m -w 0',
        'ipvsadm -e -t 172.20.0.9:80 -r 10.244.1.5:8080 -m -w 0',
      ]);
      assert.deepEqual(asked?.rules, []);
      await world.close();
      for (const key of [webKey, 'tcp 172.20.0.9:80']) world.kernel.setConnections(key, '10.244.1.5:8080', 1, 0);
      await world.start();
      world.kernel.log.length = 0;
      await world.say(node);
      assert.deepEqual(world.kernel.log.toSorted(), drained, 'what was planned');
      const { plan: later } = await world.send({ kind: 'plan', against: 'kernel' });
      assert.deepEqual([later?.operations, later?.rules], [[], []]);
    }
  });

  test('what excludeCIDRs protects stays as it is, with its destinations', async () => {
    const world = await served(
      { ...drainServices, excludeCIDRs: ['10.96.0.0/24'] },
      web({ nodePort: 0 }),
      webSlice('10.244.1.5'),
    );
    await world.say(gone, webSlice());
    await world.pass(100_000);
    assert.match(inKernel(world), /-a -t 10\.96\.0\.10:80 -r 10\.244\.1\.5:8080 -m -w 1/);
    assert.doesNotMatch(inKernel(world), /kube-ipvs0 10\.96\.0\.10/);
  });

  test('without the option a Service goes at once, and foreign ones are never kept', async () => {
    const world = await served();
    foreignService(world.kernel, '172.31.1.1', 80);
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 1, 0);
    await world.say(gone);
    assert.doesNotMatch(inKernel(world), /10\.96\.0\.10|30080/);
    assert.match(inKernel(world), /172\.31\.1\.1:80/);
  });
});

describe('endpoints drained on request', () => {
  const endpoint: EndpointDrain = { id: 1, address: ip('10.244.2.7'), held: true };
  const out = /10\.244\.2\.7:8080 -m -w 1/;

  async function drain(world: World, ...endpoints: EndpointDrain[]): Promise<EndpointDrainState | undefined> {
    const reply = await world.send({ kind: 'drain', nowMs: world.nowMs, endpoints });
    return reply.drains?.[0];
  }

  /** Lets time pass and keeps what the replies say of the drain. */
  async function states(world: World, act: () => Promise<unknown>): Promise<EndpointDrainState[]> {
    const seen: EndpointDrainState[] = [];
    const { send } = world;
    world.send = async (request) => {
      const reply = await send.call(world, request);
      seen.push(...(reply.drains ?? []));
      return reply;
    };
    await act();
    world.send = send;
    return seen;
  }

  test('out of every virtual service though the records list it; back in place when it is undone (T67)', async () => {
    const world = await served();
    const before = inKernel(world);
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 2, 0);
    assert.deepEqual(await drain(world, endpoint), {
      id: 1,
      held: true,
      destinations: 2,
      idle: 0,
      overdue: 0,
      atOnce: 0,
      open: 2,
    });
    assert.doesNotMatch(inKernel(world), out);
    const [first, ...rest] = await states(world, async () => {
      await world.pass(5000);
      // Said again, as by a source that begins anew: nothing changes.
      await world.say(web(), webSlice('10.244.1.5', '10.244.2.7'));
      world.kernel.setConnections(webKey, '10.244.2.7:8080', 0, 0);
      await world.pass(1000);
    });
    assert.deepEqual([first?.idle, first?.open, rest.at(-1)?.idle, rest.at(-1)?.open], [1, 1, 2, 0]);
    assert.doesNotMatch(inKernel(world), /10\.244\.2\.7:8080/);
    await drain(world);
    assert.equal(inKernel(world), before);
  });

  test('its own time-out counts; UDP goes at once; only the port that was named', async () => {
    const world = await served(
      {},
      web({ nodePort: 0 }),
      webSlice('10.244.2.7'),
      dns,
      dnsSlice('10.244.2.7', '10.244.1.6'),
    );
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 2, 0);
    assert.equal((await drain(world, { ...endpoint, port: 53 }))?.destinations, 0, 'no endpoint has that port');
    assert.match(inKernel(world), out);
    const seen = await states(world, async () => {
      await drain(world, { ...endpoint, id: 2, port: 8080, timeoutMs: 4000 });
      assert.doesNotMatch(inKernel(world), /-u 10\.96\.0\.11:53 -r 10\.244\.2\.7/);
      await world.pass(4000);
    });
    const end = { id: 2, held: true, destinations: 2, idle: 0, overdue: 1, atOnce: 1, open: 0 };
    assert.deepEqual(seen.at(-1), end);
    assert.doesNotMatch(inKernel(world), /10\.244\.2\.7:8080/);
  });

  test('ends when the records list it no more, so that a new pod of the address is served; an unknown one is done at once', async () => {
    const world = await served();
    assert.deepEqual(await drain(world, { ...endpoint, address: ip('10.244.9.9') }), {
      id: 1,
      held: false,
      destinations: 0,
      idle: 0,
      overdue: 0,
      atOnce: 0,
      open: 0,
    });
    await drain(world);
    await drain(world, endpoint);
    await world.pass(2000);
    const [state] = await states(world, () => world.say(webSlice('10.244.1.5')));
    assert.equal(state?.held, false);
    await world.say(webSlice('10.244.1.5', '10.244.2.7'));
    assert.match(inKernel(world), out);
  });

  test('its time-out is counted from when it was asked for, and is not inherited by the next pod of the address', async () => {
    const world = await served();
    for (const key of [webKey, nodeKey]) world.kernel.setConnections(key, '10.244.2.7:8080', 1, 0);
    const terminating = slice('ns1/web-1', 'ns1/web', ['10.244.1.5', '10.244.2.7']);
    if (terminating.kind !== 'slice' || terminating.body === null) throw new Error('no slice');
    const [ready = 0] = terminating.body.conditions;
    await world.say({ ...terminating, body: { ...terminating.body, conditions: [ready, 0] } });
    await world.pass(30_000);
    await drain(world, { ...endpoint, timeoutMs: 4000 });
    await world.pass(3000);
    assert.match(
      inKernel(world),
      /10\.244\.2\.7:8080 -m -w 0/,
      'it has drained for longer, and was given four seconds now',
    );
    await world.pass(1000);
    assert.doesNotMatch(inKernel(world), /10\.244\.2\.7/);
    await world.say(webSlice('10.244.1.5'));
    await world.say(webSlice('10.244.1.5', '10.244.2.7'));
    assert.match(inKernel(world), out);
    for (const key of [webKey, nodeKey]) world.kernel.setConnections(key, '10.244.2.7:8080', 1, 0);
    await world.say(webSlice('10.244.1.5'));
    await world.pass(30_000);
    assert.match(inKernel(world), /10\.244\.2\.7:8080 -m -w 0/, "the Service's time-out counts");
  });

  test('a new worker that is told first never lets it in again', async () => {
    const world = await served();
    world.kernel.setConnections(webKey, '10.244.2.7:8080', 2, 0);
    await drain(world, endpoint);
    world.die();
    await world.start();
    await drain(world, endpoint);
    const seen = await states(world, async () => {
      const report: SyncReport = await world.say(web(), webSlice('10.244.1.5', '10.244.2.7'));
      assert.equal(report.operations, 0);
      world.kernel.setConnections(webKey, '10.244.2.7:8080', 0, 0);
      await world.pass(1000);
    });
    assert.deepEqual(seen.at(-1), { id: 1, held: true, destinations: 2, idle: 2, overdue: 0, atOnce: 0, open: 0 });
  });

  test('what cannot be taken out is not waited for longer than its time', async () => {
    const world = await served({ drainTimeoutMs: 5000 });
    world.kernel.failNext(({ verb }) => verb === 'update-destination', 'ENOMEM', 1000);
    const seen = await states(world, async () => {
      await drain(world, endpoint);
      await world.pass(6000);
    });
    assert.deepEqual(seen.at(-1), { id: 1, held: true, destinations: 2, idle: 0, overdue: 2, atOnce: 0, open: 0 });
  });
});
