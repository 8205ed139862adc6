import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProxierError } from '../../../lib/errors.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { Source, SourceSink } from '../../../lib/kube/source.ts';
import { Proxier } from '../../../lib/proxier/proxier.ts';
import type { SyncReport } from '../../../lib/reconcile/protocol.ts';
import { quiet } from './manual-clock.ts';
import { gate } from './scripted-host.ts';
import { FakeNode, service, slice, webSource } from './setup.ts';

test('run resolves when the first complete pass is in the kernel, and its report has all of it', async () => {
  const node = new FakeNode();
  const events: string[] = [];
  const proxier = node.proxier(webSource());
  proxier.on('ready', ({ complete }) => events.push(`ready ${complete}`)).on('sync', ({ kind }) => events.push(kind));
  await using handle = await proxier.run();
  const dump = node.kernel.dump();
  assert.match(dump, /-A -t 10\.96\.0\.10:80 -s rr/);
  assert.match(dump, /10\.244\.1\.5:8080/);
  // One virtual service is made and removed to ask the kernel about the scheduler; that is no operation of the report.
  assert.equal(handle.report.operations, node.kernel.log.length - 2);
  assert.equal(handle.report.rulesWritten, node.iptables.log.length);
  assert.equal(handle.report.byVerb['create-destination'] ?? handle.report.byVerb['ensure-destination'], 2);
  assert.deepEqual(events, ['start', 'full', 'ready true']);
  assert.deepEqual(handle.health().reasons, []);
  assert.equal(handle.health().healthy, true);
});

test('a second run on what the first one left writes nothing', async () => {
  const node = new FakeNode();
  await (await node.proxier(webSource()).run()).stop();
  const before = node.writes;
  await using handle = await node.proxier(webSource()).run();
  assert.equal(node.writes, before);
  assert.equal(handle.report.operations, 0);
});

test('run waits for the sources, and health says for which', async () => {
  const node = new FakeNode();
  const source = new ObjectSource({ kinds: ['Service', 'EndpointSlice'] });
  const proxier = node.proxier(source);
  assert.equal(proxier.health(), undefined);
  const running = proxier.run();
  await quiet();
  source.synced('Service');
  await quiet();
  const waiting = proxier.health();
  assert.equal(waiting?.ready, false);
  assert.match(waiting?.reasons.join() ?? '', /waiting for the first list of objects\/EndpointSlice/);
  assert.deepEqual(waiting?.sources, [{ name: 'objects', synced: false, connections: [] }]);
  source.synced('EndpointSlice');
  await using handle = await running;
  assert.equal(handle.health().ready, true);
});

test('a change is in the kernel without time passing, settled tells when', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source).run();
  const reports: SyncReport[] = [];
  handle.on('sync', (report) => reports.push(report));
  source.apply(slice('web', ['10.244.1.5', '10.244.2.7', '10.244.2.8']));
  await handle.settled();
  assert.match(node.kernel.dump(), /10\.244\.2\.8:8080/);
  assert.deepEqual(
    reports.map(({ kind, operations }) => [kind, operations]),
    [['incremental', 1]],
  );
});

test('a full pass comes by itself and mends what others broke; resync does so now', async () => {
  const node = new FakeNode();
  await using handle = await node.proxier(webSource(), { syncPeriodMs: 10_000 }).run();
  const whole = node.kernel.dump();
  const breakIt = (): void => {
    const address = node.kernel.outside;
    for (const { service } of [...address.services.values()])
      address.apply({ verb: 'remove-service', key: service.key });
    assert.notEqual(node.kernel.dump(), whole);
  };
  const drifted: string[] = [];
  handle.on('drift', ({ object }) => drifted.push(object));
  breakIt();
  await node.clock.advance(9000);
  assert.notEqual(node.kernel.dump(), whole);
  await node.clock.advance(1000);
  assert.equal(node.kernel.dump(), whole);
  assert.ok(drifted.length > 0);
  assert.deepEqual(handle.health().drift, { missing: drifted.length, extra: 0, changed: 0 });
  breakIt();
  const report = await handle.resync();
  assert.equal(node.kernel.dump(), whole);
  assert.equal(report.kind, 'full');
});

