import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import { type AppendedFile, RecordingFile } from '../../../lib/kube/recording-file.ts';
import type { Source } from '../../../lib/kube/source.ts';
import { systemClock } from '../../../lib/proxier/clock.ts';
import type { ProxierSettings } from '../../../lib/proxier/options.ts';
import { resolveOptions } from '../../../lib/proxier/options-schema.ts';
import { recorded, recordedSettings } from '../../../lib/proxier/recording.ts';
import {
  churn,
  FakeKernel,
  fakeProxier,
  openRecording,
  recordSources,
  replay,
  SimulatedSource,
  simulateCluster,
  VirtualClock,
} from '../../../lib/testing/index.ts';
import { node, service, slice } from '../kube/objects.ts';
import { RecordingSink } from '../kube/recording-sink.ts';

async function inDirectory(act: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'recording-'));
  try {
    await act(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** What these objects would have come to, written by a Proxier of this name. */
async function recordRun(path: string, source: Source, kernel: FakeKernel, clock: VirtualClock): Promise<void> {
  const options = { nodeName: 'node-1', families: ['IPv4', 'IPv6'], scheduler: 'wrr', record: path, source } as const;
  kernel.outside.addLink('eth0', '', true);
  await using proxier = fakeProxier(options, kernel, { clock });
  await proxier.run();
  if (source instanceof SimulatedSource) await source.finished;
  await clock.advanceTo(clock.nowMs() + 10_000);
}

test('what a proxier recorded, replayed, ends in the same kernel with the same operations, at any speed', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const clock = new VirtualClock();
    const cluster = simulateCluster({ seed: 3, services: 30, mix: { nodePort: 0, loadBalancer: 0 } });
    const events = churn(cluster, { ratePerSecond: 10, durationMs: 30_000, mix: { service: 20 } });
    const kernel = new FakeKernel();
    await recordRun(path, new SimulatedSource({ cluster, events, clock }), kernel, clock);
    const written = await readFile(path, 'utf8');
    assert.match(written, /"op":"end","reason":"stopped"}\n$/);
    assert.equal((await stat(path)).mode & 0o777, 0o600);

    const first = await replay({ path });
    assert.equal(withoutNode(first.kernel), withoutNode(kernel));
    assert.ok(first.served);
    assert.equal(first.header.nodeName, 'node-1');
    assert.equal(first.events.skippedLines, 0);
    assert.equal(first.events.upsert + first.events.remove + first.events.synced, written.split('\n').length - 3);
    const again = await replay({ path });
    assert.deepEqual([again.byVerb, again.passes], [first.byVerb, first.passes], 'virtual time repeats itself');

    const hurried = await replay({ path, speed: 1e6 });
    assert.ok(hurried.served);
    assert.equal(hurried.final?.services, first.final?.services);
  });
});

/** The recorded host had no address of its own. */
function withoutNode(kernel: FakeKernel | undefined): string {
  return kernel?.dump().replaceAll(/^eth0 .*\n/gm, '') ?? '';
}

test('a list is recorded as it is read, and replayed as a list; one that breaks off removes nothing', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const source = new ObjectSource();
    const [wrapped] = recordSources([source], { path, nodeName: 'n1' });
    assert.ok(wrapped !== undefined);
    const live = new RecordingSink();
    await wrapped.start(live, new AbortController().signal);
    source.apply(service('old'));
    source.replace('Service', [service('one'), service('two')]);
    source.synced();
    const replaced = live.calls.slice();
    await wrapped.stop();
    const breaking: Source = {
      name: 'breaking',
      kinds: ['Node'],
      start: async (sink) => {
        const list = function* (): Iterable<unknown> {
          yield node('n1');
          throw new Error('connection lost');
        };
        try {
          sink.replace('Node', list());
        } catch {}
      },
      stop: async () => {},
    };
    assert.deepEqual(await callsOf(path), replaced);

    const [broken] = recordSources([breaking], { path });
    await broken?.start(new RecordingSink(), new AbortController().signal);
    await broken?.stop();
    assert.deepEqual(await callsOf(path), ['upsert Node n1']);
    assert.match(await readFile(`${path}.1`, 'utf8'), /"one"/, 'the recording before is kept');
  });
});

