import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManifestSyntaxError, readManifest } from '../../../lib/kube/manifest-reader.ts';
import { ManifestSource, type ManifestSourceOptions } from '../../../lib/kube/manifest-source.ts';
import { RecordStore } from '../../../lib/kube/record-store.ts';
import { slice } from './objects.ts';
import { RecordingSink } from './recording-sink.ts';

/** As people write it: no namespace, no protocol, no type. */
function yamlService(name: string, address: string = '10.96.0.10'): string {
  return `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec:\n  clusterIP: ${address}\n  ports:\n    - port: 80\n`;
}

function keys(text: string): string[] {
  return readManifest(text).objects.map(({ kind, key }) => `${kind} ${key}`);
}

test('documents, lists and defaults; what is not for proxying is passed over', () => {
  const text = `# first\n${yamlService('web')}---\n---\nkind: Deployment\napiVersion: apps/v1\n---
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Node, metadata: {name: n1}, unknown: {field: [1, 2]}}
  - apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
    addressType: IPv4
    ports: [{port: 8080}]
    endpoints: [{addresses: [10.244.1.5]}]
  - {kind: List, items: [{kind: Service, apiVersion: serving.knative.dev/v1, metadata: {name: no}}]}
---
kind: ServiceList
items:
  - metadata: {name: inner, namespace: ns2}
    spec: {clusterIP: None}
`;
  assert.deepEqual(keys(text), ['Service default/web', 'Node n1', 'EndpointSlice default/web-1', 'Service ns2/inner']);
  assert.deepEqual(readManifest(text).problems, []);
  const store = new RecordStore({ nodeName: 'n1', onProblem: (_, problem) => assert.fail(problem.message) });
  const sink = store.sinkFor({ name: 'm', kinds: ['Service'] });
  for (const { kind, object } of readManifest(text).objects) sink.upsert(kind, object);
  assert.deepEqual(
    store.takePending().map(({ key, body }) => [key, body !== null && 'ports' in body ? body.ports : undefined]),
    [
      ['default/web', [{ name: '', protocol: 'tcp', port: 80, nodePort: 0 }]],
      ['n1', undefined],
      ['default/web-1', [{ name: '', protocol: 'tcp', port: 8080 }]],
    ],
  );
  assert.deepEqual(keys(JSON.stringify({ kind: 'EndpointSliceList', items: [slice('s1')] })), ['EndpointSlice ns1/s1']);
  assert.deepEqual(keys(''), []);
});

