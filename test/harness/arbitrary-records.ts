/** Random clusters, small enough that Services collide: few addresses, ports, node ports and names. */
import fc from 'fast-check';
import type {
  NodeAddressesRecord,
  NodeRecord,
  ObjectRecord,
  ServiceBody,
  ServiceRecord,
  ServiceTuning,
  SliceRecord,
} from '../../lib/records.ts';
import type { Protocol } from '../../lib/types.ts';
import { type EndpointShape, ip, node, nodeAddresses, service, servicePort, slice } from './records.ts';

const protocols: fc.Arbitrary<Protocol> = fc.constantFrom('tcp', 'udp', 'sctp');
const portNames = fc.constantFrom('', 'a', 'b');
const serviceKeys = fc.constantFrom('ns/s1', 'ns/s2', 'ns/s3');
const zones = fc.constantFrom('z1', 'z2');

const clusterIPs = fc
  .record({
    four: fc.option(fc.constantFrom('10.96.0.1', '10.96.0.2', '192.168.1.10')),
    six: fc.option(fc.constantFrom('fd00:96::1', 'fd00:96::2')),
  })
  .map(({ four, six }) => [...(four === null ? [] : [ip(four)]), ...(six === null ? [] : [ip(six)])]);

const servicePorts = fc.uniqueArray(
  fc.record({
    name: portNames,
    protocol: protocols,
    port: fc.constantFrom(80, 81, 30001),
    nodePort: fc.constantFrom(0, 30001, 30002),
  }),
  { maxLength: 3, selector: ({ name, protocol }) => `${name}/${protocol}` },
);

/** VIPs of two kinds, cluster IPs of others, addresses of this node and of another one. */
const externalIPs = fc.subarray(['203.0.113.5', '10.96.0.1', '192.168.1.10', '192.168.1.20', 'fd00:18::1']);
const loadBalancerIPs = fc.subarray(['203.0.113.5', '198.18.0.1', '192.168.1.10', 'fd00:18::1', 'fd00:18::2']);
const sourceRanges = fc.option(
  fc.subarray(['0.0.0.0/0', '10.0.0.0/8', '198.51.100.7/32', '192.168.1.0/24', 'fd00:50::/64']),
);
const tuning: fc.Arbitrary<ServiceTuning> = fc.record(
  {
    scheduler: fc.constantFrom('rr', 'wrr', 'mh'),
    schedulerFlags: fc.constantFrom(0, 8, 24),
    forward: fc.constantFrom('direct', 'tunnel'),
  },
  { requiredKeys: [] },
);

const services: fc.Arbitrary<ServiceRecord> = fc
  .record({
    key: serviceKeys,
    body: fc.record({
      createdMs: fc.constantFrom(0, 1000, 2000),
      clusterIPs,
      ports: servicePorts,
      affinitySeconds: fc.constantFrom(0, 300),
      internalPolicyLocal: fc.boolean(),
      externalPolicyLocal: fc.boolean(),
      healthCheckNodePort: fc.constantFrom(0, 32000, 32001),
    }),
    vips: fc.option(fc.record({ externalIPs, loadBalancerIPs, sourceRanges }), { freq: 2 }),
    tuning: fc.option(tuning, { freq: 1 }),
  })
  .map(({ key, body, vips, tuning }) => service({ ...body, ...vipFields(vips), ...(tuning && { tuning }) }, key));

function vipFields(
  vips: { externalIPs: string[]; loadBalancerIPs: string[]; sourceRanges: string[] | null } | null,
): Partial<ServiceBody> {
  if (vips === null) return {};
  return {
    externalIPs: vips.externalIPs.map(ip),
    loadBalancerIPs: vips.loadBalancerIPs.map(ip),
    sourceRanges: vips.sourceRanges ?? [],
    hasSourceRanges: vips.sourceRanges !== null,
  };
}

const endpoints: fc.Arbitrary<EndpointShape & { readonly host: number }> = fc.record(
  {
    host: fc.integer({ min: 1, max: 4 }),
    address: fc.constant(''),
    conditions: fc.integer({ min: 0, max: 7 }),
    local: fc.boolean(),
    zones: fc.array(zones, { maxLength: 1 }),
    nodes: fc.array(fc.constantFrom('n1', 'n2'), { maxLength: 1 }),
    weight: fc.constantFrom(0, 1, 5),
  },
  { requiredKeys: ['host', 'address'] },
);

