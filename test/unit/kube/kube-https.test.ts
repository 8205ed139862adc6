/** The API path over real HTTPS: certificate authority, credentials, list, watch, and everything that goes wrong on the way. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ApiSource, type ApiSourceOptions } from '../../../lib/kube/api-source.ts';
import type { KubeConfigOption } from '../../../lib/kube/credentials.ts';
import { inClusterCredentials } from '../../../lib/kube/in-cluster.ts';
import { HttpTransport } from '../../../lib/kube/transport.ts';
import { FakeApiServer, type FakeApiServerOptions } from '../../../lib/testing/fake-api-server.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { node, service, slice } from './objects.ts';
import { RecordingSink } from './recording-sink.ts';

let certificates: Certificates;
let directory: string;

before(async () => {
  certificates = await makeCertificates();
  directory = await mkdtemp(join(tmpdir(), 'ipvs-proxier-kube-'));
});

after(async () => {
  await certificates.remove();
  await rm(directory, { recursive: true, force: true });
});

interface Fixture {
  readonly server: FakeApiServer;
  readonly sink: RecordingSink;
  readonly source: ApiSource;
  /** `/path?query` of requests so far, without selectors and time-outs. */
  readonly asked: () => string[];
}

/** A kubeconfig as `kubectl` writes it: certificates inline, a token or a client certificate. */
function kubeconfig(server: string, user: object): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': base64(certificates.ca) } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'test', context: { cluster: 'c', user: 'u' } }],
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

type WithSourceOptions = Omit<FakeApiServerOptions, 'tls'> & {
  readonly user?: object;
  readonly clientCa?: string;
  readonly source?: Partial<ApiSourceOptions>;
};

async function withSource(run: (fixture: Fixture) => Promise<void>, options: WithSourceOptions = {}): Promise<void> {
  const { user = {}, clientCa, source: sourceOptions, ...rest } = options;
  const { serverKey: key, serverCert: cert } = certificates;
  const server = await FakeApiServer.start({
    ...rest,
    tls: { key, cert, ...(clientCa === undefined ? {} : { clientCa }) },
  });
  const file = join(directory, `config-${server.url.split(':')[2]}`);
  await writeFile(file, JSON.stringify(kubeconfig(server.url, user)));
  const { sink, source } = sourceFor(file, sourceOptions);
  server.put(service('svc1'));
  server.put(slice('s1'));
  server.put(node('n1'));
  server.put(node('n2'));
  const asked = (): string[] =>
    server.requests.map(({ path, query }) => {
      const shown = new URLSearchParams(query);
      for (const name of ['labelSelector', 'fieldSelector', 'timeoutSeconds', 'watch', 'allowWatchBookmarks'])
        shown.delete(name);
      return `${query.get('watch') === 'true' ? 'watch' : 'list'} ${path.split('/').at(-1)} ${shown}`;
    });
  try {
    await source.start(sink, new AbortController().signal);
    await run({ server, sink, source, asked });
  } finally {
    await source.stop();
    await server.until(() => server.connections === 0, 'no connection left after stop').finally(() => server.close());
  }
}

function sourceFor(
  kubeConfig: KubeConfigOption,
  options: Partial<ApiSourceOptions> = {},
): { sink: RecordingSink; source: ApiSource } {
  const common = { nodeName: 'n1', kubeConfig, random: () => 0.5, backoff: { baseMs: 4, capMs: 20 } };
  const source = new ApiSource({ ...common, ...options });
  return { sink: new RecordingSink(), source };
}

const ALL = ['EndpointSlice ns1/s1', 'Node n1', 'Service ns1/svc1'];

async function watching({ server, sink }: Fixture): Promise<void> {
  await server.until(() => server.watches === 3, 'three watches');
  await sink.until(
    () => ['Service', 'EndpointSlice', 'Node'].every((kind) => sink.has(`watching ${kind}`)),
    'all watching',
  );
}

