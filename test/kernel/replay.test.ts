/** What was recorded over a fake kernel is replayed into the real one: both end with the same virtual services. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { recordSources } from '../../lib/kube/record-sources.ts';
import { RecordStore } from '../../lib/kube/record-store.ts';
import { ipvsText } from '../../lib/testing/fake-dump.ts';
import { churn, replay, SimulatedSource, simulateCluster } from '../../lib/testing/index.ts';
import { runTool } from '../harness/run-tool.ts';
import { clearTables } from '../harness/topology.ts';

let directory = '';

before(async () => {
  await clearTables();
  directory = await mkdtemp(join(tmpdir(), 'replay-'));
});

after(async () => {
  await rm(directory, { recursive: true });
  await clearTables();
});

test('a replay into the real kernel ends as one in the fake kernel does', async () => {
  const path = join(directory, 'run.ndjson');
  // Node ports answer on the addresses of the host, and those are others here.
  const cluster = simulateCluster({ seed: 5, services: 12, mix: { nodePort: 0, loadBalancer: 0 } });
  const events = churn(cluster, { ratePerSecond: 50, maxEvents: 120, mix: { service: 20 } });
  const source = new SimulatedSource({ cluster, events, speed: Number.POSITIVE_INFINITY });
  const [recorded] = recordSources([source], { path, nodeName: 'node-0' });
  assert.ok(recorded !== undefined);
  await recorded.start(new RecordStore({ nodeName: 'node-0' }).sinkFor(recorded), AbortSignal.any([]));
  await source.finished;
  await recorded.stop();

  const fake = await replay({ path });
  const real = await replay({ path, kernel: 'real', speed: Number.POSITIVE_INFINITY });
  assert.ok(fake.served && fake.kernel !== undefined);
  assert.ok(real.served, JSON.stringify([real.final, real.waiting]));
  assert.equal(real.events.upsert, fake.events.upsert);
  assert.ok(real.kernelMicros.count > 0);
  const wanted = sortedLines(ipvsText(fake.kernel.outside).replaceAll(/ -[xy] \d+/g, ''));
  assert.ok(wanted.length > 20);
  assert.deepEqual(sortedLines(await runTool('ipvsadm', ['-Sn'])), wanted);
});

function sortedLines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .sort();
}