test('plan before run writes nothing, and run then does what it said', async () => {
  const node = new FakeNode();
  const proxier = node.proxier(webSource());
  const plan = await proxier.plan();
  assert.equal(node.writes, 0);
  assert.ok(plan.operations.some(({ text }) => text.startsWith('ipvsadm') && text.includes('10.96.0.10:80')));
  assert.ok(plan.operations.some(({ wantedBy }) => wantedBy.includes('IPv4 default/web:http/tcp')));
  await using handle = await proxier.run();
  assert.equal(handle.report.operations, plan.operations.length);
  assert.deepEqual((await handle.plan()).operations, []);
});

test('plan from empty needs no kernel', async () => {
  const node = new FakeNode({ permitted: false, ipvs: false });
  await using proxier = node.proxier(webSource());
  const plan = await proxier.plan('empty');
  assert.ok(plan.operations.length > 5);
  await assert.rejects(proxier.plan('kernel'), { code: 'ERR_PERMISSION' });
});

test('plan gives up on a source that does not answer, naming it', async () => {
  const node = new FakeNode();
  await using proxier = node.proxier(new ObjectSource());
  const refused = assert.rejects(proxier.plan('kernel', { timeoutMs: 5000 }), {
    code: 'ERR_TIMEOUT',
    message: /objects\/Service.*did not arrive within 5000 ms/,
  });
  await node.clock.advance(5000);
  await refused;
});

test('plan while the first pass is still under way names the pass, not the lists', async () => {
  const node = new FakeNode();
  const lock = gate();
  node.iptables.holdUntil(lock.promise);
  const proxier = node.proxier(webSource());
  const running = proxier.run();
  await quiet();
  const refused = assert.rejects(proxier.plan('kernel', { timeoutMs: 100 }), {
    code: 'ERR_TIMEOUT',
    message: /^the first complete pass was not made within 100 ms$/,
  });
  await node.clock.advance(100);
  await refused;
  lock.open();
  await using handle = await running;
  assert.equal(handle.health().ready, true);
});

test('stop leaves the kernel, writes nothing afterwards, and may be called again', async () => {
  const node = new FakeNode();
  const source = webSource();
  const handle = await node.proxier(source).run();
  const dump = node.kernel.dump();
  source.apply(slice('web', []));
  const first = handle.stop();
  await Promise.all([first, handle.stop(), handle.finished]);
  const { writes } = node;
  source.apply(service('late', '10.96.0.99'));
  await node.clock.advance(3_600_000);
  assert.equal(node.writes, writes);
  assert.equal(node.kernel.dump(), dump);
  assert.equal(node.clock.timers, 0);
  assert.match(handle.health().reasons.join(), /stopped/);
  await assert.rejects(handle.resync(), { code: 'ERR_CLOSED' });
  await assert.rejects(handle.settled(), { code: 'ERR_CLOSED' });
});

test('aborting the signal is stop, while running and while run waits', async () => {
  const node = new FakeNode();
  const stopping = new AbortController();
  const handle = await node.proxier(webSource(), { signal: stopping.signal }).run();
  stopping.abort();
  await handle.finished;
  await assert.rejects(handle.resync(), { code: 'ERR_CLOSED' });

  const sooner = new AbortController();
  const waiting = node.proxier(new ObjectSource(), { signal: sooner.signal }).run();
  await quiet();
  sooner.abort();
  await assert.rejects(waiting, { code: 'ERR_CLOSED' });
  await assert.rejects(node.proxier(webSource(), { signal: sooner.signal }).run(), { code: 'ERR_CLOSED' });
});

test('a lost worker is replaced, reads the kernel, and writes nothing that is right', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source).run();
  const { writes } = node;
  node.hosts[0]?.lose();
  await node.clock.advance(0);
  assert.equal(node.writes, writes);
  assert.equal(handle.health().workerRestarts, 1);
  assert.deepEqual(
    node.requests.slice(-2).map(({ kind }) => kind),
    ['start', 'records'],
  );
  source.apply(slice('web', ['10.244.1.5', '10.244.2.7', '10.244.2.8']));
  await handle.settled();
  assert.match(node.kernel.dump(), /10\.244\.2\.8:8080/);
  assert.equal(handle.health().healthy, true);
});

