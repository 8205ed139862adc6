/** bindAddress: the own Node names that address first, and nothing else changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '../../../lib/address.ts';
import { withPrimaryAddress } from '../../../lib/kube/primary-address.ts';
import type { SourceSink } from '../../../lib/kube/source.ts';

const nodes = [
  { metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '192.168.1.10' }], x: 1 } },
  { metadata: { name: 'n2' }, status: { addresses: [{ type: 'InternalIP', address: '192.168.1.20' }] } },
];
const own = {
  metadata: { name: 'n1' },
  status: {
    addresses: [
      { type: 'InternalIP', address: '10.0.0.1' },
      { type: 'InternalIP', address: '192.168.1.10' },
    ],
    x: 1,
  },
};

test('the own Node names the address first; other Nodes, other kinds and nonsense pass', async () => {
  const seen: unknown[] = [];
  const sink: SourceSink = {
    upsert: (kind, object) => void seen.push([kind, object]),
    replace: (kind, objects) => void seen.push([kind, [...objects]]),
    remove: (...args) => void seen.push(args),
    synced: (kind) => void seen.push(kind),
    problem: () => {},
    connection: () => {},
  };
  const address = parseAddress('10.0.0.1');
  assert.ok(address);
  const inner = {
    name: 'inner',
    kinds: ['Node', 'Service'] as const,
    async start(to: SourceSink): Promise<void> {
      to.replace('Node', nodes);
      for (const object of [nodes[0], { metadata: { name: 'n1' } }, null]) to.upsert('Node', object);
      to.upsert('Service', nodes[0]);
      to.synced('Node');
    },
    async stop(): Promise<void> {},
  };
  await withPrimaryAddress(inner, 'n1', address).start(sink, new AbortController().signal);
  assert.deepEqual(seen, [
    ['Node', [own, nodes[1]]],
    ['Node', own],
    ['Node', { metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] } }],
    ['Node', null],
    ['Service', nodes[0]],
    'Node',
  ]);
});
