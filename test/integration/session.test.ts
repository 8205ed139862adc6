/** The session on the host's kernel, which here has ip_set and no ip_vs: an absent family is an answer, never a wait. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const child = join(import.meta.dirname, 'session-child.js');
const rootless = process.getuid?.() !== 0;
const run = (program: string, args: readonly string[]) =>
  JSON.parse(execFileSync(program, [...args, process.execPath, child], { encoding: 'utf8' }));

const hasIpvs = (() => {
  try {
    return readFileSync('/proc/net/ip_vs', 'utf8') !== '';
  } catch {
    return false;
  }
})();

test('a kernel without IPVS says so at once, and everything else works', {
  skip: hasIpvs ? 'this kernel has ip_vs' : rootless ? 'needs root, for a network namespace' : false,
}, () => {
  const said = run('unshare', ['-n']);
  const remedy = /modprobe ip_vs/;
  assert.equal(said.services.code, 'ERR_KERNEL_UNSUPPORTED');
  assert.match(said.services.message, remedy);
  assert.equal(said.destinations.code, 'ERR_KERNEL_UNSUPPORTED');
  assert.deepEqual(
    said.failures.map(({ index }: { readonly index: number }) => index),
    [0, 3],
  );
  for (const { reason } of said.failures) assert.match(reason, remedy);
  assert.deepEqual(said.entries, ['10.96.0.10,tcp:80']);
  assert.ok(said.addresses.some(({ address }: { readonly address: string }) => address === '10.96.0.10'));
  assert.equal(said.waited, false);
});

test('without privileges every operation names the capability', {
  skip: rootless ? 'needs root, to give it up' : false,
}, () => {
  const said = run('setpriv', ['--bounding-set=-all', '--inh-caps=-all']);
  assert.ok(said.failures.length >= 4);
  for (const { index, errnoName, reason } of said.failures) {
    if (!hasIpvs && (index === 0 || index === 3)) continue;
    assert.equal(errnoName, 'EPERM');
    assert.match(reason, /CAP_NET_ADMIN/);
  }
  assert.equal(said.entries.code, 'ERR_PERMISSION');
  assert.match(said.entries.message, /CAP_NET_ADMIN/);
  assert.equal(said.waited, false);
});
