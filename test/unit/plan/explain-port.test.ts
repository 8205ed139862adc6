/** Which endpoints a frontend leads to and why, and what is said of frontends that are not served. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlanOptions } from '../../../lib/plan/planner.ts';
import type { ObjectRecord, ServiceBody } from '../../../lib/records.ts';
import { e1, e2, ip, nodeAddresses, plannerOf, service, servicePort, slice } from '../../harness/records.ts';

function frontends(records: readonly ObjectRecord[], options: Partial<PlanOptions> = {}): readonly string[] {
  return plannerOf(records, options)
    .explain()
    .flatMap((port) => port.frontends.map(({ kind, service: id, list, why }) => `${kind} ${id} ${list}: ${why}`));
}

const withNodePort: Partial<ServiceBody> = { ports: [servicePort('p80', 80, 'tcp', 30080)] };
const local: Partial<ServiceBody> = { ...withNodePort, internalPolicyLocal: true, externalPolicyLocal: true };
const host = nodeAddresses('192.168.1.10');

test('the policy that counts, internal and external, and what happens without an endpoint of this node', () => {
  assert.deepEqual(frontends([service(withNodePort), slice([e1, e2]), host]), [
    'cluster-ip tcp 10.96.0.10:80 cluster: internalTrafficPolicy Cluster',
    'node-port tcp 192.168.1.10:30080 cluster: externalTrafficPolicy Cluster',
  ]);
  assert.deepEqual(frontends([service(local), slice([e1, e2]), host]), [
    'cluster-ip tcp 10.96.0.10:80 local: internalTrafficPolicy Local',
    'node-port tcp 192.168.1.10:30080 local: externalTrafficPolicy Local',
  ]);
  const empty = 'and no endpoint of this node can be used';
  assert.deepEqual(frontends([service(local), slice([e2]), host]), [
    `cluster-ip tcp 10.96.0.10:80 none: internalTrafficPolicy Local, ${empty}`,
    `node-port tcp 192.168.1.10:30080 cluster: externalTrafficPolicy Local, ${empty}; externalLocalFallback is cluster`,
  ]);
  assert.deepEqual(frontends([service(local), slice([e2]), host], { externalLocalFallback: 'none' }), [
    `cluster-ip tcp 10.96.0.10:80 none: internalTrafficPolicy Local, ${empty}`,
    `node-port tcp 192.168.1.10:30080 none: externalTrafficPolicy Local, ${empty}`,
  ]);
});

test('a frontend that is not served is there, with the reason', () => {
  const older = service({ createdMs: 1 }, 'ns1/older');
  assert.deepEqual(frontends([service({ createdMs: 2 }), older]), [
    'cluster-ip tcp 10.96.0.10:80 cluster: internalTrafficPolicy Cluster',
    'cluster-ip tcp 10.96.0.10:80 none: served for IPv4 ns1/older:p80/tcp, which comes first',
  ]);
  assert.deepEqual(frontends([service(withNodePort), host], { nodePortAddresses: ['10.0.0.0/8'] }).slice(1), [
    'node-port tcp *:30080 none: no address of this node is there for node ports',
  ]);
  const twice = { externalIPs: [ip('198.18.0.1')], loadBalancerIPs: [ip('198.18.0.1')] };
  assert.deepEqual(frontends([service(twice)]).slice(1), [
    'external-ip tcp 198.18.0.1:80 none: served for another frontend of this service port, which comes first',
    'load-balancer tcp 198.18.0.1:80 cluster: externalTrafficPolicy Cluster',
  ]);
  const outside = service({ externalIPs: [ip('203.0.113.5'), ip('2001:db8::5')] });
  assert.deepEqual(frontends([outside], { allowedExternalIPs: ['198.51.100.0/24'] }).slice(1), [
    'external-ip tcp 203.0.113.5:80 none: the warnings say why',
  ]);
});

test('a list that no frontend looks at is not spoken of', () => {
  const lists = (body: Partial<ServiceBody>): unknown =>
    plannerOf([service(body), slice([e1]), host])
      .explain()
      .flatMap(({ endpoints }) => endpoints.map(({ cluster, local: near }) => [cluster?.why, near?.why]));
  assert.deepEqual(lists({}), [['ready', undefined]]);
  assert.deepEqual(lists({ internalPolicyLocal: true }), [[undefined, 'ready, on this node']]);
  assert.deepEqual(lists({ ...withNodePort, externalPolicyLocal: true }), [['ready', 'ready, on this node']]);
  assert.deepEqual(lists({ externalPolicyLocal: true }), [['ready', undefined]], 'no frontend is external');
});
