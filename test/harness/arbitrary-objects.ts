/**
 * Random clusters as the API server says them: Services, EndpointSlices and Nodes with all that proxying looks at, some of them with something
 * in them that should not be there. Few names, addresses and ports, so that they meet.
 */
import type fc from 'fast-check';
import type { ResourceKind } from '../../lib/kube/source.ts';
import { type Dice, diced } from './dice.ts';
import { hostilities, withValue } from './hostile-objects.ts';

type Fields = { readonly [key: string]: unknown };

export type ObjectEvent =
  | { readonly kind: 'upsert'; readonly source: string; readonly resource: ResourceKind; readonly object: unknown }
  | { readonly kind: 'remove'; readonly source: string; readonly resource: ResourceKind; readonly name: string }
  /** A new list: what is not on it is gone. */
  | {
      readonly kind: 'replace';
      readonly source: string;
      readonly resource: ResourceKind;
      readonly objects: readonly unknown[];
    };

export type ClusterEvent =
  | ObjectEvent
  /** The addresses on the interfaces of this node. */
  | { readonly kind: 'nodeAddresses'; readonly addresses: readonly string[] };

export const ownNode = 'n1';
export const namespace = 'ns';
const services = ['s1', 's2', `s"';$(reboot)`] as const;
const slices = ['x1', 'x2', 'x3', 'x4'] as const;
const nodes = [ownNode, 'n2'] as const;
const names: Readonly<Record<ResourceKind, readonly [string, ...string[]]>> = {
  Service: services,
  EndpointSlice: slices,
  Node: nodes,
};

/** Long enough for the longest object; what is not read costs little. */
const choices = 56;

/** One thing that happens. Most are of one source; two may say the same key. */
export const clusterEvents: fc.Arbitrary<ClusterEvent> = diced(choices, clusterEvent);

export function clusterEvent(dice: Dice): ClusterEvent {
  const source = dice.oneIn(6) ? 'b' : 'a';
  switch (dice.roll(16)) {
    case 15:
      return {
        kind: 'nodeAddresses',
        addresses: ['192.168.1.10', ...dice.some(['172.17.0.1', 'fd00:50::10', '203.0.113.1', '10.96.0.2'], 4)],
      };
    case 14: {
      const resource = dice.pick<ResourceKind>(['EndpointSlice', 'Service']);
      return {
        kind: 'replace',
        source,
        resource,
        objects: Array.from({ length: dice.roll(3) }, () => clusterObject(resource, dice)),
      };
    }
    case 13:
    case 12: {
      const resource = dice.pick<ResourceKind>(['EndpointSlice', 'Service', 'Node']);
      return { kind: 'remove', source, resource, name: dice.pick(names[resource]) };
    }
    default: {
      const resource = dice.pick<ResourceKind>([
        'Service',
        'EndpointSlice',
        'EndpointSlice',
        'Service',
        'EndpointSlice',
        'Service',
        'Node',
      ]);
      return { kind: 'upsert', source, resource, object: clusterObject(resource, dice) };
    }
  }
}

/** One in eight is hostile. */
function clusterObject(resource: ResourceKind, dice: Dice): unknown {
  const isHostile = dice.oneIn(8);
  const whole = makers[resource](dice);
  if (!isHostile) return whole;
  const candidates = hostilities.filter(({ kind }) => kind === resource);
  const hostility = candidates[dice.roll(candidates.length)];
  if (hostility === undefined) return null;
  return withValue(whole, hostility.path, hostility.values[dice.roll(hostility.values.length)]);
}

const makers: Readonly<Record<ResourceKind, (dice: Dice) => Fields>> = {
  Service: serviceObject,
  EndpointSlice: sliceObject,
  Node: nodeObject,
};

function metadata(name: string, dice: Dice, fields: Fields = {}): Fields {
  return { name, namespace, uid: dice.pick(['u1', 'u2']), ...fields };
}

const policies = ['Cluster', 'Local', 'Cluster', undefined] as const;