test('list, watch, bookmarks and an orderly end of the watch', { timeout: 30_000 }, () =>
  withSource(async (fixture) => {
    const { server, sink, asked } = fixture;
    const version = server.version;
    await watching(fixture);
    assert.deepEqual(sink.keys, ALL, 'the Node of another name is not asked for');
    assert.ok(sink.has('synced Service') && sink.has('synced EndpointSlice') && sink.has('synced Node'));
    assert.deepEqual(asked().toSorted(), [
      'list endpointslices resourceVersion=0',
      'list nodes resourceVersion=0',
      'list services resourceVersion=0',
      `watch endpointslices resourceVersion=${version}`,
      `watch nodes resourceVersion=${version}`,
      `watch services resourceVersion=${version}`,
    ]);
    for (const { path, query, watch } of server.requests) {
      const selector = '!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless';
      assert.equal(query.get('labelSelector'), path.endsWith('nodes') ? null : selector);
      assert.equal(query.get('fieldSelector'), path.endsWith('nodes') ? 'metadata.name=n1' : null);
      if (watch) assert.equal(query.get('timeoutSeconds'), '450');
      if (watch) assert.equal(query.get('allowWatchBookmarks'), 'true');
    }

    server.put(service('svc2'));
    await sink.until(() => sink.objects.has('Service ns1/svc2'), 'added');
    server.put(service('svc2', { clusterIP: '10.96.0.99' }));
    await sink.until(() => JSON.stringify(sink.objects.get('Service ns1/svc2')).includes('10.96.0.99'), 'modified');
    server.delete('Service', 'svc2', 'ns1');
    await sink.until(() => sink.has('remove Service ns1/svc2'), 'deleted');

    // Nothing of interest happens to nodes while the version moves on: only the bookmark says so.
    server.bookmark();
    const bookmarked = server.version;
    server.put(node('n1', { spec: { podCIDR: '10.244.1.0/24' } }));
    await sink.until(
      () => JSON.stringify(sink.objects.get('Node n1')).includes('10.244.1.0'),
      'the event after the bookmark',
    );
    const updated = server.version;
    server.endWatches('Service');
    server.endWatches('Node');
    const rewatched = ['services', 'nodes'].map(
      (resource, index) => `watch ${resource} resourceVersion=${index === 0 ? bookmarked : updated}`,
    );
    await server.until(() => rewatched.every((each) => asked().includes(each)), rewatched.join());
    assert.equal(asked().filter((each) => each.startsWith('list')).length, 3, 'an orderly end costs no list');
  }),
);

test('watchNodes all: every Node, without a selector, and a word when the own one is not among them', {
  timeout: 30_000,
}, async () => {
  await withSource(
    async (fixture) => {
      const { server, sink } = fixture;
      await watching(fixture);
      assert.deepEqual(sink.keys, ['EndpointSlice ns1/s1', 'Node n1', 'Node n2', 'Service ns1/svc1']);
      const asked = server.requests.filter(({ path }) => path.endsWith('nodes'));
      assert.deepEqual(
        asked.map(({ query }) => query.get('fieldSelector')),
        [null, null],
      );
      server.put(node('n3'));
      await sink.until(() => sink.objects.has('Node n3'), 'a Node that came');
      server.delete('Node', 'n2');
      await sink.until(() => sink.has('remove Node n2'), 'a Node that went');
      assert.deepEqual(sink.problems, []);
    },
    { source: { watchNodes: 'all' } },
  );
  await withSource(
    async ({ sink }) => {
      await sink.until(() => sink.has('synced Node'), 'the Nodes');
      assert.deepEqual(
        sink.problems.map(({ object, message }) => `${object}: ${message}`),
        ['n9: the cluster has no Node of this name, so no endpoint counts as local; correct the node name'],
      );
    },
    { source: { watchNodes: 'all', nodeName: 'n9' } },
  );
});

test('410 by status, by event and within a paged list', { timeout: 30_000 }, () =>
  withSource(async (fixture) => {
    const { server, sink, asked } = fixture;
    await watching(fixture);
    for (let index = 0; index < 700; index++) server.put(service(`many${index}`));
    await sink.until(() => sink.objects.has('Service ns1/many699'), 'all of them');

    // The watch's version is too old and so is the list's: the latest list comes in pages.
    const known = server.version;
    server.endWatches();
    server.dropConnections();
    server.expire();
    server.delete('Service', 'many0', 'ns1');
    await sink.until(() => sink.has('remove Service ns1/many0'), 'what was missed');
    const services = asked().filter((each) => each.includes(' services '));
    const from = services.lastIndexOf(`watch services resourceVersion=${known}`);
    assert.deepEqual(
      services.slice(from, from + 4).map((each) => each.replace(/continue=.*/, 'continue=…')),
      [
        `watch services resourceVersion=${known}`,
        `list services resourceVersion=${known}`,
        'list services limit=500',
        'list services limit=500&continue=…',
      ],
    );
    await watching(fixture);

    server.put(service('seen'));
    server.put(slice('seen'));
    server.put(node('n1', { spec: {} }));
    await sink.until(
      () => ['Service ns1/seen', 'EndpointSlice ns1/seen'].every((key) => sink.objects.has(key)),
      'an event each',
    );
    await sink.until(() => JSON.stringify(sink.objects.get('Node n1')).includes('"spec":{}'), 'an event of the Node');
    const problems = sink.problems.length;
    server.expire({ tellWatches: true });
    server.put(service('after'));
    await sink.until(() => sink.objects.has('Service ns1/after'), 'the object after the ERROR event');
    assert.equal(sink.problems.length, problems, 'an expired version is no problem of the user');
  }),
);

