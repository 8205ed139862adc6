/** Events that change nothing for this node, as an API server sends them: not one of them is to cost the worker a message. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import type { ProxierSettings } from '../../../lib/proxier/options.ts';
import { FakeNode } from './setup.ts';

type Fields = { readonly [key: string]: unknown };

let version = 1000;

function metadata(name: string, more: Fields = {}): Fields {
  version += 1;
  const time = new Date(1_790_000_000_000 + version).toISOString();
  return {
    name,
    namespace: 'default',
    uid: `11111111-2222-3333-4444-${name.padEnd(12, '0')}`,
    resourceVersion: String(version),
    generation: version,
    creationTimestamp: '2026-11-01T08:00:00Z',
    managedFields: [{ manager: 'kube-controller-manager', operation: 'Update', time, fieldsV1: { 'f:metadata': {} } }],
    ...more,
  };
}

function service(annotations: Fields, status: Fields): Fields {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadata('web', { annotations, labels: { app: `web-${version}` } }),
    spec: {
      type: 'LoadBalancer',
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10'],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      externalTrafficPolicy: 'Cluster',
      allocateLoadBalancerNodePorts: true,
      sessionAffinity: 'None',
      selector: { app: 'web' },
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30080 }],
    },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.7', ipMode: 'VIP' }] }, ...status },
  };
}

function slice(annotations: Fields, addresses: readonly string[] = ['10.244.1.5', '10.244.2.7']): Fields {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: metadata('web-x7k2p', {
      generateName: 'web-',
      annotations,
      labels: {
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        'kubernetes.io/service-name': 'web',
        generation: String(version),
      },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: 'web', controller: true }],
    }),
    addressType: 'IPv4',
    ports: [{ name: 'http', protocol: 'TCP', port: 8080, appProtocol: null }],
    endpoints: addresses.map((address, index) => ({
      addresses: [address],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: index === 0 ? 'n1' : 'n2',
      zone: 'a',
      targetRef: { kind: 'Pod', namespace: 'default', name: `web-${index}`, resourceVersion: String(version) },
    })),
  };
}

function node(name: string): Fields {
  const heartbeat = new Date(1_790_000_000_000 + version).toISOString();
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: metadata(name, {
      labels: { 'kubernetes.io/hostname': name, 'topology.kubernetes.io/zone': 'a' },
      annotations: { 'node.alpha.kubernetes.io/ttl': String(version) },
    }),
    spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] },
    status: {
      addresses: [
        { type: 'InternalIP', address: '192.168.1.10' },
        { type: 'Hostname', address: name },
      ],
      allocatable: { cpu: '4', memory: '8Gi' },
      capacity: { cpu: '4', memory: '8Gi' },
      conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: heartbeat, reason: 'KubeletReady' }],
      images: [{ names: [`registry/image:${version}`], sizeBytes: version }],
      nodeInfo: { kubeletVersion: `v1.36.${version % 10}` },
    },
  };
}

const settings: readonly (readonly [string, ProxierSettings])[] = [
  ['', {}],
  [', with a hook that looks at everything', { weightFor: (_endpoint, { node: on }) => (on === undefined ? 1 : 2) }],
];

for (const [what, given] of settings) {
  test(`metadata, status and heartbeats send the worker no message${what}`, async () => {
    const fake = new FakeNode();
    const source = new ObjectSource();
    const say = (step: number): void => {
      source.apply(
        service({ 'example.com/last-seen': String(step) }, { conditions: [{ type: 'X', status: `${step}` }] }),
      );
      const trigger = new Date(1_790_000_000_000 + step).toISOString();
      source.apply(slice({ 'endpoints.kubernetes.io/last-change-trigger-time': trigger }));
      source.apply(node('n1'));
      source.apply(node('n2'));
    };
    say(0);
    source.synced();
    await using handle = await fake.proxier(source, { ...given, watchNodes: 'all' }).run();
    await handle.settled();
    const { revision } = handle;
    fake.requests.length = 0;
    for (let step = 1; step <= 50; step += 1) {
      say(step);
      await fake.clock.advance(1);
    }
    await handle.settled();
    assert.equal(handle.revision, revision);
    const records = fake.requests.filter(({ kind }) => kind === 'records');
    assert.equal(records.length, 0);

    // The same object with something in it that counts, at last.
    source.apply(slice({}, ['10.244.1.5']));
    await handle.settled();
    assert.equal(handle.revision, revision + 1);
    const sent = fake.requests.flatMap((request) => (request.kind === 'records' ? request.message.records : []));
    assert.deepEqual(
      sent.map(({ key }) => key),
      ['default/web-x7k2p'],
    );
  });
}