const slices: fc.Arbitrary<SliceRecord> = fc
  .record({
    key: fc.constantFrom('ns/x1', 'ns/x2', 'ns/x3', 'ns/x4'),
    service: serviceKeys,
    family: fc.constantFrom('IPv4' as const, 'IPv6' as const),
    ports: fc.array(fc.record({ name: portNames, protocol: protocols, port: fc.constantFrom(8080, 8081, 80) }), {
      maxLength: 3,
    }),
    endpoints: fc.array(endpoints, { maxLength: 4 }),
  })
  .map(({ endpoints: list, ...shape }) => {
    const prefix = shape.family === 'IPv4' ? '10.244.0.' : 'fd00:244::';
    return slice(
      list.map(({ host, ...endpoint }) => ({ ...endpoint, address: `${prefix}${host}` })),
      shape,
    );
  });

const nodes: fc.Arbitrary<NodeRecord> = fc.oneof(
  fc.record({ zone: zones, primary: fc.constantFrom('192.168.1.10', '10.1.1.1') }).map(({ zone, primary }) => {
    return node({ zone, addresses: [ip(primary), ip('fd00:50::10')] });
  }),
  fc
    .subarray(['192.168.1.20', '203.0.113.5', 'fd00:18::1'])
    .map((list) => node({ self: false, addresses: list.map(ip) }, 'n2')),
);

const addresses: fc.Arbitrary<NodeAddressesRecord> = fc
  .subarray(['192.168.1.10', '172.17.0.1', 'fd00:50::10'], { minLength: 1 })
  .map((list) => nodeAddresses(...list));

const objects: fc.Arbitrary<ObjectRecord> = fc.oneof(
  { weight: 4, arbitrary: services },
  { weight: 4, arbitrary: slices },
  { weight: 1, arbitrary: nodes },
  { weight: 1, arbitrary: addresses },
);

/** What happens over time: objects that come, change and go, of one or two sources. */
export const histories: fc.Arbitrary<readonly ObjectRecord[]> = fc.array(
  fc
    .record({ object: objects, isGone: fc.boolean(), source: fc.constantFrom('a', 'a', 'a', 'b') })
    .map(({ object, isGone, source }) => ({ ...object, source, ...(isGone && { body: null }) })),
  { minLength: 1, maxLength: 24 },
);

/** One Service in one state or another: policy, VIPs, ranges, forwarding, endpoints here or elsewhere. For what happens in between. */
export const oneService: fc.Arbitrary<readonly ObjectRecord[]> = fc
  .record({
    externalPolicyLocal: fc.boolean(),
    ports: fc.subarray([servicePort('a', 80, 'tcp', 30001), servicePort('b', 53, 'udp', 30002)], { minLength: 1 }),
    vips: fc.record({
      externalIPs: fc.subarray(['203.0.113.5', '203.0.113.6']),
      loadBalancerIPs: fc.subarray(['203.0.113.6', '198.18.0.1']),
      sourceRanges: fc.option(fc.subarray(['10.0.0.0/8', '198.51.100.7/32', '192.168.1.0/24']), { freq: 2 }),
    }),
    forward: fc.option(fc.constantFrom('direct', 'tunnel'), { freq: 1, nil: undefined }),
    endpointPort: fc.constantFrom(80, 8080),
    endpoints: fc.uniqueArray(
      fc.record({ address: fc.constantFrom('10.244.0.1', '10.244.0.2', '10.244.0.3'), local: fc.boolean() }),
      { selector: ({ address }) => address },
    ),
  })
  .map(({ endpoints: list, endpointPort, vips, forward, ...body }) => [
    service(
      { ...body, ...vipFields(vips), clusterIPs: [ip('10.96.0.1')], ...(forward && { tuning: { forward } }) },
      'ns/s1',
    ),
    slice(list, {
      key: 'ns/x1',
      service: 'ns/s1',
      ports: [
        { name: 'a', protocol: 'tcp', port: endpointPort },
        { name: 'b', protocol: 'udp', port: 5353 },
      ],
    }),
    nodeAddresses('192.168.1.10'),
    node(),
  ]);