test('broken connections, a cut line, rubbish and a restarted server lose nothing', { timeout: 30_000 }, () =>
  withSource(async (fixture) => {
    const { server, sink, asked } = fixture;
    await watching(fixture);
    const lists = (): number => asked().filter((each) => each.startsWith('list services')).length;
    server.put(service('svc2'));
    await sink.until(() => sink.objects.has('Service ns1/svc2'), 'svc2');

    server.write('Service', '{"type":"DELETED","object":{"metadata":{"namespace":"ns1","na');
    server.dropConnections();
    server.put(service('svc3'));
    await sink.until(() => sink.objects.has('Service ns1/svc3'), 'svc3 after the cut line');
    assert.equal(lists(), 1, 'the watch goes on from where it was');
    assert.equal(sink.calls.filter((call) => call === 'upsert Service ns1/svc2').length, 1, 'nothing is said twice');

    await server.until(() => server.watches === 3, 'watching again');
    server.write('Service', 'rubbish\n');
    await server.until(() => lists() === 2, 'a line that makes no sense costs a list');
    assert.match(sink.problems.map(({ message }) => message).join('\n'), /watch services: the answer makes no sense/);

    await server.close();
    server.delete('Service', 'svc2', 'ns1');
    server.put(service('svc4'));
    await sink.until(
      () => sink.connections.some(({ attempt, error }) => attempt > 2 && /ECONNREFUSED/.test(error?.message ?? '')),
      'refused',
    );
    assert.match(
      sink.problems.at(-1)?.message ?? '',
      /the connection to the API server failed .*ECONNREFUSED.*the kernel keeps what it has/,
    );
    await server.listen();
    await sink.until(
      () => sink.objects.has('Service ns1/svc4') && sink.has('remove Service ns1/svc2'),
      'what happened meanwhile',
    );

    await server.until(() => server.watches === 3, 'watching again');
    await server.close();
    server.rewind();
    server.put(service('svc5'));
    server.delete('Service', 'svc1', 'ns1');
    await server.listen();
    await sink.until(
      () => sink.objects.has('Service ns1/svc5') && sink.has('remove Service ns1/svc1'),
      'a server set back in time',
    );
  }),
);

test('401, 403 and 429 are told with their remedy and retried', { timeout: 30_000 }, () =>
  withSource(
    async (fixture) => {
      const { server, sink } = fixture;
      await sink.until(() => sink.problems.length >= 3, 'refused');
      assert.match(sink.problems[0]?.message ?? '', /list \w+: the API server answered 401 Unauthorized .*credentials/);
      assert.equal(sink.objects.size, 0);
      // The kubeconfig gets a token that the server takes: it is read again after each 401.
      const file = join(directory, `config-${server.url.split(':')[2]}`);
      await writeFile(file, JSON.stringify(kubeconfig(server.url, { token: 'second' })));
      await watching(fixture);
      assert.deepEqual(sink.keys, ALL);

      server.failNext(2, 403, { kind: 'EndpointSlice', reason: 'Forbidden', message: 'User "x" cannot watch' });
      server.dropConnections();
      await sink.until(() => sink.problems.some(({ message }) => message.includes(' 403 ')), '403');
      const denied = sink.problems.find(({ message }) => message.includes(' 403 '));
      assert.equal(denied?.kind, 'EndpointSlice');
      assert.equal(denied?.error?.code, 'ERR_KUBE_API');
      assert.match(
        denied?.message ?? '',
        /watch endpointslices: .* 403 Forbidden \(User "x" cannot watch\); an RBAC problem.*verb "watch" on resource "endpointslices" of apiGroup "discovery.k8s.io"/,
      );
      await server.until(() => server.watches === 3, 'watching again');

      const before = server.requests.length;
      server.failNext(1, 429, { verb: 'watch', kind: 'Service' });
      server.dropConnections();
      await server.until(() => server.watches === 3, 'watching again');
      assert.ok(
        server.requests.slice(before).every(({ watch }) => watch),
        'throttling costs no list',
      );
    },
    { token: 'second', user: { token: 'first' } },
  ),
);

test('a client certificate from a kubeconfig proves who we are', { timeout: 30_000 }, () =>
  withSource(
    async (fixture) => {
      await watching(fixture);
      assert.equal(fixture.server.requests[0]?.clientName, 'system:node:n1');
      assert.ok(fixture.server.connections <= 3, 'one connection for each resource, lists included');
    },
    {
      clientCa: certificates.ca,
      user: {
        'client-certificate-data': base64(certificates.clientCert),
        'client-key-data': base64(certificates.clientKey),
      },
    },
  ),
);

