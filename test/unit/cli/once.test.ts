import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { once } from '../../../lib/cli/once.ts';
import { ProxierError } from '../../../lib/errors.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ServiceKey } from '../../../lib/types.ts';
import { ip } from '../../harness/records.ts';
import { FakeNode, webSource } from '../proxier/setup.ts';
import { MemoryTerminal } from './memory-terminal.ts';

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** By the node's clock. */
  readonly tookMs: number;
}

/** Time passes a second at a time, until it has ended; more than an hour is never. */
async function runOnce(node: FakeNode, timeoutMs = 10_000, source: ObjectSource = webSource()): Promise<Outcome> {
  const terminal = new MemoryTerminal();
  await using proxier = node.proxier(source);
  const { clock } = node;
  const startMs = clock.nowMs();
  const running = once(proxier, { timeoutMs, stopping: new AbortController().signal, clock }, terminal);
  let ended = false;
  const end = (): void => {
    ended = true;
  };
  running.then(end, end);
  for (let second = 0; second < 3600 && !ended; second += 1) await clock.advance(second === 0 ? 0 : 1000);
  assert.ok(ended, 'it never ended');
  const { stdout, stderr } = terminal;
  const tookMs = clock.nowMs() - startMs;
  // A pass that is still at work ends, so that the proxier need not wait for it.
  await clock.advance(600_000);
  return { code: await running, stdout, stderr, tookMs };
}

function key(address: string, port: number): ServiceKey {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new RangeError(address);
  return { protocol: 'tcp', address: parsed, port };
}

/** A node whose passes over the records take that long, and which refuses the destinations. */
function slowNode(passMs: number): FakeNode {
  const node = new FakeNode();
  node.kernel.failNext((operation) => operation.verb.endsWith('destination'), 'ENOMEM', 1e9);
  node.before = async (request) => {
    if (request.kind !== 'records') return;
    await new Promise<void>((resolve) => {
      node.clock.after(passMs, resolve);
    });
  };
  return node;
}

test('everything served is exit code 0, whatever else is there', async () => {
  const node = new FakeNode();
  const service = { key: key('172.31.1.1', 80), scheduler: 'wlc', flags: 0, timeoutSeconds: 0 };
  node.kernel.outside.apply({ verb: 'create-service', service });
  const { code, stdout, stderr } = await runOnce(node);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /1 foreign, 0 contested/);
});

test("a wanted virtual service that is somebody else's is exit code 3", async () => {
  const node = new FakeNode();
  const service = { key: key('10.96.0.10', 80), scheduler: 'wlc', flags: 0, timeoutSeconds: 0 };
  node.kernel.outside.apply({ verb: 'create-service', service });
  // One without destinations is nobody's.
  const destination = { address: ip('10.9.9.9'), port: 80, weight: 1, forward: 'masquerade' } as const;
  node.kernel.outside.apply({ verb: 'create-destination', key: service.key, destination });
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

test('what the kernel refuses to the end is retried until the time is up, and is exit code 3', async () => {
  const node = new FakeNode();
  node.kernel.failNext((operation) => operation.verb.endsWith('destination'), 'ENOMEM', 1e9);
  const { code, stdout, tookMs } = await runOnce(node);
  assert.equal(code, 3);
  assert.match(stdout, /failed: .*ENOMEM/);
  assert.equal(tookMs, 10_000);
  assert.ok(node.requests.filter(({ kind }) => kind === 'resync').length > 1);
});

test('a first pass that is slower than the time-out is awaited: what cannot be written is named', async () => {
  const { code, stdout, stderr, tookMs } = await runOnce(slowNode(55_000));
  assert.equal(code, 3);
  assert.equal(stderr, '');
  assert.match(stdout, /^failed: .*ENOMEM/m);
  assert.equal(tookMs, 55_000);
});

test('as long again as the time-out, but not for ever', async () => {
  const patient = await runOnce(slowNode(150_000), 80_000);
  assert.match(patient.stdout, /^failed: .*ENOMEM/m);
  const { code, stdout, stderr, tookMs } = await runOnce(slowNode(300_000));
  assert.equal(code, 3);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^error: not complete within 10000 ms: .*waiting for the first complete pass.*\(ERR_TIMEOUT\)\n$/,
  );
  assert.equal(tookMs, 70_000);
});

test('a pass that fails after the time-out is not awaited again', async () => {
  const node = new FakeNode();
  node.before = async (request) => {
    if (request.kind !== 'records') return;
    await new Promise<void>((resolve) => {
      node.clock.after(15_000, resolve);
    });
    throw new ProxierError('ERR_WORKER', 'the worker died');
  };
  const { code, stderr, tookMs } = await runOnce(node);
  assert.equal(code, 3);
  assert.match(stderr, /the worker died \(ERR_WORKER\) \(ERR_TIMEOUT\)/);
  assert.equal(tookMs, 15_000);
});

test('a source that does not sync is waited for no longer than the time-out', async () => {
  const { code, stdout, stderr, tookMs } = await runOnce(new FakeNode(), 10_000, new ObjectSource());
  assert.equal(code, 3);
  assert.equal(stdout, '');
  assert.match(stderr, /^error: not complete within 10000 ms: .*waiting for the first list of/);
  assert.equal(tookMs, 10_000);
});
