/** The real iptables tools, both backends, on the host kernel in a private network namespace. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

test('the backend that holds KUBE chains is used, two holders are refused, a bad line is named, ours are removed from both', () => {
  const child = join(import.meta.dirname, 'iptables-child.js');
  const seen = JSON.parse(execFileSync('unshare', ['-n', process.execPath, child], { encoding: 'utf8' }));

  assert.match(seen.fresh, /^(nft|legacy)$/);
  assert.equal(seen.traces, 0, 'the probe left its chain behind');
  assert.equal(seen.broken.code, 'ERR_IPTABLES');
  assert.match(seen.broken.message, /iptables-nft-restore failed with status \d+: .*NO-SUCH-CHAIN/s);
  assert.equal(seen.afterBroken, false, 'a table whose restore fails stays as it was');
  assert.match(seen.savedV6, /^-A KUBE-SERVICES -s ::1\/128 -j RETURN$/m);
  assert.equal(seen.heldByLegacy, 'legacy');
  assert.equal(seen.wrongBackend.code, 'ERR_IPTABLES_CONFLICT');
  assert.equal(seen.both.code, 'ERR_IPTABLES_CONFLICT');
  assert.match(seen.both.message, /remove the KUBE chains of the other/);
  assert.equal(seen.heldByNft, 'nft');
  assert.deepEqual(seen.problems, []);
  const left = [
    ...['KUBE-FIREWALL', '-A OUTPUT -j KUBE-FIREWALL', 'KUBE-MARK-MASQ', '-A CNI-HOSTPORT -j KUBE-MARK-MASQ'],
    'KUBE-KUBELET-CANARY',
  ];
  for (const { backend, again, kept, left: chains } of seen.removed) {
    assert.deepEqual({ again, kept }, { again: false, kept: ['nat KUBE-MARK-MASQ is used by CNI-HOSTPORT'] }, backend);
    const expected = left.filter((line) => backend === 'nft' || line !== 'KUBE-KUBELET-CANARY');
    assert.deepEqual(chains.sort(), expected.sort(), backend);
  }
  assert.deepEqual(
    seen.removed.map(({ backend }: { backend: string }) => backend),
    ['legacy', 'nft'],
  );
});

test('our rules, of every way to tell local traffic, are saved by both backends as they were written', () => {
  const child = join(import.meta.dirname, 'rules-child.js');
  const { failures, seen } = JSON.parse(execFileSync('unshare', ['-n', process.execPath, child], { encoding: 'utf8' }));
  assert.deepEqual(failures, []);
  assert.equal(seen.length, 16);
  for (const { backend, family, written, again } of seen) {
    assert.equal(written, true, `${backend} ${family}`);
    assert.equal(again, undefined, `${backend} ${family}: saved otherwise than written`);
  }
});