test('faults in a manifest are named: the line of a text, the place of an object, what nobody allocates', () => {
  for (const [text, pattern] of [
    ['a: 1\nb: [1, 2\nc: 3\n', /line 3, column \d+: /],
    ['{"kind": "Service",\n "metadata": {', /line 2, column \d+: /],
    [`${yamlService('web')}---\n\tkind: x\n`, /line 9, column 1: /],
    ['kind: Service\nkind: Node\n', /line 2, column 1: Map keys must be unique/],
    [
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n`,
      /alias/,
    ],
  ] as const) {
    assert.throws(
      () => readManifest(text),
      (error) => error instanceof ManifestSyntaxError && pattern.test(error.message),
      text,
    );
  }
  const told = (text: string): string =>
    readManifest(text)
      .problems.map(({ kind, object, message }) => `${kind} ${object}: ${message}`)
      .join('\n');
  assert.match(told('just text\n---\n- 1\n'), /document 1: "just text" is not .*\n.*document 2: \[1\] is not/);
  assert.match(told('metadata: {name: x}'), /document 1: it has no kind/);
  assert.match(
    told('kind: List\nitems: [{kind: Service, metadata: {}}]'),
    /^Service : document 1, items\[0\]: metadata\.name: nothing/,
  );
  assert.match(
    told('kind: Service\nmetadata: {name: x}\nspec: {}'),
    /Service default\/x: spec\.clusterIP: nothing is set.*write the address/,
  );
  assert.match(
    told(
      'kind: Service\nmetadata: {name: x}\nspec: {type: NodePort, clusterIP: 10.96.0.1, ports: [{port: 1, nodePort: 30001}, {port: 2}]}',
    ),
    /^Service default\/x: spec\.ports\[1\]\.nodePort/,
  );
  assert.match(
    told('kind: EndpointSlice\napiVersion: discovery.k8s.io/v1beta1\nmetadata: {name: x}'),
    /v1beta1.*write discovery\.k8s\.io\/v1/,
  );
  assert.equal(told('kind: Service\nmetadata: {name: x}\nspec: {type: ExternalName, externalName: y}'), '');
  const nested = (depth: number): string =>
    depth === 0 ? '{"kind":"Node"}' : `{"kind":"List","items":[${nested(depth - 1)}]}`;
  assert.match(told(nested(50)), /more than 10 lists/);
});

async function withManifests(
  files: Readonly<Record<string, string>>,
  run: (sink: RecordingSink, path: (name: string) => string, source: ManifestSource) => Promise<void>,
  options: Partial<ManifestSourceOptions> = {},
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'ipvs-proxier-manifests-'));
  const path = (name: string): string => join(directory, name);
  for (const [name, text] of Object.entries(files)) await writeFile(path(name), text);
  const source = new ManifestSource({
    debounceMs: 10,
    pollMs: 600_000,
    ...options,
    path: join(directory, options.path ?? ''),
  });
  const sink = new RecordingSink();
  try {
    await source.start(sink, new AbortController().signal);
    await run(sink, path, source);
  } finally {
    await source.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function has(sink: RecordingSink, name: string, address: string): () => boolean {
  return () => JSON.stringify(sink.objects.get(`Service default/${name}`) ?? '').includes(`"${address}"`);
}

test('a directory is followed: edit, replace by rename, new file, deleted file', { timeout: 30_000 }, () =>
  withManifests(
    {
      'a.yaml': yamlService('a'),
      'b.yml': yamlService('b'),
      '.hidden.yaml': yamlService('h'),
      'README.md': 'not: [a manifest',
    },
    async (sink, path) => {
      assert.deepEqual(sink.keys, ['Service default/a', 'Service default/b']);
      assert.ok(['Service', 'EndpointSlice', 'Node'].every((kind) => sink.has(`synced ${kind}`)));
      assert.deepEqual(sink.problems, []);

      await writeFile(path('a.yaml'), yamlService('a', '10.96.0.11'));
      await sink.until(has(sink, 'a', '10.96.0.11'), 'the edited file');
      await writeFile(path('a.yaml.tmp'), yamlService('a', '10.96.0.12'));
      await rename(path('a.yaml.tmp'), path('a.yaml'));
      await sink.until(has(sink, 'a', '10.96.0.12'), 'the replaced file');
      await writeFile(path('c.json'), JSON.stringify(slice('c')));
      await sink.until(() => sink.objects.has('EndpointSlice ns1/c'), 'the new file');
      await unlink(path('b.yml'));
      await sink.until(() => sink.has('remove Service default/b'), 'the deleted file');
      assert.equal(
        sink.calls.filter((call) => call === 'upsert Service default/a').length,
        3,
        'others are not said again',
      );
    },
  ),
);

test('a broken file keeps its last good objects and is named with its line', { timeout: 30_000 }, () =>
  withManifests({ 'a.yaml': yamlService('a'), 'b.yaml': yamlService('b') }, async (sink, path) => {
    await writeFile(path('a.yaml'), `${yamlService('a')}  broken: [`);
    await sink.until(() => sink.problems.length === 1, 'the problem');
    const problem = sink.problems[0];
    assert.equal(problem?.object, path('a.yaml'));
    assert.equal(problem?.error?.code, 'ERR_MANIFEST');
    assert.match(problem?.message ?? '', /^line 8, column \d+: .*correct the file, until then its objects stay/);
    await writeFile(path('b.yaml'), yamlService('b', '10.96.0.20'));
    await sink.until(has(sink, 'b', '10.96.0.20'), 'the other file is read nevertheless');
    assert.ok(has(sink, 'a', '10.96.0.10')());
    assert.equal(sink.problems.length, 1, 'told once');
    await writeFile(path('a.yaml'), yamlService('a', '10.96.0.30'));
    await sink.until(has(sink, 'a', '10.96.0.30'), 'the mended file');
  }),
);

test('a file that was never read holds back synced, so that nothing of it is removed', { timeout: 30_000 }, () =>
  withManifests({ 'a.yaml': yamlService('a'), 'b.yaml': ': [' }, async (sink, path) => {
    assert.deepEqual(sink.keys, ['Service default/a']);
    assert.ok(!sink.has('synced Service'));
    assert.match(sink.problems[0]?.message ?? '', /nothing is removed from the kernel before it has been read once/);
    await writeFile(path('b.yaml'), yamlService('b'));
    await sink.until(() => sink.has('synced Service'), 'synced');
    assert.ok(sink.calls.indexOf('synced Service') > sink.calls.indexOf('upsert Service default/b'));
  }),
);

test('an object in two files: the first file counts, the second steps in when it goes', { timeout: 30_000 }, () =>
  withManifests(
    { '1.yaml': yamlService('a', '10.96.0.1'), '2.yaml': yamlService('a', '10.96.0.2') },
    async (sink, path) => {
      assert.ok(has(sink, 'a', '10.96.0.1')());
      assert.equal(sink.problems[0]?.object, 'default/a');
      assert.match(sink.problems[0]?.message ?? '', /1\.yaml and again in .*2\.yaml; the first one counts/);
      await unlink(path('1.yaml'));
      await sink.until(has(sink, 'a', '10.96.0.2'), 'the second one');
      assert.ok(!sink.has('remove Service default/a'), 'it was never gone');
    },
  ),
);

test('a single file, replaced, taken away and put back', { timeout: 30_000 }, () =>
  withManifests(
    { 'a.yaml': yamlService('a'), 'b.yaml': yamlService('b') },
    async (sink, path) => {
      assert.deepEqual(sink.keys, ['Service default/a']);
      await writeFile(path('tmp'), yamlService('a', '10.96.0.2'));
      await rename(path('tmp'), path('a.yaml'));
      await sink.until(has(sink, 'a', '10.96.0.2'), 'the replaced file');
      await unlink(path('a.yaml'));
      await sink.until(() => sink.problems.length === 1, 'a word about the missing file');
      assert.match(sink.problems[0]?.message ?? '', /what it said last stays, put it back/);
      assert.deepEqual(sink.keys, ['Service default/a']);
      await writeFile(path('a.yaml'), yamlService('other'));
      await sink.until(() => sink.has('remove Service default/a'), 'the file put back');
    },
    { path: 'a.yaml' },
  ),
);

test('labels select as at the API server, and a ConfigMap mount is followed by polling alone', {
  timeout: 30_000,
}, async () => {
  const labelled = (name: string, labels: string): string => yamlService(name).replace('}', `, labels: {${labels}}}`);
  const files = {
    'a.yaml': labelled('plain', 'app: x'),
    'b.yaml': labelled('other', 'service.kubernetes.io/service-proxy-name: cilium'),
    'c.yaml': labelled('headless', 'service.kubernetes.io/headless: ""'),
  };
  await withManifests(files, async (sink) => assert.deepEqual(sink.keys, ['Service default/plain']));
  await withManifests(files, async (sink) => assert.deepEqual(sink.keys, ['Service default/other']), {
    serviceProxyName: 'cilium',
  });

  await withManifests(
    {},
    async (sink, path) => {
      assert.match(sink.problems[0]?.message ?? '', /holds no \*\.yaml/);
      for (const version of ['1', '2']) {
        await mkdir(path(`..v${version}`));
        await writeFile(path(`..v${version}/web.yaml`), yamlService('web', `10.96.0.${version}`));
      }
      await symlink('..v1', path('..data'));
      await symlink('..data/web.yaml', path('web.yaml'));
      await sink.until(has(sink, 'web', '10.96.0.1'), 'the mount');
      await symlink('..v2', path('..data_tmp'));
      await rename(path('..data_tmp'), path('..data'));
      await sink.until(has(sink, 'web', '10.96.0.2'), 'the swapped mount');
    },
    { debounceMs: 600_000, pollMs: 5 },
  );
});

test('a missing path is refused at the start; after stop nothing is said', { timeout: 30_000 }, async () => {
  const missing = new ManifestSource({ path: '/no/such/manifests' });
  await assert.rejects(missing.start(new RecordingSink(), new AbortController().signal), {
    code: 'ERR_MANIFEST',
    message: /\/no\/such\/manifests.*ENOENT.*name an existing file or directory/,
  });
  await missing.stop();
  assert.throws(() => new ManifestSource({ path: '' }), { code: 'ERR_INVALID_ARGUMENT', field: 'path' });
  await withManifests({ 'a.yaml': yamlService('a') }, async (sink, path, source) => {
    const { calls } = sink;
    const before = calls.length;
    await writeFile(path('b.yaml'), yamlService('b'));
    await source.stop();
    await source.stop();
    assert.equal(calls.length, before);
  });
});
