/** Why an endpoint is used or not, in words; that the words agree with the choice is test/property/explain.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointBit } from '../../../lib/records.ts';
import {
  type EndpointShape,
  ip,
  node,
  nodeAddresses,
  plannerOf,
  ready,
  type SliceShape,
  service,
  servicePort,
  servingTerminating,
  slice,
} from '../../harness/records.ts';

const near = '10.244.1.5';
const far = '10.244.2.7';

interface Row {
  readonly endpoints: readonly EndpointShape[];
  readonly shape?: SliceShape;
  /** `cluster` and `local` of each endpoint, `+` in, `-` out. */
  readonly said: readonly (readonly [cluster: string, local: string])[];
}

const elsewhere = '- on another node, and the policy is Local';

const rows: Readonly<Record<string, Row>> = {
  'ready ones': {
    endpoints: [{ address: near, local: true }, { address: far }],
    said: [
      ['+ ready', '+ ready, on this node'],
      ['+ ready', elsewhere],
    ],
  },
  'some are not ready': {
    endpoints: [
      { address: near, local: true, conditions: servingTerminating },
      { address: far },
      { address: '10.244.2.8', conditions: 0 },
      { address: '10.244.2.9', conditions: EndpointBit.terminating },
      { address: '10.244.1.6', local: true, conditions: ready },
    ],
    said: [
      [
        '- serving while terminating, but another endpoint is ready',
        '- serving while terminating, but another endpoint of this node is ready',
      ],
      ['+ ready', elsewhere],
      ['- not ready', elsewhere],
      ['- not ready: terminating, and not serving any more', elsewhere],
      ['+ ready', '+ ready, on this node'],
    ],
  },
  'the last of this node goes': {
    endpoints: [{ address: near, local: true, conditions: servingTerminating }, { address: far }],
    said: [
      [
        '- serving while terminating, but another endpoint is ready',
        '+ serving while terminating, and no endpoint of this node is ready',
      ],
      ['+ ready', elsewhere],
    ],
  },
  'all go': {
    endpoints: [
      { address: far, conditions: servingTerminating },
      { address: near, conditions: EndpointBit.serving },
    ],
    said: [
      ['+ serving while terminating, and no endpoint is ready', elsewhere],
      ['- not ready', elsewhere],
    ],
  },
  'zone hints': {
    endpoints: [
      { address: near, zones: ['z1'] },
      { address: far, zones: ['z2', 'z3'] },
    ],
    said: [
      ['+ ready, hinted for zone z1, where this node is', elsewhere],
      ['- hinted for zone z2, z3, this node is in zone z1', elsewhere],
    ],
  },
  'node hints come first': {
    endpoints: [
      { address: near, zones: ['z2'], nodes: ['n1'] },
      { address: far, zones: ['z1'], nodes: ['n2'] },
    ],
    said: [
      ['+ ready, hinted for node n1, which is this one', elsewhere],
      ['- hinted for node n2, this node is n1', elsewhere],
    ],
  },
  'hints that leave this place out': {
    endpoints: [{ address: near, zones: ['z2'] }],
    said: [['+ ready; zone hints do not count, no endpoint is hinted for zone z1', elsewhere]],
  },
  'hints half written': {
    endpoints: [{ address: near, nodes: ['n1'] }, { address: far }],
    said: [
      ['+ ready; node hints do not count, not every ready endpoint has some', elsewhere],
      ['+ ready', elsewhere],
    ],
  },
  'another port name': {
    endpoints: [{ address: near, local: true }],
    shape: { ports: [{ name: 'http', protocol: 'udp', port: 8080 }] },
    said: [
      [
        '- port name does not match: the slice has "http"/udp, the Service\'s is "p80"/tcp',
        '- port name does not match: the slice has "http"/udp, the Service\'s is "p80"/tcp',
      ],
    ],
  },
};

for (const [name, { endpoints, shape, said }] of Object.entries(rows)) {
  test(`why an endpoint is in or out: ${name}`, () => {
    // One frontend of each policy, so that both lists are looked at.
    const asked = service({ ports: [servicePort('p80', 80, 'tcp', 30080)], externalPolicyLocal: true });
    const { explanations } = {
      explanations: plannerOf([asked, slice(endpoints, shape), node(), nodeAddresses()]).explain(),
    };
    const verdicts = explanations.flatMap((port) =>
      port.endpoints.map(({ cluster, local }) =>
        [cluster, local].map((verdict) => `${verdict?.isIn === true ? '+' : '-'} ${verdict?.why}`),
      ),
    );
    assert.deepEqual(verdicts, said);
  });
}

test('of the same address in two slices one counts, the other says which', () => {
  const explained = (first: number, second: number): unknown =>
    plannerOf([
      service(),
      slice([{ address: near, conditions: first }], { key: 'ns1/a' }),
      slice([{ address: near, conditions: second }], { key: 'ns1/b' }),
    ])
      .explain()
      .flatMap(({ endpoints }) => endpoints.map(({ slice: of, cluster }) => [of, cluster?.isIn, cluster?.why]));
  const better = (other: string): string =>
    `replaced by the same address in slice ${other}, which is in a better condition`;
  assert.deepEqual(explained(servingTerminating, ready), [
    ['ns1/a', false, better('ns1/b')],
    ['ns1/b', true, 'ready'],
  ]);
  assert.deepEqual(explained(ready, servingTerminating), [
    ['ns1/a', true, 'ready'],
    ['ns1/b', false, better('ns1/a')],
  ]);
  assert.deepEqual(explained(ready, ready), [
    ['ns1/a', true, 'ready'],
    ['ns1/b', false, 'replaced by the same address in slice ns1/a'],
  ]);
});

test('an endpoint that drain() takes out is out, and the others are judged without it', () => {
  const planner = plannerOf([service(), slice([{ address: near }, { address: far, conditions: servingTerminating }])]);
  planner.exclude([{ address: ip(near) }]);
  planner.project();
  const said = planner
    .explain()
    .flatMap(({ endpoints }) => endpoints.map(({ cluster }) => [cluster?.isIn, cluster?.why]));
  assert.deepEqual(said, [
    [false, 'taken out by drain()'],
    [true, 'serving while terminating, and no endpoint is ready'],
  ]);
});
