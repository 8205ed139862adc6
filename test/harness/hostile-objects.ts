/** What should not be in an object and is: behaviour.md section 10 H, as replacements of one field. */

import { isObject } from '../../lib/kube/json.ts';
import type { ResourceKind } from '../../lib/kube/source.ts';

export interface Hostility {
  /** Of behaviour.md section 10. */
  readonly test: string;
  readonly kind: ResourceKind;
  readonly path: readonly string[];
  readonly values: readonly unknown[];
}

const badAddresses = ['999.1.1.1', '', '010.96.0.10', '10.96.0.10/32', '::ffff:10.0.0.1', 'fe80::1%eth0', 7, null];
const specialAddresses = ['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', 'fe80::1', '::1', '::', 'ff02::1'];
const port = (fields: { readonly [name: string]: unknown }): unknown => [{ name: 'a', port: 80, ...fields }];
const endpoint = (address: unknown): unknown => [{ addresses: [address] }, { addresses: ['10.244.0.1'] }];
const long = 'x'.repeat(253);
const names = [long, `${long}x`, `a"b'c;$(reboot)`, 'a\nb', 'a\u0000b', 'a/b', '', '__proto__', 7, null];
const spec = (test: string, field: string, ...values: unknown[]): Hostility => ({
  test,
  kind: 'Service',
  path: ['spec', field],
  values,
});
const slice = (test: string, field: string, ...values: unknown[]): Hostility => ({
  test,
  kind: 'EndpointSlice',
  path: [field],
  values,
});

export const hostilities: readonly Hostility[] = [
  { test: 'T91', kind: 'Service', path: ['metadata', 'name'], values: names },
  { test: 'T91', kind: 'EndpointSlice', path: ['metadata', 'name'], values: names },
  { test: 'T91', kind: 'EndpointSlice', path: ['metadata', 'labels', 'kubernetes.io/service-name'], values: names },
  spec('T94', 'clusterIPs', ...badAddresses.map((address) => [address]), ['None'], 'None'),
  spec('T95', 'ports', ...[0, -1, 65536, 1.5, '80', null].map((number) => port({ port: number }))),
  spec('T95', 'ports', port({ nodePort: 70000 }), port({ protocol: 'ICMP' }), 'none', [null, 5, []], null),
  spec('T100', 'ports', [
    { name: 'a', port: 80 },
    { name: 'a', port: 81, nodePort: 30001 },
  ]),
  spec('T104', 'sessionAffinityConfig', null, 'x', { clientIP: null }),
  spec(
    'T105',
    'sessionAffinityConfig',
    ...[0, -5, 1e9, '60'].map((seconds) => ({ clientIP: { timeoutSeconds: seconds } })),
  ),
  spec(
    'T106',
    'ports',
    Array.from({ length: 40 }, (_, index) => ({ name: `p${index}`, port: 80 + index })),
  ),
  spec(
    'T106',
    'loadBalancerSourceRanges',
    Array.from({ length: 40 }, (_, index) => `10.${index}.0.0/16`),
  ),
  spec('T108', 'clusterIPs', ...[...specialAddresses, '192.168.1.10'].map((address) => [address])),
  spec('T108', 'externalIPs', specialAddresses, badAddresses, 'x', ['192.168.1.10', '192.168.1.20', ' ']),
  spec('T109', 'loadBalancerSourceRanges', [' 10.0.0.5/8 ', 'bogus', 4], 'x', [], ['fe80::1/300']),
  spec('T110', 'ports', port({ name: '__proto__' }), port({ name: 'constructor' })),
  {
    test: 'T108',
    kind: 'Service',
    path: ['status'],
    values: [null, 'x', { loadBalancer: { ingress: [null, { ip: 'x' }] } }],
  },
  { test: 'T110', kind: 'Service', path: ['spec'], values: [null, 'x', []] },
  { test: 'T110', kind: 'Service', path: ['metadata'], values: [null, 'x', []] },
  {
    test: 'T110',
    kind: 'Service',
    path: ['metadata', 'annotations'],
    values: [null, 'x', { __proto__: 'x', constructor: 5 }],
  },
  slice('T96', 'ports', [{ name: 'a', port: null }], [{ name: 'a', port: 0 }], [{ name: null, port: 1 }], 'x', null),
  slice('T96', 'ports', [{ name: 'a', port: 8080, protocol: null }], [{ name: 'a', port: 8080, protocol: 'ICMP' }]),
  slice(
    'T97',
    'endpoints',
    [{ addresses: ['10.244.0.1'] }],
    [{ addresses: [] }],
    [{ addresses: ['10.244.0.1', '10.244.0.2'] }],
  ),
  slice('T98', 'endpoints', endpoint('fd00:244::1'), endpoint('::ffff:10.244.0.1')),
  slice('T99', 'endpoints', ...[...specialAddresses, '169.254.1.1', ...badAddresses].map(endpoint), 'x', [null, 5]),
  slice(
    'T101',
    'endpoints',
    Array.from({ length: 60 }, (_, index) => ({ addresses: [`10.244.0.${index % 4}`] })),
  ),
  { test: 'T102', kind: 'EndpointSlice', path: ['metadata', 'labels'], values: [null, {}, 'x'] },
  slice('T110', 'endpoints', [{ addresses: ['10.244.0.1'], hints: { forZones: [{ name: '__proto__' }, {}, null] } }]),
  slice('T110', 'addressType', 'FQDN', 'IPv5', null),
  {
    test: 'T110',
    kind: 'Node',
    path: ['metadata', 'labels'],
    values: [null, 'x', { 'topology.kubernetes.io/zone': 7 }],
  },
  {
    test: 'T110',
    kind: 'Node',
    path: ['status'],
    values: [null, { addresses: 'x' }, { addresses: [null, { address: 'x' }] }],
  },
  { test: 'T110', kind: 'Node', path: ['spec'], values: [null, { podCIDRs: ['x', 5] }, { podCIDR: '10.244.1.0/24' }] },
];

/** The object with another value in one place; as it is when there is no such place. */
export function withValue(object: unknown, path: readonly string[], value: unknown): unknown {
  const [field, ...rest] = path;
  if (field === undefined) return value;
  return isObject(object) ? { ...object, [field]: withValue(object[field] ?? {}, rest, value) } : object;
}
