import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wantedSysctls } from '../../../lib/plan/sysctls.ts';
import { fixtureDump } from '../../harness/kube-proxy-dump.ts';

test('conn_reuse_mode is set from 4.1 up to 5.9, where the kernel does right by itself', () => {
  const isSet = (release: string): boolean => wantedSysctls(release).some(({ key }) => key.endsWith('conn_reuse_mode'));
  for (const release of ['4.1.0', '4.19.0-27-amd64', '5.8.18', '5.4.0-1-generic']) assert.ok(isSet(release), release);
  for (const release of ['5.9.0', '5.15.0', '6.1.176', '6.18.0-rc1', '10.0', '4.0.9', '3.10.0-1160', '']) {
    assert.ok(!isSet(release), release);
  }
});

test('what is set is what kube-proxy set', () => {
  const { sysctls } = fixtureDump('01-clusterip-tcp');
  for (const { key, value } of wantedSysctls('6.1.176'))
    assert.equal(sysctls.get(key.replaceAll('/', '.')), value, key);
});