test('objects that cannot be served are warned of by name; the others are served', async () => {
  const node = new FakeNode();
  const source = webSource();
  const proxier = node.proxier(source);
  const warnings: string[] = [];
  proxier.on('warning', ({ object, message }) => warnings.push(`${object}: ${message}`));
  source.apply({ kind: 'Service', metadata: { namespace: 'default' }, spec: {} });
  source.apply(service('broken', '999.1.1.1'));
  await using _handle = await proxier.run();
  assert.ok(
    warnings.some((text) => /^objects: metadata\.name/.test(text)),
    warnings.join('\n'),
  );
  assert.ok(
    warnings.some((text) => text.includes('default/broken') && text.includes('999.1.1.1')),
    warnings.join('\n'),
  );
  assert.match(node.kernel.dump(), /10\.96\.0\.10:80/);
});

test('what the kernel refuses is in the report and in what health waits for, until it heals', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source).run();
  node.kernel.failNext((operation) => operation.verb.endsWith('destination'), 'ENOMEM', 2);
  source.apply(slice('web', ['10.244.1.5', '10.244.2.7', '10.244.2.8']));
  await handle.settled();
  const [waiting] = handle.health().waiting;
  assert.match(waiting?.what ?? '', /10\.96\.0\.10:80.*ENOMEM/);
  assert.equal(handle.health().healthy, true, 'one object does not make the node unhealthy');
  await node.clock.advance(5000);
  assert.match(node.kernel.dump(), /10\.244\.2\.8:8080/);
  await node.clock.advance(60_000);
  assert.deepEqual(handle.health().waiting, []);
});

test('changes that cannot be written make it unhealthy after two periods, and say why', async () => {
  const node = new FakeNode();
  const source = webSource();
  const errors: string[] = [];
  const dependencies = node.dependencies;
  const broken = { value: false };
  const proxier = new Proxier(
    { nodeName: 'n1', families: ['IPv4'], syncPeriodMs: 1000, source },
    {
      ...dependencies,
      openHost: async (init, thread, options) => {
        const host = await dependencies.openHost(init, thread, options);
        return {
          epoch: 1,
          close: () => host.close(),
          call: (request) => (broken.value ? Promise.reject(new TypeError('a bug')) : host.call(request)),
        };
      },
    },
  );
  proxier.on('error', ({ message }) => errors.push(message));
  await using handle = await proxier.run();
  broken.value = true;
  source.apply(service('late', '10.96.0.99'));
  await node.clock.advance(1900);
  assert.equal(handle.health().healthy, true);
  await node.clock.advance(200);
  const { healthy, reasons, oldestPendingMs } = handle.health();
  assert.equal(healthy, false);
  assert.match(reasons.join('; '), /a change has waited 2100 ms.*passes have failed for 2100 ms: .*a bug/);
  assert.equal(oldestPendingMs, 2100);
  assert.ok(errors.length >= 3);
  broken.value = false;
  await node.clock.advance(30_000);
  assert.equal(handle.health().healthy, true);
  assert.match(node.kernel.dump(), /10\.96\.0\.99:80/);
});

test('a start that cannot work rejects with its reason and leaves nothing open', async () => {
  const cases: readonly (readonly [FakeNode, string])[] = [
    [new FakeNode({ permitted: false }), 'ERR_PERMISSION'],
    [new FakeNode({ ipvs: false }), 'ERR_KERNEL_UNSUPPORTED'],
    [new FakeNode({ ipset: false }), 'ERR_KERNEL_UNSUPPORTED'],
  ];
  for (const [node, code] of cases) {
    let released = 0;
    node.claim = {
      others: [],
      lock: {
        announce() {},
        release: async () => {
          released += 1;
        },
      },
    };
    const proxier = node.proxier(webSource());
    await assert.rejects(proxier.run(), { code });
    assert.equal(released, 1);
    assert.equal(node.writes, 0);
    assert.equal(node.clock.timers, 0);
    await assert.rejects(node.hosts[0]?.call({ kind: 'tick', nowMs: 0 }) ?? Promise.resolve(), { code: 'ERR_CLOSED' });
    await assert.rejects(proxier.run(), { code: 'ERR_CLOSED', message: /was run before/ });
  }
});

test('a source that cannot start ends the run before the kernel is touched', async () => {
  const node = new FakeNode();
  const missing = new Proxier({ nodeName: 'n1', manifests: '/nowhere/m.yaml' }, node.dependencies);
  await assert.rejects(missing.run(), { code: 'ERR_MANIFEST', message: /\/nowhere\/m\.yaml/ });
  await assert.rejects(missing.plan('empty'), { code: 'ERR_MANIFEST' });
  const kubeconfig = new Proxier({ nodeName: 'n1', kubeconfigPath: '/nowhere/config' }, node.dependencies);
  await assert.rejects(kubeconfig.run(), { code: 'ERR_KUBE_CONFIG', message: /\/nowhere\/config/ });
  assert.equal(node.writes, 0);
  assert.ok(!node.requests.some(({ kind }) => kind === 'start'));
});