async function callsOf(path: string): Promise<readonly string[]> {
  const sink = new RecordingSink();
  const recording = await openRecording(path, { speed: Number.POSITIVE_INFINITY });
  for (const source of recording.sources) await source.start(sink, new AbortController().signal);
  await recording.finished;
  assert.deepEqual(sink.problems, []);
  return sink.calls;
}

test('sources keep their names, order and objects; a recording needs all of them to begin', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const one = new ObjectSource({ name: 'one' });
    const two = new ObjectSource({ name: 'two', kinds: ['Service'] });
    const wrapped = recordSources([one, two], { path });
    const sinks = [new RecordingSink(), new RecordingSink()];
    for (const [index, source] of wrapped.entries())
      await source.start(sinks[index] ?? assert.fail(), AbortSignal.any([]));
    one.apply(service('a'));
    two.apply(service('b'));
    two.delete({ kind: 'Service', namespace: 'ns1', name: 'b' });
    await Promise.all(wrapped.map((source) => source.stop()));

    const recording = await openRecording(path, { speed: Number.POSITIVE_INFINITY });
    const replayed = [new RecordingSink(), new RecordingSink()];
    const [first, second] = recording.sources;
    assert.deepEqual([first?.name, first?.kinds, second?.name, second?.kinds], ['one', one.kinds, 'two', two.kinds]);
    await first?.start(replayed[0] ?? assert.fail(), AbortSignal.any([]));
    assert.equal(recording.playedMs, 0);
    await second?.start(replayed[1] ?? assert.fail(), AbortSignal.any([]));
    await recording.finished;
    assert.deepEqual(
      replayed.map(({ calls }) => calls),
      sinks.map(({ calls }) => calls),
    );
    assert.deepEqual([...(replayed[0]?.objects.values() ?? [])], [service('a')]);
  });
});

test('what follows the lists waits for what it was told to wait for, and ends when it is stopped meanwhile', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const source = new ObjectSource();
    const [wrapped] = recordSources([source], { path });
    await wrapped?.start(new RecordingSink(), AbortSignal.any([]));
    source.synced();
    source.apply(service('later'));
    await wrapped?.stop();
    for (const isStopped of [false, true]) {
      const { promise, resolve } = gate();
      const recording = await openRecording(path, { speed: Number.POSITIVE_INFINITY, afterLists: promise });
      const sink = new RecordingSink();
      await recording.sources[0]?.start(sink, AbortSignal.any([]));
      await sink.until(() => sink.has('synced Node'), 'the lists');
      await new Promise((done) => setImmediate(done));
      assert.ok(!sink.has('upsert Service ns1/later'));
      if (isStopped) await recording.sources[0]?.stop();
      else resolve();
      await recording.finished;
      assert.equal(sink.has('upsert Service ns1/later'), !isStopped);
    }
  });
});

test('no secret of an annotation, of a managed field or of an option comes into the file', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const source = new ObjectSource();
    const annotations = {
      'kubectl.kubernetes.io/last-applied-configuration': 'hunter2',
      'lb.example.com/api-token': 'hunter2',
      'ipvs-proxier.io/scheduler': 'wrr',
    };
    const managedFields = [{ manager: 'hunter2' }];
    const options = resolveOptions({ nodeName: 'n1', source, record: path, weightFor: () => 1 });
    const [wrapped] = recorded([source], options, systemClock);
    await wrapped?.start(new RecordingSink(), AbortSignal.any([]));
    source.apply(service('web', {}, {}, { annotations, managedFields }));
    source.apply(slice('web-1', {}, { 'kubernetes.io/service-name': 'web' }));
    source.apply(node('n1', { metadata: { name: 'n1', annotations }, status: { images: ['hunter2'], addresses: [] } }));
    source.apply({ ...service('cyclic'), spec: cyclic() });
    await wrapped?.stop();
    const text = await readFile(path, 'utf8');
    assert.doesNotMatch(text, /hunter2/);
    assert.match(text, /"ipvs-proxier.io\/scheduler":"wrr"/);
    assert.match(text, /"object":null,"unreadable":/);
    assert.match(text, /"hooks":\["weightFor"\]/);
  });
});

