/** Annotations and hooks of a running Proxier: what goes to the worker, what is told, and what stays on this thread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ProxierSettings } from '../../../lib/proxier/options.ts';
import type { ServiceTuning } from '../../../lib/records.ts';
import { node, service, slice } from '../kube/objects.ts';
import { FakeNode } from './setup.ts';

const PREFIX = 'ipvs-proxier.io/';

function webSource(annotations: { readonly [name: string]: string }): ObjectSource {
  const whole = Object.fromEntries(Object.entries(annotations).map(([name, value]) => [PREFIX + name, value]));
  const source = new ObjectSource();
  source.apply(service('svc1', {}, {}, { annotations: whole }));
  source.apply(node('n1', { metadata: { name: 'n1', labels: { cores: '4' } } }));
  source.apply(slice('s1', twoEndpoints(8080)));
  source.synced();
  return source;
}

function twoEndpoints(port: number): { readonly ports: object[]; readonly endpoints: object[] } {
  const endpoints = [
    { addresses: ['10.244.1.5'], nodeName: 'n1' },
    { addresses: ['10.244.2.7'], nodeName: 'n2', zone: 'z2' },
  ];
  return { ports: [{ name: 'p80', port, protocol: 'TCP' }], endpoints };
}

interface Outcome {
  readonly weights: readonly number[] | undefined;
  readonly tuning: ServiceTuning | undefined;
  readonly warnings: readonly string[];
}

/** What the worker was told in the end. */
async function outcome(source: ObjectSource, settings: ProxierSettings): Promise<Outcome> {
  const kernel = new FakeNode();
  const proxier = kernel.proxier(source, settings);
  const warnings: string[] = [];
  proxier.on('warning', ({ object, message }) => warnings.push(`${object}: ${message}`));
  await using handle = await proxier.run();
  await handle.settled();
  let weights: readonly number[] | undefined;
  let tuning: ServiceTuning | undefined;
  for (const request of kernel.requests) {
    assert.deepEqual(structuredClone(request), request, 'no function crosses');
    if (request.kind !== 'records') continue;
    for (const record of request.message.records) {
      if (record.kind === 'slice') weights = record.body?.weights;
      if (record.kind === 'service') tuning = record.body?.tuning;
    }
  }
  return { weights, tuning, warnings };
}

test('annotations reach the worker; nonsense is a warning event', async () => {
  const annotations = { 'weight-node-label': 'cores', 'scheduler-flags': 'sh-port', forward: 'nat' };
  const { weights, tuning, warnings } = await outcome(webSource(annotations), { scheduler: 'sh' });
  assert.deepEqual(weights, [4, 1]);
  assert.deepEqual(tuning, { schedulerFlags: 0x10 }, "flags count for the proxier's own scheduler");
  assert.equal(warnings.length, 2, warnings.join('\n'));
  assert.match(
    warnings.join('\n'),
    /^Service ns1\/svc1: metadata\.annotations\["ipvs-proxier\.io\/forward"\]: "nat" is not/m,
  );
  assert.match(warnings.join('\n'), /^EndpointSlice ns1\/s1: .*option watchNodes: all/m);
});

test('hooks count before annotations and stay here; one that throws is a warning', async () => {
  const annotations = { 'zone-weights': 'z2=7', scheduler: 'lc' };
  const hooked = await outcome(webSource(annotations), {
    weightFor: ({ nodeName }, context) => (nodeName === context.nodeName ? 100 : undefined),
    schedulerFor: ({ metadata }) =>
      metadata.name === 'svc1' ? { scheduler: 'mh', flags: ['mh-fallback'] } : undefined,
  });
  assert.deepEqual(hooked, { weights: [100, 7], tuning: { scheduler: 'mh', schedulerFlags: 8 }, warnings: [] });
  const fail = (): never => {
    throw new Error('boom');
  };
  const failed = await outcome(webSource(annotations), { weightFor: fail, schedulerFor: fail });
  assert.deepEqual([failed.weights, failed.tuning], [[1, 7], { scheduler: 'lc' }]);
  assert.deepEqual(failed.warnings.map((warning) => warning.replace(/ for [\d.]+/, '')).sort(), [
    'EndpointSlice ns1/s1: weightFor threw: "Error: boom"; the annotations count',
    'Service ns1/svc1: schedulerFor threw: "Error: boom"; the annotations count',
  ]);
});

test('hooks are there for a plan, too', async () => {
  const asked: string[] = [];
  await using proxier = new FakeNode().proxier(webSource({}), {
    weightFor: ({ address }) => {
      asked.push(address);
      return 3;
    },
  });
  await proxier.plan('empty');
  assert.deepEqual(asked, ['10.244.1.5', '10.244.2.7']);
});

test('what annotations ask for is in the kernel, and follows Services and Nodes in place', async () => {
  const kernel = new FakeNode();
  const source = webSource({
    'weight-node-label': 'cores',
    'zone-weights': 'z2=3',
    scheduler: 'mh',
    forward: 'direct',
  });
  source.apply(slice('s1', twoEndpoints(80)));
  await using handle = await kernel.proxier(source).run();
  const table = (): string[] => (kernel.kernel.dump().split('\n\n')[0] ?? '').split('\n');
  const first = '-a -t 10.96.0.10:80 -r 10.244.1.5:80';
  const second = '-a -t 10.96.0.10:80 -r 10.244.2.7:80';
  assert.deepEqual(table(), ['-A -t 10.96.0.10:80 -s mh -b mh-port', `${first} -g -w 4`, `${second} -g -w 3`]);
  const { writes } = kernel;
  source.apply(node('n1', { metadata: { name: 'n1', labels: { cores: '16' } } }));
  await handle.settled();
  assert.deepEqual(table().slice(1), [`${first} -g -w 16`, `${second} -g -w 3`]);
  assert.equal(kernel.writes, writes + 1, 'one destination, in place');
  source.apply(service('svc1'));
  await handle.settled();
  assert.deepEqual(table(), ['-A -t 10.96.0.10:80 -s rr', `${first} -m -w 1`, `${second} -m -w 1`]);
});
