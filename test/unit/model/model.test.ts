import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Model } from '../../../lib/model/model.ts';
import { EndpointBit, type ObjectRecord } from '../../../lib/records.ts';
import { e1, e2, ip, node, nodeAddresses, ready, service, servicePort, slice } from '../../harness/records.ts';

function modelOf(...records: readonly ObjectRecord[]): Model {
  const model = new Model({ families: ['IPv4', 'IPv6'], nodeName: 'n1' });
  for (const record of records) model.apply(record);
  return model;
}

function dirtyIds(model: Model): string[] {
  return model
    .takeDirty()
    .map(({ id }) => id)
    .sort();
}

const p80 = {
  id: 'IPv4 ns1/svc1:p80/tcp',
  family: 'IPv4',
  service: 'ns1/svc1',
  portName: 'p80',
  protocol: 'tcp',
} as const;

test('an event touches the service ports it speaks of', () => {
  const ports = [servicePort('p80', 80), servicePort('dns', 53, 'udp')];
  const body = { ports, clusterIPs: [ip('10.96.0.10'), ip('fd00:96::10')] };
  const model = modelOf(service(body), service({}, 'ns1/other'));
  assert.equal(model.takeDirty().length, 5);
  assert.deepEqual(dirtyIds(model), []);
  model.apply(slice([e1]));
  assert.deepEqual(dirtyIds(model), ['IPv4 ns1/svc1:p80/tcp'], 'the port and the family of the slice');
  model.apply(slice([e1], { key: 'ns1/svc1-x', service: 'ns1/unknown' }));
  assert.deepEqual(dirtyIds(model), []);
  model.apply(service({ ...body, ports: [servicePort('dns', 53, 'udp')] }));
  assert.ok(dirtyIds(model).includes('IPv4 ns1/svc1:p80/tcp'), 'a port that is gone is touched, too');
  assert.equal(model.servicePort(p80), undefined);
});

test('a slice that moves to another Service leaves the old one', () => {
  const model = modelOf(service(), service({}, 'ns1/svc2'), slice([e1]));
  model.takeDirty();
  model.apply(slice([e1], { service: 'ns1/svc2' }));
  assert.deepEqual(dirtyIds(model), ['IPv4 ns1/svc1:p80/tcp', 'IPv4 ns1/svc2:p80/tcp']);
  assert.equal(model.servicePort(p80)?.endpoints.cluster.length, 0);
  const moved = model.servicePort({ ...p80, service: 'ns1/svc2', id: 'IPv4 ns1/svc2:p80/tcp' });
  assert.equal(moved?.endpoints.cluster.length, 1);
});

test('a snapshot drops what it does not say, and nothing before its end', () => {
  const model = modelOf(service(), service({}, 'ns1/gone'), slice([e1]), slice([e2], { key: 'ns1/svc1-b' }), node());
  model.takeDirty();
  model.beginSnapshot();
  model.apply(service());
  model.apply(slice([e1]));
  assert.equal(model.servicePort(p80)?.endpoints.cluster.length, 2);
  model.takeDirty();
  model.endSnapshot();
  assert.deepEqual(dirtyIds(model), ['IPv4 ns1/gone:p80/tcp', 'IPv4 ns1/svc1:p80/tcp']);
  assert.equal(model.servicePort(p80)?.endpoints.cluster.length, 1);
  assert.equal(model.self, undefined);
});

test('two sources that say the same key: the lowest name counts in either order, with a warning, and the other takes over', () => {
  const a = service({ affinitySeconds: 1 }, 'ns1/svc1', 'a');
  const b = service({ affinitySeconds: 2 }, 'ns1/svc1', 'b');
  for (const records of [
    [a, b],
    [b, a],
  ]) {
    const model = modelOf(...records);
    assert.equal(model.servicePort(p80)?.body.affinitySeconds, 1);
    const warnings = model.takeWarnings();
    assert.deepEqual(
      warnings.map(({ object }) => object),
      ['service ns1/svc1'],
    );
    assert.match(warnings[0]?.message ?? '', /a and b both say it; the one of a counts/);
    model.apply({ ...a, body: null });
    assert.equal(model.servicePort(p80)?.body.affinitySeconds, 2);
  }
});