function cyclic(): object {
  const spec: { self?: object } = {};
  spec.self = spec;
  return spec;
}

test('the recorded options make the same proxier again, and never one that writes files or reads a cluster', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const given: readonly ProxierSettings[] = [
      {},
      { detectLocal: { mode: 'BridgeInterface', bridge: 'b0' }, nodePortAddresses: 'primary', watchNodes: 'all' },
      {
        clusterCIDR: '10.244.0.0/16,fd00::/64',
        nodePortAddresses: ['192.168.0.0/16'],
        allowedExternalIPs: [],
        excludeCIDRs: ['10.0.0.0/8'],
        conntrack: { maxPerCore: 5 },
        ipvsTimeouts: { udpSeconds: 5 },
        minSyncPeriodMs: 50,
        vipBinding: 'local-route',
        families: ['IPv4'],
      },
    ];
    for (const settings of given) {
      const source = new ObjectSource();
      const { record, ...options } = resolveOptions({ nodeName: 'N1 ', ...settings, source, record: path });
      const [wrapped] = recorded([source], { ...options, record }, systemClock);
      await wrapped?.start(new RecordingSink(), AbortSignal.any([]));
      await wrapped?.stop();
      const { header } = await openRecording(path);
      assert.equal(header.nodeName, 'n1');
      const { record: none, ...remade } = resolveOptions({ ...recordedSettings(header), source });
      assert.deepEqual(remade, options);
      assert.equal(none, undefined);
    }
  });
  assert.deepEqual(
    recordedSettings({ settings: { record: '/etc/passwd', kubeconfigPath: '/root/k', takeOver: true } }),
    {
      takeOver: true,
    },
  );
  assert.throws(() => recordedSettings({ settings: { scheduler: 'rm -rf' } }), { code: 'ERR_INVALID_ARGUMENT' });
});

test('a broken line is named and skipped, a file that was cut off is played as far as it goes', async () => {
  await inDirectory(async (directory) => {
    const path = join(directory, 'run.ndjson');
    const header = {
      format: 'ipvs-proxier recording',
      version: 1,
      nodeName: 'n1',
      sources: [{ name: 'api', kinds: ['Service'] }],
    };
    const upsert = (name: string): object => ({
      at: 1,
      source: 'api',
      op: 'upsert',
      kind: 'Service',
      object: service(name),
    });
    const lines = [
      JSON.stringify(header),
      JSON.stringify(upsert('one')),
      '{"at":2,"source":"api","op":',
      '{"at":"x","source":"api","op":"synced","kind":"Service"}',
      '{"at":2,"source":"other","op":"synced","kind":"Service"}',
      '{"at":2,"source":"api","op":"dance","kind":"Service"}',
      '{"at":2,"source":"api","op":"remove","kind":"Secret","namespace":"a","name":"b"}',
      '{"at":2,"source":"api","op":"item","kind":"Service","object":{}}',
      '{"at":2,"source":"api","op":"upsert","kind":"Service"}',
      JSON.stringify(upsert('two')),
      '{"at":2,"source":"api","op":"synced","kind":"Service"}',
      JSON.stringify(upsert('three')).slice(0, 40),
    ];
    await writeFile(path, lines.join('\n'));
    const sink = new RecordingSink();
    const recording = await openRecording(path, { speed: Number.POSITIVE_INFINITY });
    await recording.sources[0]?.start(sink, AbortSignal.any([]));
    await recording.finished;
    const calls = sink.calls.filter((call) => !call.startsWith('problem'));
    assert.deepEqual(calls, ['upsert Service ns1/one', 'upsert Service ns1/two', 'synced Service']);
    assert.equal(recording.counts.skippedLines, 8);
    assert.deepEqual(
      sink.problems.map(({ object }) => object.slice(path.length)),
      [':3', ':4', ':5', ':6', ':7', ':8', ':9', ':12', ''],
    );

    for (const [text, reason] of [
      ['', /is empty/],
      ['kind: Service\n', /:1: .* is not JSON/],
      [JSON.stringify({ ...header, version: 2 }), /version: 2 is not 1/],
      [JSON.stringify({ ...header, sources: [{ name: 'api', kinds: [] }] }), /sources: /],
    ] as const) {
      await writeFile(path, text);
      await assert.rejects(openRecording(path), { code: 'ERR_RECORDING', message: reason });
    }
    await assert.rejects(openRecording(join(directory, 'none')), { code: 'ERR_RECORDING' });
  });
});

