/** Bodies as they are kept say what was said, and share what very many say alike. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Compactor } from '../../../lib/model/compact.ts';
import { EndpointBit, type ServiceBody, type SliceBody } from '../../../lib/records.ts';
import { ip } from '../reconcile/world.ts';

const service = (ports: ServiceBody['ports'], more: Partial<ServiceBody> = {}): ServiceBody => ({
  createdMs: 7,
  clusterIPs: [ip('10.96.0.1')],
  ports,
  externalIPs: [],
  loadBalancerIPs: [ip('198.18.0.1')],
  sourceRanges: ['10.0.0.0/8'],
  hasSourceRanges: true,
  affinitySeconds: 30,
  internalPolicyLocal: true,
  externalPolicyLocal: false,
  healthCheckNodePort: 31000,
  ...more,
});

const slice = (ports: SliceBody['ports'], more: Partial<SliceBody> = {}): SliceBody => ({
  service: 'ns1/a',
  family: 'IPv6',
  ports,
  addresses: [ip('fd00::1')],
  conditions: [EndpointBit.ready],
  ...more,
});

test('a body that is kept says what was said, and shares its ports with those that have the same in the same order', () => {
  const compactor = new Compactor();
  const http = { name: 'http', protocol: 'tcp', port: 80, nodePort: 0 } as const;
  const portLists: ServiceBody['ports'][] = [
    [],
    [http],
    [http, { ...http, name: 'https', port: 443 }],
    [{ ...http, name: 'https', port: 443 }, http],
    [{ ...http, nodePort: 30080 }],
    [{ ...http, protocol: 'udp' }],
    // Names that would run into what stands beside them.
    [{ ...http, name: 'http,tcp:81:4:http' }],
    [http, { ...http, port: 81 }],
  ];
  for (const again of [false, true]) {
    for (const ports of portLists) {
      const said = service(structuredClone(ports), again ? { tuning: { scheduler: 'wlc' } } : {});
      assert.deepEqual(compactor.service(said), said);
      const slicePorts = ports.map(({ name, protocol, port }) => ({ name, protocol, port }));
      for (const more of [{}, { weights: [3] }, { zoneHints: [['a']] }, { nodeHints: [['n1']] }]) {
        assert.deepEqual(compactor.slice(slice(slicePorts, more)), slice(slicePorts, more));
      }
    }
  }
  const [a, b] = [1, 2].map(() => compactor.service(service([{ ...http }])));
  assert.equal(a?.ports, b?.ports);
  assert.equal(a?.externalIPs, b?.externalIPs);
  for (let port = 1; port < 3000; port += 1) {
    assert.deepEqual(compactor.service(service([{ ...http, port }])).ports, [{ ...http, port }]);
  }
});
