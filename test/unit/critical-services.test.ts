import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCritical } from '../../lib/critical-services.ts';

test('the API server and cluster DNS are critical, whatever DNS is called; nothing that only resembles them is', () => {
  assert.equal(isCritical('default/kubernetes', []), true);
  assert.equal(isCritical('kube-system/rke2-coredns-rke2-coredns', [{ port: 9153 }, { port: 53 }]), true);
  assert.equal(isCritical('kube-system/metrics-server', [{ port: 443 }]), false);
  assert.equal(isCritical('kube-system-2/kube-dns', [{ port: 53 }]), false);
  assert.equal(isCritical('ns1/kubernetes', [{ port: 443 }]), false);
});
