import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SysctlOptions, wantedSysctls } from '../../../lib/plan/sysctls.ts';
import { fixtureDump } from '../../harness/kube-proxy-dump.ts';

const defaults = { kernelRelease: '6.1.176', strictARP: false, cores: 4 };

test('conn_reuse_mode is set from 4.1 up to 5.9, where the kernel does right by itself', () => {
  const isSet = (release: string): boolean =>
    wantedSysctls({ ...defaults, kernelRelease: release }).some(({ key }) => key.endsWith('conn_reuse_mode'));
  for (const release of ['4.1.0', '4.19.0-27-amd64', '5.8.18', '5.4.0-1-generic']) assert.ok(isSet(release), release);
  for (const release of ['5.9.0', '5.15.0', '6.1.176', '6.18.0-rc1', '10.0', '4.0.9', '3.10.0-1160', '']) {
    assert.ok(!isSet(release), release);
  }
});

test('what is set is what kube-proxy set', () => {
  const { sysctls } = fixtureDump('01-clusterip-tcp');
  for (const { key, value } of wantedSysctls(defaults)) assert.equal(sysctls.get(key.replaceAll('/', '.')), value, key);
});

test('strictARP and conntrack tuning add their own, and a 0 or false adds nothing (behaviour.md 5.2, 5.4)', () => {
  const added = (options: Partial<SysctlOptions>): string[] =>
    wantedSysctls({ ...defaults, ...options })
      .slice(wantedSysctls(defaults).length)
      .map(
        ({ key, value, atLeast }) => `${key.slice(key.lastIndexOf('/') + 1)}${atLeast === true ? '>=' : '='}${value}`,
      );
  assert.deepEqual(added({ strictARP: true }), ['arp_ignore=1', 'arp_announce=2']);
  const size = (max: number): string[] => [`nf_conntrack_max=${max}`, `nf_conntrack_buckets>=${max / 4}`];
  assert.deepEqual(added({ conntrack: { maxPerCore: 32_768, min: 65_536 } }), size(131_072));
  assert.deepEqual(added({ conntrack: { maxPerCore: 32_768, min: 524_288 } }), size(524_288));
  assert.deepEqual(
    added({ conntrack: { maxPerCore: 0, min: 131_072, tcpBeLiberal: false, udpTimeoutSeconds: 0 } }),
    [],
  );
  const times = { tcpEstablishedTimeoutSeconds: 86_400, tcpCloseWaitTimeoutSeconds: 3600 };
  assert.deepEqual(added({ conntrack: { ...times, tcpBeLiberal: true, udpStreamTimeoutSeconds: 60 } }), [
    'nf_conntrack_tcp_timeout_established=86400',
    'nf_conntrack_tcp_timeout_close_wait=3600',
    'nf_conntrack_tcp_be_liberal=1',
    'nf_conntrack_udp_timeout_stream=60',
  ]);
});