test('no directory, a full disk, a slow disk, a limit: the recording ends with one warning, and what was said goes on', async () => {
  await inDirectory(async (directory) => {
    const source = new ObjectSource();
    const sink = new RecordingSink();
    const [wrapped] = recordSources([source], { path: join(directory, 'none', 'run.ndjson') });
    await wrapped?.start(sink, AbortSignal.any([]));
    await sink.until(() => sink.problems.length > 0, 'the warning');
    source.apply(service('one'));
    await wrapped?.stop();
    assert.equal(sink.problems.length, 1);
    assert.match(sink.problems[0]?.message ?? '', /the recording has ended: ENOENT/);
    assert.ok(sink.has('upsert Service ns1/one'));

    const path = join(directory, 'small.ndjson');
    const small = new ObjectSource();
    const [limited] = recordSources([small], { path, maxBytes: 4096 });
    const told = new RecordingSink();
    await limited?.start(told, AbortSignal.any([]));
    for (let count = 0; count < 100; count += 1) small.apply(service(`svc-${count}`));
    await limited?.stop();
    assert.equal(told.objects.size, 100);
    assert.equal(told.problems.length, 1);
    const text = await readFile(path, 'utf8');
    assert.ok(text.length <= 4096 && text.length > 3000);
    assert.match(text, /"op":"end","reason":"maxBytes"}\n$/);

    const target = join(directory, 'target');
    await writeFile(target, 'precious');
    await symlink(target, join(directory, 'link'));
    const [linked] = recordSources([new ObjectSource()], { path: join(directory, 'link') });
    await linked?.start(new RecordingSink(), AbortSignal.any([]));
    await linked?.stop();
    assert.equal(await readFile(target, 'utf8'), 'precious');
  });

  for (const disk of ['full', 'slow'] as const) {
    const ends: string[] = [];
    const written: string[] = [];
    const { promise, resolve } = gate();
    const appended: AppendedFile = {
      appendFile: async (text) => {
        if (disk === 'slow') await promise;
        else if (written.length > 0) throw new Error('ENOSPC: no space left on device');
        written.push(text);
      },
      close: async () => {},
    };
    const file = new RecordingFile({
      path: 'memory',
      maxBytes: 1e9,
      maxWaitingBytes: 1000,
      onEnd: (reason) => ends.push(reason),
      open: async () => appended,
    });
    for (let count = 0; count < 50; count += 1) {
      file.write('x'.repeat(50), (reason) => `end ${reason}`);
      if (disk === 'full') await new Promise((done) => setImmediate(done));
    }
    resolve();
    await file.close('end stopped');
    assert.equal(ends.length, 1);
    assert.match(ends[0] ?? '', disk === 'full' ? /ENOSPC/ : /too slow/);
    if (disk === 'slow') assert.match(written.join(''), /x\nend slow disk\n$/);
  }
});

function gate(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
