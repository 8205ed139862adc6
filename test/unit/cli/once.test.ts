import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { once } from '../../../lib/cli/once.ts';
import type { ServiceKey } from '../../../lib/types.ts';
import { FakeNode, webSource } from '../proxier/setup.ts';
import { MemoryTerminal } from './memory-terminal.ts';

async function runOnce(node: FakeNode): Promise<{ code: number; stdout: string }> {
  const terminal = new MemoryTerminal();
  await using proxier = node.proxier(webSource());
  const code = await once(proxier, 20, new AbortController().signal, terminal);
  assert.equal(terminal.stderr, '');
  return { code, stdout: terminal.stdout };
}

function key(address: string, port: number): ServiceKey {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new RangeError(address);
  return { protocol: 'tcp', address: parsed, port };
}

test('everything served is exit code 0, whatever else is there', async () => {
  const node = new FakeNode();
  const service = { key: key('172.31.1.1', 80), scheduler: 'wlc', flags: 0, timeoutSeconds: 0 };
  node.kernel.outside.apply({ verb: 'create-service', service });
  const { code, stdout } = await runOnce(node);
  assert.equal(code, 0);
  assert.match(stdout, /1 foreign, 0 contested/);
});

test("a wanted virtual service that is somebody else's is exit code 3", async () => {
  const node = new FakeNode();
  const service = { key: key('10.96.0.10', 80), scheduler: 'wlc', flags: 0, timeoutSeconds: 0 };
  node.kernel.outside.apply({ verb: 'create-service', service });
  const { code, stdout } = await runOnce(node);
  assert.match(stdout, /1 contested/);
  assert.equal(code, 3);
});

test('a set of another type that rules hold on to is exit code 3', async () => {
  const node = new FakeNode();
  const set = { name: 'KUBE-CLUSTER-IP', type: 'hash:net', family: 'IPv4' } as const;
  node.kernel.outside.apply({ verb: 'create-set', set });
  const made = node.kernel.outside.sets.get(set.name);
  assert.ok(made !== undefined);
  made.references = 1;
  const { code, stdout } = await runOnce(node);
  assert.match(stdout, /\nfailed: set KUBE-CLUSTER-IP: the set is hash:net/);
  assert.equal(code, 3);
});

test('what the kernel refuses to the end is exit code 3', async () => {
  const node = new FakeNode();
  node.kernel.failNext((operation) => operation.verb.endsWith('destination'), 'ENOMEM', 1e9);
  const { code, stdout } = await runOnce(node);
  assert.equal(code, 3);
  assert.match(stdout, /failed: .*ENOMEM/);
});
