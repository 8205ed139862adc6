import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgumentError } from '../../../lib/errors.ts';
import { ObjectSource } from '../../../lib/kube/object-source.ts';
import { resolveOptions } from '../../../lib/proxier/options-schema.ts';

const machine = { hostname: () => 'Node-A.example', hasIPv6: () => true };
const origin = { manifests: 'm.yaml' };

/** Options → what the message must say; each is one mistake. */
const wrong: readonly (readonly [string, unknown, string, RegExp])[] = [
  ['no object', 42, 'options', /42 is not an object of options/],
  [
    'nothing says where from',
    {},
    'kubeConfig',
    /give one of kubeConfig, kubeconfigPath, inCluster, manifests and source/,
  ],
  ['two origins', { manifests: 'm', kubeconfigPath: 'k' }, 'manifests', /together with kubeconfigPath: choose one/],
  ['unknown option', { ...origin, masqueradBit: 14 }, 'masqueradBit', /no such option, did you mean masqueradeBit\?/],
  ['unknown option, case', { ...origin, clusterCidr: '10.0.0.0/8' }, 'clusterCidr', /did you mean clusterCIDR\?/],
  ['unknown option, nothing near', { ...origin, conntrackMaxPerCore: 1 }, 'conntrackMaxPerCore', /no such option$/],
  ['wrong type', { ...origin, masqueradeAll: 'yes' }, 'masqueradeAll', /"yes" is not true or false/],
  ['out of range', { ...origin, masqueradeBit: 32 }, 'masqueradeBit', /32 is not a whole number from 0 to 31/],
  ['not whole', { ...origin, masqueradeBit: 1.5 }, 'masqueradeBit', /1.5 is not a whole number/],
  ['not a number', { ...origin, syncPeriodMs: '30s' }, 'syncPeriodMs', /"30s" is not a whole number from 100/],
  ['infinite', { ...origin, drainTimeoutMs: Number.POSITIVE_INFINITY }, 'drainTimeoutMs', /Infinity is not/],
  ['min over max', { ...origin, minSyncPeriodMs: 40_000 }, 'minSyncPeriodMs', /40000 is more than syncPeriodMs, 30000/],
  ['bad CIDR', { ...origin, clusterCIDR: '10.244.0.0/33' }, 'clusterCIDR[0]', /"10.244.0.0\/33" is not a CIDR such as/],
  [
    'an address is no CIDR',
    { ...origin, clusterCIDR: ['10.0.0.0/8', 'fd00::1'] },
    'clusterCIDR[1]',
    /"fd00::1" is not a CIDR/,
  ],
  [
    'CIDRs of one family',
    { ...origin, clusterCIDR: '10.0.0.0/8,11.0.0.0/8' },
    'clusterCIDR',
    /at most one CIDR per family/,
  ],
  [
    'clusterCIDR without use',
    { ...origin, clusterCIDR: '10.0.0.0/8', detectLocal: { mode: 'NodeCIDR' } },
    'clusterCIDR',
    /no effect with detectLocal mode NodeCIDR/,
  ],
  ['unknown mode', { ...origin, detectLocal: { mode: 'Magic' } }, 'detectLocal.mode', /"Magic" is not one of/],
  ['bridge missing', { ...origin, detectLocal: { mode: 'BridgeInterface' } }, 'detectLocal.bridge', /is missing/],
  [
    'bridge too long',
    { ...origin, detectLocal: { mode: 'BridgeInterface', bridge: 'a-very-long-bridge' } },
    'detectLocal.bridge',
    /at most 15 bytes/,
  ],
  [
    'prefix with a wildcard',
    { ...origin, detectLocal: { mode: 'InterfaceNamePrefix', prefix: 'veth+' } },
    'detectLocal.prefix',
    /"veth\+" is not/,
  ],
  [
    'node port address',
    { ...origin, nodePortAddresses: ['10.0.0.0/8', '300.0.0.0/8'] },
    'nodePortAddresses[1]',
    /"300.0.0.0\/8" is not a CIDR/,
  ],
  [
    'node port word',
    { ...origin, nodePortAddresses: 'secondary' },
    'nodePortAddresses',
    /"secondary" is not a list of CIDRs, or `primary`/,
  ],
  ['family', { ...origin, families: ['ipv4'] }, 'families[0]', /"ipv4" is not IPv4 or IPv6/],
  ['no family', { ...origin, families: [] }, 'families', /at least one/],
  [
    'scheduler',
    { ...origin, scheduler: 'Round Robin' },
    'scheduler',
    /"Round Robin" is not the name of an IPVS scheduler/,
  ],
  ['iptables', { ...origin, iptables: 'nftables' }, 'iptables', /"nftables" is not auto, legacy or nft/],
  [
    'logger',
    { ...origin, logger: { info() {} } },
    'logger',
    /an object is not a logger with debug, info, warn and error/,
  ],
  ['signal', { ...origin, signal: new AbortController() }, 'signal', /is not an AbortSignal/],
  ['Nodes to watch', { ...origin, watchNodes: 'some' }, 'watchNodes', /"some" is not own or all/],
  ['hook', { ...origin, weightFor: 3 }, 'weightFor', /3 is not a function: \(endpoint, context\) => weight/],
  ['thread', { ...origin, thread: 'main' }, 'thread', /"main" is not worker or inline/],
  ['node name', { ...origin, nodeName: ' ' }, 'nodeName', /"" is not the name of a Node/],
  ['adminSocket', { ...origin, adminSocket: true }, 'adminSocket', /true is not a path, or false/],
  ['kubeConfig', { kubeConfig: { server: 'https://secret' } }, 'kubeConfig', /an object is not a KubeConfig/],
  ['inCluster', { inCluster: false }, 'inCluster', /false is not true; leave it out/],
  ['source', { source: { name: 'x' } }, 'source[0]', /is not a Source: a name, kinds/],
  ['no sources', { source: [] }, 'source', /at least one Source/],
  ['sources of one name', { source: [new ObjectSource(), new ObjectSource()] }, 'source', /a name of its own each/],
  [
    'serviceProxyName with source',
    { source: new ObjectSource(), serviceProxyName: 'x' },
    'serviceProxyName',
    /no effect with source/,
  ],
];

