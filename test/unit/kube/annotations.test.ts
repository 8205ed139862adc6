/** docs/annotations.md, row by row. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readAnnotations } from '../../../lib/kube/annotations.ts';
import type { SchedulerHook } from '../../../lib/kube/hooks.ts';
import { projectService } from '../../../lib/kube/service-projection.ts';
import { service } from './objects.ts';

type Fields = { readonly [key: string]: unknown };

const PREFIX = 'ipvs-proxier.io/';
const NAMES = ['scheduler', 'scheduler-flags', 'forward', 'drain-timeout', 'zone-weights', 'weight-node-label'];

function annotated(annotations: Fields): { annotations: Fields } {
  return {
    annotations: Object.fromEntries(Object.entries(annotations).map(([name, value]) => [PREFIX + name, value])),
  };
}

function read(annotations: Fields, defaultScheduler: string = 'rr'): [tuning: unknown, weights: unknown, string[]] {
  const problems: string[] = [];
  const { tuning, weights } = readAnnotations(annotated(annotations), defaultScheduler, problems);
  return [tuning, weights, problems];
}

test('what each annotation comes to', () => {
  for (const [annotations, tuning, weights] of [
    [{}, {}, undefined],
    [{ scheduler: 'wrr' }, { scheduler: 'wrr' }, undefined],
    [{ scheduler: ' lc ' }, { scheduler: 'lc' }, undefined],
    [{ scheduler: 'sh', 'scheduler-flags': 'sh-port' }, { scheduler: 'sh', schedulerFlags: 0x10 }, undefined],
    [
      { scheduler: 'mh', 'scheduler-flags': 'mh-port, mh-fallback' },
      { scheduler: 'mh', schedulerFlags: 0x18 },
      undefined,
    ],
    [{ scheduler: 'mh', 'scheduler-flags': 'none' }, { scheduler: 'mh', schedulerFlags: 0 }, undefined],
    [{ forward: 'direct' }, { forward: 'direct' }, undefined],
    [{ forward: 'tunnel' }, { forward: 'tunnel' }, undefined],
    [{ forward: 'masquerade' }, {}, undefined],
    [{ 'drain-timeout': '30s' }, { drainTimeoutMs: 30_000 }, undefined],
    [{ 'drain-timeout': '1m30s' }, { drainTimeoutMs: 90_000 }, undefined],
    [{ 'drain-timeout': '0' }, { drainTimeoutMs: 0 }, undefined],
    [{ 'zone-weights': 'zone-a=3, zone-b=0' }, {}, { zones: { 'zone-a': 3, 'zone-b': 0 } }],
    [{ 'weight-node-label': 'example.com/capacity' }, {}, { nodeLabel: 'example.com/capacity' }],
    [{ 'zone-weights': 'a=65535', 'weight-node-label': 'cores' }, {}, { zones: { a: 65535 }, nodeLabel: 'cores' }],
  ] as const) {
    assert.deepEqual(read(annotations), [tuning, weights, []], JSON.stringify(annotations));
  }
  assert.deepEqual(
    read({ 'scheduler-flags': 'mh-fallback' }, 'mh'),
    [{ schedulerFlags: 8 }, undefined, []],
    "flags of the proxier's own scheduler",
  );
});

test('nonsense is told with annotation, value and what is allowed, and counts as if it were not there', () => {
  for (const [annotations, pattern] of [
    [{ scheduler: 'Round Robin' }, /"ipvs-proxier\.io\/scheduler"\]: "Round Robin" is not the name of an IPVS/],
    [{ scheduler: 'a'.repeat(16) }, /is not the name/],
    [{ scheduler: '' }, /scheduler"\]: "" is not the name/],
    [{ scheduler: 7 }, /scheduler"\]: 7 is not the name/],
    [{ 'scheduler-flags': 'sh-port' }, /"sh-port" is not none \(scheduler rr has no flags\)/],
    [{ 'scheduler-flags': 'none,' }, /flags"\]: "none," is not none/],
    [{ forward: 'nat' }, /forward"\]: "nat" is not masquerade, direct or tunnel/],
    ...['soon', '-1s', '1d', '600h5000000000000s', `${'9'.repeat(400)}h`, '1'].map(
      (text) => [{ 'drain-timeout': text }, /drain-timeout"\]: ".* is not a duration such as 30s/] as const,
    ),
    ...['a', 'a=', '=1', 'a=-1', 'a=65536', 'a=1.5', 'a=1,a=2', 'a=1,', 'a=1=2', 'a b=1', '', 'a=1;b=2'].map(
      (text) => [{ 'zone-weights': text }, /zone-weights"\]: ".* is not a list of zones with weights from 0/] as const,
    ),
    ...['', 'a/b/c', '-a', 'a b', '/a', 'A.com/x', 'x'.repeat(64)].map(
      (text) => [{ 'weight-node-label': text }, /weight-node-label"\]: ".* is not the name of a Node label/] as const,
    ),
  ] as const) {
    const [tuning, weights, problems] = read(annotations);
    assert.deepEqual([tuning, weights, problems.length], [{}, undefined, 1], JSON.stringify(annotations));
    assert.match(problems[0] ?? '', pattern);
    assert.match(problems[0] ?? '', /; it counts as if it were not there$/);
  }
  // One that is wrong costs no other; flags belong to the scheduler that counts.
  assert.deepEqual(
    read({ scheduler: 'no such', 'scheduler-flags': 'sh-port', 'drain-timeout': '5s' }, 'sh').slice(0, 2),
    [{ schedulerFlags: 0x10, drainTimeoutMs: 5000 }, undefined],
  );
  assert.match(
    read({ scheduler: 'mh', 'scheduler-flags': 'sh-port' })[2].join(),
    /"sh-port" is not none, mh-fallback, mh-port or mh-fallback,mh-port, the flags of scheduler mh/,
  );
});

test('an annotation that does not exist is told with the nearest one; those of others are not ours to judge', () => {
  const [, , problems] = read({ 'drain-timout': '5s', Scheduler: 'rr', nonsense: '', '': '' });
  assert.match(
    problems[0] ?? '',
    /"ipvs-proxier\.io\/drain-timout"\]: .*did you mean ipvs-proxier\.io\/drain-timeout\?/,
  );
  assert.match(problems[1] ?? '', /did you mean ipvs-proxier\.io\/scheduler\?/);
  assert.match(problems[2] ?? '', /nonsense"\]: there is no such annotation, there are scheduler, scheduler-flags, /);
  assert.equal(problems.length, 4);
  const others = {
    'ipvs-proxier/forward': 'x',
    'kubectl.kubernetes.io/last-applied-configuration': '{}',
    __proto__: 'x',
  };
  assert.deepEqual(projectService(service('svc1', {}, {}, { annotations: others })).problems, []);
  // What upstream does not read any more, nor do we (behaviour.md 1.2).
  const legacy = { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8' };
  assert.equal(projectService(service('svc1', {}, {}, { annotations: legacy })).body?.hasSourceRanges, false);
});

test('any text in any annotation is taken or told, never both, and never more than once', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('a', '=', ',', '1', '0', ' ', 's', '/', '__proto__', 'sh-port', 'none') }),
  );
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), text, fc.constantFrom('rr', 'sh', 'mh'), (name, value, scheduler) => {
      const [tuning, weights, problems] = read({ [name]: value }, scheduler);
      const taken = JSON.stringify([tuning, weights]) !== '[{},null]';
      assert.equal(problems.length, taken || (name === 'forward' && value.trim() === 'masquerade') ? 0 : 1);
      assert.doesNotMatch(problems.join(), /\p{Cc}/u);
    }),
  );
});

test('the table of docs/annotations.md has every annotation', () => {
  const text = readFileSync(join(import.meta.dirname, '../../../../docs/annotations.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `ipvs-proxier\.io\/([a-z-]+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(rows, NAMES);
});

test('the word of schedulerFor stands for scheduler and flags; a fault of it is told and the annotations count', () => {
  const metadata = annotated({ scheduler: 'sh', 'scheduler-flags': 'sh-port', 'drain-timeout': '5s' });
  const project = (schedulerFor: SchedulerHook): ReturnType<typeof projectService> =>
    projectService(service('svc1', {}, {}, metadata), { schedulerFor });
  const byAnnotation = { scheduler: 'sh', schedulerFlags: 0x10, drainTimeoutMs: 5000 };
  for (const [said, tuning] of [
    [undefined, byAnnotation],
    ['wrr', { scheduler: 'wrr', drainTimeoutMs: 5000 }],
    [{ scheduler: 'mh' }, { scheduler: 'mh', drainTimeoutMs: 5000 }],
    [
      { scheduler: 'mh', flags: ['mh-fallback'] },
      { scheduler: 'mh', schedulerFlags: 8, drainTimeoutMs: 5000 },
    ],
    [
      { scheduler: 'mh', flags: [] },
      { scheduler: 'mh', schedulerFlags: 0, drainTimeoutMs: 5000 },
    ],
  ] as const) {
    const { body, problems, hookProblem } = project(() => said);
    assert.deepEqual([body?.tuning, problems, hookProblem], [tuning, [], undefined]);
  }
  const bad: readonly (readonly [unknown, RegExp])[] = [
    [null, /gave null, which is not the name of an IPVS scheduler/],
    [7, /gave 7, which/],
    ['Round Robin', /gave "Round Robin", which/],
    [{ scheduler: 'sh', flags: ['mh-port'] }, /list of flags: none, sh-fallback, sh-port or/],
    [{ scheduler: 'rr', flags: 'none' }, /\(scheduler rr has no flags\)/],
    [Promise.reject(new Error('later')), /gave a Promise/],
  ];
  for (const [said, pattern] of bad) {
    // As from an embedder without a type checker.
    const { body, hookProblem = '' } = project(() => Reflect.get({ said }, String('said')));
    assert.deepEqual(body?.tuning, byAnnotation);
    assert.match(hookProblem, pattern);
    assert.match(hookProblem, /^schedulerFor gave .*; the annotations count$/);
  }
  const mutating = project((given) => Object.assign(given.metadata.labels, { a: 'b' }).a);
  assert.match(mutating.hookProblem ?? '', /^schedulerFor threw: .*not extensible/, 'what a hook is given is frozen');
  assert.deepEqual(mutating.body?.tuning, byAnnotation);
  const seen: unknown[] = [];
  project((given) => {
    seen.push(given);
    return undefined;
  });
  assert.deepEqual(seen, [
    {
      metadata: { name: 'svc1', namespace: 'ns1', uid: 'uid-svc1', labels: {}, annotations: metadata.annotations },
      spec: { clusterIP: '10.96.0.10', ports: [{ name: 'p80', port: 80 }] },
      status: {},
    },
  ]);
});
