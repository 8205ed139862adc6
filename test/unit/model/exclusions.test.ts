import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Model } from '../../../lib/model/model.ts';
import { EndpointBit } from '../../../lib/records.ts';
import { ip, node, service, slice } from '../../harness/records.ts';

const { ready, serving, terminating, local } = EndpointBit;
const port = {
  id: 'IPv4 ns1/svc1:p80/tcp',
  family: 'IPv4',
  service: 'ns1/svc1',
  portName: 'p80',
  protocol: 'tcp',
} as const;
const here = ip('10.244.1.5');
const there = ip('10.244.2.7');

function modelOf(endpoints: Parameters<typeof slice>[0]): Model {
  const model = new Model({ families: ['IPv4'], nodeName: 'n1' });
  model.apply(service());
  model.apply(slice(endpoints));
  model.takeDirty();
  return model;
}

function lists(model: Model): { cluster: string[]; local: string[]; serving: string[]; everyLocal: string[] } {
  const found = model.servicePort(port)?.endpoints;
  const addresses = (of: readonly { readonly address: string }[] = []): string[] => of.map(({ address }) => address);
  return {
    cluster: addresses(found?.cluster),
    local: addresses(found?.local),
    serving: addresses(found?.serving),
    everyLocal: addresses(found?.everyLocal),
  };
}

test('an excluded endpoint counts for nothing, though it is all there is; its loop-back entry stays', () => {
  const model = modelOf([{ address: here, conditions: ready | serving | local }]);
  model.exclude([{ address: here, port: 8080 }]);
  assert.deepEqual(
    model.takeDirty().map(({ id }) => id),
    [port.id],
  );
  assert.deepEqual(lists(model), { cluster: [], local: [], serving: [], everyLocal: [here] });
  model.exclude([{ address: here, port: 8081 }]);
  assert.deepEqual(lists(model).cluster, [here], 'another port');
});

test('what is decided by who is ready goes by the others: the fallback to those that terminate', () => {
  const model = modelOf([
    { address: here, conditions: ready | serving },
    { address: there, conditions: serving | terminating },
  ]);
  assert.deepEqual(lists(model).cluster, [here]);
  model.exclude([{ address: here }]);
  assert.deepEqual(lists(model).cluster, [there]);
  model.exclude([]);
  assert.deepEqual(lists(model).cluster, [here]);
  assert.equal(model.takeDirty().length, 1);
});

test('hints bind among the others', () => {
  const zoned = (address: string, ...zones: string[]) => ({ address, conditions: ready | serving, zones });
  const model = modelOf([zoned(here), zoned(there, 'za'), zoned('10.244.3.3', 'zb')]);
  model.apply(node({ zone: 'za' }));
  assert.equal(lists(model).cluster.length, 3);
  model.exclude([{ address: here }]);
  assert.deepEqual(lists(model).cluster, [there]);
});

test('one that no slice lists is told once; an event elsewhere looks for nobody', () => {
  const model = modelOf([{ address: here, conditions: ready | serving }]);
  model.exclude([{ address: here }, { address: there, port: 1 }]);
  assert.deepEqual(model.takeUnlisted(), [{ address: there, port: 1 }]);
  model.exclude([{ address: here }]);
  assert.deepEqual(model.takeUnlisted(), []);
  model.apply(slice([{ address: there, conditions: ready }], { key: 'ns1/other' }));
  assert.deepEqual(model.takeUnlisted(), []);
  model.apply(slice([]));
  assert.deepEqual(model.takeUnlisted(), [{ address: here }]);
  assert.deepEqual(model.takeUnlisted(), []);
});
