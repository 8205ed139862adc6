import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setIdOf, setIds, setName, setSpecs } from '../../../lib/plan/sets.ts';

test('seventeen sets per family, names within the kernel limit, all different, two of them cut', () => {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const specs = setSpecs(family);
    assert.equal(specs.length, 17);
    assert.equal(new Set(specs.map(({ name }) => name)).size, 17);
    for (const { name, type, hashSize, maxElements } of specs) {
      assert.ok(name.length <= 31, name);
      assert.deepEqual([hashSize, maxElements], type === 'bitmap:port' ? [undefined, undefined] : [1024, 65536]);
    }
  }
  const cut = setIds.filter((id) => setName(id, 'IPv6') !== `KUBE-6-${id}`);
  assert.deepEqual(
    cut.map((id) => setName(id, 'IPv6')),
    ['KUBE-6-LOAD-BALANCER-SOURCE-CID', 'KUBE-6-NODE-PORT-LOCAL-SCTP-HAS'],
  );
  assert.deepEqual(setIdOf('KUBE-6-LOAD-BALANCER-SOURCE-CID'), { id: 'LOAD-BALANCER-SOURCE-CIDR', family: 'IPv6' });
  assert.equal(setIdOf('KUBE-6'), undefined);
});
