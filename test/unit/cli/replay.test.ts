import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCommandLine } from '../../../lib/cli/program.ts';
import { FakeKernel, fakeProxier, SimulatedSource, simulateCluster } from '../../../lib/testing/index.ts';
import { MemoryTerminal } from './memory-terminal.ts';

async function replayed(...args: string[]): Promise<{ code: number; terminal: MemoryTerminal }> {
  const terminal = new MemoryTerminal();
  const code = await runCommandLine(['replay', ...args], terminal);
  assert.equal(terminal.listeners, 0);
  return { code, terminal };
}

test('replay says what a proxier did with a recording, and by its exit code whether all was served', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'replay-'));
  try {
    const path = join(directory, 'run.ndjson');
    const cluster = simulateCluster({ services: 5, nodes: 2, families: ['IPv4'], mix: { externalName: 0 } });
    const source = new SimulatedSource({ cluster });
    await using proxier = fakeProxier(
      { nodeName: 'node-1', families: ['IPv4'], record: path, source },
      new FakeKernel(),
    );
    await proxier.run();
    await proxier.stop();

    const good = await replayed(path);
    assert.equal(good.code, 0, good.terminal.stderr);
    assert.match(good.terminal.stdout, /^recorded .* on node-1 by ipvs-proxier \d/);
    assert.match(good.terminal.stdout, /\nevents {5}\d+ upsert, 0 remove\n/);
    assert.match(good.terminal.stdout, /\noperations \d+: .*create-service/);
    assert.match(good.terminal.stdout, /\ntables {5}[1-9]\d* virtual services/);
    assert.equal(good.terminal.stderr, '');

    const json: unknown = JSON.parse((await replayed(path, '--json', '--speed', '1000')).terminal.stdout);
    assert.ok(typeof json === 'object' && json !== null && Reflect.get(json, 'served') === true);
    assert.ok(Reflect.get(Reflect.get(json, 'tables'), 'entries') > 0);

    const text = await readFile(path, 'utf8');
    await writeFile(path, text.slice(0, text.indexOf('"EndpointSlice","object"')));
    const cut = await replayed(path);
    assert.equal(cut.code, 3);
    assert.match(cut.terminal.stdout, /incomplete: waited in vain for the first list of simulation\/EndpointSlice/);
    assert.match(cut.terminal.stderr, /warning: .*run\.ndjson:\d+: the line was cut off/);

    assert.equal((await replayed(path, '--speed', 'fast')).code, 2);
    const missing = await replayed(join(directory, 'none'));
    assert.equal(missing.code, 1);
    assert.match(missing.terminal.stderr, /ERR_RECORDING/);
  } finally {
    await rm(directory, { recursive: true });
  }
});