for (const [name, options, field, message] of wrong) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => resolveOptions(options, machine),
      (error) => {
        assert.ok(error instanceof InvalidArgumentError);
        assert.equal(error.field, field);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret/, 'values of objects may be credentials');
        return true;
      },
    );
  });
}

test('every wrong field is named, the first as the field', () => {
  assert.throws(() => resolveOptions({ ...origin, masqueradeBit: -1, thread: 'x' }, machine), {
    code: 'ERR_INVALID_ARGUMENT',
    field: 'masqueradeBit',
    message: /masqueradeBit: -1 is not .*; thread: "x" is not worker or inline/,
  });
});

test('defaults are those of the documentation', () => {
  const { init, ...rest } = resolveOptions(origin, machine);
  assert.deepEqual(init, {
    nodeName: 'node-a.example',
    families: ['IPv4', 'IPv6'],
    scheduler: 'rr',
    masqueradeAll: false,
    masqueradeBit: 14,
    detectLocal: { mode: 'ClusterCIDR', cidrs: [] },
    nodePortAddresses: [],
    externalLocalFallback: 'cluster',
    sourceRangesOfOtherFamily: 'deny',
    allowedExternalIPs: 'any',
    vipBinding: 'address',
    syncPeriodMs: 30_000,
    drainTimeoutMs: 900_000,
    drainServices: false,
    ownership: 'ledger',
    excludeCIDRs: [],
    takeOver: false,
    iptables: 'auto',
    applySysctls: true,
    strictARP: false,
    ipvsTimeouts: { tcpSeconds: 0, tcpFinSeconds: 0, udpSeconds: 0 },
  });
  assert.deepEqual(rest.hooks, {});
  assert.equal(rest.watchNodes, 'own');
  assert.deepEqual(rest.origin, { kind: 'manifests', path: 'm.yaml' });
  assert.equal(rest.minSyncPeriodMs, 0);
  assert.equal(rest.ignoreOtherProxiers, false);
  assert.equal(rest.thread, 'worker');
  // T57: a node without IPv6 runs with one family; the log line `ready` says which there are.
  assert.deepEqual(resolveOptions(origin, { ...machine, hasIPv6: () => false }).init.families, ['IPv4']);
});

test('values are made canonical, undefined is absent', () => {
  const { init, serviceProxyName } = resolveOptions(
    {
      ...origin,
      kubeconfigPath: undefined,
      nodeName: ' N1 ',
      serviceProxyName: '',
      clusterCIDR: '10.244.3.7/16, FD00:0::1/64',
      nodePortAddresses: ['primary'],
    },
    machine,
  );
  assert.equal(init.nodeName, 'n1');
  assert.equal(serviceProxyName, undefined);
  assert.deepEqual(init.detectLocal, { mode: 'ClusterCIDR', cidrs: ['10.244.0.0/16', 'fd00::/64'] });
  assert.equal(init.nodePortAddresses, 'primary');
  assert.deepEqual(resolveOptions({ ...origin, nodePortAddresses: ['10.1.2.3/8'] }, machine).init.nodePortAddresses, [
    '10.0.0.0/8',
  ]);
});