function serviceObject(dice: Dice): Fields {
  const four = dice.pick([['10.96.0.1'], ['10.96.0.2'], ['10.96.0.1'], ['192.168.1.10'], []]);
  const six = dice.pick([[], ['fd00:96::1'], ['fd00:96::2']]);
  const isDns = dice.oneIn(3);
  const created = dice.pick<Fields>([
    {},
    { creationTimestamp: '2026-01-01T00:00:00Z' },
    { creationTimestamp: '2026-01-02T00:00:00Z' },
  ]);
  return {
    metadata: metadata(dice.pick(services), dice, { ...created, annotations: annotations(dice) }),
    spec: {
      type: dice.pick([
        'ClusterIP',
        'LoadBalancer',
        'NodePort',
        'LoadBalancer',
        'ClusterIP',
        'NodePort',
        'LoadBalancer',
        'ExternalName',
      ]),
      clusterIPs: [...four, ...six],
      ports: [
        {
          name: 'a',
          port: dice.pick([80, 81, 30001]),
          protocol: dice.pick(['TCP', 'TCP', 'SCTP']),
          nodePort: dice.pick([0, 30001, 30002]),
        },
        ...(isDns ? [{ name: 'b', port: 53, protocol: 'UDP', nodePort: dice.pick([0, 30001]) }] : []),
      ],
      internalTrafficPolicy: dice.pick(policies),
      externalTrafficPolicy: dice.pick(policies),
      sessionAffinity: dice.pick(['None', 'None', 'ClientIP']),
      sessionAffinityConfig: { clientIP: { timeoutSeconds: dice.pick([300, 10_800]) } },
      healthCheckNodePort: dice.pick([0, 32001, 32002]),
      externalIPs: dice.some(['203.0.113.1', '203.0.113.2', '192.168.1.10', '192.168.1.20', '2001:db8::1'], 2),
      ...(dice.oneIn(3) && { loadBalancerSourceRanges: dice.some(ranges, 3) }),
    },
    status: { loadBalancer: { ingress: dice.some(ingress, 2) } },
  };
}

const ranges = ['10.0.0.0/8', '192.168.0.0/16', '0.0.0.0/0', '192.168.1.10/32', '2001:db8::/32', '::/0', '10.0.0.5/8'];

const ingress = [
  { ip: '198.18.0.1' },
  { ip: '198.18.0.2', ipMode: 'VIP' },
  { ip: '198.18.0.3', ipMode: 'Proxy' },
  { ip: '203.0.113.1' },
  { ip: '2001:db8:1::1' },
  { hostname: 'lb.example' },
];

/** Good and bad values of the annotations there are. */
function annotations(dice: Dice): Fields {
  const some = dice
    .some<readonly [string, string]>(
      [
        ['scheduler', 'wlc'],
        ['scheduler', 'mh'],
        ['scheduler-flags', 'mh-fallback'],
        ['forward', 'direct'],
        ['forward', 'tunnel'],
        ['drain-timeout', '30s'],
        ['drain-timeout', 'nonsense'],
        ['zone-weights', 'z1=3,z2=0'],
        ['weight-node-label', 'example.com/capacity'],
        ['no-such', 'thing'],
      ],
      dice.pick([0, 0, 2]),
    )
    .map(([name, value]) => [`ipvs-proxier.io/${name}`, value] as const);
  return Object.fromEntries(some);
}

function sliceObject(dice: Dice): Fields {
  const family = dice.pick(['IPv4', 'IPv4', 'IPv4', 'IPv6']);
  const port = dice.pick([8080, 8081, 80]);
  const labels = { 'kubernetes.io/service-name': dice.pick(services) };
  return {
    metadata: metadata(dice.pick(slices), dice, { labels }),
    addressType: family,
    ports: [
      { name: dice.oneIn(6) ? 'other' : 'a', port, protocol: 'TCP' },
      { name: 'a', port: dice.pick([8080, 9000]), protocol: 'SCTP' },
      { name: 'b', port: 5353, protocol: 'UDP' },
    ],
    endpoints: Array.from({ length: dice.pick([1, 2, 3, 4, 0]) }, () => endpointObject(family, dice)),
  };
}

function endpointObject(family: string, dice: Dice): Fields {
  const host = 1 + dice.roll(4);
  return {
    addresses: [family === 'IPv4' ? `10.244.0.${host}` : `fd00:244::${host}`],
    nodeName: dice.pick([ownNode, 'n2']),
    ...dice.pick<Fields>([{}, { zone: 'z1' }, { zone: 'z2' }]),
    conditions: dice.pick<Fields>([
      {},
      { ready: true, serving: true, terminating: false },
      { ready: false, serving: true, terminating: true },
      { ready: false, serving: false },
      { ready: null },
    ]),
    ...dice.pick<Fields>([
      {},
      {},
      { hints: { forZones: [{ name: 'z1' }] } },
      { hints: { forZones: [{ name: 'z2' }] } },
      { hints: { forZones: [{ name: 'z1' }], forNodes: [{ name: ownNode }] } },
    ]),
  };
}

function nodeObject(dice: Dice): Fields {
  const name = dice.pick(nodes);
  const zone = dice.pick(['z1', 'z2', undefined]);
  const own = name === ownNode;
  return {
    metadata: {
      name,
      uid: name,
      labels: {
        ...(zone !== undefined && { 'topology.kubernetes.io/zone': zone }),
        ...dice.pick<Fields>([{}, { 'example.com/capacity': '7' }, { 'example.com/capacity': 'much' }]),
      },
    },
    spec: { podCIDRs: dice.some(['10.244.1.0/24', 'fd00:244:1::/64'], 2) },
    status: {
      addresses: [
        { type: 'InternalIP', address: own ? '192.168.1.10' : '192.168.1.20' },
        ...dice.some(
          [
            { type: 'ExternalIP', address: '203.0.113.2' },
            { type: 'InternalIP', address: 'fd00:50::10' },
          ],
          2,
        ),
      ],
    },
  };
}