test('stop while listing, while waiting and while watching ends everything; nothing is said afterwards', {
  timeout: 30_000,
}, async (t) => {
  const { serverKey: key, serverCert: cert, ca } = certificates;
  const server = await FakeApiServer.start({ tls: { key, cert } });
  t.after(() => server.close());
  server.put(service('svc1'));
  const auth = {
    getCurrentCluster: () => ({ server: server.url }),
    applyToHTTPSOptions: async (options: { ca?: unknown }) => {
      options.ca = ca;
    },
  };
  const moments: ((sink: RecordingSink) => Promise<void>)[] = [
    async () => undefined,
    (sink) => sink.until(() => sink.has('listing Service'), 'listing'),
    () => server.until(() => server.connections > 0, 'connected'),
    (sink) => sink.until(() => sink.has('watching Service'), 'watching'),
    async (sink) => {
      server.failNext(1000, 503);
      await sink.until(() => sink.has('backoff Service'), 'backoff');
    },
  ];
  for (const moment of moments) {
    const { sink, source } = sourceFor(auth);
    const abort = new AbortController();
    await source.start(sink, abort.signal);
    await moment(sink);
    await Promise.all([source.stop(), source.stop()]);
    const calls = sink.calls.length;
    server.failNoMore();
    server.put(service('late'));
    await server.until(() => server.connections === 0, 'no connection left');
    assert.equal(sink.calls.length, calls);
    abort.abort();
  }
});

test('in-cluster credentials come from files and are read again', { timeout: 30_000 }, async (t) => {
  const { serverKey: key, serverCert: cert } = certificates;
  const account = join(directory, 'serviceaccount');
  await assert.rejects(inClusterCredentials({ directory: account, host: '127.0.0.1' }), {
    code: 'ERR_KUBE_CONFIG',
    message: /serviceaccount.*automount/,
  });
  await mkdir(account);
  await writeFile(join(account, 'token'), 'one\n');
  await writeFile(join(account, 'ca.crt'), certificates.ca);
  const server = await FakeApiServer.start({ tls: { key, cert }, token: 'one' });
  t.after(() => server.close());
  let nowMs = 0;
  const clock = { nowMs: () => nowMs, after: () => () => undefined };
  const credentials = await inClusterCredentials({
    directory: account,
    host: '127.0.0.1',
    port: server.url.split(':')[2] ?? '',
    clock,
  });
  const transport = new HttpTransport(credentials);
  t.after(() => transport.close());
  const status = async (): Promise<number> => {
    const response = await transport.get('/api/v1/services?resourceVersion=0', new AbortController().signal);
    for await (const _ of response.body);
    return response.status;
  };
  assert.equal(await status(), 200);
  server.token = 'two';
  await writeFile(join(account, 'token'), 'two\n');
  assert.equal(await status(), 401, 'not read for each request');
  nowMs = 60_000;
  assert.equal(await status(), 200, 'read again after a minute');
  server.token = 'three';
  await writeFile(join(account, 'token'), 'three');
  await transport.refresh();
  assert.equal(await status(), 200, 'read again when refused');
  await writeFile(join(account, 'ca.crt'), `\n${certificates.ca}`);
  await transport.refresh();
  assert.equal(await status(), 200);
  // Shorter than the five seconds after which the idle connection would end by itself.
  await server.until(() => server.connections === 1, 'a new certificate authority ends the old connection', 3000);
  await rm(join(account, 'token'));
  await transport.refresh();
  assert.equal(await status(), 200, 'the last token is kept while the file is away');
  await transport.close();
  await server.until(() => server.connections === 0, 'no connection left');
});

test('what can never work is said at the start, naming path and remedy', { timeout: 30_000 }, async () => {
  const missing = join(directory, 'no-such-config');
  const start = (kubeConfig: KubeConfigOption): Promise<void> => {
    const { source, sink } = sourceFor(kubeConfig);
    return source.start(sink, new AbortController().signal);
  };
  await assert.rejects(start(missing), { code: 'ERR_KUBE_CONFIG', message: /no-such-config.*ENOENT.*give the path/ });
  const broken = join(directory, 'broken-config');
  await writeFile(broken, 'a: [b');
  await assert.rejects(start(broken), { code: 'ERR_KUBE_CONFIG', message: /broken-config/ });
  const empty = join(directory, 'empty-config');
  await writeFile(empty, 'apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n');
  await assert.rejects(start(empty), { code: 'ERR_KUBE_CONFIG', message: /empty-config.*current-context/ });
  const odd = { getCurrentCluster: () => ({ server: 'ftp://x' }), applyToHTTPSOptions: async () => undefined };
  await assert.rejects(start(odd), { code: 'ERR_KUBE_CONFIG', message: /"ftp:\/\/x"/ });
  assert.throws(() => new ApiSource({ nodeName: '' }), { code: 'ERR_INVALID_ARGUMENT', field: 'nodeName' });
  assert.throws(() => new ApiSource({ nodeName: 'n1', serviceProxyName: 'a,b' }), { code: 'ERR_INVALID_ARGUMENT' });
});
