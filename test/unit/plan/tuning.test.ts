/** What annotations and hooks ask for beyond the Service API: scheduler, forwarding, weights (ServiceTuning, SliceBody.weights). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Planner } from '../../../lib/plan/planner.ts';
import type { ServiceBody, ServiceTuning } from '../../../lib/records.ts';
import { ServiceFlag } from '../../../lib/types.ts';
import {
  e1,
  e2,
  ip,
  message,
  nodeAddresses,
  plannerOf,
  service,
  servicePort,
  servingTerminating,
  slice,
} from '../../harness/records.ts';

const onPort = (port: number) => ({ ports: [{ name: 'p80', protocol: 'tcp' as const, port }] });
const everyKind: Partial<ServiceBody> = {
  ports: [servicePort('p80', 80, 'tcp', 30080)],
  externalIPs: [ip('203.0.113.5')],
  loadBalancerIPs: [ip('198.18.0.1')],
};

function tuned(tuning: ServiceTuning, endpointPort: number = 8080): Planner {
  return plannerOf([
    nodeAddresses('192.168.1.10'),
    service({ ...everyKind, tuning }),
    slice([e1, e2], onPort(endpointPort)),
  ]);
}

function forwards(planner: Planner): Record<string, string> {
  return Object.fromEntries(
    [...planner.desired.services].map(([id, { destinations }]) => [
      id.slice(4),
      [...new Set([...destinations.values()].map(({ forward }) => forward))].join(),
    ]),
  );
}

const everywhere = (forward: string, nodePort: string = forward): Record<string, string> => ({
  '10.96.0.10:80': forward,
  '203.0.113.5:80': forward,
  '198.18.0.1:80': forward,
  '192.168.1.10:30080': nodePort,
});

test('a scheduler of the Service is that of all its virtual services, with its own flags or those kube-proxy gives it', () => {
  const flags = (tuning: ServiceTuning): Set<string> =>
    new Set(
      [...tuned(tuning).desired.services.values()].map(({ service: { scheduler, flags } }) => `${scheduler} ${flags}`),
    );
  assert.deepEqual(flags({}), new Set(['rr 0']));
  assert.deepEqual(flags({ scheduler: 'wlc' }), new Set(['wlc 0']));
  assert.deepEqual(flags({ scheduler: 'mh' }), new Set([`mh ${ServiceFlag.sched2}`]));
  assert.deepEqual(
    flags({ scheduler: 'mh', schedulerFlags: ServiceFlag.sched1 }),
    new Set([`mh ${ServiceFlag.sched1}`]),
  );
  assert.deepEqual(
    flags({ scheduler: 'sh', schedulerFlags: 0x3f }),
    new Set(['sh 56']),
    'none but those of schedulers',
  );
});

test('direct routing and tunnels keep the port: used where the endpoints have it, never for node ports', () => {
  for (const forward of ['direct', 'tunnel'] as const) {
    assert.deepEqual(forwards(tuned({ forward }, 80)), everywhere(forward, 'masquerade'));
  }
  assert.deepEqual(forwards(tuned({}, 80)), everywhere('masquerade'));
});

test('one endpoint on another port means masquerade for all, and one warning, until it is gone', () => {
  const planner = tuned({ forward: 'direct' });
  assert.deepEqual(forwards(planner), everywhere('masquerade'));
  const warnings = planner.warnings();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]?.message ?? '', /by direct keeps the port, and there are endpoints on port 8080, not 80:/);
  planner.apply(message(slice([{ ...e2, address: '10.244.2.8' }], onPort(8080))));
  planner.project();
  assert.deepEqual(planner.warnings(), [], 'endpoints that are replaced are no news');
  planner.apply(message(slice([e1, e2], onPort(80))));
  planner.project();
  assert.deepEqual(forwards(planner), everywhere('direct', 'masquerade'));
  assert.deepEqual(planner.warnings(), []);
});

test('what is not masqueraded is not source-translated: the back end answers the client itself', () => {
  const { sets } = tuned({ forward: 'direct' }, 80).desired;
  const exempt = ['10.96.0.10,tcp:80', '198.18.0.1,tcp:80'];
  assert.deepEqual([...(sets.get('KUBE-LOAD-BALANCER') ?? [])].sort(), exempt);
  assert.deepEqual([...(sets.get('KUBE-LOAD-BALANCER-LOCAL') ?? [])].sort(), exempt);
  assert.equal(sets.get('KUBE-CLUSTER-IP')?.size, 0, 'its rules would mark who comes from outside');
  assert.deepEqual([...(sets.get('KUBE-EXTERNAL-IP-LOCAL') ?? [])], ['203.0.113.5,tcp:80']);
  assert.equal(sets.get('KUBE-EXTERNAL-IP')?.size, 0);
  assert.equal(sets.get('KUBE-NODE-PORT-LOCAL-TCP')?.size, 0);
});

test('weights are the endpoints’; 0 is a weight like others; of an address in two slices the one that counts has its own', () => {
  const weighted = slice([
    { ...e1, weight: 0 },
    { ...e2, weight: 7 },
  ]);
  const planner = plannerOf([service(), weighted]);
  const weights = (): Record<string, number> =>
    Object.fromEntries(
      [...(planner.desired.services.get('tcp 10.96.0.10:80')?.destinations ?? [])].map(([id, { weight }]) => [
        id,
        weight,
      ]),
    );
  assert.deepEqual(weights(), { '10.244.1.5:8080': 0, '10.244.2.7:8080': 7 });
  planner.apply(message(slice([{ ...e1, weight: 3, conditions: servingTerminating }], { key: 'ns1/svc1-b' })));
  planner.project();
  assert.deepEqual(weights(), { '10.244.1.5:8080': 0, '10.244.2.7:8080': 7 }, 'the terminating one has no say');
  planner.apply(message(slice([e2]), slice([{ ...e1, weight: 3 }], { key: 'ns1/svc1-b' })));
  planner.project();
  assert.deepEqual(weights(), { '10.244.1.5:8080': 3, '10.244.2.7:8080': 1 });
});

test('every one of these is content: the hash tells them apart', () => {
  const hashes = [
    tuned({}),
    tuned({ scheduler: 'wrr' }),
    tuned({ schedulerFlags: ServiceFlag.sched1 }),
    tuned({ forward: 'direct' }),
    tuned({}, 80),
    tuned({ forward: 'direct' }, 80),
    tuned({ forward: 'tunnel' }, 80),
    plannerOf([nodeAddresses('192.168.1.10'), service(everyKind), slice([{ ...e1, weight: 2 }, e2])]),
  ].map((planner) => planner.hash('IPv4'));
  assert.equal(new Set(hashes).size, hashes.length);
});
