/** Traffic while things change: endpoints come and go, the proxier restarts (behaviour.md 2.8, 2.9, 6; T60, T66, T67, T70, T79, T81, T117). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Proxier, type ProxierHandle, type ProxierSettings, type SyncReport } from '../../lib/index.ts';
import { ManifestDirectory } from '../harness/manifest-directory.ts';
import type { Outcome } from '../harness/netpeer.ts';
import { runTool } from '../harness/run-tool.ts';
import { dumpTables } from '../harness/tables.ts';
import { clearTables, clusterCidrs, Topology } from '../harness/topology.ts';
import { Watcher } from '../harness/watcher.ts';
import { answeredBy, assertRefused } from './expectations.ts';

/** `npm run test:long` asks for more. */
const flaps = process.env['TEST_LONG'] === '1' ? 200 : 3;
const vip = '10.96.0.10';
const notReady = /(addresses: \[10\.244\.1\.5\]\n {4}nodeName: n1\n {4}conditions: \{ ready: )true/;

describe('traffic while things change', () => {
  let topology: Topology;
  let handle: ProxierHandle;
  let manifests: ManifestDirectory;
  let revision = 0;
  const run = async (settings: ProxierSettings = {}): Promise<ProxierHandle> => {
    const origin = { manifests: manifests.path, clusterCIDR: [...clusterCidrs] };
    const proxier = new Proxier({ ...settings, nodeName: 'n1', ...origin });
    const started = await proxier.run();
    revision = started.report.revision;
    return started;
  };

  /** Resolves when what the change brought is in the kernel. Passes without news, such as drain ticks, come in between: hence revisions. */
  async function change(what: () => void): Promise<void> {
    const reached = new Promise<void>((done) => {
      const listener = (report: SyncReport): void => {
        if (report.revision <= revision) return;
        handle.off('sync', listener);
        revision = report.revision;
        done();
      };
      handle.on('sync', listener);
    });
    what();
    await reached;
    await handle.settled();
  }

  /** Some of these answers were under way before the last change; the last ones were not. */
  async function stillAnswered(outcomes: AsyncGenerator<Outcome>): Promise<void> {
    for (let i = 0; i < 30; i++) {
      const next = await outcomes.next();
      assert.ok(!next.done && next.value.kind === 'answered', JSON.stringify(next));
    }
  }

  before(async () => {
    await clearTables();
    topology = await Topology.create();
    for (const pod of ['p1', 'p2', 'p3'] as const)
      await topology.serve(pod, 'tcp:8080', 'tcp:9090', 'udp:5353', 'tcp:5353');
    manifests = new ManifestDirectory('nodes.yaml', 'web.yaml', 'dns-udp.yaml');
    handle = await run();
  });

  after(async () => {
    await handle?.stop();
    await topology?.[Symbol.asyncDispose]();
    manifests?.[Symbol.dispose]();
    await clearTables();
  });

  test('a TCP endpoint that is not ready any more gets no new connection and keeps its old one; it comes back', async () => {
    // Three in a row, kept open: round robin gives one of them to p1.
    const kept = await Promise.all(
      [1, 2, 3].map(async () => {
        const client = topology.startAsking('p2', 'tcp', vip, 80, { count: 0, intervalMs: 20, keep: true });
        const outcomes = client[Symbol.asyncIterator]();
        const first = await outcomes.next();
        assert.ok(!first.done && first.value.kind === 'answered', JSON.stringify(first));
        return { client, outcomes, name: first.value.name };
      }),
    );
    const [old] = kept.filter(({ name }) => name === 'p1');
    assert.ok(old !== undefined, `kept connections went to ${kept.map(({ name }) => name)}`);
    await change(() => manifests.edit('web.yaml', (text) => text.replace(notReady, '$1false')));
    assert.deepEqual(answeredBy(await topology.ask('p2', 'tcp', vip, 80, { count: 6 })), ['p2', 'p3']);
    // Some of these answers were under way before the change; the last ones were not.
    for (let i = 0; i < 30; i++) {
      const next = await old.outcomes.next();
      assert.ok(!next.done && next.value.kind === 'answered' && next.value.name === 'p1', JSON.stringify(next));
    }
    await change(() => manifests.edit('web.yaml', (text) => text.replace(/ready: false/, 'ready: true')));
    assert.deepEqual(answeredBy(await topology.ask('p2', 'tcp', vip, 80, { count: 6 })), ['p1', 'p2', 'p3']);
    // T67: the weight came back in place, so the connection is the same.
    await stillAnswered(old.outcomes);
    for (const { client } of kept) client.stop();
  });

  test('a drained endpoint keeps its connection and gets no other; when that has ended the drain is over', async () => {
    const kept = topology.startAsking('client', 'tcp', '192.168.1.10', 30080, { count: 0, intervalMs: 20, keep: true });
    const outcomes = kept[Symbol.asyncIterator]();
    const first = await outcomes.next();
    assert.ok(!first.done && first.value.kind === 'answered', JSON.stringify(first));
    const { name } = first.value;
    const pods = (['p1', 'p2', 'p3'] as const).filter((pod) => pod !== name);
    const address = { p1: '10.244.1.5', p2: '10.244.1.6', p3: '10.244.2.7' }[name] ?? '';
    // Connections that have ended are counted until they are forgotten, two minutes later: their time is cut short here.
    const draining = handle.drain({ address, port: 8080, timeoutMs: 2000 });
    await handle.settled();
    assert.deepEqual(answeredBy(await topology.ask('client', 'tcp', '192.168.1.10', 30080, { count: 4 })), pods);
    assert.deepEqual(answeredBy(await topology.ask('p2', 'tcp', vip, 80, { count: 4 })), pods);
    const drained = await draining;
    kept.stop();
    assert.ok(drained.overdue >= 1, JSON.stringify(drained));
    await drained.undrain();
    assert.deepEqual(answeredBy(await topology.ask('p2', 'tcp', vip, 80, { count: 6 })), ['p1', 'p2', 'p3']);
  });

  test('an endpoint that comes and goes loses nobody a request', async () => {
    const inside = new Watcher(topology.startAsking('p2', 'tcp', vip, 80, { count: 0, intervalMs: 10 }));
    const outside = new Watcher(
      topology.startAsking('client', 'tcp', '192.168.1.10', 30080, { count: 0, intervalMs: 10 }),
    );
    for (let i = 0; i < flaps; i++) {
      await change(() => manifests.edit('web.yaml', (text) => text.replace(notReady, '$1false')));
      await change(() => manifests.edit('web.yaml', (text) => text.replace(/ready: false/, 'ready: true')));
    }
    for (const watcher of [inside, outside]) {
      assert.ok(await watcher.until((outcomes) => outcomes.length >= 3), 'the client was answered');
      await watcher.stop();
      assert.deepEqual(watcher.failures, []);
    }
  });

  test('a UDP flow from a fixed port moves when its endpoint goes', async () => {
    const ask = { sourcePort: 40_053, timeoutMs: 500 };
    const [first] = answeredBy([await topology.askOnce('p1', 'udp', '10.96.0.53', 53, ask)]);
    assert.ok(first === 'p2' || first === 'p3', first);
    const address = first === 'p2' ? '10.244.1.6' : '10.244.2.7';
    await change(() =>
      manifests.edit('dns-udp.yaml', (text) =>
        text.replace(new RegExp(`(\\[${address}\\]\\n.*\\n {4}conditions: \\{ ready: )true`), '$1false'),
      ),
    );
    // T117: one packet may be lost on the old path.
    const other = first === 'p2' ? 'p3' : 'p2';
    const outcomes = await topology.ask('p1', 'udp', '10.96.0.53', 53, { ...ask, count: 3 });
    assert.deepEqual(answeredBy(outcomes.slice(1)), [other], JSON.stringify(outcomes));
    await change(() =>
      manifests.edit('dns-udp.yaml', (text) => text.replace('conditions: { ready: false', 'conditions: { ready: true')),
    );
  });

  test('tracked UDP connections to an endpoint that is gone are removed, those to the others stay (T70)', async () => {
    // From outside: source-translated, so that the answers find their way by connection tracking.
    const flows = [41_001, 41_002, 41_003, 41_004];
    const ask = (sourcePort: number, count = 1): Promise<readonly Outcome[]> =>
      topology.ask('client', 'udp', '10.96.0.53', 53, { sourcePort, count, timeoutMs: 500 });
    const pods = new Map<number, string>();
    for (const port of flows) pods.set(port, answeredBy(await ask(port))[0] ?? 'nobody');
    assert.deepEqual([...new Set(pods.values())].sort(), ['p2', 'p3']);
    const goes = 'p3';
    const tracked = async (): Promise<Map<number, string>> => {
      const text = await runTool('conntrack', ['-L', '-p', 'udp', '--orig-dst', '10.96.0.53']);
      const lines = [...text.matchAll(/sport=(41\d+) .*src=(10\.244\.\S+)/g)];
      return new Map(lines.map(([, port, pod]) => [Number(port), pod === '10.244.2.7' ? 'p3' : 'p2']));
    };
    // One that IPVS does not know any more, as after its own time-out: nobody but us removes it.
    const forgotten = 41_100;
    await runTool('conntrack', [
      ...['-I', '-p', 'udp', '-s', '192.168.1.100', '--sport', String(forgotten), '-d', '10.96.0.53', '--dport', '53'],
      ...['--reply-src', '10.244.2.7', '--reply-dst', '192.168.1.10', '--reply-port-src', '5353'],
      ...['--reply-port-dst', String(forgotten), '--timeout', '100'],
    ]);
    assert.deepEqual(await tracked(), new Map([...pods, [forgotten, goes]]));
    const cleaned = new Promise<SyncReport>((done) => {
      const listener = (report: SyncReport): void => {
        if (report.udpCleaning === undefined) return;
        handle.off('sync', listener);
        done(report);
      };
      handle.on('sync', listener);
    });
    await change(() =>
      manifests.edit('dns-udp.yaml', (text) => text.replace(/ {2}- addresses: \[10\.244\.2\.7\]\n.*\n.*\n/, '')),
    );
    const { udpCleaning } = await cleaned;
    assert.equal(udpCleaning?.failed, 0);
    assert.ok((udpCleaning?.removed ?? 0) >= 1);
    const stay = [...pods].filter(([, pod]) => pod !== goes);
    assert.deepEqual(await tracked(), new Map(stay));
    for (const [port] of pods) {
      const outcomes = await ask(port, 2);
      assert.deepEqual(answeredBy(outcomes.slice(1)), ['p2'], `${port}: ${JSON.stringify(outcomes)}`);
    }
  });

  test('a deleted Service refuses and a new one on the same address answers', async () => {
    const before = await topology.askOnce('p2', 'tcp', vip, 9090);
    assert.equal(before.kind, 'answered');
    await change(() =>
      manifests.edit('web.yaml', (text) => text.replace('port: 9090, targetPort', 'port: 9091, targetPort')),
    );
    assertRefused(await topology.askOnce('p2', 'tcp', vip, 9090));
    assert.equal((await topology.askOnce('p2', 'tcp', vip, 9091)).kind, 'answered');
  });

  test('a restart writes nothing and no connection notices', async () => {
    const client = topology.startAsking('p2', 'tcp', vip, 80, { count: 0, intervalMs: 50, keep: true });
    const outcomes = client[Symbol.asyncIterator]();
    await outcomes.next();
    await handle.stop();
    const before = await dumpTables();
    assert.equal((await topology.askOnce('p2', 'tcp', vip, 80)).kind, 'answered', 'new connections while none runs');
    // With an option for the test that follows: each start takes its time in the test kernel.
    handle = await run({ drainServices: true });
    assert.equal(handle.report.operations, 0);
    assert.equal(handle.report.rulesWritten, 0);
    assert.equal(handle.report.sysctlsWritten, 0);
    assert.equal(await dumpTables(), before);
    const stillThere = await outcomes.next();
    client.stop();
    const rest = [stillThere];
    for (let next = await outcomes.next(); !next.done; next = await outcomes.next()) rest.push(next);
    const [name, ...others] = new Set(rest.map(({ value }) => (value?.kind === 'answered' ? value.name : value?.kind)));
    assert.deepEqual(others, [], 'every answer over the kept connection came from one pod');
    assert.match(String(name), /^p[123]$/);
  });

  test('with drainServices a Service that goes keeps its open connections and refuses others; it comes back in place', async () => {
    const client = topology.startAsking('p2', 'tcp', vip, 80, { count: 0, intervalMs: 20, keep: true });
    const outcomes = client[Symbol.asyncIterator]();
    await outcomes.next();
    await change(() => manifests.edit('web.yaml', (text) => text.replace('port: 80,', 'port: 81,')));
    await stillAnswered(outcomes);
    assertRefused(await topology.askOnce('p2', 'tcp', vip, 80));
    await change(() => manifests.edit('web.yaml', (text) => text.replace('port: 81,', 'port: 80,')));
    await stillAnswered(outcomes);
    client.stop();
    assert.equal((await topology.askOnce('p2', 'tcp', vip, 80)).kind, 'answered');
  });
});
