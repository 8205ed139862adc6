/** `run --init-only`: the privileged settings are made, named, and found right by who comes later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initializeHost } from '../../../lib/reconcile/initialize-host.ts';
import { FakeKernel, FakeSysctls } from '../../../lib/testing/index.ts';
import { defaultInit } from '../../harness/default-init.ts';

const init = { ...defaultInit, strictARP: true, ipvsTimeouts: { tcpSeconds: 0, tcpFinSeconds: 30, udpSeconds: 0 } };

test('sets what is wrong and says so; nothing is left for the second time', () => {
  const kernel = new FakeKernel();
  const effects = { openSession: () => kernel.session(), sysctls: new FakeSysctls(), cores: 2 };
  const { written, failures } = initializeHost(init, effects);
  assert.deepEqual(failures, []);
  assert.deepEqual(written, [
    'sysctl -w net.ipv4.vs.conntrack=1',
    'sysctl -w net.ipv4.vs.expire_nodest_conn=1',
    'sysctl -w net.ipv4.vs.expire_quiescent_template=1',
    'sysctl -w net.ipv4.ip_forward=1',
    'sysctl -w net.ipv4.conf.all.arp_ignore=1',
    'sysctl -w net.ipv4.conf.all.arp_announce=2',
    'ipvsadm --set 0 30 0',
  ]);
  assert.equal(kernel.outside.timeouts.tcpFinSeconds, 30);
  for (const key of effects.sysctls.values.keys()) effects.sysctls.readOnly.add(key);
  assert.deepEqual(initializeHost(init, effects).failures, [], 'who may write nothing has nothing to write');
});

test('what cannot be set is named, and the rest is set', () => {
  const sysctls = new FakeSysctls();
  sysctls.readOnly.add('net/ipv4/vs/conntrack');
  const kernel = new FakeKernel();
  const { written, failures } = initializeHost(init, { openSession: () => kernel.session(), sysctls, cores: 2 });
  assert.deepEqual(
    failures.map(({ object }) => object),
    ['sysctl net/ipv4/vs/conntrack'],
  );
  assert.equal(written.length, 6);
});

test('a kernel without IPVS is an error, and its session is closed', () => {
  const kernel = new FakeKernel({ ipvs: false });
  const effects = { openSession: () => kernel.session(), sysctls: new FakeSysctls(), cores: 1 };
  assert.throws(() => initializeHost(init, effects), { code: 'ERR_KERNEL_UNSUPPORTED' });
});