test('another proxier is refused, or only told of when asked to be ignored', async () => {
  const node = new FakeNode();
  node.claim = { lock: undefined, others: ['kube-proxy (pid 7, mode ipvs)'] };
  await assert.rejects(node.proxier(webSource()).run(), {
    code: 'ERR_OTHER_PROXIER',
    message: /kube-proxy \(pid 7, mode ipvs\).*ignoreOtherProxiers/,
  });
  assert.equal(node.writes, 0);
  const proxier = node.proxier(webSource(), { ignoreOtherProxiers: true });
  const warnings: string[] = [];
  proxier.on('warning', ({ message }) => warnings.push(message));
  await using _handle = await proxier.run();
  assert.match(warnings.join(), /kube-proxy \(pid 7/);
});

test('a lock that cannot be asked about ends the run, unless other proxiers are to be ignored', async () => {
  const node = new FakeNode();
  node.claim = new ProxierError('ERR_OTHER_PROXIER', 'the instance lock cannot be taken (listen EMFILE)');
  await assert.rejects(node.proxier(webSource()).run(), { code: 'ERR_OTHER_PROXIER', message: /EMFILE/ });
  assert.equal(node.writes, 0);
  const proxier = node.proxier(webSource(), { ignoreOtherProxiers: true });
  const warnings: string[] = [];
  proxier.on('warning', ({ message }) => warnings.push(message));
  await using handle = await proxier.run();
  assert.match(warnings.join(), /EMFILE/);
  assert.equal(handle.health().ready, true);
});

test('plans at once, and plan and run at once, all get the same source', async () => {
  const node = new FakeNode();
  const source = new ObjectSource();
  source.apply(service('web', '10.96.0.10'));
  const proxier = node.proxier(source);
  const warnings: string[] = [];
  proxier.on('warning', ({ object }) => warnings.push(object));
  const asked = Promise.all([proxier.plan('empty'), proxier.plan('empty'), proxier.run(), proxier.plan('kernel')]);
  await quiet();
  source.apply({ kind: 'Service', metadata: { namespace: 'default' }, spec: {} });
  source.synced();
  const [one, other, handle, later] = await asked;
  await using _running = handle;
  for (const plan of [one, other]) {
    assert.ok(plan.operations.some(({ text }) => text.includes('10.96.0.10:80')));
    assert.ok(plan.warnings.some((text) => text.startsWith('objects: metadata.name')));
  }
  assert.deepEqual(later.operations, []);
  assert.equal(node.clock.timers, 1, 'only the next appointment is left');
  assert.ok(handle.health().ready);
});

test('a stopped proxier neither runs nor plans, and a plan under way ends with it', async () => {
  const fresh = new FakeNode().proxier(webSource());
  await fresh.stop();
  await assert.rejects(fresh.run(), { code: 'ERR_CLOSED', message: /was stopped/ });
  await assert.rejects(fresh.plan('empty'), { code: 'ERR_CLOSED' });

  const node = new FakeNode();
  const waiting = node.proxier(new ObjectSource());
  const ended = assert.rejects(waiting.plan(), { code: 'ERR_CLOSED' });
  await quiet();
  await waiting.stop();
  await ended;
  assert.equal(node.clock.timers, 0);

  const proxier = node.proxier(webSource());
  await (await proxier.run()).stop();
  await assert.rejects(proxier.plan(), { code: 'ERR_CLOSED' });
});

test('a plan can be called off by its own signal and by that of the proxier, before run and while run waits', async () => {
  const node = new FakeNode();
  const refusal = { code: 'ERR_CLOSED', message: /called off/ };
  const byPlan = new AbortController();
  const proxier = node.proxier(new ObjectSource());
  const before = assert.rejects(proxier.plan('empty', { signal: byPlan.signal }), refusal);
  await quiet();
  byPlan.abort();
  await before;
  assert.equal(node.clock.timers, 0, 'the time-out goes with it');
  await assert.rejects(proxier.plan('empty', { signal: byPlan.signal }), refusal);

  const running = assert.rejects(proxier.run(), { code: 'ERR_CLOSED' });
  await quiet();
  const timers = node.clock.timers;
  const during = new AbortController();
  const asked = assert.rejects(proxier.plan('kernel', { signal: during.signal }), refusal);
  await quiet();
  during.abort();
  await asked;
  assert.equal(node.clock.timers, timers);
  await proxier.stop();
  await running;

  const own = new AbortController();
  const signalled = node.proxier(new ObjectSource(), { signal: own.signal });
  const ended = assert.rejects(signalled.plan(), refusal);
  await quiet();
  own.abort();
  await ended;
  assert.equal(node.hosts.length, 1, 'no plan came as far as the kernel');
});

test('connection troubles of a source are events and in health, and traffic is not touched', async () => {
  const node = new FakeNode();
  const source = new ScriptedSource();
  const proxier = new Proxier({ nodeName: 'n1', families: ['IPv4'], source }, node.dependencies);
  const states: string[] = [];
  proxier.on('connection', ({ source: name, resource, state, attempt }) =>
    states.push(`${name} ${resource} ${state} ${attempt}`),
  );
  const running = proxier.run();
  await quiet();
  source.sink?.connection({
    resource: 'Service',
    state: 'backoff',
    attempt: 3,
    error: { code: 'ERR_KUBE_API', message: 'connect ECONNREFUSED 10.0.0.1:6443' },
  });
  assert.deepEqual(states, ['scripted Service backoff 3']);
  source.sink?.connection({ resource: 'Service', state: 'listing', attempt: 3 });
  assert.match(proxier.health()?.reasons.join() ?? '', /Service, attempt 3: connect ECONNREFUSED/);
  source.sink?.connection({ resource: 'Service', state: 'watching', attempt: 0 });
  assert.doesNotMatch(proxier.health()?.reasons.join() ?? '', /ECONNREFUSED/);
  assert.equal(node.kernel.outside.services.size, 0);
  const refused = assert.rejects(running, { code: 'ERR_CLOSED' });
  await proxier.stop();
  await refused;
  assert.equal(source.stopped, 1);
});

test('a listener that throws or rejects is reported and hurts nobody', async () => {
  const node = new FakeNode();
  const proxier = node.proxier(webSource());
  const errors: string[] = [];
  let synced = 0;
  proxier.on('sync', () => {
    throw new Error('mine');
  });
  proxier.on('sync', () => {
    synced += 1;
  });
  proxier.on('ready', async () => {
    throw new Error('later');
  });
  proxier.on('error', ({ message }) => {
    errors.push(message);
    throw new Error('even here');
  });
  await using handle = await proxier.run();
  await quiet();
  assert.ok(synced >= 2);
  assert.ok(errors.some((text) => text.includes('"sync" threw: mine')));
  assert.ok(errors.some((text) => text.includes('"ready" threw: later')));
  assert.equal(handle.health().healthy, true);
});

test('once hears once, off hears nothing, and a logger that throws is no harm', async () => {
  const node = new FakeNode();
  const source = webSource();
  const fail = (): never => {
    throw new Error('disk full');
  };
  const proxier = node.proxier(source, { logger: { debug: fail, info: fail, warn: fail, error: fail } });
  let once = 0;
  let never = 0;
  const listener = (): void => {
    never += 1;
  };
  proxier
    .once('sync', () => {
      once += 1;
    })
    .on('sync', listener)
    .off('sync', listener);
  await using handle = await proxier.run();
  await handle.resync();
  assert.equal(once, 1);
  assert.equal(never, 0);
});

test('records are written while a full pass waits for iptables', async () => {
  const node = new FakeNode();
  const source = webSource();
  await using handle = await node.proxier(source, { syncPeriodMs: 1000 }).run();
  const lock = gate();
  node.iptables.holdUntil(lock.promise);
  await node.clock.advance(1000);
  source.apply(slice('web', ['10.244.1.5', '10.244.2.7', '10.244.2.8']));
  await quiet();
  assert.match(node.kernel.dump(), /10\.244\.2\.8:8080/);
  lock.open();
  await handle.settled();
});

class ScriptedSource implements Source {
  readonly name = 'scripted';
  readonly kinds = ['Service'] as const;
  sink: SourceSink | undefined;
  stopped = 0;

  async start(sink: SourceSink): Promise<void> {
    this.sink = sink;
  }

  async stop(): Promise<void> {
    this.stopped += 1;
  }
}
