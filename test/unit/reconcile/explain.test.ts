/** What `explain` takes a key for, and what it says. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { nearestKeys, parseExplainKey } from '../../../lib/reconcile/explain-key.ts';
import { ip, service, slice, World } from './world.ts';

describe('keys', () => {
  test('by their form', () => {
    const forms: readonly (readonly [key: string, kind: string, services?: readonly string[]])[] = [
      ['ns1/web', 'Service'],
      [' ns1/web ', 'Service'],
      ['IPv4 ns1/web:p/tcp', 'service port'],
      ['ns1/web:p', 'service port'],
      ['ns1/web:', 'service port'],
      ['tcp 10.96.0.10:80', 'virtual service', ['tcp 10.96.0.10:80']],
      ['TCP  10.96.0.10:80', 'virtual service', ['tcp 10.96.0.10:80']],
      ['udp [fd00::0:10]:53', 'virtual service', ['udp [fd00::10]:53']],
      ['10.96.0.10:80', 'virtual service', ['tcp 10.96.0.10:80', 'udp 10.96.0.10:80', 'sctp 10.96.0.10:80']],
      ['10.96.0.10', 'address'],
      ['fd00::10', 'address'],
      ['[fd00::10]', 'address'],
      ['fd00::10:80', 'address'],
      ['web', 'unknown'],
      ['10.96.0.10:99999', 'unknown'],
      ['icmp 10.96.0.10:80', 'unknown'],
      ['a/b/c', 'unknown'],
      ['', 'unknown'],
    ];
    for (const [text, kind, services] of forms) {
      const key = parseExplainKey(text);
      assert.equal(key.kind, kind, text);
      if (key.kind === 'virtual service') assert.deepEqual(key.services, services, text);
    }
  });

  test('a service port may be asked for without its family and its protocol', () => {
    const matches = (text: string, port: string): boolean => {
      const key = parseExplainKey(text);
      return key.kind === 'service port' && key.matches(port);
    };
    for (const text of ['IPv4 ns1/web:p/tcp', 'ipv4 ns1/web:p', 'ns1/web:p', 'ns1/web:p/tcp']) {
      assert.ok(matches(text, 'IPv4 ns1/web:p/tcp'), text);
    }
    assert.ok(!matches('ns1/web:p', 'IPv4 ns1/web:p2/tcp'));
    assert.ok(!matches('IPv6 ns1/web:p', 'IPv4 ns1/web:p/tcp'));
  });

  test('what was meant: a near word, and namesakes in other namespaces', () => {
    const known = ['ns1/web', 'prod/web', 'ns1/other'];
    assert.deepEqual(nearestKeys('ns1/wep', known), ['ns1/web']);
    assert.deepEqual(nearestKeys('nowhere-near/web', known), ['ns1/web', 'prod/web']);
    assert.deepEqual(nearestKeys('web', known), ['ns1/web', 'prod/web']);
    assert.deepEqual(nearestKeys('x/y', known), []);
  });
});

describe('answers', () => {
  const world = new World();
  before(async () => {
    await world.start();
    await world.say(
      service('ns1/web', '10.96.0.10', { nodePort: 30_080, body: { loadBalancerIPs: [ip('203.0.113.1')] } }),
      slice('ns1/web-1', 'ns1/web', ['10.244.1.5', '10.244.1.6']),
      service('ns1/other', '10.96.0.11'),
      slice('ns1/other-1', 'ns1/other', ['10.244.1.5']),
    );
  });

  test('a Service: its record, each port with its frontends and endpoints, each object, and what led to it', async () => {
    const { kind, state, services, history } = await world.explain('ns1/web');
    assert.deepEqual([kind, state, services.length], ['Service', 'applied', 1]);
    assert.deepEqual(services[0]?.record?.clusterIPs, ['10.96.0.10']);
    const port = services[0]?.ports[0];
    assert.deepEqual(port?.frontends.map(({ service: id }) => id).sort(), [
      'tcp 10.96.0.10:80',
      'tcp 192.168.1.10:30080',
      'tcp 203.0.113.1:80',
    ]);
    assert.equal(port?.endpoints.length, 2);
    assert.ok(port?.objects.every((object) => object.state === 'applied' && object.wanted === object.applied));
    assert.equal(port?.objects.filter(({ object }) => object.startsWith('destination ')).length, 6);
    assert.equal(new Set(port?.objects.map(({ object }) => object)).size, port?.objects.length, 'each once');
    const kinds = history.map((entry) => entry.kind);
    assert.deepEqual([...new Set(kinds)], ['record', 'operation', 'pass'], 'event, operations with answers, the pass');
    assert.ok(
      history.every(({ text }) => !text.includes('10.96.0.11')),
      'nothing of another Service',
    );
    assert.ok(
      kinds.filter((each) => each === 'operation').length >= port.objects.length,
      'an operation for each object',
    );
  });

  test('an EndpointSlice stands for its Service', async () => {
    assert.deepEqual(
      (await world.explain('ns1/web-1')).services.map(({ service: name }) => name),
      ['ns1/web'],
    );
  });

  test('a service port, a virtual service, a VIP, with and without a port, a node port: all lead to the service port', async () => {
    const keys = ['IPv4 ns1/web:p/tcp', 'tcp 203.0.113.1:80', '203.0.113.1:80', '203.0.113.1', '192.168.1.10:30080'];
    for (const key of keys) {
      const { services, state, others } = await world.explain(key);
      assert.deepEqual(
        services.flatMap(({ ports }) => ports.map(({ port }) => port)),
        ['IPv4 ns1/web:p/tcp'],
        key,
      );
      assert.deepEqual([state, others], ['applied', []], key);
    }
    const { history } = await world.explain('tcp 203.0.113.1:80');
    const operations = history.flatMap(({ object }) => object ?? []);
    assert.ok(operations.includes('service tcp 203.0.113.1:80'));
    assert.ok(!operations.includes('service tcp 10.96.0.10:80'), 'the history of what was asked for');
  });

  test('an endpoint: the ports that have it, and its own destinations alone', async () => {
    for (const key of ['10.244.1.5', '10.244.1.5:8080']) {
      const { services, history } = await world.explain(key);
      assert.deepEqual(
        services.map(({ service: name }) => name),
        ['ns1/web', 'ns1/other'],
        key,
      );
      const objects = services.flatMap(({ ports }) => ports.flatMap((port) => port.objects));
      const destinations = objects.filter(({ object }) => object.startsWith('destination '));
      assert.ok(destinations.length === 4 && destinations.every(({ object }) => object.endsWith(' 10.244.1.5:8080')));
      assert.deepEqual(
        services.flatMap(({ ports }) => ports.flatMap(({ endpoints }) => endpoints.map(({ address }) => address))),
        ['10.244.1.5', '10.244.1.5'],
      );
      assert.equal(history.filter(({ kind }) => kind === 'operation').length, 4);
    }
    assert.equal((await world.explain('10.244.1.5:9')).services.flatMap(({ ports }) => ports).length, 0);
  });

  test('what is not known is said, with what may have been meant', async () => {
    const cases: readonly (readonly [string, RegExp, readonly string[]])[] = [
      ['ns1/wep', /no record has a Service/, ['ns1/web']],
      ['tcp 10.96.0.12:80', /nobody wants such a virtual service/, ['tcp 10.96.0.10:80']],
      ['10.99.99.99', /no virtual service and no endpoint/, []],
      ['IPv4 ns1/web:q/tcp', /no Service that is served here has such a port/, ['IPv4 ns1/web:p/tcp']],
      ['web', /a key is a Service \(ns1\/svc1\)/, ['ns1/web']],
    ];
    for (const [key, message, nearest] of cases) {
      const answer = await world.explain(key);
      assert.equal(answer.kind, 'unknown', key);
      assert.match(answer.message ?? '', message);
      assert.deepEqual(answer.nearest, nearest, key);
    }
  });

  test('a Service that is gone is remembered: what became of what it had', async () => {
    const gone = new World();
    await gone.start();
    await gone.say(
      service('ns1/web', '10.96.0.10', { nodePort: 30_080 }),
      slice('ns1/web-1', 'ns1/web', ['10.244.1.5']),
    );
    gone.kernel.failNext(({ verb }) => verb === 'remove-address', 'EBUSY', 1);
    await gone.say(service('ns1/web', null), slice('ns1/web-1', 'ns1/web', null));
    await gone.pass(1000);
    const { state, message, services, history } = await gone.explain('ns1/web');
    assert.deepEqual([state, services[0]?.record], ['absent', undefined]);
    assert.match(message ?? '', /do not have the Service ns1\/web any more/);
    const texts = history.map(({ text }) => text);
    for (const what of [
      /^Service ns1\/web is gone/,
      /^EndpointSlice ns1\/web-1 is gone/,
      /^ip addr del 10\.96\.0\.10.*refused, EBUSY/,
      /^ip addr del 10\.96\.0\.10.*done$/,
      /^ipvsadm -D -t 192\.168\.1\.10:30080: done/,
    ]) {
      assert.ok(
        texts.some((text) => what.test(text)),
        String(what),
      );
    }
    const at = history.map((entry) => entry.at.getTime());
    assert.deepEqual(
      at,
      [...at].sort((a, b) => a - b),
      'oldest first',
    );
    const tried = history.filter(({ text }) => text.startsWith('ip addr del'));
    assert.deepEqual(
      tried.map(({ outcome, errno }) => [outcome, errno]),
      [
        ['failed', 'EBUSY'],
        ['applied', undefined],
      ],
    );
  });

  test('a VIP that somebody unbound: the drift is in its history, and what mended it', async () => {
    const drifted = new World();
    await drifted.start();
    await drifted.say(service('ns1/web', '10.96.0.10'), slice('ns1/web-1', 'ns1/web', ['10.244.1.5']));
    drifted.kernel.outside.apply({
      verb: 'remove-address',
      link: 'kube-ipvs0',
      address: ip('10.96.0.10'),
      prefixLength: 32,
    });
    await drifted.pass(2000);
    const kinds = (await drifted.explain('10.96.0.10')).history.map(({ kind, text }) => `${kind} ${text}`);
    const drift = kinds.findIndex((text) => text.startsWith('drift address 10.96.0.10'));
    assert.ok(drift > 0);
    assert.match(kinds[drift + 1] ?? '', /^operation ip addr add 10\.96\.0\.10\/32/);
  });

  test('asking changes nothing: neither the kernel nor when the reconciler wants to be called', async () => {
    const { length } = world.kernel.log;
    const reply = await world.send({ kind: 'status', nowMs: world.nowMs, date: new Date(0), limit: 10 });
    assert.deepEqual(Object.keys(reply).sort(), ['events', 'revision', 'status']);
    assert.equal(world.kernel.log.length, length);
  });

  test('an answer is bounded, however large the Service', async () => {
    const large = new World();
    await large.start();
    const addresses = Array.from({ length: 1500 }, (_, index) => `10.245.${index >> 8}.${index & 255}`);
    await large.say(service('ns1/big', '10.96.0.10'), slice('ns1/big-1', 'ns1/big', addresses));
    const port = (await large.explain('ns1/big')).services[0]?.ports[0];
    assert.deepEqual([port?.objects.length, port?.omitted, port?.endpoints.length], [200, 1304, 1000]);
  });
});