test('sources that say the same key are named again when they do so again, be it a snapshot that parted them', () => {
  const rivals = [service({}, 'ns1/svc1', 'a'), service({}, 'ns1/svc1', 'b')];
  const model = modelOf(...rivals);
  assert.equal(model.takeWarnings().length, 1);
  for (const record of rivals) model.apply(record);
  assert.equal(model.takeWarnings().length, 0);
  model.beginSnapshot();
  model.apply(service({}, 'ns1/svc1', 'a'));
  model.endSnapshot();
  model.apply(service({}, 'ns1/svc1', 'b'));
  assert.equal(model.takeWarnings().length, 1);
});

test('the same address and port twice: not terminating, then ready, then serving; then the first slice by name', () => {
  const winner = (first: number, second: number): number | undefined => {
    const slices = [
      slice([{ ...e1, conditions: first }], { key: 'ns1/b' }),
      slice([{ ...e1, conditions: second }], { key: 'ns1/a' }),
    ];
    const endpoints = modelOf(service(), ...slices).servicePort(p80)?.endpoints.everyLocal ?? [];
    assert.equal(endpoints.length, 1);
    return (endpoints[0]?.conditions ?? 0) & ~EndpointBit.local;
  };
  const { serving, terminating } = EndpointBit;
  const falling = [ready, serving, 0, ready | terminating, serving | terminating, terminating];
  for (const [index, better] of falling.entries()) {
    for (const worse of falling.slice(index)) {
      assert.equal(winner(better, worse), better);
      assert.equal(winner(worse, better), better);
    }
  }
  const hinted = (key: string, zone: string) => slice([{ ...e1, zones: [zone] }], { key });
  const equal = modelOf(service(), hinted('ns1/b', 'zb'), hinted('ns1/a', 'za')).servicePort(p80);
  assert.deepEqual(equal?.endpoints.everyLocal[0]?.zoneHints, ['za']);
});

test('node addresses of several records are one list, sorted, by family', () => {
  const model = modelOf(nodeAddresses('192.168.1.10', 'fd00::1', '10.0.0.1'));
  assert.deepEqual([...model.nodeAddresses('IPv4')], ['10.0.0.1', '192.168.1.10']);
  assert.deepEqual([...model.nodeAddresses('IPv6')], ['fd00::1']);
});

test('only the record of this node says where it is', () => {
  const model = modelOf(node(), node({ self: false, zone: 'z9' }, 'n2'));
  assert.equal(model.self?.zone, 'z1');
  model.apply(node(null));
  assert.equal(model.self, undefined);
});

test("a change of addresses touches the Services that have them: this node's interfaces, other Nodes, VIPs of all kinds", () => {
  const ext = service({ externalIPs: [ip('203.0.113.5'), ip('fd00::5')] }, 'ns1/ext');
  const lb = service({ loadBalancerIPs: [ip('203.0.113.6')], clusterIPs: [ip('10.96.0.11')] }, 'ns1/lb');
  const model = modelOf(service(), ext, lb, nodeAddresses('192.168.1.10'));
  const touched = (...records: ObjectRecord[]): string[] => {
    for (const record of records) model.apply(record);
    return dirtyIds(model).map((id) => id.slice(5).replace(/:.*/, ''));
  };
  model.takeDirty();
  assert.deepEqual(touched(nodeAddresses('192.168.1.10', '203.0.113.5')), ['ns1/ext']);
  assert.deepEqual(touched(nodeAddresses('192.168.1.10')), ['ns1/ext']);
  assert.deepEqual(touched(nodeAddresses('192.168.1.10', '10.96.0.11')), ['ns1/lb']);
  const other = (...addresses: string[]): ObjectRecord => node({ self: false, addresses: addresses.map(ip) }, 'n2');
  assert.deepEqual(touched(other('203.0.113.6', '192.168.1.20')), ['ns1/lb']);
  assert.equal(model.otherNodeWith(ip('203.0.113.6')), 'n2');
  assert.deepEqual(touched(other('192.168.1.20', '203.0.113.6')), [], 'the same addresses');
  assert.deepEqual(touched(node({ self: false, addresses: [ip('203.0.113.6')] }, 'n0')), ['ns1/lb']);
  assert.equal(model.otherNodeWith(ip('203.0.113.6')), 'n0', 'the lowest name');
  model.apply(node(null, 'n0'));
  assert.deepEqual(touched(other('203.0.113.5')), ['ns1/ext', 'ns1/lb']);
  assert.deepEqual(touched(node({ addresses: [ip('203.0.113.5')] })), [], "this node's own are no other's");
  assert.equal(model.otherNodeWith(ip('203.0.113.6')), undefined);
  assert.deepEqual(touched({ ...ext, body: null }, node(null, 'n2')), ['ns1/ext'], 'once, for being gone');
});
